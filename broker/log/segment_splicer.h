// SegmentSplicer: a damaged segment written anew beside itself: its whole batches as they are, the damaged
// ranges from what another replica has. Owned by Log::Repair's frame; used by one pool thread at a time.
// Nothing of the log changes before the swap (cleaner_files.h).
//
// Invariant: what is written are whole batches that follow each other from the segment's base offset on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
    uint32_t index_interval = 4096;
  };

  SegmentSplicer(FileSystem& files, Source source);

  // Copies about `bytes` more, up to the next damaged range; true when at one, or at the end.
  // CORRUPT_MESSAGE: there is damage that the list does not name.
  Result<bool> Step(uint64_t bytes);
  // What Give is to begin with; empty: not at a damaged range.
  std::optional<Offset> wanted() const;
  // Whole batches from the one at wanted() on; what lies past the damaged range is not taken. INVALID_RECORD:
  // they are not what this log held.
  Result<> Give(std::string_view batches);
  bool done() const { return next_ == source_.end_offset; }
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
  // The last call was at the output: its error is one of writing.
  bool writing() const { return writing_; }

 private:
  Result<> Open();
  Result<> Write(std::string_view bytes);
  Result<> CheckGiven(const BatchView& batch, const BodyInfo& body, Offset last) const;
  void Note(const BatchView& batch, const BodyInfo& body);

  FileSystem& files_;
  const Source source_;
  std::unique_ptr<File> input_;
  std::shared_ptr<File> output_;
  uint64_t position_ = 0;   // in the input
  size_t next_damage_ = 0;  // of source_.damage
  Offset next_;             // the next batch begins here
  LeaderEpoch epoch_ = 0;
  uint64_t written_ = 0;
  SegmentIndex index_;
  std::optional<WallMillis> first_append_time_;
  bool writing_ = false;
};

}  // namespace tidemark
