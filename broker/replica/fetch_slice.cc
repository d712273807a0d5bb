#include "broker/replica/fetch_slice.h"

#include <algorithm>
#include <utility>

#include "broker/replica/replica_table.h"
#include "common/fault.h"

namespace tidemark {

FetchSlice::FetchSlice(ReplicaTable& table, FetchReader reader)
    : table_(table), loop_(table.loop()), reader_(reader), changed_(loop_) {}

FetchSlice::~FetchSlice() {
  for (auto& [key, entry] : entries_) Detach(entry);
}

void FetchSlice::Attach(Entry& entry) {
  if (entry.partition != nullptr) return;
  entry.partition = table_.Find(entry.key);
  if (entry.partition != nullptr) entry.partition->AddWatcher(this);
}

void FetchSlice::Detach(Entry& entry) {
  if (entry.partition != nullptr) entry.partition->RemoveWatcher(this);
  entry.partition = nullptr;
}

void FetchSlice::MarkDirty(Entry& entry) {
  fresh_ = true;
  if (entry.dirty) return;
  entry.dirty = true;
  dirty_.push_back(entry.key);
}

void FetchSlice::OnPartitionChange(const PartitionKey& key, PartitionChange change) {
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  if (change == PartitionChange::kGone) found->second.partition = nullptr;
  // Consumers see nothing of what is not committed.
  if (change == PartitionChange::kAppended && !reader_.follower()) return;
  // They learn of it with what they read next; those that wait are above it.
  if (change == PartitionChange::kLogStart && !reader_.follower()) return;
  MarkDirty(found->second);
  changed_.NotifyAll();
}

FollowerPosition FetchSlice::PositionOf(const Entry& entry) const {
  FollowerPosition position{.replica = reader_.replica, .broker_epoch = reader_.broker_epoch};
  const v1::FetchRequest::Partition& request = entry.request;
  position.fetch_offset = request.fetch_offset();
  position.flushed_end = request.flushed_end();
  if (request.has_leader_epoch()) position.leader_epoch = request.leader_epoch();
  if (request.has_last_epoch()) position.last_epoch = request.last_epoch();
  position.log_start = request.log_start_offset();
  return position;
}

void FetchSlice::Update(std::vector<FetchWanted> wanted, const std::vector<PartitionKey>& forgotten) {
  // A further request shows that the answer to the one before has arrived.
  for (const PartitionKey& key : telling_) {
    auto found = entries_.find(key);
    if (found != entries_.end() && found->second.telling)
      found->second.told = std::exchange(found->second.telling, {});
  }
  telling_.clear();
  for (const PartitionKey& key : forgotten) {
    auto found = entries_.find(key);
    if (found == entries_.end()) continue;
    Detach(found->second);
    entries_.erase(found);
  }
  if (!forgotten.empty()) {
    std::erase_if(order_, [&](const PartitionKey& key) { return !entries_.contains(key); });
    std::erase_if(dirty_, [&](const PartitionKey& key) { return !entries_.contains(key); });
  }
  for (FetchWanted& want : wanted) {
    auto [found, added] = entries_.try_emplace(want.key);
    Entry& entry = found->second;
    if (added) {
      entry.key = want.key;
      order_.push_back(want.key);
    }
    // In another epoch, or after an error, it begins anew.
    if (entry.told &&
        (entry.told->error != v1::NONE || entry.request.leader_epoch() != want.request.leader_epoch())) {
      entry.told.reset();
    }
    entry.request = std::move(want.request);
    Attach(entry);
    if (reader_.follower() && entry.partition != nullptr)
      entry.partition->NoteFollowerFetch(PositionOf(entry));
    MarkDirty(entry);
  }
}

// Where histories part nothing is read.
PartitionRead FetchSlice::Parted(const Partition& partition, const EpochBoundary& boundary,
                                 v1::FetchResponse::Partition* out) {
  out->mutable_diverging()->set_epoch(boundary.epoch);
  out->mutable_diverging()->set_end_offset(boundary.end_offset);
  return {{}, partition.Bounds()};
}

// Records and bounds for one entry, or why not.
Task<Result<PartitionRead>> FetchSlice::Read(PartitionKey key, size_t max_bytes,
                                             v1::FetchResponse::Partition* out) {
  Entry& entry = entries_.at(key);
  Attach(entry);
  Partition* partition = entry.partition;
  if (partition == nullptr) co_return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "no replica of it on this broker");
  std::optional<LeaderEpoch> epoch;
  if (entry.request.has_leader_epoch()) epoch = entry.request.leader_epoch();
  const Offset from = entry.request.fetch_offset();
  if (!reader_.follower()) {
    if (entry.request.has_last_epoch()) {
      TM_CO_ASSIGN_OR_RETURN(const LeaderAnswer answer,
                             partition->CompareConsumer(from, epoch, entry.request.last_epoch()));
      if (answer.verdict == FetchVerdict::kDiverging) co_return Parted(*partition, answer.diverging, out);
    }
    co_return co_await partition->ReadForConsumer(from, epoch, max_bytes);
  }
  const auto answer = partition->CompareFollower(PositionOf(entry));
  if (!answer) co_return std::unexpected(answer.error());
  switch (answer->verdict) {
    case FetchVerdict::kBelowLogStart:
      co_return Fail(v1::OFFSET_OUT_OF_RANGE, "the log of {} begins at {}, asked for {}", partition->name(),
                     partition->log_start(), from);
    case FetchVerdict::kDiverging:
      co_return Parted(*partition, answer->diverging, out);
    case FetchVerdict::kMissedTombstones:
      out->set_missed_tombstones(true);
      co_return PartitionRead{{}, partition->Bounds()};
    case FetchVerdict::kAgree:
      break;
  }
  co_return co_await partition->ReadForFollower(from, epoch, max_bytes);
}

void FetchSlice::Fill(const Entry& entry, Result<PartitionRead> read,
                      v1::FetchResponse::Partition* out) const {
  out->set_partition(entry.key.partition);
  PartitionBounds bounds;
  if (read) {
    bounds = read->bounds;
    out->set_records(std::move(read->records));
  } else {
    *out->mutable_error() = ToProto(read.error());
    if (entry.partition != nullptr) {
      bounds = entry.partition->Bounds();
      const LeaderKnown leader = entry.partition->leader_known();
      out->mutable_current_leader()->set_leader(leader.leader);
      out->mutable_current_leader()->set_leader_epoch(leader.epoch);
    }
  }
  out->set_high_watermark(bounds.high_watermark);
  out->set_log_start_offset(bounds.log_start);
  out->set_leader_epoch(bounds.leader_epoch);
  if (!reader_.follower()) return;
  out->set_log_end_offset(bounds.log_end);
  out->set_tombstones_dropped_below(bounds.tombstones_dropped_below);
  out->set_flushed_ends_count(bounds.flushed_ends_count);
  out->set_log_start_wanted(read && entry.partition != nullptr &&
                            entry.partition->WantsLogStartOf(reader_.replica));
  // The planted bug must not be caught by the follower's own check of the answer.
  if (TM_BUG("fetch-without-epoch") && read) out->set_leader_epoch(entry.request.leader_epoch());
}

Task<bool> FetchSlice::CollectOne(PartitionKey key, size_t budget, bool only_changed,
                                  FetchSliceAnswer* answer) {
  FetchSliceAnswer::Item item{key, {}};
  const size_t max_bytes = std::min<size_t>(budget, entries_.at(key).request.max_bytes());
  Result<PartitionRead> read = co_await Read(key, max_bytes, &item.response);
  if (read && read->cut_short) answer->full = true;
  Entry& entry = entries_.at(key);
  Fill(entry, std::move(read), &item.response);
  const v1::FetchResponse::Partition& response = item.response;
  const Told now{response.high_watermark(), response.log_start_offset(), response.log_start_wanted(),
                 response.error().code()};
  const bool has_records = !response.records().empty();
  const bool new_error = now.error != v1::NONE && !(entry.told && entry.told->error == now.error);
  const bool moved = !entry.told || *entry.told != now;
  // Records that there was no room for are there the next time.
  const Offset readable = reader_.follower() ? response.log_end_offset() : response.high_watermark();
  // It has to change its log, or its position, first.
  const bool parts = response.has_diverging() || response.missed_tombstones();
  const bool more = now.error == v1::NONE && !parts && entry.request.fetch_offset() < readable;
  if (only_changed && !has_records && !new_error && !moved && !parts) co_return more;
  if (new_error || parts || (reader_.follower() && moved)) answer->urgent = true;
  if (!entry.telling) telling_.push_back(key);
  entry.telling = now;
  answer->bytes += response.records().size();
  answer->items.push_back(std::move(item));
  co_return more;
}

Task<FetchSliceAnswer> FetchSlice::Collect(size_t max_bytes, bool only_changed) {
  FetchSliceAnswer answer;
  fresh_ = false;
  std::vector<PartitionKey> keys;
  if (only_changed) {
    keys.assign(dirty_.begin(), dirty_.end());
  } else {
    keys = order_;
  }
  dirty_.clear();
  for (const PartitionKey& key : keys) entries_.at(key).dirty = false;
  for (const PartitionKey& key : keys) {
    const size_t budget = answer.bytes < max_bytes ? max_bytes - answer.bytes : 0;
    const bool more = co_await CollectOne(key, budget, only_changed, &answer);
    // At the end of the queue, so that the others have their turn; not by MarkDirty: nothing has changed.
    Entry& entry = entries_.at(key);
    if (more && !entry.dirty) {
      entry.dirty = true;
      dirty_.push_back(key);
    }
  }
  if (answer.bytes >= max_bytes) answer.full = true;
  co_return answer;
}

Task<WaitOutcome> FetchSlice::WaitReady(MonoTime deadline, std::stop_token stop) {
  while (!fresh_) {
    const WaitOutcome outcome = co_await changed_.Wait("fetch", deadline, stop);
    if (outcome != WaitOutcome::kReady) co_return outcome;
  }
  co_return WaitOutcome::kReady;
}

}  // namespace tidemark
