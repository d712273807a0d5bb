// Repair of damaged ranges. A leader asks to be relieved by a healthy replica in sync and repairs as
// follower; a follower fills the ranges with what its leader has, read as a consumer reads, so below the high
// watermark and in the same leader epoch, without a word about this replica's own ends. Where a cleaner was
// at work replicas differ batch by batch, so the log is set aside and copied whole from one source, which
// has first shown that it has everything: until then no replica gives up what it has. A sole copy goes on
// serving what is whole; nothing is deleted.
#include <algorithm>
#include <utility>

#include "broker/replica/partition.h"
#include "broker/replica/partition_use.h"

namespace tidemark {
namespace {

constexpr Duration kRepairFetchTimeout = 5s;
// Where every replica is damaged, leadership is not handed round and round.
constexpr Duration kReliefPauseMax = 10min;
// A range that no leader has is asked for again ever more seldom.
constexpr Duration kRangePauseMax = 2min;

}  // namespace

const DamagedRange* Partition::DamageToRepair() const {
  if (closing_ || offline_ || log_ == nullptr) return nullptr;
  return log_->damaged().FirstFrom(log_->start_offset());
}

// The first range whose time has come: one that nobody can fill does not keep the others waiting.
std::optional<Offset> Partition::RangeDue(const RangeRetries& retries) const {
  const DamagedRange* range = DamageToRepair();
  while (range != nullptr) {
    const auto retry = retries.find(range->first);
    if (retry == retries.end() || retry->second.next <= context_.loop.Now()) return range->first;
    range = log_->damaged().FirstFrom(range->last + 1);
  }
  return std::nullopt;
}

void Partition::RepairIfDamaged() {
  if (repairing_ || DamageToRepair() == nullptr) return;
  repairing_ = true;
  scope_.Spawn("repair", RepairRanges());
}

Task<void> Partition::RepairRanges() {
  Duration pause = context_.options.isr_retry;
  Duration relief_pause = context_.options.isr_retry_max;
  MonoTime next_relief = context_.loop.Now();
  bool sole_told = false;
  RangeRetries retries;
  std::optional<LeaderEpoch> retried_in;
  while (const DamagedRange* range = DamageToRepair()) {
    const std::string reason = range->reason;
    if (leading() && context_.loop.Now() >= next_relief) {
      const Result<> relieved = co_await AskForRelief(false, v1::RESIGN_REASON_DAMAGED_LOG);
      const bool sole = !relieved && relieved.error().code == v1::ELIGIBLE_LEADERS_NOT_AVAILABLE;
      if (sole && !std::exchange(sole_told, true)) {
        LOG(ERROR) << name_
                   << " is the only copy in sync and damaged; it goes on leading, nothing is deleted, and "
                   << "what is damaged cannot be read: " << reason;
      }
      // Another may come into the ISR.
      if (sole) next_relief = context_.loop.Now() + context_.options.replica_lag_time_max;
      if (relieved) {
        next_relief = context_.loop.Now() + relief_pause;
        relief_pause = std::min(4 * relief_pause, kReliefPauseMax);
      }
    } else if (wants_fetch() && follower_->leader != kNoBroker && follower_->agreed) {
      // Another leader may have what the one before had not.
      if (std::exchange(retried_in, follower_->epoch) != follower_->epoch) retries.clear();
      const std::optional<Offset> due = RangeDue(retries);
      const Result<> done = due ? co_await RepairOrCopy(*due) : Result<>();
      if (due && done) {
        ++context_.counters.repaired;
        retries.erase(*due);
        pause = context_.options.isr_retry;
        continue;
      }
      if (due) {
        RangeRetry& retry = retries[*due];
        retry.pause = std::clamp<Duration>(2 * retry.pause, context_.options.isr_retry, kRangePauseMax);
        retry.next = context_.loop.Now() + retry.pause;
        LOG_EVERY_N(WARNING, 20) << name_ << " is not repaired yet: " << ToString(done.error());
      }
    }
    if (co_await Sleep(context_.loop, pause, "retry of a repair", scope_.stop_token()) ==
        WaitOutcome::kStopped)
      break;
    pause = std::max(pause, std::min(2 * pause, context_.options.isr_retry_max));
  }
  repairing_ = false;
}

Task<Result<>> Partition::RepairOrCopy(Offset first) {
  Result<> done = copy_wanted_ ? Result<>() : co_await RepairFromLeader(first);
  if (!copy_wanted_ || !wants_fetch()) co_return done;
  // BecomeFollower replaces the log, in the epoch that the controller begins for it.
  const std::string why = copy_wanted_->why;
  const Result<> left = co_await AskForRelief(true, v1::RESIGN_REASON_DAMAGED_LOG);
  if (!left) co_return left;
  co_return Fail(v1::OFFSET_NOT_AVAILABLE, "it is to be copied whole: {}", why);
}

// Reads, as a consumer would, all that is committed here and may be thrown away for a copy.
Task<Result<>> Partition::ProveLeaderWhole(ReplicationChannel* channel, LeaderEpoch epoch) {
  Offset at = log_->start_offset();
  while (at < high_watermark_) {
    const Result<std::string> batches = co_await FetchForRepair(channel, at, epoch);
    if (!batches) co_return std::unexpected(batches.error());
    const Result<Offset> end = log_->EndOfBatches(*batches);
    if (!end) co_return std::unexpected(end.error());
    if (*end <= at) co_return Fail(v1::UNKNOWN_SERVER_ERROR, "the leader sent nothing at {}", at);
    at = *end;
  }
  co_return Result<>{};
}

Task<Result<>> Partition::RepairFromLeader(Offset first) {
  Use use(*this);
  ReadUse read_use(*this);
  const LeaderEpoch epoch = follower_->epoch;
  // Above it nothing is committed: it may yet be cut.
  if (first >= high_watermark_) co_return Fail(v1::OFFSET_NOT_AVAILABLE, "{} is not committed yet", first);
  const auto endpoint = context_.brokers.InterBrokerEndpoint(follower_->leader);
  if (!endpoint) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} is not registered", follower_->leader);
  repair_stop_ = std::stop_source();
  const std::unique_ptr<ReplicationChannel> channel =
      context_.channels->Connect(follower_->leader, *endpoint);
  Result<> done = Fail(v1::INVALID_RECORD, "replicas of a compacted log differ batch by batch");
  if (log_->spliceable()) {
    done = co_await log_->Repair(
        first,
        [this, channel = channel.get(), epoch](Offset from) { return FetchForRepair(channel, from, epoch); },
        repair_stop_.get_token());
  }
  if (!done && done.error().code == v1::INVALID_RECORD && FollowsIn(epoch)) {
    std::string why = done.error().message;
    done = co_await ProveLeaderWhole(channel.get(), epoch);
    if (done && FollowsIn(epoch)) copy_wanted_ = {.leader = follower_->leader, .why = std::move(why)};
  }
  co_await channel->Close();
  co_return done;
}

Task<Result<std::string>> Partition::FetchForRepair(ReplicationChannel* channel, Offset from,
                                                    LeaderEpoch epoch) {
  if (!FollowsIn(epoch)) co_return Fail(v1::CANCELLED, "{} does not follow any more", name_);
  v1::FetchRequest request;
  request.set_session_epoch(1);
  request.set_max_bytes(context_.options.fetch_response_bytes);
  auto* topic = request.add_topics();
  topic->set_id(key_.topic.ToBytes());
  auto* asked = topic->add_partitions();
  asked->set_partition(key_.partition);
  asked->set_fetch_offset(from);
  asked->set_max_bytes(context_.options.fetch_partition_bytes);
  asked->set_leader_epoch(epoch);
  auto response = co_await channel->Fetch(std::move(request),
                                          std::min(kRepairFetchTimeout, context_.options.request_timeout),
                                          repair_stop_.get_token());
  if (!response) co_return std::unexpected(std::move(response).error());
  if (!FollowsIn(epoch)) co_return Fail(v1::CANCELLED, "{} does not follow any more", name_);
  for (const auto& answered : response->topics()) {
    if (answered.id() != key_.topic.ToBytes()) continue;
    for (const auto& answer : answered.partitions()) {
      if (answer.partition() != key_.partition) continue;
      if (answer.error().code() == v1::OFFSET_OUT_OF_RANGE && from < answer.log_start_offset()) {
        // Once this log starts there as well, there may be nothing left to repair.
        co_return Fail(v1::OFFSET_NOT_AVAILABLE, "the leader's log starts at {}, above {}",
                       answer.log_start_offset(), from);
      }
      if (answer.error().code() != v1::NONE) co_return std::unexpected(FromProto(answer.error()));
      if (answer.leader_epoch() != epoch)
        co_return Fail(v1::FENCED_LEADER_EPOCH, "the leader is in another epoch");
      if (answer.records().empty())
        co_return Fail(v1::OFFSET_NOT_AVAILABLE, "the leader has nothing at {} yet", from);
      co_return answer.records();
    }
  }
  co_return Fail(v1::UNKNOWN_SERVER_ERROR, "the leader did not answer for {}", name_);
}

}  // namespace tidemark
