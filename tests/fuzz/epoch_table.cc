// leader-epoch-checkpoint on arbitrary bytes: what is taken rises, answers without a crash, and is what it is
// written as again. An input that begins with '+' gets its checksum.
#include <cstdint>

#include <glog/logging.h>

#include "broker/log/partition_files.h"
#include "tests/fuzz/memory_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  MemoryFiles files;
  files[EpochFilePath("/p")] = bytes.starts_with('+') ? WithChecksum(bytes.substr(1)) : std::string(bytes);
  auto table = ReadEpochTable(files, "/p");
  if (!table) return 0;
  const auto& entries = table->entries();
  for (size_t i = 1; i < entries.size(); ++i) {
    CHECK(entries[i - 1].epoch < entries[i].epoch && entries[i - 1].start < entries[i].start);
  }
  files[EpochFilePath("/p")] = EncodeEpochTable(*table);
  CHECK(ReadEpochTable(files, "/p")->entries() == entries);
  if (entries.empty()) return 0;
  const EpochTable::Entry middle = entries[entries.size() / 2];
  CHECK(table->EpochAt(middle.start) == middle.epoch);
  CHECK(table->EndOf(middle.epoch, ~0ull).has_value());
  table->AdvanceStart(middle.start);
  CHECK(table->entries().front() == middle);
  table->TruncateTo(middle.start);
  CHECK(table->entries().empty());
  return 0;
}
