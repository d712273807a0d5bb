// Consumer: reads partitions that are assigned to it by hand. Loop-affine. Fetches ahead in the background
// within a bounded buffer, follows leader changes, verifies both checksums of every batch. GroupConsumer
// reads with one of these what its group assigns to it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/options.h"
#include "client/topic_partition.h"
#include "common/record/record_view.h"

namespace tidemark {

struct StartPosition {
  enum class Kind { kBeginning, kEnd, kOffset, kTimestamp } kind = Kind::kEnd;
  int64_t value = 0;  // offset, or milliseconds since 1970 (no record that young: the end)
  // Of an offset that comes from elsewhere (a commit): leader epoch of the record before it. Who led in a
  // lower one is not asked, and whose log has not that record there says so (LOG_TRUNCATED).
  std::optional<LeaderEpoch> epoch = std::nullopt;
};

struct ConsumedRecord {
  RecordView view;  // valid until the next Poll
  PartitionIndex partition = 0;
  LeaderEpoch leader_epoch = 0;
};

struct PolledBatch {
  std::string topic;
  PartitionIndex partition = 0;
  Offset high_watermark = 0;
  // To come back to it: the position before, at or below the first record, and the leader epoch of the record
  // before that, where it is known.
  Offset position_before = 0;
  std::optional<LeaderEpoch> epoch_before;
  std::vector<ConsumedRecord> records;
};

class Consumer {
 public:
  Consumer(Cluster& cluster, ConsumerOptions options);
  ~Consumer();  // CHECKs that it is closed

  // Adds a partition; fetching begins. UNKNOWN_TOPIC_OR_PARTITION carries the broker's hint.
  Task<Result<>> Assign(std::string topic, PartitionIndex partition, StartPosition start);
  // All partitions of the topic.
  Task<Result<>> AssignAll(std::string topic, StartPosition start);

  // As Assign, at once, for a topic that the cluster knows: UNKNOWN_TOPIC_OR_PARTITION otherwise. The start
  // is found in the background.
  Result<> Begin(const std::string& topic, PartitionIndex partition, StartPosition start);
  // Gives the partition up; what was fetched of it and not polled is dropped. Nothing when it is not
  // assigned.
  void Unassign(const std::string& topic, PartitionIndex partition);
  // A paused partition is not fetched, and what was fetched is not given, until it is resumed.
  Result<> Pause(const std::string& topic, PartitionIndex partition);
  Result<> Resume(const std::string& topic, PartitionIndex partition);

  // The next records (max.poll.records at most), of one partition's batch; empty at the deadline. Errors are
  // per partition and once: CORRUPT_MESSAGE (names partition and offset), OFFSET_OUT_OF_RANGE with
  // auto.offset.reset=none (once that is sure: range_doubt.h), UNKNOWN_TOPIC_ID; that partition is read no
  // further. But where its leader says that it is damaged, it is read on when it has been repaired. And after
  // LOG_TRUNCATED it is read on at once: the log has lost what had been given (an unclean election), the
  // position is now where it parts from that, and what stands there comes next. With auto.offset.reset=none
  // this is OFFSET_OUT_OF_RANGE, too, and the message says where.
  Task<Result<PolledBatch>> Poll(MonoTime deadline, std::stop_token stop = {});

  // The partition that the last error of Poll was about.
  const TopicPartition& failed() const;
  // Partitions of which nothing comes now, and why: the last try was answered so. They are asked again.
  std::map<TopicPartition, Error> Refused() const;

  // Offset of the next record Poll would give; empty when not assigned or not yet known.
  std::optional<Offset> Position(const std::string& topic, PartitionIndex partition) const;
  // Where it goes on: its position or, where that is not known, the start that is being looked for. It is
  // assigned.
  StartPosition Start(const std::string& topic, PartitionIndex partition) const;
  // Leader epoch of the record before the position, to be committed with it; empty: not known.
  std::optional<LeaderEpoch> LastEpoch(const std::string& topic, PartitionIndex partition) const;
  Task<Result<>> Seek(std::string topic, PartitionIndex partition, StartPosition start);
  // As Seek, without waiting for the start to be found.
  Result<> Restart(const std::string& topic, PartitionIndex partition, StartPosition start);
  uint64_t bytes_fetched() const;
  Task<void> Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
