// tidemark-configs: describe and change configs of topics, brokers, clients and users. Kafka's flags and
// output.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "tools/commands.h"
#include "tools/config_entity.h"
#include "tools/session.h"

namespace tidemark {
namespace {

using Described = v1::DescribeConfigsResponse::Result;

std::string_view SourceName(v1::ConfigSource source) {
  switch (source) {
    case v1::CONFIG_SOURCE_DYNAMIC_TOPIC:
      return "DYNAMIC_TOPIC_CONFIG";
    case v1::CONFIG_SOURCE_DYNAMIC_BROKER:
      return "DYNAMIC_BROKER_CONFIG";
    case v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER:
      return "DYNAMIC_DEFAULT_BROKER_CONFIG";
    case v1::CONFIG_SOURCE_STATIC_BROKER:
      return "STATIC_BROKER_CONFIG";
    case v1::CONFIG_SOURCE_DYNAMIC_CLIENT:
      return "DYNAMIC_CLIENT_CONFIG";
    case v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT:
      return "DYNAMIC_DEFAULT_CLIENT_CONFIG";
    case v1::CONFIG_SOURCE_DYNAMIC_USER:
      return "DYNAMIC_USER_CONFIG";
    case v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER:
      return "DYNAMIC_DEFAULT_USER_CONFIG";
    default:
      return "DEFAULT_CONFIG";
  }
}

// The source of what is set for the entity itself, which is all that is shown without --all.
v1::ConfigSource OwnSource(const v1::ConfigEntity& entity) {
  const bool is_default = entity.name().empty();
  switch (entity.type()) {
    case v1::CONFIG_ENTITY_TYPE_BROKER:
      return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER : v1::CONFIG_SOURCE_DYNAMIC_BROKER;
    case v1::CONFIG_ENTITY_TYPE_CLIENT:
      return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_CLIENT;
    case v1::CONFIG_ENTITY_TYPE_USER:
      return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER : v1::CONFIG_SOURCE_DYNAMIC_USER;
    default:
      return v1::CONFIG_SOURCE_DYNAMIC_TOPIC;
  }
}

bool HasQuotas(v1::ConfigEntityType type) {
  return type == v1::CONFIG_ENTITY_TYPE_CLIENT || type == v1::CONFIG_ENTITY_TYPE_USER;
}

void PrintQuotas(const Described& result, bool all) {
  std::vector<std::string> entries;
  for (const auto& entry : result.entries()) {
    if (all || entry.source() == OwnSource(result.entity())) {
      entries.push_back(fmt::format("{}={}", entry.name(), entry.value()));
    }
  }
  const char* kind = result.entity().type() == v1::CONFIG_ENTITY_TYPE_CLIENT ? "client-id" : "user-principal";
  if (entries.empty()) return;
  fmt::print("Quota configs for {} are {}\n",
             result.entity().name().empty() ? fmt::format("the default {}", kind)
                                            : fmt::format("{} '{}'", kind, result.entity().name()),
             fmt::join(entries, ", "));
}

void PrintConfigs(const Described& result, bool all) {
  const v1::ConfigEntity& entity = result.entity();
  if (entity.name().empty()) {
    fmt::print("Default configs for {} in the cluster are:\n", PluralOf(entity.type()));
  } else {
    fmt::print("{} configs for {} {} are:\n", all ? "All" : "Dynamic", SingularOf(entity.type()),
               entity.name());
  }
  for (const auto& entry : result.entries()) {
    if (!all && entry.source() != OwnSource(entity)) continue;
    std::vector<std::string> synonyms;
    for (const auto& synonym : entry.synonyms()) {
      synonyms.push_back(
          fmt::format("{}:{}={}", SourceName(synonym.source()), synonym.name(), synonym.value()));
    }
    fmt::print("  {}={} sensitive={} synonyms={{{}}}\n", entry.name(), entry.value(), entry.sensitive(),
               fmt::join(synonyms, ", "));
  }
}

// Asks `broker`, or any.
Result<v1::DescribeConfigsResponse> Ask(ToolSession& session, const v1::DescribeConfigsRequest& request,
                                        BrokerId broker = kNoBroker) {
  return session.Run(
      [&] { return session.admin().DescribeConfigs(request, session.After(kAdminTimeout), broker); });
}

// Who are meant, in the order they are shown.
Result<std::vector<v1::ConfigEntity>> EntitiesOf(ToolSession& session, const ConfigSubject& subject) {
  std::vector<v1::ConfigEntity> out;
  if (!subject.all()) {
    out.push_back(subject.ToEntity());
    return out;
  }
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata,
                      session.Metadata({}, subject.type == v1::CONFIG_ENTITY_TYPE_TOPIC));
  std::vector<std::string> names;
  if (subject.type == v1::CONFIG_ENTITY_TYPE_TOPIC) {
    for (const auto& topic : metadata.topics()) names.push_back(topic.name());
    std::ranges::sort(names);
  } else {
    std::vector<BrokerId> ids;
    for (const auto& broker : metadata.brokers()) ids.push_back(broker.id());
    std::ranges::sort(ids);
    for (const BrokerId id : ids) names.push_back(std::to_string(id));
    names.emplace_back();  // the default of all
  }
  for (std::string& name : names) out.push_back(ConfigSubject{.type = subject.type, .name = name}.ToEntity());
  return out;
}

// A broker tells all of its own configs only; of one that is down what ZooKeeper holds is told by any.
Result<BrokerId> WhoKnows(ToolSession& session, const v1::ConfigEntity& entity, bool all) {
  if (entity.type() != v1::CONFIG_ENTITY_TYPE_BROKER || entity.name().empty()) return kNoBroker;
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata, session.Metadata({}, false));
  for (const auto& broker : metadata.brokers()) {
    if (std::to_string(broker.id()) == entity.name()) return broker.id();
  }
  if (all) {
    return Fail(
        v1::BROKER_NOT_AVAILABLE,
        "broker {} is not live, and only it knows all its configs; without --all its dynamic ones are "
        "shown",
        entity.name());
  }
  return kNoBroker;
}

Result<std::vector<Described>> DescribeAll(ToolSession& session, const ConfigSubject& subject, bool all) {
  std::vector<Described> out;
  v1::DescribeConfigsRequest request;
  request.set_include_defaults(all);
  if (subject.all() && HasQuotas(subject.type)) {
    request.add_all_of(subject.type);
    TM_ASSIGN_OR_RETURN(const v1::DescribeConfigsResponse response, Ask(session, request));
    out.assign(response.results().begin(), response.results().end());
    return out;
  }
  TM_ASSIGN_OR_RETURN(const std::vector<v1::ConfigEntity> entities, EntitiesOf(session, subject));
  for (const v1::ConfigEntity& entity : entities) {
    request.clear_entities();
    *request.add_entities() = entity;
    TM_ASSIGN_OR_RETURN(const BrokerId broker, WhoKnows(session, entity, all));
    TM_ASSIGN_OR_RETURN(const v1::DescribeConfigsResponse response, Ask(session, request, broker));
    if (response.results_size() != 1) {
      return Fail(v1::UNKNOWN_SERVER_ERROR, "the broker answered for {} things, not one",
                  response.results_size());
    }
    out.push_back(response.results(0));
  }
  return out;
}

int Describe(ToolSession& session, const Arguments& arguments, const ConfigSubject& subject) {
  const bool all = arguments.Has("all");
  const auto described = DescribeAll(session, subject, all);
  if (!described) return ReportError(described.error());
  for (const Described& result : *described) {
    if (result.error().code() != v1::NONE) return ReportError(FromProto(result.error()));
    if (HasQuotas(result.entity().type())) {
      PrintQuotas(result, all);
    } else {
      PrintConfigs(result, all);
    }
  }
  return kExitDone;
}

int Alter(ToolSession& session, const v1::AlterConfigsRequest::Change& change) {
  v1::AlterConfigsRequest request;
  *request.add_changes() = change;
  auto response =
      session.Run([&] { return session.admin().AlterConfigs(request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const v1::AlterConfigsResponse::Result& result = response->results(0);
  if (result.error().code() != v1::NONE) return ReportError(FromProto(result.error()));
  for (const std::string& warning : result.warnings()) fmt::print(stderr, "warning: {}\n", warning);
  if (change.entity().name().empty()) {
    fmt::print("Completed updating default config for {} in the cluster.\n",
               PluralOf(change.entity().type()));
  } else {
    fmt::print("Completed updating config for {} {}.\n", SingularOf(change.entity().type()),
               change.entity().name());
  }
  return kExitDone;
}

int RunConfigs(const Arguments& arguments) {
  if (arguments.Has("describe") == arguments.Has("alter")) {
    return ReportUsage(Error{v1::INVALID_REQUEST, "exactly one of --describe and --alter is required"});
  }
  const bool alter = arguments.Has("alter");
  for (const char* flag : {"add-config", "add-config-file", "delete-config"}) {
    if (!alter && arguments.Has(flag)) {
      return ReportUsage(Error{v1::INVALID_REQUEST, fmt::format("--{} goes with --alter", flag)});
    }
  }
  const Result<ConfigSubject> subject = SubjectOf(arguments);
  if (!subject) return ReportUsage(subject.error());
  v1::AlterConfigsRequest::Change change;
  if (alter) {
    auto wanted = ChangeOf(arguments, *subject);
    if (!wanted) return ReportUsage(wanted.error());
    change = std::move(*wanted);
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportError(session.error());
  return alter ? Alter(**session, change) : Describe(**session, arguments, *subject);
}

}  // namespace

Command ConfigsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"describe", "", "Shows configs; without a name those of all topics, brokers, clients or users."},
      {"alter", "", "Changes configs."},
      {"all", "", "With --describe: also those that are not set for the entity itself."},
      {"force", "", "Taken because Kafka has it: nothing asks."},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  for (FlagSpec& flag : ConfigEntityFlags()) flags.push_back(std::move(flag));
  return {"configs",
          "shows and changes configs of topics and brokers, and quotas of clients and users",
          {"tidemark-configs --bootstrap-server localhost:9092 --describe --entity-type topics --entity-name "
           "orders",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --topic orders --add-config "
           "min.insync.replicas=2",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --broker-defaults --add-config "
           "log.retention.ms=86400000",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --client batch-load --add-config "
           "producer_byte_rate=1048576"},
          flags,
          {},
          RunConfigs};
}

}  // namespace tidemark
