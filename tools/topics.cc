// tidemark-topics: create, list, describe and delete topics. Kafka's flags and output.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "common/config/properties.h"
#include "tools/commands.h"
#include "tools/session.h"

namespace tidemark {
namespace {

// "0:1,1:2" -> partition 0 on brokers 0 and 1, partition 1 on 1 and 2.
Result<> ParseAssignment(const std::string& text, v1::CreateTopicsRequest::Topic* topic) {
  uint32_t partition = 0;
  for (const std::string& list : CommaList(text)) {
    v1::CreateTopicsRequest::Assignment* assignment = topic->add_assignments();
    assignment->set_partition(partition++);
    size_t begin = 0;
    while (begin <= list.size()) {
      const size_t end = std::min(list.find(':', begin), list.size());
      const std::string id = list.substr(begin, end - begin);
      char* rest = nullptr;
      const long value = std::strtol(id.c_str(), &rest, 10);
      if (id.empty() || *rest != '\0' || value < 0 || value > INT32_MAX) {
        return Fail(v1::INVALID_REQUEST, "--replica-assignment '{}' is not of the form 0:1,1:2 (broker ids)",
                    text);
      }
      assignment->add_replicas(static_cast<int32_t>(value));
      begin = end + 1;
    }
  }
  return {};
}

Result<v1::CreateTopicsRequest> CreateRequest(const Arguments& arguments, const std::string& name) {
  v1::CreateTopicsRequest request;
  v1::CreateTopicsRequest::Topic* topic = request.add_topics();
  topic->set_name(name);
  TM_ASSIGN_OR_RETURN(const auto partitions, arguments.GetInteger("partitions", 1, 1'000'000));
  TM_ASSIGN_OR_RETURN(const auto replicas, arguments.GetInteger("replication-factor", 1, 32767));
  topic->set_partitions(static_cast<uint32_t>(partitions.value_or(0)));
  topic->set_replication_factor(static_cast<uint32_t>(replicas.value_or(0)));
  if (const auto assignment = arguments.Get("replica-assignment")) {
    if (partitions || replicas) {
      return Fail(v1::INVALID_REQUEST,
                  "--replica-assignment says it all: leave out --partitions and --replication-factor");
    }
    TM_RETURN_IF_ERROR(ParseAssignment(*assignment, topic));
  }
  TM_ASSIGN_OR_RETURN(const auto configs, arguments.GetProperties("config"));
  topic->mutable_configs()->insert(configs.begin(), configs.end());
  request.set_timeout_ms(static_cast<uint32_t>(ToMillis(kAdminTimeout) / 2));
  return request;
}

int Create(ToolSession& session, const Arguments& arguments) {
  Result<std::string> name = arguments.Require("topic");
  if (!name) return ReportError(name.error(), "tidemark-topics --create --topic NAME --partitions 3");
  Result<v1::CreateTopicsRequest> request = CreateRequest(arguments, *name);
  if (!request) return ReportUsage(request.error());
  auto response =
      session.Run([&] { return session.admin().CreateTopics(*request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const v1::CreateTopicsResponse::Topic& topic = response->topics(0);
  if (topic.error().code() == v1::TOPIC_ALREADY_EXISTS && arguments.Has("if-not-exists")) return kExitDone;
  if (topic.error().code() != v1::NONE) return ReportError(FromProto(topic.error()));
  auto seen =
      session.Run([&] { return session.admin().AwaitTopic(*name, false, session.After(kAdminTimeout)); });
  if (!seen) return ReportError(seen.error(), "the topic is created; the cluster is slow to take it over");
  fmt::print("Created topic {}.\n", *name);
  return kExitDone;
}

int Delete(ToolSession& session, const Arguments& arguments) {
  Result<std::string> list = arguments.Require("topic");
  if (!list) return ReportError(list.error());
  const std::vector<std::string> names = CommaList(*list);
  v1::DeleteTopicsRequest request;
  request.set_timeout_ms(static_cast<uint32_t>(ToMillis(kAdminTimeout) / 2));
  for (const std::string& name : names) request.add_names(name);
  auto response =
      session.Run([&] { return session.admin().DeleteTopics(request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  int status = kExitDone;
  for (const v1::DeleteTopicsResponse::Topic& topic : response->topics()) {
    if (topic.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION && arguments.Has("if-exists")) continue;
    if (topic.error().code() != v1::NONE) {
      status = ReportError(FromProto(topic.error()));
      continue;
    }
    auto gone = session.Run(
        [&] { return session.admin().AwaitTopic(topic.name(), true, session.After(kAdminTimeout)); });
    if (!gone) {
      status = ReportError(gone.error());
      continue;
    }
    fmt::print("Deleted topic {}.\n", topic.name());
  }
  return names.size() > 1 && status != kExitDone ? kExitPartly : status;
}

int List(ToolSession& session, const Arguments& arguments) {
  auto metadata = session.Metadata({}, true);
  if (!metadata) return ReportError(metadata.error());
  std::map<std::string, bool> names;  // name -> being deleted
  for (const v1::TopicMetadata& topic : metadata->topics()) {
    if (arguments.Has("exclude-internal") && topic.internal()) continue;
    if (const auto wanted = arguments.Get("topic"); wanted && *wanted != topic.name()) continue;
    names[topic.name()] = topic.deleting();
  }
  for (const auto& [name, deleting] : names)
    fmt::print("{}{}\n", name, deleting ? " - marked for deletion" : "");
  return kExitDone;
}

bool IsWanted(const Arguments& arguments, const v1::PartitionMetadata& partition,
              const std::set<int32_t>& live) {
  const bool unavailable = partition.leader() < 0 || !live.contains(partition.leader());
  if (arguments.Has("under-replicated-partitions") && partition.isr_size() >= partition.replicas_size())
    return false;
  if (arguments.Has("unavailable-partitions") && !unavailable) return false;
  return true;
}

void PrintTopic(const Arguments& arguments, const v1::TopicMetadata& topic, const std::string& configs,
                const std::set<int32_t>& live) {
  const bool filtered =
      arguments.Has("under-replicated-partitions") || arguments.Has("unavailable-partitions");
  auto id = TopicId::FromBytes(topic.id());
  if (!filtered) {
    fmt::print("Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}{}\n",
               topic.name(), id ? id->ToBase64() : "none", topic.partitions_size(),
               topic.partitions_size() > 0 ? topic.partitions(0).replicas_size() : 0, configs,
               topic.deleting() ? "\tMarkedForDeletion: true" : "");
  }
  for (const v1::PartitionMetadata& partition : topic.partitions()) {
    if (!IsWanted(arguments, partition, live)) continue;
    fmt::print("\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}", topic.name(),
               partition.partition(), partition.leader() < 0 ? "none" : std::to_string(partition.leader()),
               fmt::join(partition.replicas(), ","), fmt::join(partition.isr(), ","));
    // Broker down, log directory failed or log lost.
    if (partition.offline_replicas_size() > 0)
      fmt::print("\tOffline: {}", fmt::join(partition.offline_replicas(), ","));
    fmt::print("\n");
  }
}

// Overrides of each topic as "a=1,b=2".
Result<std::map<std::string, std::string>> Overrides(ToolSession& session,
                                                     const std::vector<std::string>& topics) {
  v1::DescribeConfigsRequest request;
  for (const std::string& topic : topics) {
    v1::ConfigEntity* entity = request.add_entities();
    entity->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
    entity->set_name(topic);
  }
  auto response =
      session.Run([&] { return session.admin().DescribeConfigs(request, session.After(kAdminTimeout)); });
  if (!response) return std::unexpected(response.error());
  std::map<std::string, std::string> overrides;
  for (const auto& result : response->results()) {
    std::vector<std::string> parts;
    for (const auto& entry : result.entries()) {
      if (entry.source() == v1::CONFIG_SOURCE_DYNAMIC_TOPIC)
        parts.push_back(entry.name() + "=" + entry.value());
    }
    overrides[result.entity().name()] = fmt::format("{}", fmt::join(parts, ","));
  }
  return overrides;
}

int Describe(ToolSession& session, const Arguments& arguments) {
  const std::vector<std::string> wanted = CommaList(arguments.GetOr("topic", ""));
  auto metadata = session.Metadata(wanted, wanted.empty());
  if (!metadata) return ReportError(metadata.error());
  std::set<int32_t> live;
  for (const v1::BrokerEndpoint& broker : metadata->brokers()) live.insert(broker.id());
  std::vector<v1::TopicMetadata> topics(metadata->topics().begin(), metadata->topics().end());
  std::ranges::sort(topics, {}, [](const v1::TopicMetadata& t) { return t.name(); });
  std::vector<std::string> names;
  int status = kExitDone;
  for (const v1::TopicMetadata& topic : topics) {
    if (topic.error().code() != v1::NONE && topic.partitions_size() == 0) {
      if (!arguments.Has("if-exists")) status = ReportError(FromProto(topic.error()));
      continue;
    }
    names.push_back(topic.name());
  }
  auto overrides = Overrides(session, names);
  if (!overrides) return ReportError(overrides.error());
  for (const v1::TopicMetadata& topic : topics) {
    if (!std::ranges::binary_search(names, topic.name())) continue;
    if (arguments.Has("exclude-internal") && topic.internal()) continue;
    if (arguments.Has("topics-with-overrides") && (*overrides)[topic.name()].empty()) continue;
    PrintTopic(arguments, topic, (*overrides)[topic.name()], live);
  }
  return status;
}

int RunTopics(const Arguments& arguments) {
  const char* const kActions[] = {"create", "list", "describe", "delete"};
  const auto given = std::ranges::count_if(kActions, [&](const char* a) { return arguments.Has(a); });
  if (given != 1) {
    return ReportUsage(
        Error{v1::INVALID_REQUEST, "exactly one of --create, --list, --describe, --delete is required"});
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportError(session.error());
  if (arguments.Has("create")) return Create(**session, arguments);
  if (arguments.Has("delete")) return Delete(**session, arguments);
  if (arguments.Has("list")) return List(**session, arguments);
  return Describe(**session, arguments);
}

}  // namespace

Command TopicsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"create", "", "Creates a topic; returns when every live broker shows it, with leaders."},
      {"list", "", "Lists the topics."},
      {"describe", "", "Shows leader, replicas and ISR of each partition."},
      {"delete", "", "Deletes topics; returns when no live broker shows them any more."},
      {"topic", "NAME", "The topic; --describe and --delete take several, separated by commas."},
      {"partitions", "N", "Number of partitions of a new topic (default: num.partitions of the controller)."},
      {"replication-factor", "N",
       "Number of replicas (default: default.replication.factor of the controller)."},
      {"replica-assignment", "0:1,1:2", "Brokers of each partition, preferred leader first."},
      {"config", "NAME=VALUE", "A config of the new topic.", true},
      {"if-not-exists", "", "With --create: an existing topic is no error."},
      {"if-exists", "", "With --describe and --delete: a missing topic is no error."},
      {"exclude-internal", "", "Leaves out the system's own topics."},
      {"under-replicated-partitions", "", "With --describe: only partitions whose ISR is not all replicas."},
      {"unavailable-partitions", "", "With --describe: only partitions without a live leader."},
      {"topics-with-overrides", "", "With --describe: only topics with configs of their own."},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {"topics",
          "creates, lists, describes and deletes topics",
          {"tidemark-topics --bootstrap-server localhost:9092 --create --topic orders --partitions 6 "
           "--replication-factor 3",
           "tidemark-topics --bootstrap-server localhost:9092 --describe --topic orders",
           "tidemark-topics --zookeeper localhost:2181 --list"},
          flags,
          {},
          RunTopics};
}

}  // namespace tidemark
