// tidemark config get, set, unset, diff: configs of anything that has them, named as KIND/NAME.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "common/config/properties.h"
#include "common/nearest_name.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

// "topic/orders", "broker/1", "brokers" (the default of all).
Result<v1::ConfigEntity> ParseEntity(const std::string& text) {
  v1::ConfigEntity entity;
  const size_t slash = text.find('/');
  const std::string kind = text.substr(0, slash);
  entity.set_name(slash == std::string::npos ? "" : text.substr(slash + 1));
  if (kind == "topic") {
    entity.set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
    if (!entity.name().empty()) return entity;
  } else if (kind == "broker") {
    entity.set_type(v1::CONFIG_ENTITY_TYPE_BROKER);
    int32_t id = -1;
    const std::string& name = entity.name();
    const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (code == std::errc() && end == name.data() + name.size() && id >= 0) return entity;
  } else if (text == "brokers") {
    entity.set_type(v1::CONFIG_ENTITY_TYPE_BROKER);
    return entity;
  }
  const std::string nearest = NearestName(kind, {"topic", "broker", "brokers"});
  return Fail(v1::INVALID_REQUEST, "'{}' has no configs: write topic/NAME, broker/ID or brokers{}", text,
              nearest.empty() || nearest == kind ? "" : fmt::format("; did you mean {}?", nearest));
}

std::string SourceName(v1::ConfigSource source) {
  switch (source) {
    case v1::CONFIG_SOURCE_DYNAMIC_TOPIC:
      return "topic";
    case v1::CONFIG_SOURCE_DYNAMIC_BROKER:
      return "broker";
    case v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER:
      return "brokers";
    case v1::CONFIG_SOURCE_STATIC_BROKER:
      return "file";
    default:
      return "default";
  }
}

using Entry = v1::DescribeConfigsResponse::Entry;

// By name; with those at their defaults.
Result<std::map<std::string, Entry>> ConfigsOf(ToolSession& session, const v1::ConfigEntity& entity) {
  v1::DescribeConfigsRequest request;
  request.set_include_defaults(true);
  *request.add_entities() = entity;
  TM_ASSIGN_OR_RETURN(const auto response, session.Run([&] {
    return session.admin().DescribeConfigs(request, session.After(kAdminTimeout));
  }));
  if (response.results_size() != 1)
    return Fail(v1::UNKNOWN_SERVER_ERROR, "the broker did not answer for the entity asked");
  if (response.results(0).error().code() != v1::NONE)
    return std::unexpected(FromProto(response.results(0).error()));
  std::map<std::string, Entry> out;
  for (const Entry& entry : response.results(0).entries()) out[entry.name()] = entry;
  return out;
}

Json ValueOf(const Entry& entry) { return entry.sensitive() ? Json() : Json(entry.value()); }

int RunGet(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  std::vector<std::string> names = arguments.positionals();
  const auto entity = ParseEntity(names[0]);
  if (!entity) return ReportUsage(entity.error());
  names.erase(names.begin());
  auto session = OpenSession(arguments);
  if (!session) return ReportError(session.error());
  const auto configs = ConfigsOf(**session, *entity);
  if (!configs) return ReportError(configs.error());
  std::vector<std::string> known;
  for (const auto& [name, entry] : *configs) known.push_back(name);
  Listing listing({"name", "value", "source", "default", "read_only"});
  for (const std::string& name : names.empty() ? known : names) {
    const auto entry = configs->find(name);
    if (entry == configs->end()) {
      const std::string nearest = NearestName(name, known);
      return ReportError({v1::NOT_FOUND, fmt::format("there is no config '{}'", name)},
                         nearest.empty() ? "" : fmt::format("did you mean {}?", nearest));
    }
    const bool shown =
        !names.empty() || arguments.Has("all") || entry->second.source() != v1::CONFIG_SOURCE_DEFAULT;
    if (!shown) continue;
    listing.Add({name, ValueOf(entry->second), SourceName(entry->second.source()),
                 entry->second.default_value(), entry->second.read_only()});
  }
  return Finish(listing, *format);
}

// Sends the change, and shows values as they were and as they are.
int Change(const Arguments& arguments, v1::AlterConfigsRequest::Change change) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportError(session.error());
  const auto before = ConfigsOf(**session, change.entity());
  if (!before) return ReportError(before.error());
  v1::AlterConfigsRequest request;
  *request.add_changes() = change;
  request.set_validate_only(arguments.Has("dry-run"));
  auto response = (*session)->Run(
      [&] { return (*session)->admin().AlterConfigs(request, (*session)->After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const v1::AlterConfigsResponse::Result& result = response->results(0);
  if (result.error().code() != v1::NONE) return ReportError(FromProto(result.error()));
  for (const std::string& warning : result.warnings()) fmt::print(stderr, "warning: {}\n", warning);
  Listing listing({"name", "before", "after"});
  const auto old = [&](const std::string& name) {
    const auto entry = before->find(name);
    return entry == before->end() ? Json() : ValueOf(entry->second);
  };
  const std::map<std::string, std::string> set(change.set().begin(), change.set().end());
  for (const auto& [name, value] : set) listing.Add({name, old(name), value});
  for (const std::string& name : change.remove()) {
    const auto entry = before->find(name);
    listing.Add({name, old(name), entry == before->end() ? Json() : Json(entry->second.default_value())});
  }
  if (request.validate_only()) fmt::print(stderr, "nothing was changed (--dry-run)\n");
  return Finish(listing, *format);
}

int RunSet(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positionals();
  const auto entity = ParseEntity(words[0]);
  if (!entity) return ReportUsage(entity.error());
  v1::AlterConfigsRequest::Change change;
  *change.mutable_entity() = *entity;
  for (size_t i = 1; i < words.size(); ++i) {
    const auto parsed = ParseAssignment(words[i]);
    if (!parsed) return ReportUsage(parsed.error());
    (*change.mutable_set())[parsed->first] = parsed->second;
  }
  return Change(arguments, std::move(change));
}

int RunUnset(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positionals();
  const auto entity = ParseEntity(words[0]);
  if (!entity) return ReportUsage(entity.error());
  v1::AlterConfigsRequest::Change change;
  *change.mutable_entity() = *entity;
  for (size_t i = 1; i < words.size(); ++i) change.add_remove(words[i]);
  return Change(arguments, std::move(change));
}

int RunDiff(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const std::vector<std::string>& words = arguments.positionals();
  std::vector<v1::ConfigEntity> entities;
  for (const std::string& word : words) {
    const auto entity = ParseEntity(word);
    if (!entity) return ReportUsage(entity.error());
    entities.push_back(*entity);
  }
  auto session = OpenSession(arguments);
  if (!session) return ReportError(session.error());
  std::vector<std::map<std::string, Entry>> configs;
  for (const v1::ConfigEntity& entity : entities) {
    auto one = ConfigsOf(**session, entity);
    if (!one) return ReportError(one.error());
    configs.push_back(*std::move(one));
  }
  const bool two = words.size() > 1;
  Listing listing({"name", words[0], two ? words[1] : "default"});
  for (const auto& [name, entry] : configs[0]) {
    Json other = entry.default_value();
    if (two) other = configs[1].contains(name) ? ValueOf(configs[1][name]) : Json();
    if (ValueOf(entry) != other) listing.Add({name, ValueOf(entry), other});
  }
  return Finish(listing, *format);
}

}  // namespace

std::vector<Command> ConfigVerbs() {
  const PositionalSpec entity{.name = "topic/NAME|broker/ID|brokers", .required = true};
  return {
      {.name = "config get",
       .summary = "shows configs, where they come from, and their defaults",
       .examples = {"tidemark config get topic/orders",
                    "tidemark config get topic/orders retention.ms -o json"},
       .flags = ReadingFlags({{"all", "", "Also those at their defaults."}}),
       .positionals = {entity, {.name = "CONFIG", .several = true}},
       .run = RunGet},
      {.name = "config set",
       .summary = "changes configs, all or none",
       .examples = {"tidemark config set topic/orders retention.ms=86400000 min.insync.replicas=2"},
       .flags = WritingFlags({}),
       .positionals = {entity, {.name = "NAME=VALUE", .required = true, .several = true}},
       .run = RunSet},
      {.name = "config unset",
       .summary = "returns configs to their defaults",
       .examples = {"tidemark config unset topic/orders retention.ms"},
       .flags = WritingFlags({}),
       .positionals = {entity, {.name = "CONFIG", .required = true, .several = true}},
       .run = RunUnset},
      {.name = "config diff",
       .summary = "shows what differs from the defaults, or between two topics or brokers",
       .examples = {"tidemark config diff topic/orders", "tidemark config diff topic/orders topic/clicks"},
       .flags = ReadingFlags({}),
       .positionals = {entity, {.name = "OTHER"}},
       .run = RunDiff},
  };
}

}  // namespace tidemark
