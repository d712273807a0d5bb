#include "tools/record_format.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/dump_log_writer.h"

namespace tidemark {
namespace {

constexpr std::string_view kKnown = "tpokvshTdKSVR";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The character that an escape at the start of `text` stands for, and how many characters of `text` it takes.
std::pair<char, size_t> Escaped(std::string_view text) {
  const char next = text.size() > 1 ? text[1] : '\\';
  switch (next) {
    case 'n':
      return {'\n', 2};
    case 't':
      return {'\t', 2};
    case 'r':
      return {'\r', 2};
    case '0':
      return {'\0', 2};
    case '\\':
      return {'\\', text.size() > 1 ? 2u : 1u};
    case 'x':
      if (text.size() >= 4 && HexDigit(text[2]) >= 0 && HexDigit(text[3]) >= 0)
        return {static_cast<char>(HexDigit(text[2]) * 16 + HexDigit(text[3])), 4};
      break;
    default:
      break;
  }
  return {'\\', 1};
}

void AppendHeaders(const RecordView& view, std::string* out) {
  HeaderView header;
  bool first = true;
  for (HeaderCursor cursor = view.headers(); cursor.Next(&header); first = false) {
    if (!first) *out += ',';
    *out += header.key;
    *out += '=';
    if (header.value) *out += *header.value;
  }
}

nlohmann::ordered_json BytesJson(const std::optional<std::string_view>& bytes) {
  return nlohmann::ordered_json::parse(JsonOfBytes(bytes), nullptr, /*allow_exceptions=*/false);
}

nlohmann::ordered_json RecordJson(const std::string& topic, const ConsumedRecord& record) {
  const RecordView& view = record.view;
  nlohmann::ordered_json headers = nlohmann::ordered_json::array();
  HeaderView header;
  for (HeaderCursor cursor = view.headers(); cursor.Next(&header);)
    headers.push_back({{"key", std::string(header.key)}, {"value", BytesJson(header.value)}});
  return {{"topic", topic},
          {"partition", record.partition},
          {"offset", view.offset},
          {"timestamp", view.timestamp},
          {"key", BytesJson(view.key)},
          {"value", BytesJson(view.value)},
          {"headers", std::move(headers)}};
}

int64_t SizeOf(const std::optional<std::string_view>& bytes) {
  return bytes ? static_cast<int64_t>(bytes->size()) : -1;
}

}  // namespace

const char* RecordFormat::Tokens() {
  return "%t topic, %p partition, %o offset, %k key, %v value, %h headers, %T timestamp, %K and %S bytes of "
         "key and value, %R those of the value as four bytes, big-endian; \\n \\t \\xHH. 'json': an object a "
         "line.";
}

Result<RecordFormat> RecordFormat::Of(std::string_view text) {
  RecordFormat format;
  if (text == "json") {
    format.json_ = true;
    return format;
  }
  std::string literal;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\\') {
      const auto [character, length] = Escaped(text.substr(i));
      literal += character;
      i += length;
    } else if (text[i] == '%') {
      const char token = i + 1 < text.size() ? text[i + 1] : '\0';
      i += 2;
      if (token == '%') {
        literal += '%';
        continue;
      }
      if (token == '\0' || kKnown.find(token) == std::string_view::npos) {
        return Fail(v1::INVALID_REQUEST, "the format '{}' has no token after % where it needs one of {}",
                    text, kKnown);
      }
      if (!literal.empty()) format.parts_.push_back({0, std::move(literal)});
      literal.clear();
      format.parts_.push_back({token, {}});
    } else {
      literal += text[i++];
    }
  }
  if (!literal.empty()) format.parts_.push_back({0, std::move(literal)});
  return format;
}

void RecordFormat::Append(const std::string& topic, const ConsumedRecord& record, std::string* out) const {
  if (json_) {
    *out += RecordJson(topic, record).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    *out += '\n';
    return;
  }
  const RecordView& view = record.view;
  for (const Part& part : parts_) {
    switch (part.token) {
      case 0:
        *out += part.text;
        break;
      case 't':
        *out += topic;
        break;
      case 'p':
        *out += std::to_string(record.partition);
        break;
      case 'o':
        *out += std::to_string(view.offset);
        break;
      case 'k':
        *out += view.key.value_or("");
        break;
      case 'v':
      case 's':
        *out += view.value.value_or("");
        break;
      case 'h':
        AppendHeaders(view, out);
        break;
      case 'T':
      case 'd':
        *out += std::to_string(view.timestamp);
        break;
      case 'K':
        *out += std::to_string(SizeOf(view.key));
        break;
      case 'S':
      case 'V':
        *out += std::to_string(SizeOf(view.value));
        break;
      case 'R': {
        // Four bytes, the most significant one first; -1 of no value.
        const auto size = static_cast<uint32_t>(SizeOf(view.value));
        for (const int shift : {24, 16, 8, 0}) *out += static_cast<char>(size >> shift & 0xFF);
        break;
      }
      default:
        break;
    }
  }
}

}  // namespace tidemark
