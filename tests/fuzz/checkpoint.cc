// Checkpoint files on arbitrary bytes: what is taken is what it is written as again. An input that begins
// with '+' gets its checksum, so that the fuzzer comes to what is behind it.
#include <cstdint>

#include <glog/logging.h>

#include "broker/log/checkpoints.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string file = bytes.starts_with('+') ? WithChecksum(bytes.substr(1)) : std::string(bytes);
  const auto table = DecodeCheckpoint(file, "checkpoint");
  if (!table) {
    CHECK(!table.error().message.empty());
    return 0;
  }
  const auto again = DecodeCheckpoint(EncodeCheckpoint(*table), "checkpoint");
  CHECK(again && *again == *table);
  return 0;
}
