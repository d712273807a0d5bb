// ReplicaLog: what a Partition needs of its log. A seam, so that replication is tested against logs that
// lose, damage and fail at will; the real one forwards to broker/log's Log, whose comments are the contract
// (shard_log_store.h). Shard's loop only.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/disk_space.h"
#include "broker/log/log.h"

namespace tidemark {

class ReplicaLog {
 public:
  virtual ~ReplicaLog() = default;

  virtual const std::string& directory() const = 0;
  virtual Offset start_offset() const = 0;
  virtual Offset end_offset() const = 0;
  virtual Offset flushed_end() const = 0;
  virtual Offset checkpointed_high_watermark() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // DISK_FULL: no more is to be written for this use (LogDirs::RoomFor).
  virtual Result<> RoomFor(SpaceUse /*use*/) const { return {}; }
  virtual const EpochTable& epochs() const = 0;
  virtual const std::optional<Error>& failure() const = 0;
  virtual const std::optional<Error>& damage() const = 0;
  virtual const DamageList& damaged() const = 0;
  virtual uint64_t damaged_ranges_found() const = 0;
  virtual bool spliceable() const = 0;
  virtual Task<Result<>> Repair(Offset offset, Log::FetchRange fetch, std::stop_token stop) = 0;
  // Of batches as a leader sends them: the offset after the last one; CORRUPT_MESSAGE when one is not whole.
  virtual Result<Offset> EndOfBatches(std::string_view batches) const = 0;

  virtual Result<AppendResult> AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                              WallMillis now) = 0;
  virtual Result<AppendResult> AppendAsFollower(std::string_view batches) = 0;
  virtual Task<Result<LogRead>> Read(Offset from, Offset below, size_t max_bytes) = 0;
  virtual Task<Result<std::optional<TimestampLookup>>> FindTimestamp(WallMillis timestamp, Offset below) = 0;
  virtual Task<Result<>> BeginEpoch(LeaderEpoch epoch) = 0;
  virtual Task<Result<>> TruncateTo(Offset offset) = 0;
  virtual Task<Result<>> RestartAt(Offset offset) = 0;
  virtual void AdvanceStartTo(Offset offset) = 0;
  virtual Offset durable_start() const = 0;
  virtual Task<Result<>> CheckpointStart() = 0;
  virtual const TombstoneDrops& tombstone_drops() const = 0;
  virtual Task<Result<>> AdoptDroppedTombstones(Offset below) = 0;
  virtual bool surveyed() const = 0;
  virtual Task<Result<>> Survey() = 0;
  virtual std::vector<SegmentFacts> DescribeSegments() const = 0;
  virtual Task<Result<>> LearnAppendTime(Offset base_offset) = 0;
  virtual Result<> RollActive() = 0;
  virtual void RequestFlush() = 0;
  virtual void SetFlushListener(std::function<void()> listener) = 0;
  virtual void SetHighWatermark(Offset offset) = 0;
  virtual void SetConfig(const LogConfig& config) = 0;
};

}  // namespace tidemark
