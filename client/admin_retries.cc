#include "client/admin_retries.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "client/admin.h"

namespace tidemark {
namespace {

std::string HandDifference(const auto& assignments, const v1::TopicMetadata& there) {
  for (const auto& assignment : assignments) {
    const auto at = std::ranges::find(there.partitions(), assignment.partition(),
                                      [](const auto& partition) { return partition.partition(); });
    if (at == there.partitions().end()) return fmt::format("it has no partition {}", assignment.partition());
    if (!std::ranges::equal(at->replicas(), assignment.replicas()))
      return fmt::format("partition {} has other replicas", assignment.partition());
  }
  return {};
}

std::string Unusable(const v1::TopicMetadata& there) {
  if (there.error().code() != v1::NONE) return ToString(FromProto(there.error()));
  return there.deleting() ? "it is being deleted" : "";
}

const v1::TopicMetadata* Find(const v1::DescribeTopicsResponse& topics, const std::string& name) {
  const auto found = std::ranges::find(topics.topics(), name, [](const auto& topic) { return topic.name(); });
  return found == topics.topics().end() ? nullptr : &*found;
}

// What the topics set themselves.
std::map<std::string, std::string> OwnConfigs(const v1::DescribeConfigsResponse::Result& result) {
  std::map<std::string, std::string> configs;
  for (const auto& entry : result.entries()) {
    if (entry.source() == v1::CONFIG_SOURCE_DYNAMIC_TOPIC) configs[entry.name()] = entry.value();
  }
  return configs;
}

}  // namespace

std::string DifferenceFrom(const v1::CreateTopicsRequest::Topic& wish, const v1::TopicMetadata& there,
                           const std::map<std::string, std::string>& configs) {
  if (std::string why = Unusable(there); !why.empty()) return why;
  const int partitions =
      wish.assignments().empty() ? static_cast<int>(wish.partitions()) : wish.assignments_size();
  if (partitions != 0 && partitions != there.partitions_size())
    return fmt::format("it has {} partitions", there.partitions_size());
  for (const auto& partition : there.partitions()) {
    const int replicas = partition.replicas_size();
    if (wish.replication_factor() != 0 && replicas != static_cast<int>(wish.replication_factor()))
      return fmt::format("partition {} has {} replicas", partition.partition(), replicas);
  }
  if (std::string by_hand = HandDifference(wish.assignments(), there); !by_hand.empty()) return by_hand;
  const std::map<std::string, std::string> wanted(wish.configs().begin(), wish.configs().end());
  return configs == wanted ? "" : "it has other configs";
}

std::string DifferenceFrom(const v1::CreatePartitionsRequest::Topic& wish, const v1::TopicMetadata& there) {
  if (std::string why = Unusable(there); !why.empty()) return why;
  if (there.partitions_size() != static_cast<int>(wish.partitions()))
    return fmt::format("it has {} partitions", there.partitions_size());
  return HandDifference(wish.assignments(), there);
}

void KnowOwnDeletions(v1::DeleteTopicsResponse* response) {
  for (auto& topic : *response->mutable_topics()) {
    if (topic.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION) topic.clear_error();
  }
}

Task<void> Admin::KnowOwnTopics(const v1::CreateTopicsRequest& request, v1::CreateTopicsResponse* response,
                                MonoTime deadline) {
  std::vector<std::string> names;
  v1::DescribeConfigsRequest question;
  for (const auto& topic : response->topics()) {
    if (topic.error().code() != v1::TOPIC_ALREADY_EXISTS) continue;
    names.push_back(topic.name());
    question.add_entities()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
    question.mutable_entities()->rbegin()->set_name(topic.name());
  }
  if (names.empty()) co_return;
  auto there = co_await DescribeTopics(names, deadline);
  auto configs = co_await DescribeConfigs(std::move(question), deadline);
  if (!there || !configs) co_return;
  for (auto& told : *response->mutable_topics()) {
    const auto asked = std::ranges::find(names, told.name());
    const auto at = static_cast<int>(asked - names.begin());
    const v1::TopicMetadata* topic = Find(*there, told.name());
    const auto wish =
        std::ranges::find(request.topics(), told.name(), [](const auto& t) { return t.name(); });
    if (asked == names.end() || topic == nullptr || topic->partitions().empty() ||
        wish == request.topics().end() || at >= configs->results_size() ||
        configs->results(at).error().code() != v1::NONE)
      continue;
    const std::string difference = DifferenceFrom(*wish, *topic, OwnConfigs(configs->results(at)));
    if (!difference.empty()) {
      told.mutable_error()->set_message(fmt::format(
          "{}; an earlier try of this call was not answered, but what is there is not what was asked: {}",
          told.error().message(), difference));
      continue;
    }
    told.clear_error();
    told.set_id(topic->id());
    told.set_partitions(static_cast<uint32_t>(topic->partitions_size()));
    told.set_replication_factor(static_cast<uint32_t>(topic->partitions(0).replicas_size()));
  }
}

Task<void> Admin::KnowOwnPartitions(const v1::CreatePartitionsRequest& request,
                                    v1::CreatePartitionsResponse* response, MonoTime deadline) {
  std::vector<std::string> names;
  for (const auto& topic : response->topics()) {
    if (topic.error().code() == v1::INVALID_PARTITIONS) names.push_back(topic.name());
  }
  if (names.empty()) co_return;
  auto there = co_await DescribeTopics(names, deadline);
  if (!there) co_return;
  for (auto& told : *response->mutable_topics()) {
    const v1::TopicMetadata* topic = Find(*there, told.name());
    const auto wish =
        std::ranges::find(request.topics(), told.name(), [](const auto& t) { return t.name(); });
    if (told.error().code() != v1::INVALID_PARTITIONS || topic == nullptr || wish == request.topics().end())
      continue;
    if (DifferenceFrom(*wish, *topic).empty()) told.clear_error();
  }
}

}  // namespace tidemark
