// SegmentIndex: where batches are in one segment file, sparsely: about every index.interval.bytes an entry
// with a batch's offset and position, and the greatest timestamp up to and with that batch and who reached it
// first. Pure value; in memory for the active segment, on disk for all.
//
// Invariants: entries rise strictly in offset and position and point at the first byte of a batch of that
// base offset; timestamps do not fall. Entry i of .index and entry i of .timeindex belong to the same batch.
//
// On disk (little-endian) each entry carries its own CRC-32C, so that a lost page of an index file is seen:
//   .index      u32 offset - base, u32 position, u32 crc
//   .timeindex  i64 greatest timestamp, u32 offset of the batch that reached it - base, u32 crc
// A sealed segment's files end with one entry whose checksum has another seed: (end offset - base, size of
// the log file) and (greatest timestamp, its offset - base). Without that seal the segment is scanned when it
// is opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/file_system.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

inline constexpr WallMillis kNoTimestamp = -1;
// Positions and relative offsets are 32-bit on disk; a segment is rolled before either would not fit.
inline constexpr uint64_t kMaxSegmentBytes = (1ull << 31) - 1;
inline constexpr uint64_t kMaxSegmentOffsets = (1ull << 31) - 1;

class SegmentIndex {
 public:
  static constexpr size_t kOffsetEntryBytes = 12;
  static constexpr size_t kTimeEntryBytes = 16;

  struct OffsetEntry {
    uint32_t relative_offset;
    uint32_t position;
  };
  struct TimeEntry {
    WallMillis timestamp;
    uint32_t relative_offset;
  };
  // The batch at `position` and those before it reach `timestamp` and nothing later.
  struct Peak {
    WallMillis timestamp;
    uint64_t position;
  };

  explicit SegmentIndex(Offset base) : base_(base) {}

  // Takes note of a batch appended at `position`. Adds entries when `interval` bytes have passed since the
  // last.
  void OnBatch(Offset base_offset, uint64_t position, WallMillis max_timestamp, uint32_t interval);

  // Batches from `offset` on cannot be read; none of them is later than `max_timestamp`.
  void Reach(WallMillis max_timestamp, Offset offset);

  // Position of the last entry at or below `offset`; 0 when there is none.
  uint64_t PositionFor(Offset offset) const;
  // Position of a batch before which no batch reaches `timestamp`.
  uint64_t PositionForTimestamp(WallMillis timestamp) const;
  // Of the last entry whose batch is known to end at or below `offset`; nothing where there is none.
  std::optional<Peak> PeakBelow(Offset offset) const;
  // The last batch known to begin at or below a position of the file: where a read may end without cutting a
  // batch. 0 when there is none.
  uint64_t LastStartUpTo(uint64_t position) const;
  // Forgets entries for batches at or above `offset`. The greatest timestamp falls back to that of the
  // entries left: the caller re-scans from `PositionFor(offset)` on.
  void TruncateTo(Offset offset);

  WallMillis max_timestamp() const { return max_timestamp_; }
  Offset max_timestamp_offset() const { return max_timestamp_offset_; }
  size_t size() const { return offsets_.size(); }
  const std::vector<OffsetEntry>& offsets() const { return offsets_; }
  const std::vector<TimeEntry>& times() const { return times_; }
  Offset base() const { return base_; }

  // The encoded entries from the given ones on.
  std::string EncodeOffsets(size_t first) const;
  std::string EncodeTimes(size_t first) const;
  // The seals of a segment that ends at `end` with `size` bytes.
  std::string SealOffsets(Offset end, uint64_t size) const;
  std::string SealTimes() const;

  // Takes over the leading good entries of the files' bytes; stops at the first bad, falling or sealing one.
  static SegmentIndex Decode(Offset base, std::string_view offsets, std::string_view times);

 private:
  Offset base_;
  std::vector<OffsetEntry> offsets_;
  std::vector<TimeEntry> times_;
  uint64_t last_indexed_position_ = 0;
  WallMillis max_timestamp_ = kNoTimestamp;
  Offset max_timestamp_offset_ = 0;
};

// What the seals of a segment's index files say.
struct SegmentSeal {
  Offset end = 0;
  uint64_t size = 0;
  WallMillis max_timestamp = kNoTimestamp;
  Offset max_timestamp_offset = 0;
};

// Reads the seals (pool thread). Empty when there are none or they are damaged.
std::optional<SegmentSeal> ReadSeal(FileSystem& files, const std::string& path_prefix, Offset base);

// Binary search in a sealed segment's .index by pread (pool thread): a position at or before the batch that
// holds `offset`. Empty when an entry on the way is damaged: the index must be rebuilt.
std::optional<uint64_t> LookUpPosition(FileSystem& files, const std::string& path_prefix, Offset base,
                                       Offset offset);
// As LookUpPosition: a position before which no batch reaches `timestamp`.
std::optional<uint64_t> LookUpTimestamp(FileSystem& files, const std::string& path_prefix, Offset base,
                                        WallMillis timestamp);

// Entries to be written into a segment's index files (pool thread).
struct IndexWrite {
  std::string path_prefix;      // without .index
  bool truncate_first = false;  // what the files hold is stale
  size_t first_entry = 0;       // where `offsets` and `times` begin
  std::string offsets;
  std::string times;
  bool sync = false;  // sealed: the files must be durable
};
Result<> WriteIndex(FileSystem& files, const IndexWrite& write);

}  // namespace tidemark
