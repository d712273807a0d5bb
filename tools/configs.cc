// tidemark-configs: describe and change topic configs. Kafka's flags and output.
#include <fmt/format.h>

#include <cstdio>

#include "common/config/properties.h"
#include "tools/commands.h"
#include "tools/session.h"

namespace tidemark {
namespace {

// "a=1,b=[x,y]": brackets keep a value with commas together, as in Kafka.
Result<std::map<std::string, std::string>> ParseAddConfig(std::string_view text) {
  std::map<std::string, std::string> values;
  while (!Trimmed(text).empty()) {
    size_t depth = 0, end = 0;
    for (; end < text.size() && (text[end] != ',' || depth > 0); ++end) {
      if (text[end] == '[') ++depth;
      if (text[end] == ']' && depth > 0) --depth;
    }
    const std::string_view part = Trimmed(text.substr(0, end));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Fail(
          v1::INVALID_REQUEST,
          "--add-config '{}' is not of the form name=value; write it without blanks: --add-config {}=VALUE",
          part, part.substr(0, equals == 0 ? 0 : equals));
    }
    std::string_view value = Trimmed(part.substr(equals + 1));
    if (value.starts_with('[') && value.ends_with(']')) value = value.substr(1, value.size() - 2);
    values[std::string(Trimmed(part.substr(0, equals)))] = std::string(value);
    text = end < text.size() ? text.substr(end + 1) : std::string_view();
  }
  return values;
}

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
    default:
      return "DEFAULT_CONFIG";
  }
}

int Describe(ToolSession& session, const Arguments& arguments, const std::string& topic) {
  v1::DescribeConfigsRequest request;
  request.set_include_defaults(arguments.Has("all"));
  v1::ConfigEntity* entity = request.add_entities();
  entity->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
  entity->set_name(topic);
  auto response =
      session.Run([&] { return session.admin().DescribeConfigs(request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const v1::DescribeConfigsResponse::Result& result = response->results(0);
  if (result.error().code() != v1::NONE) return ReportError(FromProto(result.error()));
  fmt::print("{} configs for topic {} are:\n", arguments.Has("all") ? "All" : "Dynamic", topic);
  for (const auto& entry : result.entries()) {
    if (!arguments.Has("all") && entry.source() != v1::CONFIG_SOURCE_DYNAMIC_TOPIC) continue;
    fmt::print("  {}={} sensitive={} synonyms={{{}:{}={}, DEFAULT_CONFIG:{}={}}}\n", entry.name(),
               entry.value(), entry.sensitive(), SourceName(entry.source()), entry.name(), entry.value(),
               entry.name(), entry.default_value());
  }
  return kExitDone;
}

int Alter(ToolSession& session, const Arguments& arguments, const std::string& topic) {
  v1::AlterConfigsRequest request;
  v1::AlterConfigsRequest::Change* change = request.add_changes();
  change->mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
  change->mutable_entity()->set_name(topic);
  for (const std::string& text : arguments.All("add-config")) {
    auto values = ParseAddConfig(text);
    if (!values) return ReportUsage(values.error());
    change->mutable_set()->insert(values->begin(), values->end());
  }
  for (const std::string& text : arguments.All("delete-config")) {
    for (const std::string& name : CommaList(text)) change->add_remove(name);
  }
  if (change->set().empty() && change->remove().empty()) {
    return ReportUsage(
        Error{v1::INVALID_REQUEST, "--alter needs --add-config name=value or --delete-config name"});
  }
  auto response =
      session.Run([&] { return session.admin().AlterConfigs(request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const v1::AlterConfigsResponse::Result& result = response->results(0);
  if (result.error().code() != v1::NONE) return ReportError(FromProto(result.error()));
  for (const std::string& warning : result.warnings()) fmt::print(stderr, "warning: {}\n", warning);
  fmt::print("Completed updating config for topic {}.\n", topic);
  return kExitDone;
}

int RunConfigs(const Arguments& arguments) {
  if (arguments.Has("describe") == arguments.Has("alter")) {
    return ReportUsage(Error{v1::INVALID_REQUEST, "exactly one of --describe and --alter is required"});
  }
  std::string topic = arguments.GetOr("topic", arguments.GetOr("entity-name", ""));
  const std::string type = arguments.GetOr("entity-type", arguments.Has("topic") ? "topics" : "");
  if (type != "topics") {
    return ReportUsage(Error{v1::INVALID_REQUEST,
                             fmt::format("--entity-type '{}' has no configs here; it takes: topics", type)});
  }
  if (topic.empty()) return ReportUsage(Error{v1::INVALID_REQUEST, "--entity-name NAME is required"});
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportError(session.error());
  return arguments.Has("alter") ? Alter(**session, arguments, topic) : Describe(**session, arguments, topic);
}

}  // namespace

Command ConfigsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"describe", "", "Shows configs."},
      {"alter", "", "Changes configs."},
      {"all", "", "With --describe: also those at their defaults."},
      {"entity-type", "topics", "What has the configs."},
      {"entity-name", "NAME", "Whose configs."},
      {"topic", "NAME", "Short for --entity-type topics --entity-name NAME."},
      {"add-config", "NAME=VALUE,...", "Sets configs; [a,b] keeps a value with commas together.", true},
      {.name = "delete-config",
       .value = "NAME,...",
       .help = "Returns configs to their defaults; '= VALUE' after it is passed over.",
       .repeated = true,
       .drops_assignment = true},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {"configs",
          "shows and changes configs of topics",
          {"tidemark-configs --bootstrap-server localhost:9092 --describe --entity-type topics --entity-name "
           "orders",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --topic orders --add-config "
           "min.insync.replicas=2"},
          flags,
          {},
          RunConfigs};
}

}  // namespace tidemark
