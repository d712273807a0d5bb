// SegmentSplicer: a damaged segment written anew beside itself: its whole batches as they are, the damaged
// ranges from what another replica has. Owned by Log::Repair's frame; used by one pool thread at a time.
// Nothing of the log changes before the swap (cleaner_files.h).
//
// What the other replica does not have stays damaged, with the bytes that it has, so that it keeps no other
// range waiting. What lies below the log start nobody has any more: a batch without records takes its place.
//
// Invariant: what is written are whole batches that follow each other from the segment's base offset on,
// but for the ranges of kept(). The index's greatest timestamp is not below that of the segment while there
// are any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/cold_pass.h"
#include "broker/log/damage_list.h"
#include "broker/log/epoch_table.h"
#include "broker/log/segment_index.h"
#include "common/io/file_system.h"
#include "common/record/batch.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

class SegmentSplicer {
 public:
  struct Source {
    PartitionKey key;
    std::string path_prefix;
    Offset base_offset = 0;
    Offset end_offset = 0;
    uint64_t bytes = 0;
    std::vector<DamagedRange> damage;  // all of this segment
    EpochTable epochs;                 // of the log
    Offset log_start = 0;
    WallMillis max_timestamp = kNoTimestamp;  // no record of the segment is later, damaged or not
    uint32_t index_interval = 4096;
  };

  SegmentSplicer(FileSystem& files, Source source);

  // Copies about `bytes` more, up to the next range that is to be asked for (wanted()), or to the end
  // (done()). CORRUPT_MESSAGE: there is damage that the list does not name.
  Result<> Step(uint64_t bytes);
  // What Give is to begin with; empty: not at a damaged range.
  std::optional<Offset> wanted() const;
  // Whole batches from the one that holds wanted() on; what lies past the damaged range is not taken.
  // INVALID_RECORD: they are not what this log held. Rotten ones are refused as by Keep.
  Result<> Give(std::string_view batches);
  // At wanted(): it cannot be had now. The rest of its range stays damaged.
  void Keep(Error why);
  bool done() const { return next_ == source_.end_offset && !keeping_; }
  // When done: makes log and indexes durable under their `.cleaned` names.
  Result<> Finish();
  void Discard();

  const std::string& path_prefix() const { return source_.path_prefix; }
  Offset base_offset() const { return source_.base_offset; }
  Offset end_offset() const { return source_.end_offset; }
  uint64_t size() const { return written_; }
  const SegmentIndex& index() const { return index_; }
  std::optional<WallMillis> first_append_time() const { return first_append_time_; }
  std::shared_ptr<File> file() const { return output_; }
  // Batches that were taken from what was given.
  size_t taken() const { return taken_; }
  // Damaged ranges below the log start that are gone.
  size_t holes() const { return holes_; }
  // What stays damaged, as it lies in what is written.
  const std::vector<DamagedRange>& kept() const { return kept_; }
  // Why the last one stays so.
  const std::optional<Error>& refused() const { return refused_; }
  // The last call was at the output: its error is one of writing.
  bool writing() const { return writing_; }

 private:
  Result<> Open();
  Result<> Write(std::string_view bytes);
  Result<> CheckGiven(const BatchView& batch, const BodyInfo& body, Offset last) const;
  Result<> Take(const BatchView& batch, const BodyInfo& body);
  Result<> CopyBatches(uint64_t bytes, uint64_t until, Offset end);
  Result<> CopyKept(uint64_t bytes);
  Result<> FillHole(LeaderEpoch epoch);

  FileSystem& files_;
  const Source source_;
  std::unique_ptr<File> input_;
  std::shared_ptr<File> output_;
  std::optional<ColdPass> cold_;
  uint64_t position_ = 0;   // in the input
  size_t next_damage_ = 0;  // of source_.damage
  Offset next_;             // the next batch begins here
  // The offsets from here to next_ are below the log start and not written yet: their epoch is that of what
  // follows.
  std::optional<Offset> hole_;
  bool keeping_ = false;  // the range's bytes are being copied as they are
  uint64_t kept_begin_ = 0;
  Offset kept_first_ = 0;
  std::vector<DamagedRange> kept_;
  std::optional<Error> refused_;
  size_t taken_ = 0;
  size_t holes_ = 0;
  LeaderEpoch epoch_ = 0;
  uint64_t written_ = 0;
  SegmentIndex index_;
  std::optional<WallMillis> first_append_time_;
  bool writing_ = false;
};

}  // namespace tidemark
