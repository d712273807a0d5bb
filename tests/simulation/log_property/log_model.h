// LogModel: what a log must be, as its user knows it: a list of batches, a start, an end, and what was
// promised. The whole specification that the property test and the crash-state explorer hold the log to.
// Plain value.
//
// Invariant: `batches` are contiguous and end at `end`; those below `start` are what may still be on disk.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/epoch_table.h"
#include "broker/log/log.h"
#include "common/types.h"

namespace tidemark {

inline constexpr WallMillis kCompacted = INT64_MIN;

struct ModelBatch {
  Offset base = 0;
  Offset next = 0;
  LeaderEpoch epoch = 0;
  // By offset; kCompacted where compaction has dropped the record.
  std::vector<WallMillis> timestamps;
  std::string bytes;  // as stored and served
};

struct LogModel {
  std::vector<std::shared_ptr<const ModelBatch>> batches;
  Offset start = 0;
  Offset end = 0;
  // What survives any crash: the log holds everything below `flushed`, starts at or above `durable_start`.
  Offset flushed = 0;
  Offset durable_start = 0;
  // No checkpoint may hold a higher high watermark.
  Offset committed = 0;
  // Appends that a full disk refused: they were cut off again, but a loss of power may bring back what was
  // written of them, in place of batches that were not flushed.
  std::vector<std::shared_ptr<const ModelBatch>> refused;
  // A pass of compaction is under way: below, batches may have lost records.
  Offset compacted_below = 0;
  // Below, where the start hides them, batches may have lost records to passes that have ended.
  Offset hidden_below = 0;
  // A tombstone whose key was not written again has gone; all of them were below.
  Offset tombstones_gone_below = 0;
  // A restart at this offset is under way: the log may be a prefix of what it was, or empty.
  std::optional<Offset> restarting_at;

  void Append(std::shared_ptr<const ModelBatch> batch);
  // What `appended` has more than this was refused.
  void Refuse(const LogModel& appended);
  // A batch that contains `offset` goes whole.
  void CutTo(Offset offset);
  void RestartAt(Offset offset);

  // Of the batches at or above the start.
  EpochTable Epochs() const;
  std::optional<TimestampLookup> Find(WallMillis timestamp, Offset below) const;
  std::optional<TimestampLookup> FindGreatest(Offset below) const;

  // What is wrong with an answer; empty when nothing is.
  std::string CheckRead(Offset from, Offset below, size_t max_bytes, const Result<LogRead>& read) const;
  // What is wrong with a log that was opened again and holds `found` from its start on; where nothing is, the
  // model becomes what the log is.
  std::string Reopen(Offset found_start, Offset found_end, std::string_view found);
  // A pass has ended, and the log, open, holds `found` from its start on.
  std::string EndPass(std::string_view found);

 private:
  // The batch that `found` begins with where it is one at `offset` or several in a row under compaction.
  std::shared_ptr<const ModelBatch> MatchCompacted(std::string_view found, Offset offset) const;
  // What is wrong with `now` as what compaction may have left of this; tells of tombstones that have gone.
  std::string CheckCompacted(LogModel* now) const;
  // The batch that `found` begins with, at `offset`; null when none does.
  std::shared_ptr<const ModelBatch> Match(std::string_view found, Offset offset) const;
  // Index of the batch that contains `offset`; batches.size() when none does.
  size_t IndexOf(Offset offset) const;
};

}  // namespace tidemark
