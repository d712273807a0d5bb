#include "tools/replica_warning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "tools/config_reading.h"

namespace tidemark {
namespace {

// default.replication.factor=0: the lesser of this and the brokers.
constexpr size_t kDefaultReplicas = 3;

// The controller's, as far as it tells.
bool DefaultIsANumber(ToolSession& session, int32_t controller) {
  v1::ConfigEntity entity;
  entity.set_type(v1::CONFIG_ENTITY_TYPE_BROKER);
  entity.set_name(std::to_string(controller));
  const auto configs = ReadConfigs(session, entity, /*all=*/true);
  if (!configs) return false;
  return std::ranges::any_of(configs->entries(), [](const auto& entry) {
    return entry.name() == "default.replication.factor" && entry.value() != "0";
  });
}

}  // namespace

std::optional<std::string> FewReplicas(const v1::CreateTopicsResponse::Topic& created,
                                       const v1::MetadataResponse& cluster) {
  std::set<int32_t> known;
  for (const auto& broker : cluster.brokers()) known.insert(broker.id());
  for (const auto& topic : cluster.topics()) {
    for (const auto& partition : topic.partitions())
      known.insert(partition.replicas().begin(), partition.replicas().end());
  }
  const size_t wanted = std::min(kDefaultReplicas, known.size());
  const size_t got = created.replication_factor();
  if (got == 0 || got >= wanted) return std::nullopt;
  return fmt::format(
      "{} has {} replica{}, not {}: more brokers were not live when it was made; make it anew to have "
      "more",
      created.name(), got, got == 1 ? "" : "s", wanted);
}

void WarnOfFewReplicas(ToolSession& session, const v1::CreateTopicsRequest& request,
                       const v1::CreateTopicsResponse::Topic& created) {
  const auto wish =
      std::ranges::find(request.topics(), created.name(), &v1::CreateTopicsRequest::Topic::name);
  if (wish == request.topics().end() || wish->replication_factor() > 0 || wish->assignments_size() > 0)
    return;
  if (created.replication_factor() >= kDefaultReplicas) return;
  const auto cluster = session.Metadata({}, true);
  // The topic is made in any case; what cannot be found out is not said.
  if (!cluster) return;
  const auto warning = FewReplicas(created, *cluster);
  if (!warning || DefaultIsANumber(session, cluster->controller_id())) return;
  Say("warning: {}", *warning);
}

}  // namespace tidemark
