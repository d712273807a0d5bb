// The two halves of a compaction pass as work in steps, so that no pool thread is held for long and the pass
// can be slowed down and given up between steps: KeyMapper reads the dirty part into an OffsetMap,
// SegmentRewriter writes what stays of a group of segments into a `.cleaned` file. Owned by Log::Clean's
// frame; used by one pool thread at a time.
//
// Errors: CORRUPT_MESSAGE where the stored bytes are damaged, INVALID_RECORD where intact batches cannot be
// compacted, the disk's own otherwise.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/log/batch_scan.h"
#include "broker/log/cleaner_batch.h"
#include "broker/log/cold_pass.h"
#include "broker/log/offset_map.h"
#include "broker/log/segment_index.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

// A sealed segment's file.
struct CleanSource {
  std::string path_prefix;
  Offset base_offset = 0;
  Offset end_offset = 0;
  uint64_t bytes = 0;
};

class KeyMapper {
 public:
  // Maps keys from `from` on; `sources` are contiguous and reach from at or below `from` to the uncleanable
  // end.
  KeyMapper(FileSystem& files, PartitionKey key, std::vector<CleanSource> sources, Offset from,
            OffsetMap map);

  // Reads about `bytes` more; true when done: at the end, or because the map is full.
  Result<bool> Step(uint64_t bytes);
  // Bytes read by the last step.
  uint64_t step_bytes() const { return step_bytes_; }
  // Records below are mapped, from `from` on.
  Offset end() const { return end_; }
  const OffsetMap& map() const { return map_; }

 private:
  Result<bool> TakeBatch(const BatchView& batch, const BodyInfo& info);
  Result<> OpenNext();

  FileSystem& files_;
  const PartitionKey key_;
  const std::vector<CleanSource> sources_;
  const Offset from_;
  OffsetMap map_;
  Offset end_;
  size_t next_source_ = 0;
  std::unique_ptr<File> file_;
  std::optional<BatchScanner> scanner_;
  std::optional<ColdPass> cold_;  // of the file that is read
  ScratchBuffer scratch_;
  uint64_t step_bytes_ = 0;
};

struct RewriteStats {
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t records_dropped = 0;
  uint64_t records_without_key = 0;
  // One past the last tombstone dropped because its time was over; 0: none was.
  Offset dropped_tombstones_below = 0;
};

// The batch that a rewriter writes next; it may still grow over what follows it.
struct PendingBatch {
  BatchHeader header;
  std::string body;
  std::string original;  // the whole batch, while nothing of it has changed
  uint32_t last_offset_delta = 0;
  uint32_t body_last_offset_delta = 0;  // as `body` says
  WallMillis timestamp = kNoTimestamp;
  bool may_extend = false;
};

class SegmentRewriter {
 public:
  // `sources` is a group of contiguous segments; the output has the first one's base offset.
  SegmentRewriter(FileSystem& files, PartitionKey key, std::vector<CleanSource> sources, CleanTerms terms,
                  uint32_t index_interval_bytes);

  // Creates the output, or reads and writes about `bytes` more; true when all is written.
  Result<bool> Step(uint64_t bytes);
  uint64_t step_bytes() const { return step_bytes_; }
  // After the last step: makes log and indexes durable under their `.cleaned` names.
  Result<> Finish();
  // Removes what was written.
  void Discard();

  // False: the output would be the only source as it is.
  bool changed() const { return changed_ || sources_.size() > 1; }
  const std::vector<CleanSource>& sources() const { return sources_; }
  const std::string& path_prefix() const { return sources_.front().path_prefix; }
  Offset base_offset() const { return sources_.front().base_offset; }
  Offset end_offset() const { return sources_.back().end_offset; }
  uint64_t size() const { return position_ + buffer_.size(); }
  const SegmentIndex& index() const { return index_; }
  std::optional<WallMillis> first_append_time() const { return first_append_time_; }
  std::shared_ptr<File> file() const { return output_; }
  const RewriteStats& stats() const { return stats_; }
  // The last call was at the output: its error is one of writing.
  bool writing() const { return writing_; }

 private:
  Result<> Open();
  Result<> TakeBatch(const BatchView& batch, const BodyInfo& info);
  Result<> TakeHole(const BatchView& batch, const BodyInfo& info);
  Result<> WritePending();
  Result<> WriteBuffer();

  FileSystem& files_;
  const PartitionKey key_;
  const std::vector<CleanSource> sources_;
  const CleanTerms terms_;
  const uint32_t index_interval_bytes_;
  size_t next_source_ = 0;
  std::unique_ptr<File> file_;
  std::optional<BatchScanner> scanner_;
  std::optional<ColdPass> cold_;  // of the file that is read
  CleanScratch scratch_;
  std::shared_ptr<File> output_;
  std::optional<PendingBatch> pending_;
  Offset expected_ = 0;
  std::string buffer_;
  uint64_t position_ = 0;  // of buffer_ in the output
  SegmentIndex index_;
  std::optional<WallMillis> first_append_time_;
  bool changed_ = false;
  bool writing_ = false;
  bool all_cold_ = true;  // of the sources read so far
  uint64_t step_bytes_ = 0;
  RewriteStats stats_;
};

}  // namespace tidemark
