// ConfigTable: the known config names of one kind of thing (brokers, topics), each with type, default,
// bounds, unit and meaning. The one table feeds checking, "did you mean", describe-configs and
// docs/configuration.md. Immutable after construction; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/properties.h"
#include "common/result.h"

namespace tidemark {

enum class ConfigType { kBool, kInt, kDouble, kString, kList };
// kNone: known (Kafka has it) and taken, without effect yet; the broker warns once where it is set.
enum class ConfigEffect { kInForce, kNone };
// Of broker configs: whether /config/brokers may hold them, for one broker alone, also as the default of all,
// or only so (kSameForAll: brokers must agree). The configs of other things can all be changed at run time.
enum class ConfigScope { kReadOnly, kPerBroker, kClusterWide, kSameForAll };

struct ConfigDef {
  const char* name;
  ConfigType type;
  // As text; "" is "not set". For kInt also "" allowed when `optional`.
  std::string default_value;
  const char* unit;  // "ms", "bytes", "" ...
  const char* doc;   // one sentence
  ConfigEffect effect = ConfigEffect::kInForce;
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
  std::vector<std::string> allowed = {};  // for strings and list members; empty: any
  ConfigScope scope = ConfigScope::kReadOnly;
};

class ConfigTable {
 public:
  // `kind` is for messages: "broker", "topic".
  ConfigTable(const char* kind, std::vector<ConfigDef> defs);

  const ConfigDef* Find(std::string_view name) const;
  const std::vector<ConfigDef>& defs() const { return defs_; }
  std::vector<std::string> Names() const;

  // INVALID_CONFIG: an unknown name (with the nearest one), a value of the wrong type or out of bounds.
  Result<> Check(std::string_view name, std::string_view value) const;
  Result<> Check(const Properties& values) const;

 private:
  const char* kind_;
  std::vector<ConfigDef> defs_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Values checked against a table, read by type. A name that the table does not know is a broken invariant
// (CHECK).
class ConfigValues {
 public:
  ConfigValues(const ConfigTable& table, const Properties& values) : table_(table), values_(values) {}
  bool IsSet(std::string_view name) const { return values_.contains(name); }
  std::string Text(std::string_view name) const;
  bool Bool(std::string_view name) const;
  int64_t Int(std::string_view name) const;
  double Double(std::string_view name) const;
  std::vector<std::string> List(std::string_view name) const { return CommaList(Text(name)); }

 private:
  const ConfigTable& table_;
  const Properties& values_;
};

}  // namespace tidemark
