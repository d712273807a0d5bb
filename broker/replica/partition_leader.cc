// A partition as leader: appends, commitment, reads, and what it learns of its followers.
#include <algorithm>
#include <utility>

#include "broker/replica/partition.h"
#include "broker/replica/partition_use.h"
#include "common/fault.h"

namespace tidemark {

Result<> Partition::CheckNotAhead(LeaderEpoch epoch) const {
  if (epoch <= *leader_epoch_) return {};
  ++context_.counters.fenced_requests;
  return Fail(v1::UNKNOWN_LEADER_EPOCH, "{} is in leader epoch {} here, asked for in {}", name_,
              *leader_epoch_, epoch);
}

Result<> Partition::CheckLeader(std::optional<LeaderEpoch> epoch) const {
  if (leading() && epoch) TM_RETURN_IF_ERROR(CheckNotAhead(*epoch));
  if (epoch && *epoch < std::max(leader_epoch_.value_or(0), leader_known_.epoch)) {
    ++context_.counters.fenced_requests;
    return Fail(v1::FENCED_LEADER_EPOCH, "{} is in leader epoch {}, asked for in {}", name_,
                std::max(leader_epoch_.value_or(0), leader_known_.epoch), *epoch);
  }
  if (!leading()) return NotLeader();
  return {};
}

Result<AppendResult> Partition::Append(std::span<const UnstampedBatch> batches, int acks,
                                       std::optional<LeaderEpoch> epoch) {
  TM_RETURN_IF_ERROR(CheckLeader(epoch));
  if (acks == -1 && !leader_->InSyncEnough(settings_)) {
    return Fail(v1::NOT_ENOUGH_REPLICAS, "{} has {} of {} replicas in sync, {} are required", name_,
                leader_->isr().size(), leader_->replicas().size(),
                RequiredInSync(settings_.min_insync_replicas, leader_->replicas().size()));
  }
  if (auto room = log_->RoomFor(IsInternalTopic(topic_) ? SpaceUse::kInternal : SpaceUse::kProduce); !room) {
    ++context_.counters.refused_for_space;
    return Fail(v1::DISK_FULL, "{}: {}", name_, room.error().message);
  }
  const MonoTime now = context_.loop.Now();
  leader_->BeforeAppend(AckTerms(settings_.log), log_->end_offset(), now);
  Result<AppendResult> appended = log_->AppendAsLeader(batches, *leader_epoch_, context_.clock.WallNow());
  if (!appended) {
    if (appended.error().code == v1::DISK_FULL) ++context_.counters.refused_for_space;
    if (LogTrouble()) OnLogTrouble();
    return appended;
  }
  if (!IsInternalTopic(topic_)) {
    context_.counters.produced_bytes += appended->bytes;
    // A producer's batches have no gaps (ValidateProducerBatch), so offsets count records.
    context_.counters.produced_records += static_cast<uint64_t>(appended->end_offset - appended->base_offset);
  }
  RequestFlushIfSynced();
  AdvanceHighWatermark();
  NotifyWatchers(PartitionChange::kAppended);
  return appended;
}

// Empty while it must still be waited.
std::optional<Result<>> Partition::CommitState(Offset end, LeaderEpoch epoch) const {
  if (!LeadsIn(epoch)) {
    return Result<>(Fail(v1::NOT_LEADER_OR_FOLLOWER,
                         "{} lost the leadership of epoch {} before offset {} was committed", name_, epoch,
                         end));
  }
  if (high_watermark_ >= end) return Result<>{};
  if (!leader_->InSyncEnough(settings_)) {
    return Result<>(Fail(v1::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                         "{} has only {} replicas in sync since the append", name_, leader_->isr().size()));
  }
  return std::nullopt;
}

Task<Result<>> Partition::WaitCommitted(Offset end, LeaderEpoch epoch, MonoTime deadline,
                                        std::stop_token stop) {
  Use use(*this);
  for (;;) {
    if (auto state = CommitState(end, epoch)) co_return std::move(*state);
    Waiter waiter(context_.loop, "high watermark", deadline, stop);
    auto position = commit_waits_.emplace(end, &waiter);
    const WaitOutcome outcome = co_await waiter;
    commit_waits_.erase(position);
    if (outcome == WaitOutcome::kReady) continue;
    if (auto state = CommitState(end, epoch)) co_return std::move(*state);
    if (outcome == WaitOutcome::kStopped)
      co_return Fail(v1::CANCELLED, "the wait for {} was given up", name_);
    co_return Fail(v1::REQUEST_TIMED_OUT, "{} is committed up to {}, not yet to {}", name_, high_watermark_,
                   end);
  }
}

bool Partition::FlushedAsConfigured(Offset end) const {
  return CountedEnd(OwnEnds(), {AckDurability::kReplicated, settings_.log.flush_messages}) >= end;
}

Task<Result<>> Partition::WaitFlushed(Offset end, LeaderEpoch epoch, MonoTime deadline,
                                      std::stop_token stop) {
  Use use(*this);
  while (true) {
    if (!LeadsIn(epoch)) {
      co_return Fail(v1::NOT_LEADER_OR_FOLLOWER,
                     "{} lost the leadership of epoch {} before offset {} was on disk", name_, epoch, end);
    }
    if (FlushedAsConfigured(end)) co_return Result<>{};
    const WaitOutcome outcome = co_await own_flushed_.Wait("flush.messages", deadline, stop);
    if (outcome == WaitOutcome::kReady) continue;
    if (outcome == WaitOutcome::kStopped)
      co_return Fail(v1::CANCELLED, "the wait for {} was given up", name_);
    co_return Fail(v1::REQUEST_TIMED_OUT, "{} is on disk up to {}, not yet to {}", name_, log_->flushed_end(),
                   end);
  }
}

ReplicaEnds Partition::OwnEnds() const { return {log_->end_offset(), log_->flushed_end()}; }

void Partition::AdvanceHighWatermark() {
  if (!leading()) return;
  SetHighWatermark(leader_->HighWatermark(high_watermark_, OwnEnds(), settings_));
}

void Partition::SetHighWatermark(Offset offset) {
  if (offset == high_watermark_) return;
  CHECK_GT(offset, high_watermark_) << name_ << ": the high watermark must not go back";
  CHECK_LE(offset, log_->end_offset()) << name_ << ": the high watermark is beyond the log's end";
  high_watermark_ = offset;
  log_->SetHighWatermark(offset);
  for (auto wait = commit_waits_.begin(); wait != commit_waits_.end() && wait->first <= offset; ++wait) {
    wait->second->Wake();
  }
  NotifyWatchers(PartitionChange::kHighWatermark);
}

void Partition::CheckMinIsr() {
  if (leading() && !leader_->InSyncEnough(settings_)) WakeAllCommitWaits();
}

PartitionBounds Partition::Bounds() const {
  return {.high_watermark = high_watermark_,
          .log_start = log_start(),
          .log_end = log_end(),
          .leader_epoch = leader_epoch_.value_or(0),
          .flushed_ends_count = AckTerms(settings_.log).flushed_ends_count(),
          .tombstones_dropped_below = log_ != nullptr ? log_->tombstone_drops().below() : 0};
}

// A read that may suspend: what it returns is good only if the same epoch still leads at its end.
Task<Result<PartitionRead>> Partition::ReadChecked(Offset from, Offset below, size_t max_bytes) {
  Use use(*this);
  ReadUse read_use(*this);
  const LeaderEpoch epoch = *leader_epoch_;
  Result<LogRead> read = co_await log_->Read(from, below, max_bytes);
  if (!LeadsIn(epoch)) co_return NotLeader();
  if (!read) {
    if (LogTrouble()) {
      OnLogTrouble();
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}: {}", name_, read.error().message);
    }
    co_return std::unexpected(std::move(read).error());
  }
  const bool cut_short = !read->bytes.empty() && read->next_offset < below;
  co_return PartitionRead{std::move(read->bytes), Bounds(), cut_short};
}

Task<Result<PartitionRead>> Partition::ReadForConsumer(Offset from, std::optional<LeaderEpoch> epoch,
                                                       size_t max_bytes) {
  TM_CO_RETURN_IF_ERROR(CheckLeader(epoch));
  if (from < log_->start_offset() || from > log_->end_offset()) {
    co_return Fail(v1::OFFSET_OUT_OF_RANGE, "{} holds offsets {} to {}, asked for {}", name_,
                   log_->start_offset(), log_->end_offset(), from);
  }
  if (from >= high_watermark_ || max_bytes == 0) co_return PartitionRead{{}, Bounds()};
  auto read = co_await ReadChecked(from, high_watermark_, max_bytes);
  if (read) context_.counters.fetched_bytes += read->records.size();
  co_return std::move(read);
}

Result<LeaderAnswer> Partition::CompareConsumer(Offset from, std::optional<LeaderEpoch> epoch,
                                                LeaderEpoch last_epoch) const {
  TM_RETURN_IF_ERROR(CheckLeader(epoch));
  // It was replaced and has not heard of it: its log says nothing about what was written since.
  TM_RETURN_IF_ERROR(CheckNotAhead(last_epoch));
  // Of what it has read nothing is left here, in whichever history.
  if (from <= log_->start_offset()) return LeaderAnswer{};
  const LeaderAnswer answer =
      AnswerFollowerFetch({log_->start_offset(), log_->end_offset(), &log_->epochs()}, {from, last_epoch});
  if (answer.verdict != FetchVerdict::kDiverging) return LeaderAnswer{};
  // The epochs of records that are missing may be a guess (Recovery); what is asked there is refused anyway.
  if (log_->damaged().Find(from - 1) != nullptr) return LeaderAnswer{};
  return answer;
}

Task<Result<PartitionRead>> Partition::ReadForFollower(Offset from, std::optional<LeaderEpoch> epoch,
                                                       size_t max_bytes) {
  if (!TM_BUG("fetch-without-epoch")) TM_CO_RETURN_IF_ERROR(CheckLeader(epoch));
  if (!leading()) co_return NotLeader();
  if (from >= log_->end_offset() || max_bytes == 0) co_return PartitionRead{{}, Bounds()};
  auto read = co_await ReadChecked(from, log_->end_offset(), max_bytes);
  if (read) context_.counters.replicated_out_bytes += read->records.size();
  co_return std::move(read);
}

Task<Result<v1::ListOffsetsResponse::Partition>> Partition::ListOffset(int64_t timestamp,
                                                                       std::optional<LeaderEpoch> epoch) {
  TM_CO_RETURN_IF_ERROR(CheckLeader(epoch));
  v1::ListOffsetsResponse::Partition answer;
  answer.set_partition(key_.partition);
  answer.set_timestamp(-1);
  answer.set_leader_epoch(*leader_epoch_);
  if (timestamp == -2) {
    answer.set_offset(log_->start_offset());
    co_return std::move(answer);
  }
  // Until then offsets that were committed under the former leader may lie above the high watermark known
  // here.
  if (high_watermark_ < leader_->epoch_start()) {
    co_return Fail(v1::OFFSET_NOT_AVAILABLE, "{} does not know yet how far it is committed: {} of {}", name_,
                   high_watermark_, leader_->epoch_start());
  }
  if (timestamp == -1) {
    answer.set_offset(high_watermark_);
    co_return std::move(answer);
  }
  Use use(*this);
  ReadUse read_use(*this);
  const LeaderEpoch leading_epoch = *leader_epoch_;
  auto found = co_await log_->FindTimestamp(timestamp, high_watermark_);
  if (!LeadsIn(leading_epoch)) co_return NotLeader();
  if (!found) {
    if (LogTrouble()) OnLogTrouble();
    co_return std::unexpected(std::move(found).error());
  }
  if (*found) {
    answer.set_offset((*found)->offset);
    answer.set_timestamp((*found)->timestamp);
    answer.set_leader_epoch((*found)->leader_epoch);
  }
  co_return std::move(answer);
}

Task<Result<WallMillis>> Partition::AppendTimeOf(Offset offset, std::optional<LeaderEpoch> epoch) {
  TM_CO_RETURN_IF_ERROR(CheckLeader(epoch));
  const Offset from = std::max(offset, log_->start_offset());
  if (from >= high_watermark_) {
    co_return Fail(v1::OFFSET_OUT_OF_RANGE, "{} is committed up to {}, asked for {}", name_, high_watermark_,
                   offset);
  }
  TM_CO_ASSIGN_OR_RETURN(const PartitionRead read, co_await ReadChecked(from, high_watermark_, 1));
  BatchHeader header;
  std::string why;
  if (ParseBatchHeader(read.records, &header, nullptr, &why) != BatchParse::kOk)
    co_return Fail(v1::CORRUPT_MESSAGE, "{} at offset {}: {}", name_, from, why);
  co_return header.append_time;
}

Result<LeaderAnswer> Partition::CompareFollower(const FollowerPosition& position) const {
  if (TM_BUG("fetch-without-epoch")) {
    if (!leading()) return NotLeader();
    return LeaderAnswer{};
  }
  if (!position.leader_epoch)
    return Fail(v1::INVALID_REQUEST, "leader_epoch is absent in a follower's fetch");
  TM_RETURN_IF_ERROR(CheckLeader(position.leader_epoch));
  const FetchPosition fetch{position.fetch_offset, position.last_epoch};
  LeaderAnswer answer =
      AnswerFollowerFetch({log_->start_offset(), log_->end_offset(), &log_->epochs()}, fetch);
  if (answer.verdict == FetchVerdict::kAgree &&
      leader_->MissedTombstones(log_->tombstone_drops(), position.replica, position.broker_epoch, fetch)) {
    answer.verdict = FetchVerdict::kMissedTombstones;
  }
  return answer;
}

void Partition::NoteFollowerFetch(const FollowerPosition& position) {
  const Result<LeaderAnswer> answer = CompareFollower(position);
  if (!answer) return;
  auto follower = leader_->NoteFetchFrom(position.replica, position.broker_epoch);
  if (!follower) {
    ++context_.counters.fenced_requests;
    return;
  }
  (*follower)->fetched_at = context_.loop.Now();
  (*follower)->begins_anew = answer->verdict == FetchVerdict::kMissedTombstones;
  // Only ends of one history with the leader's count.
  if (answer->verdict != FetchVerdict::kAgree) return;
  (*follower)->tombstones = {log_->tombstone_drops().serial(), position.fetch_offset};
  NoteLogStart(**follower, position.log_start);
  const Offset end = std::min(position.fetch_offset, log_->end_offset());
  NoteProgress(**follower, {end, std::min(position.flushed_end, end)}, AckTerms(settings_.log),
               log_->end_offset(), context_.loop.Now());
  AdvanceHighWatermark();
  if (!leader_->Settled(**follower, high_watermark_)) MaybeUpdateIsr();
}

Offset Partition::TombstonesWantedFrom() const {
  if (!leading()) return ~Offset{0};
  return leader_->TombstonesWantedFrom(context_.loop.Now(), context_.options.replica_lag_time_max);
}

void Partition::FollowerProgressed(BrokerId replica, BrokerEpoch broker_epoch, LeaderEpoch epoch,
                                   Offset flushed_end, std::optional<Offset> log_start) {
  if (!leading()) return;
  if (epoch != *leader_epoch_ && !TM_BUG("fetch-without-epoch")) {
    ++context_.counters.fenced_requests;
    return;
  }
  FollowerProgress* follower = leader_->FindFollower(replica);
  // Progress adds to a fetch of the same life in this epoch; alone it proves nothing.
  if (follower == nullptr || !follower->ends || follower->broker_epoch != broker_epoch) return;
  const bool start_moved = log_start && *log_start != follower->log_start;
  if (log_start) NoteLogStart(*follower, *log_start);
  const Offset flushed = std::min(flushed_end, follower->ends->log_end);
  if (flushed <= follower->ends->flushed_end && !start_moved) return;
  NoteProgress(*follower, {follower->ends->log_end, std::max(flushed, follower->ends->flushed_end)},
               AckTerms(settings_.log), log_->end_offset(), context_.loop.Now());
  AdvanceHighWatermark();
  if (!leader_->Settled(*follower, high_watermark_)) MaybeUpdateIsr();
}

}  // namespace tidemark
