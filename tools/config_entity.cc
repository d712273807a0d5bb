#include "tools/config_entity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

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

// What the flags name, one thing at a time.
struct Named {
  const Kind* kind = nullptr;
  std::string name;
  bool is_default = false;
};

Result<const Kind*> KindByType(const std::string& type) {
  std::vector<std::string> known;
  for (const Kind& kind : kKinds) {
    if (kind.plural == type) return &kind;
    known.emplace_back(kind.plural);
  }
  const std::string nearest = NearestName(type, known);
  return Fail(v1::INVALID_REQUEST, "--entity-type '{}' has no configs here; it takes: {}{}", type,
              fmt::format("{}, {}, {}, {}", known[0], known[1], known[2], known[3]),
              nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest));
}

// The types, and the names and defaults in the order in which they stand beside them.
Result<std::vector<Named>> ByType(const Arguments& arguments) {
  std::vector<Named> out;
  for (const std::string& type : arguments.All("entity-type")) {
    TM_ASSIGN_OR_RETURN(const Kind* const kind, KindByType(type));
    out.push_back({.kind = kind, .name = {}});
  }
  const std::vector<std::string> names = arguments.All("entity-name");
  size_t at = 0, next_name = 0;
  for (const std::string& flag : arguments.All("")) {
    const bool is_default = flag == "entity-default";
    if (!is_default && flag != "entity-name") continue;
    if (out.empty()) {
      return Fail(v1::INVALID_REQUEST, "--entity-type topics|brokers|clients|users is required with it");
    }
    if (at == out.size()) {
      const bool both = out.size() == 1 && arguments.Has("entity-default") && !names.empty();
      return Fail(v1::INVALID_REQUEST, "{}",
                  both ? "--entity-name and --entity-default exclude each other"
                       : "there are more names than --entity-type");
    }
    Named& named = out[at++];
    if (is_default && named.kind->default_flag == nullptr) {
      return Fail(v1::INVALID_REQUEST,
                  "{} have no default here: what a topic does not set comes from its "
                  "broker (--broker-defaults)",
                  named.kind->plural);
    }
    named.is_default = is_default;
    if (!is_default) named.name = names[next_name++];
    if (!is_default && named.name.empty()) {
      return Fail(v1::INVALID_REQUEST, "--entity-name is empty; the default of all is --entity-default");
    }
  }
  if (at > 0 && at < out.size()) {
    return Fail(v1::INVALID_REQUEST, "{} has neither --entity-name nor --entity-default",
                out[at].kind->plural);
  }
  return out;
}

// One thing, or a user and a client.
Result<ConfigSubject> Together(const std::vector<Named>& named) {
  const Named* user = nullptr;
  const Named* client = nullptr;
  for (const Named& one : named) {
    // Without a name it is all of them.
    const bool number = std::ranges::all_of(one.name, [](char c) { return c >= '0' && c <= '9'; });
    if (one.kind->type == v1::CONFIG_ENTITY_TYPE_BROKER && !one.is_default && !number)
      return Fail(v1::INVALID_REQUEST, "'{}' is not a broker's id, which is a number", one.name);
    if (one.kind->type == v1::CONFIG_ENTITY_TYPE_USER) user = &one;
    if (one.kind->type == v1::CONFIG_ENTITY_TYPE_CLIENT) client = &one;
  }
  if (named.size() == 1) {
    return ConfigSubject{
        .type = named[0].kind->type, .name = named[0].name, .is_default = named[0].is_default};
  }
  if (named.size() != 2 || user == nullptr || client == nullptr) {
    return Fail(v1::INVALID_REQUEST,
                "name one thing, or a user and a client: configs of several at a time are not taken");
  }
  return ConfigSubject{.type = v1::CONFIG_ENTITY_TYPE_USER,
                       .name = user->name,
                       .is_default = user->is_default,
                       .with_client = true,
                       .client = client->name};
}

std::unexpected<Error> GivenTwice(const std::string& name) {
  return Fail(v1::INVALID_REQUEST, "config '{}' is given twice; leave one out", name);
}

}  // namespace

v1::ConfigEntity ConfigSubject::ToEntity() const {
  v1::ConfigEntity out;
  out.set_type(type);
  out.set_name(name);
  if (with_client) out.set_client_id(client);
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
  TM_ASSIGN_OR_RETURN(std::vector<Named> named, ByType(arguments));
  for (const Kind& kind : kKinds) {
    if (const auto name = arguments.Get(kind.name_flag)) {
      if (name->empty()) return Fail(v1::INVALID_REQUEST, "--{} is empty", kind.name_flag);
      named.push_back({.kind = &kind, .name = *name});
    }
    if (kind.default_flag != nullptr && arguments.Has(kind.default_flag)) {
      named.push_back({.kind = &kind, .name = {}, .is_default = true});
    }
  }
  if (named.empty()) {
    return Fail(v1::INVALID_REQUEST,
                "--entity-type topics|brokers|clients|users is required, or --topic, "
                "--broker, --client, --user, --broker-defaults, --client-defaults or --user-defaults");
  }
  return Together(named);
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
    const std::string name(Trimmed(part.substr(0, equals)));
    if (!values.emplace(name, value).second) return GivenTwice(name);
    text = end < text.size() ? text.substr(end + 1) : std::string_view();
  }
  return values;
}

Result<std::map<std::string, std::string>> ConfigsOfFlag(const Arguments& arguments, std::string_view flag) {
  TM_ASSIGN_OR_RETURN(auto configs, arguments.GetProperties(flag));
  std::set<std::string> names;
  for (const std::string& text : arguments.All(flag)) {
    const std::string name(Trimmed(std::string_view(text).substr(0, text.find('='))));
    if (!names.insert(name).second) return GivenTwice(name);
  }
  return configs;
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
  std::set<std::string> added, removed;
  for (const std::string& text : arguments.All("add-config")) {
    TM_ASSIGN_OR_RETURN(const auto values, ParseAddConfig(text));
    for (const auto& [name, value] : values) {
      if (!added.insert(name).second) return GivenTwice(name);
      (*change.mutable_set())[name] = value;
    }
  }
  for (const std::string& text : arguments.All("delete-config")) {
    for (const std::string& name : CommaList(text)) {
      if (change.set().contains(name))
        return Fail(v1::INVALID_REQUEST, "config '{}' is to be set and to be deleted; which?", name);
      // Twice is as once.
      if (removed.insert(name).second) change.add_remove(name);
    }
  }
  if (change.set().empty() && change.remove().empty()) {
    return Fail(v1::INVALID_REQUEST,
                "--alter needs --add-config name=value, --add-config-file FILE or --delete-config name");
  }
  return change;
}

std::vector<FlagSpec> ConfigEntityFlags() {
  return {
      {"entity-type", "topics|brokers|clients|users",
       "What has the configs; users and clients together have quotas of their own.", true},
      {"entity-name", "NAME", "Whose configs: a topic's name, a broker's id, a client id, a user's name.",
       true},
      {"entity-default", "", "The default of all brokers, clients or users.", true},
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
