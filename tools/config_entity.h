// What tidemark-configs is asked about and told, from its flags. Pure, but for --add-config-file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "tidemark/v1/admin_api.pb.h"
#include "tools/arguments.h"

namespace tidemark {

// One entity, the default of its kind, or (`name` and `is_default` not given) all of a kind. A user may stand
// with a client (quotas of the two together).
struct ConfigSubject {
  v1::ConfigEntityType type = v1::CONFIG_ENTITY_TYPE_UNSPECIFIED;
  std::string name;
  bool is_default = false;
  bool with_client = false;
  std::string client{};  // empty: any

  bool all() const { return name.empty() && !is_default; }
  v1::ConfigEntity ToEntity() const;
};

// "topics", "brokers", "clients", "users".
std::string_view PluralOf(v1::ConfigEntityType type);
// "topic", ...
std::string SingularOf(v1::ConfigEntityType type);

// --entity-type with --entity-name or --entity-default, or one of the short forms; of users and clients one
// each, in either order. INVALID_REQUEST says what is missing or too much.
Result<ConfigSubject> SubjectOf(const Arguments& arguments);

// "a=1,b=[x,y]": brackets keep a value with commas together, as in Kafka. INVALID_REQUEST: also a name that
// is there twice.
Result<std::map<std::string, std::string>> ParseAddConfig(std::string_view text);

// The NAME=VALUE pairs of a repeated flag; INVALID_REQUEST: also a name that is there twice.
Result<std::map<std::string, std::string>> ConfigsOfFlag(const Arguments& arguments, std::string_view flag);

// The change that --add-config, --add-config-file and --delete-config ask for. INVALID_REQUEST: none,
// or one that is given twice, or to be set and deleted.
Result<v1::AlterConfigsRequest::Change> ChangeOf(const Arguments& arguments, const ConfigSubject& subject);

// The flags of these.
std::vector<FlagSpec> ConfigEntityFlags();

}  // namespace tidemark
