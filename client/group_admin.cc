#include "client/group_admin.h"

#include <algorithm>
#include <map>
#include <ranges>
#include <set>

#include "client/backoff.h"
#include "client/coordinator_link.h"
#include "client/list_offsets.h"

namespace tidemark {

using internal::CoordinatorLink;

namespace {

// How long a broker may take to say what it coordinates, which it has in memory: who takes longer hangs.
constexpr Duration kListTry = 5s;

// Groups live in partitions of that topic, and nobody speaks for one that has no leader.
std::string WithoutLeader(const v1::MetadataResponse& metadata) {
  std::vector<uint32_t> without;
  size_t all = 0;
  for (const v1::TopicMetadata& topic : metadata.topics()) {
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      ++all;
      if (partition.leader() < 0) without.push_back(partition.partition());
    }
  }
  if (without.empty()) return {};
  return fmt::format("groups are missing: {} of the {} partitions of {} have no leader ({}{})",
                     without.size(), all, kOffsetsTopic, fmt::join(without | std::views::take(5), ", "),
                     without.size() > 5 ? ", ..." : "");
}

}  // namespace

Task<Result<v1::ListGroupsResponse>> GroupAdmin::ListOf(BrokerId broker, std::vector<v1::GroupState> states,
                                                        MonoTime deadline) {
  v1::Request request;
  request.mutable_list_groups()->mutable_states()->Assign(states.begin(), states.end());
  request.mutable_list_groups()->set_start_after("");
  v1::ListGroupsResponse all;
  Backoff backoff(cluster_.options());
  while (true) {
    RpcChannel* channel = cluster_.Channel(broker);
    if (channel == nullptr) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} has gone", broker);
    const Duration left = deadline - cluster_.loop().Now();
    const Duration limit = std::min({left, cluster_.options().request_timeout, kListTry});
    auto response = co_await channel->Call(request, std::max<Duration>(limit, 1ms), {});
    if (response) {
      v1::ListGroupsResponse& page = *response->mutable_list_groups();
      // Without a group there is nothing to go on from.
      const bool more = page.more() && page.groups_size() > 0;
      if (more) request.mutable_list_groups()->set_start_after(page.groups().rbegin()->group_id());
      all.mutable_groups()->MergeFrom(page.groups());
      if (!more) co_return all;
      continue;
    }
    // A broker that cannot be reached is told, not waited for: its groups are being taken over.
    const bool waits = response.error().code == v1::COORDINATOR_LOAD_IN_PROGRESS;
    const Duration pause = backoff.Next(cluster_.env().random());
    if (!waits || cluster_.loop().Now() + pause >= deadline) co_return std::unexpected(response.error());
    co_await Sleep(cluster_.loop(), pause, "groups of a broker that reads them back");
  }
}

Task<Result<GroupAdmin::Listing>> GroupAdmin::List(std::vector<v1::GroupState> states, MonoTime deadline) {
  v1::MetadataRequest request;
  request.add_topics()->set_name(std::string(kOffsetsTopic));
  auto metadata = co_await cluster_.Metadata(std::move(request), deadline, {});
  if (!metadata) co_return std::unexpected(std::move(metadata.error()));
  Listing listing;
  if (std::string lost = WithoutLeader(*metadata); !lost.empty()) listing.missing.push_back(std::move(lost));
  std::map<std::string, v1::ListGroupsResponse::Group> groups;
  for (const BrokerId broker : cluster_.brokers()) {
    auto answer = co_await ListOf(broker, states, deadline);
    if (!answer) {
      listing.missing.push_back(
          fmt::format("the groups of broker {} are missing: {}", broker, ToString(answer.error())));
      continue;
    }
    for (auto& group : *answer->mutable_groups()) groups[group.group_id()] = std::move(group);
  }
  for (auto& [id, group] : groups) listing.groups.push_back(std::move(group));
  co_return listing;
}

Task<Result<v1::DescribeGroupsResponse>> GroupAdmin::Describe(std::string group, bool with_offsets,
                                                              MonoTime deadline) {
  v1::Request request;
  request.mutable_describe_groups()->add_group_ids(group);
  request.mutable_describe_groups()->set_include_offsets(with_offsets);
  CoordinatorLink link(cluster_, group);
  TM_CO_RETURN_IF_ERROR(co_await link.Locate(deadline, {}));
  auto response = co_await link.Call(std::move(request), deadline, {});
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (response->describe_groups().groups_size() != 1)
    co_return Fail(v1::UNKNOWN_SERVER_ERROR, "the coordinator did not answer for group '{}'", group);
  co_return std::move(*response->mutable_describe_groups());
}

Task<Result<>> GroupAdmin::Delete(std::string group, MonoTime deadline) {
  v1::Request request;
  request.mutable_delete_groups()->add_group_ids(group);
  CoordinatorLink link(cluster_, group);
  TM_CO_RETURN_IF_ERROR(co_await link.Locate(deadline, {}));
  bool may_be_done = false;
  auto response = co_await link.Call(std::move(request), deadline, {}, &may_be_done);
  if (response || (may_be_done && response.error().code == v1::GROUP_ID_NOT_FOUND)) co_return Result<>();
  co_return std::unexpected(std::move(response.error()));
}

Task<Result<std::vector<v1::CommittedTopic>>> GroupAdmin::FetchOffsets(std::string group, MonoTime deadline) {
  v1::Request request;
  request.mutable_offset_fetch()->add_groups()->set_group_id(group);
  CoordinatorLink link(cluster_, group);
  TM_CO_RETURN_IF_ERROR(co_await link.Locate(deadline, {}));
  auto response = co_await link.Call(std::move(request), deadline, {});
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (response->offset_fetch().groups_size() != 1)
    co_return Fail(v1::UNKNOWN_SERVER_ERROR, "the coordinator did not answer for group '{}'", group);
  auto& topics = *response->mutable_offset_fetch()->mutable_groups(0)->mutable_topics();
  co_return std::vector<v1::CommittedTopic>(std::make_move_iterator(topics.begin()),
                                            std::make_move_iterator(topics.end()));
}

namespace {

// What became of partitions, some of which may be done when a later request fails.
class Outcomes {
 public:
  void Add(TopicPartition at, Result<> result) {
    done_ = done_ || result;
    all_.push_back({std::move(at), std::move(result)});
  }
  // The request that named these failed as a whole, and none of `unsent` was sent. The error of the call,
  // when nothing is done that it would hide; else each partition gets its own.
  Result<std::vector<CommitOutcome>> Failed(const Error& error, const std::vector<TopicPartition>& sent,
                                            const std::vector<TopicPartition>& unsent) && {
    if (!done_) return std::unexpected(error);
    for (const TopicPartition& at : sent) Add(at, std::unexpected(error));
    for (const TopicPartition& at : unsent)
      Add(at, Fail(error.code, "not tried after an earlier request failed: {}", error.message));
    return std::move(*this).Sorted();
  }
  std::vector<CommitOutcome> Sorted() && {
    std::ranges::sort(all_, {}, &CommitOutcome::at);
    return std::move(all_);
  }

 private:
  bool done_ = false;
  std::vector<CommitOutcome> all_;
};

// Takes what one request may name from the front.
template <typename Map>
Map TakeSome(Map& from) {
  Map some;
  while (!from.empty() && some.size() < kMostPartitionsAsked)
    some.insert(some.end(), from.extract(from.begin()));
  return some;
}

std::vector<TopicPartition> NamesOf(const internal::CommitItems& items) {
  std::vector<TopicPartition> out;
  for (const auto& [key, item] : items) out.push_back({item.topic, key.partition});
  return out;
}

// By the ids of topics, which may be gone.
using Deletions = std::map<std::pair<std::string, PartitionIndex>, TopicPartition>;

std::vector<TopicPartition> NamesOf(const Deletions& deletions) {
  std::vector<TopicPartition> out;
  for (const auto& [id, at] : deletions) out.push_back(at);
  return out;
}

void FillDelete(const Deletions& deletions, v1::OffsetDeleteRequest* out) {
  v1::GroupTopicPartitions* topic = nullptr;
  for (const auto& [id, at] : deletions) {
    if (topic == nullptr || topic->topic_id() != id.first) {
      topic = out->add_topics();
      topic->set_topic_id(id.first);
    }
    topic->add_partitions(id.second);
  }
}

void ReadDelete(Deletions asked, const v1::OffsetDeleteResponse& answer, Outcomes* out) {
  for (const auto& topic : answer.topics()) {
    for (const auto& partition : topic.partitions()) {
      const auto found = asked.extract({topic.topic_id(), partition.partition()});
      if (found.empty()) continue;
      Result<> result;
      if (partition.error().code() != v1::NONE) result = std::unexpected(FromProto(partition.error()));
      out->Add(found.mapped(), std::move(result));
    }
  }
  for (const auto& [id, at] : asked)
    out->Add(at, Fail(v1::UNKNOWN_SERVER_ERROR, "the coordinator did not answer for {}", ToString(at)));
}

}  // namespace

Task<Result<std::vector<CommitOutcome>>> GroupAdmin::CommitOffsets(std::string group, OffsetsToCommit offsets,
                                                                   MonoTime deadline) {
  internal::CommitItems items;
  for (const auto& [at, what] : offsets) {
    TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(cluster_, at.topic, deadline, {}));
    items[{cluster_.Find(at.topic)->id, at.partition}] = {at.topic, what};
  }
  CoordinatorLink link(cluster_, group);
  TM_CO_RETURN_IF_ERROR(co_await link.Locate(deadline, {}));
  Outcomes outcomes;
  do {
    const internal::CommitItems some = TakeSome(items);
    v1::Request request;
    v1::OffsetCommitRequest* commit = request.mutable_offset_commit();
    commit->set_group_id(group);
    commit->set_member_epoch(-1);
    internal::FillCommit(some, commit);
    auto response = co_await link.Call(std::move(request), deadline, {});
    if (!response) co_return std::move(outcomes).Failed(response.error(), NamesOf(some), NamesOf(items));
    for (auto& [key, result] : internal::ReadCommit(some, response->offset_commit()))
      outcomes.Add({some.at(key).topic, key.partition}, std::move(result));
  } while (!items.empty());
  co_return std::move(outcomes).Sorted();
}

Task<Result<std::vector<CommitOutcome>>> GroupAdmin::DeleteOffsets(std::string group,
                                                                   std::vector<TopicPartition> partitions,
                                                                   MonoTime deadline) {
  auto committed = co_await FetchOffsets(group, deadline);
  if (!committed) co_return std::unexpected(std::move(committed.error()));
  const std::set<TopicPartition> wanted(partitions.begin(), partitions.end());
  std::set<TopicPartition> unknown = wanted;
  Deletions deletions;
  for (const v1::CommittedTopic& topic : *committed) {
    for (const v1::CommittedOffset& offset : topic.partitions()) {
      const TopicPartition at{topic.topic(), offset.partition()};
      if (!wanted.contains(at)) continue;
      deletions[{topic.topic_id(), offset.partition()}] = at;
      unknown.erase(at);
    }
  }
  CoordinatorLink link(cluster_, group);
  TM_CO_RETURN_IF_ERROR(co_await link.Locate(deadline, {}));
  Outcomes outcomes;
  for (const TopicPartition& at : unknown)
    outcomes.Add(at, Fail(v1::NOT_FOUND, "group '{}' has committed nothing for {}", group, ToString(at)));
  // Asked even with nothing to delete: whether there is such a group is for the coordinator to say.
  do {
    const Deletions some = TakeSome(deletions);
    v1::Request request;
    request.mutable_offset_delete()->set_group_id(group);
    FillDelete(some, request.mutable_offset_delete());
    bool may_be_done = false;
    auto response = co_await link.Call(std::move(request), deadline, {}, &may_be_done);
    // A group that has neither members nor offsets any more is gone: a try whose answer was lost did that.
    if (!response && may_be_done && response.error().code == v1::GROUP_ID_NOT_FOUND) {
      for (const auto& [id, at] : some) outcomes.Add(at, {});
      continue;
    }
    if (!response) co_return std::move(outcomes).Failed(response.error(), NamesOf(some), NamesOf(deletions));
    ReadDelete(some, response->offset_delete(), &outcomes);
  } while (!deletions.empty());
  co_return std::move(outcomes).Sorted();
}

}  // namespace tidemark
