// tidemark config get, set, unset, diff: configs of anything that has them, named as KIND/NAME.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "common/config/properties.h"
#include "common/config/quota_configs.h"
#include "common/nearest_name.h"
#include "tools/config_reading.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

// Takes "/client/ID" or "/clients" off the end of what names a user.
std::optional<std::string> TakeClient(std::string* text) {
  if (text->starts_with("user") && text->ends_with("/clients")) {
    text->resize(text->size() - std::string_view("/clients").size());
    return "";
  }
  constexpr std::string_view kInfix = "/client/";
  const size_t at = text->rfind(kInfix);
  if (!text->starts_with("user") || at == std::string::npos || at + kInfix.size() == text->size())
    return std::nullopt;
  std::string client = text->substr(at + kInfix.size());
  text->resize(at);
  return client;
}

// "topic/orders", "broker/1", "client/batch-load", "user/alice"; "brokers", "clients", "users": the default
// of all; "user/alice/client/batch-load", "user/alice/clients", ...: a user with a client.
Result<v1::ConfigEntity> ParseEntity(const std::string& given) {
  static constexpr std::array kTypes = {v1::CONFIG_ENTITY_TYPE_TOPIC, v1::CONFIG_ENTITY_TYPE_BROKER,
                                        v1::CONFIG_ENTITY_TYPE_CLIENT, v1::CONFIG_ENTITY_TYPE_USER};
  std::string text = given;
  v1::ConfigEntity entity;
  if (const auto client = TakeClient(&text)) entity.set_client_id(*client);
  const size_t slash = text.find('/');
  const std::string kind = text.substr(0, slash);
  entity.set_name(slash == std::string::npos ? "" : text.substr(slash + 1));
  std::vector<std::string> known;
  for (const v1::ConfigEntityType type : kTypes) {
    entity.set_type(type);
    const bool topic = type == v1::CONFIG_ENTITY_TYPE_TOPIC;
    known.push_back(SingularOf(type));
    if (!topic) known.emplace_back(PluralOf(type));
    if (!topic && text == PluralOf(type)) return entity;
    if (kind != SingularOf(type) || entity.name().empty()) continue;
    int32_t id = -1;
    const std::string& name = entity.name();
    const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), id);
    const bool is_id = code == std::errc() && end == name.data() + name.size() && id >= 0;
    if (type != v1::CONFIG_ENTITY_TYPE_BROKER || is_id) return entity;
  }
  const std::string nearest = NearestName(kind, known);
  return Fail(
      v1::INVALID_REQUEST,
      "'{}' has no configs: write topic/NAME, broker/ID, brokers, client/ID, clients, user/NAME, users "
      "or user/NAME/client/ID{}",
      given, nearest.empty() || nearest == kind ? "" : fmt::format("; did you mean {}?", nearest));
}

using Entry = v1::DescribeConfigsResponse::Entry;

// By name; with those at their defaults, but for clients and users, which have none, and for a broker that is
// not live.
struct Configs {
  std::map<std::string, Entry> in_force;
  std::vector<v1::DescribeConfigsResponse::PassedOver> passed_over;
};

Result<Configs> ConfigsOf(ToolSession& session, const v1::ConfigEntity& entity) {
  auto described = ReadConfigs(session, entity, true);
  if (!described && described.error().code == v1::BROKER_NOT_AVAILABLE) {
    described = ReadConfigs(session, entity, false);
    if (described) {
      Say("broker {} is not live: only what ZooKeeper holds for it and for all is known", entity.name());
    }
  }
  if (!described) return std::unexpected(described.error());
  if (described->error().code() != v1::NONE) return std::unexpected(FromProto(described->error()));
  Configs out;
  for (const Entry& entry : described->entries()) out.in_force[entry.name()] = entry;
  out.passed_over.assign(described->passed_over().begin(), described->passed_over().end());
  return out;
}

Json ValueOf(const Entry& entry) { return entry.sensitive() ? Json() : Json(entry.value()); }

bool IsPassedOver(const Configs& configs, const std::string& name) {
  return std::ranges::any_of(configs.passed_over, [&](const auto& one) { return one.name() == name; });
}

using Rows = std::vector<std::vector<Json>>;

// And what is stored and does not count: of the names, or of all. A table has the column only where there is
// such.
Listing WithPassedOver(Rows rows, const Configs& configs, const std::vector<std::string>& names,
                       OutputFormat format) {
  std::vector<std::string> columns = {"name", "value", "source", "default", "read_only", "synonyms"};
  const auto shown = [&](const v1::DescribeConfigsResponse::PassedOver& one) {
    return names.empty() || one.name().empty() || std::ranges::find(names, one.name()) != names.end();
  };
  const bool with_reason = format != OutputFormat::kTable || std::ranges::any_of(configs.passed_over, shown);
  if (with_reason) columns.emplace_back("not_in_force");
  Listing out(columns);
  const auto add = [&](std::vector<Json> cells, Json reason) {
    if (with_reason) cells.push_back(std::move(reason));
    out.Add(std::move(cells));
  };
  for (std::vector<Json>& row : rows) add(std::move(row), Json());
  for (const auto& one : configs.passed_over) {
    if (!shown(one)) continue;
    const bool all = one.name().empty();  // of a znode that cannot be read
    add({all ? Json() : Json(one.name()), all ? Json() : Json(one.value()), ShortSourceName(one.source()),
         Json(), false, Json::array()},
        one.reason());
  }
  return out;
}

int RunGet(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  std::vector<std::string> names = arguments.positionals();
  const auto entity = ParseEntity(names[0]);
  if (!entity) return ReportUsage(entity.error());
  names.erase(names.begin());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  const auto configs = ConfigsOf(**session, *entity);
  if (!configs) return ReportError(configs.error());
  std::vector<std::string> known;
  for (const auto& [name, entry] : configs->in_force) known.push_back(name);
  Rows rows;
  for (const std::string& name : names.empty() ? known : names) {
    const auto entry = configs->in_force.find(name);
    const bool absent = entry == configs->in_force.end();
    if (absent && HasQuotas(entity->type()) && QuotaConfigTable().Find(name) != nullptr) {
      rows.push_back({name, Json(), Json(), Json(), false, Json::array()});  // no limit
      continue;
    }
    if (absent && IsPassedOver(*configs, name)) continue;
    if (absent) {
      const std::string nearest = NearestName(name, known);
      return ReportError({v1::NOT_FOUND, fmt::format("there is no config '{}'", name)},
                         nearest.empty() ? "" : fmt::format("did you mean {}?", nearest));
    }
    const bool shown =
        !names.empty() || arguments.Has("all") || entry->second.source() != v1::CONFIG_SOURCE_DEFAULT;
    if (!shown) continue;
    rows.push_back({name, ValueOf(entry->second), ShortSourceName(entry->second.source()),
                    entry->second.default_value(), entry->second.read_only(),
                    SynonymTexts(entry->second, ShortSourceName)});
  }
  return Finish(WithPassedOver(std::move(rows), *configs, names, *format), *format);
}

int Change(const Arguments& arguments, const v1::AlterConfigsRequest::Change& change) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  return ChangeConfigs(**session, change, *format, arguments.Has("dry-run"));
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
    if (!change.mutable_set()->insert({parsed->first, parsed->second}).second)
      return ReportUsage(
          {v1::INVALID_REQUEST, fmt::format("config '{}' is given twice; leave one out", parsed->first)});
  }
  return Change(arguments, change);
}

int RunUnset(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positionals();
  const auto entity = ParseEntity(words[0]);
  if (!entity) return ReportUsage(entity.error());
  v1::AlterConfigsRequest::Change change;
  *change.mutable_entity() = *entity;
  for (size_t i = 1; i < words.size(); ++i) change.add_remove(words[i]);
  return Change(arguments, change);
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
  if (!session) return ReportOpening(session.error());
  std::vector<std::map<std::string, Entry>> configs;
  for (const v1::ConfigEntity& entity : entities) {
    auto one = ConfigsOf(**session, entity);
    if (!one) return ReportError(one.error());
    configs.push_back(std::move(one->in_force));
  }
  const bool two = words.size() > 1;
  Listing listing({"name", words[0], two ? words[1] : "default"});
  // What only one of two has (clients: quotas without a default) differs as well.
  std::set<std::string> names;
  for (const auto& side : configs) {
    for (const auto& [name, entry] : side) names.insert(name);
  }
  const auto value = [&](size_t side, const std::string& name) {
    const auto entry = configs[side].find(name);
    return entry == configs[side].end() ? Json() : ValueOf(entry->second);
  };
  for (const std::string& name : names) {
    const Json one = value(0, name);
    const Json other = two ? value(1, name) : Json(configs[0].at(name).default_value());
    if (one != other) listing.Add({name, one, other});
  }
  return Finish(listing, *format);
}

}  // namespace

int ChangeConfigs(ToolSession& session, const v1::AlterConfigsRequest::Change& change, OutputFormat format,
                  bool dry_run) {
  const auto before = ConfigsOf(session, change.entity());
  if (!before) return ReportError(before.error());
  if (const auto sent = SendChange(session, change, dry_run); !sent) return ReportError(sent.error());
  Listing listing({"name", "before", "after"});
  const auto old = [&](const std::string& name) {
    const auto entry = before->in_force.find(name);
    return entry == before->in_force.end() ? Json() : ValueOf(entry->second);
  };
  // What comes into force when the entity's own value goes.
  const auto next = [&](const std::string& name) {
    const auto entry = before->in_force.find(name);
    if (entry == before->in_force.end() || entry->second.sensitive()) return Json();
    for (const auto& synonym : entry->second.synonyms()) {
      if (synonym.source() != OwnSource(change.entity())) return Json(synonym.value());
    }
    return Json();
  };
  const std::map<std::string, std::string> set(change.set().begin(), change.set().end());
  for (const auto& [name, value] : set) listing.Add({name, old(name), value});
  for (const std::string& name : change.remove()) listing.Add({name, old(name), next(name)});
  if (dry_run) fmt::print(stderr, "nothing was changed (--dry-run)\n");
  return Finish(listing, format);
}

std::vector<Command> ConfigVerbs() {
  const PositionalSpec entity{
      .name = "topic/NAME|broker/ID|brokers|client/ID|clients|user/NAME[/client/ID]|users", .required = true};
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
       .examples = {"tidemark config set topic/orders retention.ms=86400000 min.insync.replicas=2",
                    "tidemark config set brokers log.retention.ms=86400000",
                    "tidemark config set client/batch-load producer_byte_rate=1048576"},
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
       .summary = "shows what differs from the defaults, or between two topics, brokers, clients or users",
       .examples = {"tidemark config diff topic/orders", "tidemark config diff topic/orders topic/clicks"},
       .flags = ReadingFlags({}),
       .positionals = {entity, {.name = "OTHER"}},
       .run = RunDiff},
  };
}

}  // namespace tidemark
