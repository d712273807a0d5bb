// The group consumer's positions and commits, and the offsets that it asks for.
#include <algorithm>

#include "client/group_consumer_impl.h"
#include "client/list_offsets.h"

namespace tidemark {

Result<PartitionKey> GroupConsumer::Impl::KeyOf(const TopicPartition& at) const {
  const auto found = names_.find(at);
  if (found != names_.end()) return found->second;
  if (last_loss_ && names_.empty())
    return Fail(v1::PARTITION_NOT_OWNED, "{} is not held: {}", ToString(at), ToString(*last_loss_));
  return Fail(v1::PARTITION_NOT_OWNED, "{} is not held by this member of group '{}'", ToString(at),
              options_.group_id);
}

std::optional<Offset> GroupConsumer::Impl::Position(const TopicPartition& at) const {
  const auto found = names_.find(at);
  if (found == names_.end()) return std::nullopt;
  const Held& held = held_.at(found->second);
  if (held.begun) return consumer_.Position(at.topic, at.partition);
  if (held.start && held.start->kind == StartPosition::Kind::kOffset)
    return static_cast<Offset>(std::max<int64_t>(0, held.start->value));
  return std::nullopt;
}

Result<> GroupConsumer::Impl::Seek(const TopicPartition& at, StartPosition start) {
  const auto key = KeyOf(at);
  if (!key) return Fail(v1::INVALID_REQUEST, "{}", key.error().message);
  Held& held = held_.at(*key);
  if (held.begun) return consumer_.Restart(at.topic, at.partition, start);
  held.start = start;
  scope_.Spawn("start of a topic", BeginTopic(at.topic, key->topic, {{*key, held.token}}));
  return {};
}

Result<> GroupConsumer::Impl::SetPaused(const Partitions& partitions, bool paused) {
  for (const TopicPartition& at : partitions) {
    const auto key = KeyOf(at);
    if (!key) return Fail(v1::INVALID_REQUEST, "{}", key.error().message);
  }
  for (const TopicPartition& at : partitions) {
    Held& held = held_.at(names_.at(at));
    held.paused = paused;
    if (!held.begun || held.revoking) continue;
    TM_RETURN_IF_ERROR(paused ? consumer_.Pause(at.topic, at.partition)
                              : consumer_.Resume(at.topic, at.partition));
  }
  return {};
}

// Positions that differ from what is committed, of all or of some partitions. A partition of which nothing is
// committed counts also where nothing was read: who comes next is to begin at the same place.
internal::CommitItems GroupConsumer::Impl::Positions(const Keys* only) const {
  internal::CommitItems items;
  for (const auto& [key, held] : held_) {
    if (!held.begun || (only != nullptr && !only->contains(key))) continue;
    const auto position = consumer_.Position(held.topic, key.partition);
    if (!position || held.committed == position) continue;
    items[key] = {held.topic, {*position, consumer_.LastEpoch(held.topic, key.partition), {}}};
  }
  return items;
}

Result<internal::CommitItems> GroupConsumer::Impl::ItemsOf(
    const std::optional<OffsetsToCommit>& offsets) const {
  if (!offsets) {
    // What the last poll gave was lost with its partitions: to say that it is committed would be a lie.
    if (!lost_.empty()) return std::unexpected(*last_loss_);
    return Positions(nullptr);
  }
  internal::CommitItems items;
  for (const auto& [at, what] : *offsets) {
    TM_ASSIGN_OR_RETURN(const PartitionKey key, KeyOf(at));
    items[key] = {at.topic, what};
  }
  return items;
}

// From here on it is open what is committed: a position that was committed before is to be committed again.
Task<Result<>> GroupConsumer::Impl::Commit(internal::CommitItems items, MonoTime deadline) {
  for (const auto& [key, item] : items) {
    const auto held = held_.find(key);
    if (held != held_.end() && held->second.committed != item.what.offset) held->second.committed.reset();
  }
  co_return co_await commits_.Commit(std::move(items), deadline);
}

Task<Result<>> GroupConsumer::Impl::CommitSync(std::optional<OffsetsToCommit> offsets) {
  TM_CO_ASSIGN_OR_RETURN(internal::CommitItems items, ItemsOf(offsets));
  co_return co_await Commit(std::move(items), loop_.Now() + options_.default_api_timeout);
}

void GroupConsumer::Impl::CommitAsync(std::optional<OffsetsToCommit> offsets, CommitCallback done) {
  auto items = ItemsOf(offsets);
  if (!items) {
    if (done) done(std::unexpected(items.error()));
    return;
  }
  scope_.Spawn("commit", CommitInBackground(std::move(*items), loop_.Now() + options_.default_api_timeout,
                                            std::move(done)));
}

Task<void> GroupConsumer::Impl::CommitInBackground(internal::CommitItems items, MonoTime deadline,
                                                   CommitCallback done) {
  const Result<> result = co_await Commit(std::move(items), deadline);
  if (done) done(result);
}

// Within Poll, when all that was given has been processed.
void GroupConsumer::Impl::AutoCommit() {
  const MonoTime now = loop_.Now();
  // One at a time: while the coordinator is away they would pile up.
  if (!options_.enable_auto_commit || auto_committing_ || now < next_auto_commit_) return;
  next_auto_commit_ = now + options_.auto_commit_interval;
  internal::CommitItems items = Positions(nullptr);
  if (items.empty()) return;
  auto_committing_ = true;
  // What fails is committed with the next ones.
  scope_.Spawn("commit", CommitInBackground(std::move(items), now + options_.default_api_timeout,
                                            [this](const Result<>&) { auto_committing_ = false; }));
}

void GroupConsumer::Impl::OnCommitted(const internal::CommitItems& items) {
  for (const auto& [key, item] : items) {
    const auto held = held_.find(key);
    if (held != held_.end()) held->second.committed = item.what.offset;
  }
}

Task<Result<OffsetsToCommit>> GroupConsumer::Impl::Committed(Partitions partitions) {
  const MonoTime deadline = loop_.Now() + options_.default_api_timeout;
  Keys wanted;
  for (const TopicPartition& at : partitions) {
    TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(cluster_, at.topic, deadline, scope_.stop_token()));
    wanted.insert({cluster_.Find(at.topic)->id, at.partition});
  }
  OffsetsToCommit committed;
  while (!wanted.empty()) TM_CO_RETURN_IF_ERROR(co_await FetchSome(&wanted, deadline, &committed));
  co_return committed;
}

// Takes what one request may name from the front of `wanted`, which is not empty: an empty list would ask for
// all.
Task<Result<>> GroupConsumer::Impl::FetchSome(Keys* wanted, MonoTime deadline, OffsetsToCommit* committed) {
  v1::Request request;
  auto* group = request.mutable_offset_fetch()->add_groups();
  group->set_group_id(options_.group_id);
  for (size_t count = 0; count < kMostPartitionsAsked && !wanted->empty(); ++count) {
    const PartitionKey key = wanted->extract(wanted->begin()).value();
    auto* topic = group->add_topics();
    topic->set_topic_id(key.topic.ToBytes());
    topic->add_partitions(key.partition);
  }
  auto answer = co_await link_.Call(std::move(request), deadline, scope_.stop_token());
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if (answer->offset_fetch().groups().empty())
    co_return Fail(v1::UNKNOWN_SERVER_ERROR, "the coordinator did not answer for the group");
  for (const auto& topic : answer->offset_fetch().groups(0).topics()) {
    for (const auto& offset : topic.partitions()) {
      if (!offset.has_offset()) continue;
      OffsetToCommit& one = (*committed)[{topic.topic(), offset.partition()}];
      one = {offset.offset(), std::nullopt, offset.metadata()};
      if (offset.has_leader_epoch()) one.leader_epoch = offset.leader_epoch();
    }
  }
  co_return Result<>();
}

Task<std::map<TopicPartition, Result<std::optional<Offset>>>> GroupConsumer::Impl::OffsetsForTimes(
    std::map<TopicPartition, int64_t> times) {
  const MonoTime deadline = loop_.Now() + options_.default_api_timeout;
  // One call per topic and time.
  std::map<std::pair<std::string, int64_t>, std::vector<PartitionIndex>> asked;
  for (const auto& [at, time] : times) asked[{at.topic, time}].push_back(at.partition);
  std::map<TopicPartition, Result<std::optional<Offset>>> found;
  for (const auto& [what, partitions] : asked) {
    auto answers =
        co_await AskOffsets(cluster_, what.first, partitions, what.second, deadline, scope_.stop_token());
    for (size_t i = 0; i < partitions.size(); ++i) {
      Result<std::optional<Offset>>& one = found[{what.first, partitions[i]}];
      if (answers) {
        one = std::move((*answers)[i].offset);
      } else {
        one = std::unexpected(answers.error());
      }
    }
  }
  co_return found;
}

}  // namespace tidemark
