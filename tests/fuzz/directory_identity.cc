// meta.properties and partition.metadata on arbitrary bytes: what is taken is what it is written as again. An
// input that begins with '+' gets its checksum.
#include <cstdint>

#include <glog/logging.h>

#include "broker/log/log_directory.h"
#include "broker/log/partition_files.h"
#include "tests/fuzz/memory_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string file = bytes.starts_with('+') ? WithChecksum(bytes.substr(1)) : std::string(bytes);
  if (const auto identity = DecodeIdentity(file, "meta.properties")) {
    const auto again = DecodeIdentity(EncodeIdentity(*identity), "meta.properties");
    CHECK(again) << ToString(again.error());
    CHECK(again->broker == identity->broker && again->cluster_id == identity->cluster_id &&
          again->directory_id == identity->directory_id && again->directories == identity->directories);
  }
  MemoryFiles files;
  files["/p/partition.metadata"] = file;
  if (const auto topic = ReadPartitionMetadata(files, "/p")) {
    CHECK(WritePartitionMetadata(files, "/p", *topic));
    CHECK(*ReadPartitionMetadata(files, "/p") == *topic);
  }
  ParsePartitionFolderName(bytes);
  return 0;
}
