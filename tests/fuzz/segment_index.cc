// .index and .timeindex on arbitrary bytes: what is taken rises, and lookups in files and in memory agree
// where the files are whole. The input: 1 byte that says whether the entries get their checksums, 8 of the
// base offset, 2 of where the bytes of .index end.
#include <cstdint>
#include <cstring>

#include <glog/logging.h>

#include "broker/log/segment_index.h"
#include "common/record/crc32c.h"
#include "tests/fuzz/memory_files.h"

namespace {

using namespace tidemark;

// Entries of `fields` bytes each become entries with a checksum; the last one, if `sealed`, with the seal's.
std::string WithEntryChecksums(std::string_view raw, size_t fields, Offset base, bool sealed) {
  std::string out;
  for (; raw.size() >= fields; raw.remove_prefix(fields)) {
    uint32_t seed = sealed && raw.size() < 2 * fields ? 0x5ea1 : 0x7e11;
    std::string head(sizeof seed + sizeof base, '\0');
    std::memcpy(head.data(), &seed, sizeof seed);
    std::memcpy(head.data() + sizeof seed, &base, sizeof base);
    const uint32_t crc = Crc32cExtend(Crc32c(head), raw.substr(0, fields));
    out.append(raw.substr(0, fields));
    out.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 11) return 0;
  Offset base = 0;
  uint16_t split = 0;
  std::memcpy(&base, data + 1, sizeof base);
  base >>= 1;  // offsets are 63 bits
  std::memcpy(&split, data + 9, sizeof split);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 11, size - 11);
  const size_t border = std::min<size_t>(split, bytes.size());
  std::string offsets(bytes.substr(0, border));
  std::string times(bytes.substr(border));
  const bool sealed = (data[0] & 2) != 0;
  if ((data[0] & 1) != 0) {
    offsets = WithEntryChecksums(offsets, SegmentIndex::kOffsetEntryBytes - 4, base, sealed);
    times = WithEntryChecksums(times, SegmentIndex::kTimeEntryBytes - 4, base, sealed);
  }
  SegmentIndex index = SegmentIndex::Decode(base, offsets, times);
  CHECK_EQ(index.times().size(), index.size());
  for (size_t i = 1; i < index.size(); ++i) {
    CHECK_LT(index.offsets()[i - 1].relative_offset, index.offsets()[i].relative_offset);
    CHECK_LT(index.offsets()[i - 1].position, index.offsets()[i].position);
    CHECK_LE(index.times()[i - 1].timestamp, index.times()[i].timestamp);
  }
  const SegmentIndex again = SegmentIndex::Decode(base, index.EncodeOffsets(0), index.EncodeTimes(0));
  CHECK_EQ(again.size(), index.size());

  MemoryFiles files;
  files["/s.index"] = offsets;
  files["/s.timeindex"] = times;
  ReadSeal(files, "/s", base);
  LookUpPosition(files, "/s", base, base + split);
  LookUpTimestamp(files, "/s", base, split);
  // A whole sealed pair answers as the index in memory does.
  IndexWrite write{.path_prefix = "/t", .truncate_first = true};
  write.offsets = index.EncodeOffsets(0) + index.SealOffsets(base + kMaxSegmentOffsets, kMaxSegmentBytes);
  write.times = index.EncodeTimes(0) + index.SealTimes();
  CHECK(WriteIndex(files, write));
  const auto seal = ReadSeal(files, "/t", base);
  CHECK(seal && seal->size == kMaxSegmentBytes && seal->max_timestamp == index.max_timestamp());
  for (const auto& entry : index.offsets()) {
    const Offset offset = base + entry.relative_offset;
    CHECK(LookUpPosition(files, "/t", base, offset) == entry.position);
    CHECK_EQ(index.PositionFor(offset), entry.position);
  }
  for (const auto& entry : index.times()) {
    CHECK(LookUpTimestamp(files, "/t", base, entry.timestamp) == index.PositionForTimestamp(entry.timestamp));
  }
  index.TruncateTo(base + split);
  CHECK(index.offsets().empty() || base + index.offsets().back().relative_offset < base + split);
  return 0;
}
