#include "tools/config_entity.h"

#include <fmt/format.h>

#include <array>

#include "common/config/properties.h"
#include "common/nearest_name.h"
#include "tools/property_flags.h"

namespace tidemark {
namespace {

struct Kind {
  v1::ConfigEntityType type;
  std::string_view plural;
  const char* name_flag;     // --topic NAME
  const char* default_flag;  // --broker-defaults; null where there is no default
};
constexpr std::array kKinds = {
    Kind{v1::CONFIG_ENTITY_TYPE_TOPIC, "topics", "topic", nullptr},
    Kind{v1::CONFIG_ENTITY_TYPE_BROKER, "brokers", "broker", "broker-defaults"},
    Kind{v1::CONFIG_ENTITY_TYPE_CLIENT, "clients", "client", "client-defaults"},
    Kind{v1::CONFIG_ENTITY_TYPE_USER, "users", "user", "user-defaults"},
};

const Kind* KindOf(v1::ConfigEntityType type) {
  for (const Kind& kind : kKinds) {
    if (kind.type == type) return &kind;
  }
  return nullptr;
}

Result<ConfigSubject> ByType(const Arguments& arguments, const std::string& type) {
  std::vector<std::string> known;
  for (const Kind& kind : kKinds) {
    known.emplace_back(kind.plural);
    if (kind.plural != type) continue;
    ConfigSubject out{.type = kind.type,
                      .name = arguments.GetOr("entity-name", ""),
                      .is_default = arguments.Has("entity-default")};
    if (out.is_default && !out.name.empty()) {
      return Fail(v1::INVALID_REQUEST, "--entity-name and --entity-default exclude each other");
    }
    if (out.is_default && kind.default_flag == nullptr) {
      return Fail(v1::INVALID_REQUEST,
                  "{} have no default here: what a topic does not set comes from its "
                  "broker (--broker-defaults)",
                  type);
    }
    if (arguments.Has("entity-name") && out.name.empty()) {
      return Fail(v1::INVALID_REQUEST, "--entity-name is empty; the default of all is --entity-default");
    }
    return out;
  }
  const std::string nearest = NearestName(type, known);
  return Fail(v1::INVALID_REQUEST, "--entity-type '{}' has no configs here; it takes: {}{}", type,
              fmt::format("{}, {}, {}, {}", known[0], known[1], known[2], known[3]),
              nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest));
}

}  // namespace

v1::ConfigEntity ConfigSubject::ToEntity() const {
  v1::ConfigEntity out;
  out.set_type(type);
  out.set_name(name);
  return out;
}

std::string_view PluralOf(v1::ConfigEntityType type) {
  const Kind* kind = KindOf(type);
  return kind == nullptr ? std::string_view() : kind->plural;
}

std::string SingularOf(v1::ConfigEntityType type) {
  const std::string_view plural = PluralOf(type);
  return std::string(plural.substr(0, plural.empty() ? 0 : plural.size() - 1));
}

Result<ConfigSubject> SubjectOf(const Arguments& arguments) {
  std::vector<ConfigSubject> named;
  for (const Kind& kind : kKinds) {
    if (const auto name = arguments.Get(kind.name_flag)) {
      if (name->empty()) return Fail(v1::INVALID_REQUEST, "--{} is empty", kind.name_flag);
      named.push_back({.type = kind.type, .name = *name});
    }
    if (kind.default_flag != nullptr && arguments.Has(kind.default_flag)) {
      named.push_back({.type = kind.type, .name = {}, .is_default = true});
    }
  }
  const std::optional<std::string> type = arguments.Get("entity-type");
  if (named.size() + (type ? 1 : 0) > 1) {
    return Fail(v1::INVALID_REQUEST, "name one thing: configs of several at a time are not taken");
  }
  if (type) return ByType(arguments, *type);
  if (arguments.Has("entity-name") || arguments.Has("entity-default")) {
    return Fail(v1::INVALID_REQUEST, "--entity-type topics|brokers|clients|users is required with it");
  }
  if (named.empty()) {
    return Fail(v1::INVALID_REQUEST,
                "--entity-type topics|brokers|clients|users is required, or --topic, "
                "--broker, --client, --user, --broker-defaults, --client-defaults or --user-defaults");
  }
  return named.front();
}

Result<std::map<std::string, std::string>> ParseAddConfig(std::string_view text) {
  std::map<std::string, std::string> values;
  while (!Trimmed(text).empty()) {
    size_t depth = 0, end = 0;
    for (; end < text.size() && (text[end] != ',' || depth > 0); ++end) {
      if (text[end] == '[') ++depth;
      if (text[end] == ']' && depth > 0) --depth;
    }
    const std::string_view part = Trimmed(text.substr(0, end));
    if (depth > 0) {
      return Fail(v1::INVALID_REQUEST,
                  "--add-config '{}' has a '[' without its ']'; write name=[a,b],other=value", part);
    }
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

Result<v1::AlterConfigsRequest::Change> ChangeOf(const Arguments& arguments, const ConfigSubject& subject) {
  if (subject.all()) {
    return Fail(v1::INVALID_REQUEST, "--alter needs --entity-name NAME{}",
                subject.type == v1::CONFIG_ENTITY_TYPE_TOPIC ? "" : " or --entity-default");
  }
  v1::AlterConfigsRequest::Change change;
  *change.mutable_entity() = subject.ToEntity();
  TM_ASSIGN_OR_RETURN(const auto file, PropertiesOfFlag(arguments, "add-config-file"));
  change.mutable_set()->insert(file.begin(), file.end());
  for (const std::string& text : arguments.All("add-config")) {
    TM_ASSIGN_OR_RETURN(const auto values, ParseAddConfig(text));
    for (const auto& [name, value] : values) (*change.mutable_set())[name] = value;
  }
  for (const std::string& text : arguments.All("delete-config")) {
    for (const std::string& name : CommaList(text)) change.add_remove(name);
  }
  if (change.set().empty() && change.remove().empty()) {
    return Fail(v1::INVALID_REQUEST,
                "--alter needs --add-config name=value, --add-config-file FILE or --delete-config name");
  }
  return change;
}

std::vector<FlagSpec> ConfigEntityFlags() {
  return {
      {"entity-type", "topics|brokers|clients|users", "What has the configs."},
      {"entity-name", "NAME", "Whose configs: a topic's name, a broker's id, a client id, a user's name."},
      {"entity-default", "", "The default of all brokers, clients or users."},
      {"topic", "NAME", "Short for --entity-type topics --entity-name NAME."},
      {"broker", "ID", "Short for --entity-type brokers --entity-name ID."},
      {"client", "ID", "Short for --entity-type clients --entity-name ID."},
      {"user", "NAME", "Short for --entity-type users --entity-name NAME."},
      {"broker-defaults", "", "Short for --entity-type brokers --entity-default."},
      {"client-defaults", "", "Short for --entity-type clients --entity-default."},
      {"user-defaults", "", "Short for --entity-type users --entity-default."},
      {"add-config", "NAME=VALUE,...", "Sets configs; [a,b] keeps a value with commas together.", true},
      {"add-config-file", "FILE", "Sets the configs in a properties file; --add-config counts before it."},
      {.name = "delete-config",
       .value = "NAME,...",
       .help = "Returns configs to their defaults; '= VALUE' after it is passed over.",
       .repeated = true,
       .drops_assignment = true},
  };
}

}  // namespace tidemark
