#include "common/config/config_table.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include <glog/logging.h>

#include "common/nearest_name.h"

namespace tidemark {
namespace {

std::optional<int64_t> ParseInt(std::string_view text) {
  int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> ParseDouble(std::string_view text) {
  double value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> ParseBool(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "true") return true;
  if (lower == "false") return false;
  return std::nullopt;
}

std::string Unit(const ConfigDef& def) {
  return *def.unit == '\0' ? std::string() : fmt::format(" ({})", def.unit);
}

Result<> CheckInt(const ConfigDef& def, std::string_view value) {
  const std::optional<int64_t> number = ParseInt(value);
  if (!number)
    return Fail(v1::INVALID_CONFIG, "{}={}: a whole number is needed{}", def.name, value, Unit(def));
  if (*number < def.min) {
    return Fail(v1::INVALID_CONFIG, "{}={}: must be at least {}{}", def.name, value, def.min, Unit(def));
  }
  if (*number > def.max) {
    return Fail(v1::INVALID_CONFIG, "{}={}: must be at most {}{}", def.name, value, def.max, Unit(def));
  }
  return {};
}

Result<> CheckDouble(const ConfigDef& def, std::string_view value) {
  const std::optional<double> number = ParseDouble(value);
  if (!number) return Fail(v1::INVALID_CONFIG, "{}={}: a number is needed{}", def.name, value, Unit(def));
  const bool too_large =
      def.max != std::numeric_limits<int64_t>::max() && *number > static_cast<double>(def.max);
  if (*number < static_cast<double>(def.min) || too_large) {
    return Fail(v1::INVALID_CONFIG, "{}={}: must be from {} to {}", def.name, value, def.min, def.max);
  }
  return {};
}

Result<> CheckAllowed(const ConfigDef& def, std::string_view value) {
  if (def.allowed.empty() || std::ranges::find(def.allowed, value) != def.allowed.end()) return {};
  // The empty one is "not set".
  std::string words;
  for (const std::string& word : def.allowed) {
    if (!word.empty()) words += (words.empty() ? "" : ", ") + word;
  }
  return Fail(v1::INVALID_CONFIG, "{}={}: must be one of {}", def.name, value, words);
}

Result<> CheckValue(const ConfigDef& def, std::string_view value) {
  // An empty value says "not set" where that is the default ("log.roll.ms=").
  if (value.empty() && def.default_value.empty()) return {};
  switch (def.type) {
    case ConfigType::kBool:
      if (!ParseBool(value)) return Fail(v1::INVALID_CONFIG, "{}={}: must be true or false", def.name, value);
      return {};
    case ConfigType::kInt:
      return CheckInt(def, value);
    case ConfigType::kDouble:
      return CheckDouble(def, value);
    case ConfigType::kString:
      return CheckAllowed(def, value);
    case ConfigType::kList:
      for (const std::string& part : CommaList(value)) TM_RETURN_IF_ERROR(CheckAllowed(def, part));
      return {};
  }
  return {};
}

}  // namespace

ConfigTable::ConfigTable(const char* kind, std::vector<ConfigDef> defs)
    : kind_(kind), defs_(std::move(defs)) {
  for (size_t i = 0; i < defs_.size(); ++i) {
    CHECK(by_name_.emplace(defs_[i].name, i).second) << defs_[i].name << " is twice in the table";
    const Result<> checked = CheckValue(defs_[i], defs_[i].default_value);
    CHECK(checked) << "default of " << ToString(checked.error());
  }
}

const ConfigDef* ConfigTable::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &defs_[it->second];
}

std::vector<std::string> ConfigTable::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, index] : by_name_) names.push_back(name);
  return names;
}

Result<> ConfigTable::Check(std::string_view name, std::string_view value) const {
  const ConfigDef* def = Find(name);
  if (def != nullptr) return CheckValue(*def, value);
  const std::string nearest = NearestName(name, Names());
  if (nearest.empty()) return Fail(v1::INVALID_CONFIG, "there is no {} config '{}'", kind_, name);
  return Fail(v1::INVALID_CONFIG, "there is no {} config '{}'; did you mean '{}'?", kind_, name, nearest);
}

Result<> ConfigTable::Check(const Properties& values) const {
  for (const auto& [name, value] : values) TM_RETURN_IF_ERROR(Check(name, value));
  return {};
}

std::string ConfigValues::Text(std::string_view name) const {
  const auto it = values_.find(name);
  if (it != values_.end()) return it->second;
  const ConfigDef* def = table_.Find(name);
  CHECK(def != nullptr) << "no config '" << name << "'";
  return def->default_value;
}

bool ConfigValues::Bool(std::string_view name) const {
  const std::optional<bool> value = ParseBool(Text(name));
  CHECK(value) << name << " was not checked";
  return *value;
}

int64_t ConfigValues::Int(std::string_view name) const {
  const std::optional<int64_t> value = ParseInt(Text(name));
  CHECK(value) << name << " was not checked";
  return *value;
}

double ConfigValues::Double(std::string_view name) const {
  const std::optional<double> value = ParseDouble(Text(name));
  CHECK(value) << name << " was not checked";
  return *value;
}

}  // namespace tidemark
