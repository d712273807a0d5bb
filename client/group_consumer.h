// GroupConsumer: a member of a consumer group: reads the partitions that the group's coordinator gives it,
// and commits how far it is. Loop-affine; one Poll at a time. Built on Consumer, which fetches; the
// coordinator is followed wherever it goes.
//
// What an application may rely on:
// - what a Poll gave counts as processed when the next Poll, a CommitSync without offsets, or Close is
//   called; only that is committed in the background (enable.auto.commit);
// - a partition that is asked back gives no more records; what was processed of it is committed, the
//   listener is called (within Poll), and only then is it released. The other partitions go on meanwhile;
// - heartbeats go on while the application is busy. After max.poll.interval.ms without a Poll, or in one
//   call of the listener, the member leaves, and joins again with the next Poll, or when that call has
//   returned;
// - a member that was fenced, or may have been while its process stood still, gives and commits nothing
//   more of what it held; it joins again by itself.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/consumer.h"
#include "client/offset_commits.h"
#include "client/topic_partition.h"

namespace tidemark {

// Called within Poll, Unsubscribe and Close, one call at a time; the consumer outlives the calls. Commits,
// Seek, Pause, Resume and Position may be used in them, Poll may not. Partitions are sorted.
class RebalanceListener {
 public:
  virtual ~RebalanceListener() = default;
  // These are held now. A Seek here decides where reading begins.
  virtual Task<void> OnAssigned(std::vector<TopicPartition> partitions);
  // These are about to be released: the last chance to commit what was processed of them.
  virtual Task<void> OnRevoked(std::vector<TopicPartition> partitions);
  // These are another member's already, perhaps: nothing can be committed.
  virtual Task<void> OnLost(std::vector<TopicPartition> partitions, Error why);
};

class GroupConsumer {
 public:
  using Partitions = std::vector<TopicPartition>;
  using CommitCallback = std::function<void(const Result<>&)>;

  // The listener (null: none) outlives the consumer.
  GroupConsumer(Cluster& cluster, ConsumerOptions options, RebalanceListener* listener = nullptr);
  ~GroupConsumer();  // CHECKs that it is closed

  // What to read, instead of what was subscribed before; the topics need not exist yet. Joining happens in
  // the background. INVALID_GROUP_ID without group.id.
  Result<> Subscribe(std::vector<std::string> topics);
  // Topics whose whole names match (RE2 syntax), also those made later.
  Result<> SubscribePattern(std::string regex);
  // Releases all, as Close does, and leaves the group.
  Task<Result<>> Unsubscribe();

  // The next records (max.poll.records at most), of one batch; empty at the deadline. Errors of one partition
  // come once, and the others go on: CORRUPT_MESSAGE; OFFSET_OUT_OF_RANGE, also for "nothing committed", with
  // auto.offset.reset=none; LOG_TRUNCATED (Consumer::Poll), after which commits of it go back. Errors of the
  // membership that no retry mends come every time, until the next Subscribe: FENCED_INSTANCE_ID,
  // GROUP_MAX_SIZE_REACHED, INVALID_*.
  Task<Result<PolledBatch>> Poll(MonoTime deadline, std::stop_token stop = {});

  // What it holds and reads.
  Partitions assignment() const;
  // Why it is not in the group at present; empty: it is, or nothing is subscribed.
  std::optional<Error> problem() const;
  const std::string& member_id() const;
  int32_t member_epoch() const;

  // Of what it holds: Consumer::Refused.
  std::map<TopicPartition, Error> Refused() const;

  // Offset of the next record Poll would give; empty when not held or not yet known.
  std::optional<Offset> Position(const TopicPartition& at) const;
  // INVALID_REQUEST where it is not held.
  Result<> Seek(const TopicPartition& at, StartPosition start);
  Result<> Pause(const Partitions& partitions);
  Result<> Resume(const Partitions& partitions);

  // Commits the positions of all that is held, or what is said. Ends when that is durable; retries passing
  // trouble for default.api.timeout.ms. PARTITION_NOT_OWNED where a partition is not (or no more) held.
  // Without offsets, where what the last poll gave was lost meanwhile: the error that tells why.
  Task<Result<>> CommitSync();
  Task<Result<>> CommitSync(OffsetsToCommit offsets);
  // The same in the background; `done` is called in either case.
  void CommitAsync(CommitCallback done = {});
  void CommitAsync(OffsetsToCommit offsets, CommitCallback done = {});
  // What the group has committed of them; without those of which nothing is.
  Task<Result<OffsetsToCommit>> Committed(Partitions partitions);
  // First offset whose record is as young as the time (ms since 1970), or of a bound (see list_offsets.h);
  // empty: no record is.
  Task<std::map<TopicPartition, Result<std::optional<Offset>>>> OffsetsForTimes(
      std::map<TopicPartition, int64_t> times);

  // Commits (enable.auto.commit), calls the listener, and leaves, all within `limit`. A listener that does
  // not return keeps Close waiting beyond that, though not the group: its partitions are given to others. The
  // error is that of the commit, or why what the last poll gave was lost before it.
  Task<Result<>> Close(Duration limit = std::chrono::seconds(30));

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
