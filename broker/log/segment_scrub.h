// SegmentScrub: one segment's bytes read again from the disk, piece by piece, in search of rot. Owned by a
// Log::Scrub or a search for damage under way, or by the Scrubber between two pieces; touched by one thread
// at a time (the pool's during Step). Shares no file handle with the log; pages that were not in the page
// cache before a piece was read are dropped from it again.
//
// Checks both checksums of each batch, that batches follow each other in offset and do not fall in epoch,
// that they end where the segment does, and that each entry of the index files points at a batch of its
// offset. Damage does not end it: the range is noted and it goes on with the next batch that is whole.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/log/batch_scan.h"
#include "broker/log/damage_list.h"
#include "broker/log/segment.h"
#include "broker/log/segment_index.h"
#include "common/io/file_system.h"
#include "common/types.h"

namespace tidemark {

class SegmentScrub {
 public:
  struct Place {
    PartitionKey key;
    std::string path_prefix;
    Offset base = 0;
    uint32_t index_interval = 4096;
  };
  // How far the segment goes now.
  struct Extent {
    uint64_t size = 0;
    Offset end = 0;              // base of the next segment, or the log's end
    bool index_durable = false;  // the index files are whole: sealed and written
  };

  explicit SegmentScrub(Place place);

  // Pool thread: reads at least one batch and about `max_bytes` from position() on; the bytes read. An error
  // says nothing of the bytes: the file cannot be opened now.
  Result<uint64_t> Step(FileSystem& files, const Extent& extent, size_t max_bytes);

  uint64_t position() const { return position_; }
  // The last Step was the last one.
  bool done() const { return done_; }
  // What is damaged so far.
  const std::vector<DamagedRange>& damage() const { return damage_; }
  // When done: the index files are not those of the segment (why, for the log).
  const std::string& index_problem() const { return index_problem_; }
  // When done: what the index files should hold.
  SegmentIndex TakeIndex() { return std::move(rebuilt_); }

 private:
  void LoadIndex(FileSystem& files, const Extent& extent);
  void NoteBatch(const BatchView& batch, const BodyInfo& body, uint64_t position);
  void Finish(const Extent& extent);
  std::optional<std::string> OutOfPlace(const BatchView& batch, const BodyInfo& body, Offset end) const;
  uint64_t BytesToSkip(const BatchScanner& scanner, const Extent& extent) const;
  void SkipDamage(BatchScanner& scanner, const Extent& extent, const std::string& why, bool readable);
  void NoteDamage(uint64_t begin, uint64_t end, Offset next, const std::string& why);

  const Place place_;
  uint64_t position_ = 0;
  bool done_ = false;
  Offset next_;  // the next batch begins here
  LeaderEpoch epoch_ = 0;
  std::vector<DamagedRange> damage_;
  SegmentIndex stored_;
  SegmentIndex rebuilt_;
  std::optional<SegmentSeal> seal_;
  bool index_loaded_ = false;
  size_t next_entry_ = 0;  // of stored_, to be met
  std::string index_problem_;
};

}  // namespace tidemark
