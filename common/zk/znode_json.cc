#include "common/zk/znode_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace tidemark::znode_json {
namespace {

// Deep nesting would exhaust the stack when such a member is written back.
constexpr int kMaxDepth = 64;

bool TooDeep(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

// Discarded where the text is not JSON.
Json Parse(std::string_view text) {
  if (TooDeep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, false);
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// A value for a message, kept short.
std::string Show(const Json& value) {
  std::string text = Dump(value);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

}  // namespace

Reader::Reader(std::string_view what, std::string_view json) : what_(what), json_(Parse(json)) {
  if (json_.is_discarded()) {
    error_ = fmt::format("{} znode: not JSON ({} bytes)", what_, json.size());
    json_ = Json::object();
  } else if (!json_.is_object()) {
    error_ = fmt::format("{} znode: not a JSON object", what_);
    json_ = Json::object();
  }
  Known("version");
}

void Reader::Known(std::string_view member) { known_.emplace_back(member); }

void Reader::Fault(std::string_view member, std::string_view message) {
  if (error_.empty()) error_ = fmt::format("{} znode: member '{}': {}", what_, member, message);
}

const Json* Reader::Find(std::string_view member) {
  Known(member);
  const auto it = json_.find(std::string(member));
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

const Json* Reader::Need(std::string_view member) {
  const Json* value = Find(member);
  if (value == nullptr) Fault(member, "missing");
  return value;
}

int64_t Reader::IntegerOf(const Json& value, std::string_view member, int64_t min, int64_t max) {
  const bool fits = value.is_number_integer() && (!value.is_number_unsigned() ||
                                                  value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (!fits) {
    Fault(member, fmt::format("{} is not an integer", Show(value)));
    return 0;
  }
  const int64_t number = value.get<int64_t>();
  if (number < min || number > max) {
    Fault(member, fmt::format("{} is not within {} and {}", number, min, max));
    return 0;
  }
  return number;
}

int64_t Reader::Integer(std::string_view member, int64_t min, int64_t max) {
  const Json* value = Need(member);
  return value == nullptr ? 0 : IntegerOf(*value, member, min, max);
}

int64_t Reader::IntegerOr(std::string_view member, int64_t absent, int64_t min, int64_t max) {
  const Json* value = Find(member);
  return value == nullptr ? absent : IntegerOf(*value, member, min, max);
}

int64_t Reader::Timestamp(std::string_view member) {
  const Json* value = Find(member);
  if (value == nullptr) return -1;
  if (!value->is_string()) return IntegerOf(*value, member, INT64_MIN, INT64_MAX);
  const auto& text = value->get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    Fault(member, fmt::format("{} is not a time in milliseconds", Show(*value)));
    return -1;
  }
  return number;
}

std::string Reader::String(std::string_view member) {
  const Json* value = Need(member);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    Fault(member, fmt::format("{} is not a string", Show(*value)));
    return {};
  }
  return value->get<std::string>();
}

std::string Reader::StringOr(std::string_view member, std::string_view absent) {
  return Find(member) == nullptr ? std::string(absent) : String(member);
}

bool Reader::BoolOr(std::string_view member, bool absent) {
  const Json* value = Find(member);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) {
    Fault(member, fmt::format("{} is neither true nor false", Show(*value)));
    return absent;
  }
  return value->get<bool>();
}

std::vector<int32_t> Reader::BrokersOf(const Json& value, const std::string& name) {
  std::vector<int32_t> brokers;
  if (!value.is_array()) {
    Fault(name, fmt::format("{} is not an array of broker ids", Show(value)));
    return brokers;
  }
  std::set<int32_t> seen;
  for (const Json& item : value) {
    const auto broker = static_cast<int32_t>(IntegerOf(item, name, 0, INT32_MAX));
    if (!ok()) return {};
    if (!seen.insert(broker).second) {
      Fault(name, fmt::format("broker {} is named twice", broker));
      return {};
    }
    brokers.push_back(broker);
  }
  return brokers;
}

std::vector<int32_t> Reader::Brokers(std::string_view member) {
  const Json* value = Need(member);
  return value == nullptr ? std::vector<int32_t>() : BrokersOf(*value, std::string(member));
}

const Json* Reader::Object(std::string_view member) {
  const Json* value = Find(member);
  if (value != nullptr && !value->is_object()) {
    Fault(member, fmt::format("{} is not an object", Show(*value)));
    return nullptr;
  }
  return value;
}

std::string Reader::Unknown() const {
  Json rest = Json::object();
  for (const auto& [name, value] : json_.items()) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) rest[name] = value;
  }
  return rest.empty() ? std::string() : Dump(rest);
}

Result<> Reader::Finish() const {
  if (!error_.empty()) return Fail(v1::CORRUPT_MESSAGE, "{}", error_);
  return {};
}

std::string Write(Json json, std::string_view unknown, const std::vector<std::string_view>& replaceable) {
  if (!unknown.empty()) {
    const Json rest = Parse(unknown);
    if (rest.is_object()) {
      for (const auto& [name, value] : rest.items()) {
        const bool replace = std::find(replaceable.begin(), replaceable.end(), name) != replaceable.end();
        if (replace || !json.contains(name)) json[name] = value;
      }
    }
  }
  return Dump(json);
}

}  // namespace tidemark::znode_json
