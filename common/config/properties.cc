#include "common/config/properties.h"

#include <array>
#include <charconv>

namespace tidemark {
namespace {

// UTF-8 of the blanks that people paste from documents: no-break, ogham, en quad to hair space, line and
// paragraph separator, narrow no-break, mathematical, zero width, ideographic, byte order mark.
constexpr std::array<std::string_view, 21> kWideBlanks = {
    "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
    "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u200b",
    "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\u2060"};

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\f' || c == '\r' || c == '\n' || c == '\v'; }

size_t LeadingBlank(std::string_view text) {
  if (text.empty()) return 0;
  if (IsBlank(text.front())) return 1;
  for (std::string_view blank : kWideBlanks) {
    if (text.starts_with(blank)) return blank.size();
  }
  return 0;
}

size_t TrailingBlank(std::string_view text) {
  if (text.empty()) return 0;
  if (IsBlank(text.back())) return 1;
  for (std::string_view blank : kWideBlanks) {
    if (text.ends_with(blank)) return blank.size();
  }
  return 0;
}

std::string_view TrimmedLeft(std::string_view text) {
  while (size_t n = LeadingBlank(text)) text.remove_prefix(n);
  return text;
}

// True when the line ends in an odd number of backslashes.
bool Continues(std::string_view line) {
  size_t slashes = 0;
  while (slashes < line.size() && line[line.size() - 1 - slashes] == '\\') ++slashes;
  return slashes % 2 == 1;
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (code >> 6)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xe0 | (code >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

Result<std::string> Unescape(std::string_view text, size_t line) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      if (text[i] != '\\') out.push_back(text[i]);
      continue;
    }
    const char c = text[++i];
    switch (c) {
      case 't':
        out.push_back('\t');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'u': {
        uint32_t code = 0;
        const std::string_view digits = text.substr(i + 1, 4);
        const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (digits.size() != 4 || status != std::errc() || end != digits.data() + 4) {
          return Fail(v1::INVALID_CONFIG, "line {}: \\u needs four hexadecimal digits", line);
        }
        AppendUtf8(code, &out);
        i += 4;
        break;
      }
      default:
        out.push_back(c);
    }
  }
  return out;
}

// Position of the first separator (=, : or a blank) that no backslash escapes.
size_t NameEnd(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '=' || text[i] == ':' || LeadingBlank(text.substr(i)) > 0) {
      return i;
    }
  }
  return text.size();
}

Result<> AddLine(std::string_view text, size_t line, Properties* out) {
  const size_t end = NameEnd(text);
  TM_ASSIGN_OR_RETURN(std::string name, Unescape(text.substr(0, end), line));
  if (name.empty()) return Fail(v1::INVALID_CONFIG, "line {}: no name before '{}'", line, text.substr(0, 20));
  std::string_view rest = TrimmedLeft(text.substr(end));
  if (!rest.empty() && (rest.front() == '=' || rest.front() == ':')) rest.remove_prefix(1);
  TM_ASSIGN_OR_RETURN(std::string value, Unescape(Trimmed(rest), line));
  (*out)[std::move(name)] = std::move(value);
  return {};
}

}  // namespace

std::string_view Trimmed(std::string_view text) {
  text = TrimmedLeft(text);
  while (size_t n = TrailingBlank(text)) text.remove_suffix(n);
  return text;
}

std::vector<std::string> CommaList(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = text.find(',');
    if (std::string_view part = Trimmed(text.substr(0, comma)); !part.empty()) parts.emplace_back(part);
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

Result<Properties> ParseProperties(std::string_view text) {
  Properties out;
  size_t number = 0;
  while (!text.empty()) {
    std::string logical;
    size_t first = number + 1;
    bool more = true;
    while (more && !text.empty()) {
      ++number;
      const size_t newline = text.find('\n');
      std::string_view line = text.substr(0, newline);
      text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.find('\0') != std::string_view::npos) {
        return Fail(v1::INVALID_CONFIG, "line {}: a NUL byte; is this a text file?", number);
      }
      line = TrimmedLeft(line);
      const bool comment = logical.empty() && (line.starts_with('#') || line.starts_with('!'));
      more = !comment && Continues(line);
      if (more) line.remove_suffix(1);
      if (!comment) logical += line;
    }
    if (std::string_view entry = TrimmedLeft(logical); !entry.empty()) {
      TM_RETURN_IF_ERROR(AddLine(entry, first, &out));
    }
  }
  return out;
}

Result<std::pair<std::string, std::string>> ParseAssignment(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view name = Trimmed(text.substr(0, equals));
  if (equals == std::string_view::npos || name.empty()) {
    return Fail(v1::INVALID_CONFIG, "'{}' is not name=value", text);
  }
  return std::pair(std::string(name), std::string(Trimmed(text.substr(equals + 1))));
}

}  // namespace tidemark
