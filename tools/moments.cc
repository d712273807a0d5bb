#include "tools/moments.h"

#include <charconv>
#include <chrono>
#include <string_view>

#include "common/config/properties.h"

namespace tidemark {
namespace {

template <typename T>
std::optional<T> NumberIn(std::string_view text) {
  T value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "-2h" before `now`.
std::optional<WallMillis> Ago(std::string_view text, WallMillis now) {
  if (text.size() < 3 || text[0] != '-') return std::nullopt;
  int64_t unit = 0;
  switch (text.back()) {
    case 's':
      unit = 1000;
      break;
    case 'm':
      unit = 60'000;
      break;
    case 'h':
      unit = 3'600'000;
      break;
    case 'd':
      unit = 86'400'000;
      break;
    default:
      return std::nullopt;
  }
  const auto amount = NumberIn<uint32_t>(text.substr(1, text.size() - 2));
  if (!amount) return std::nullopt;
  return now - static_cast<int64_t>(*amount) * unit;
}

// "2026-01-02", "2026-01-02T03:04", "2026-01-02T03:04:05", with or without a Z.
std::optional<WallMillis> Date(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  if (text.size() != 10 && text.size() != 16 && text.size() != 19) return std::nullopt;
  if (text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = NumberIn<int>(text.substr(0, 4));
  const auto month = NumberIn<unsigned>(text.substr(5, 2));
  const auto day = NumberIn<unsigned>(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  int64_t seconds = 0;
  if (text.size() > 10) {
    const auto hour = NumberIn<unsigned>(text.substr(11, 2));
    const auto minute = NumberIn<unsigned>(text.substr(14, 2));
    const auto second = text.size() > 16 ? NumberIn<unsigned>(text.substr(17, 2)) : 0u;
    const bool shaped =
        (text[10] == 'T' || text[10] == ' ') && text[13] == ':' && (text.size() < 19 || text[16] == ':');
    if (!shaped || !hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60)
      return std::nullopt;
    seconds = *hour * 3600 + *minute * 60 + *second;
  }
  return (days * 86400 + seconds) * 1000;
}

}  // namespace

Result<LogPlace> ParseLogPlace(const std::string& text, WallMillis now) {
  using Kind = LogPlace::Kind;
  if (text == "start" || text == "beginning" || text == "earliest") return LogPlace{Kind::kStart};
  if (text == "end" || text == "latest") return LogPlace{Kind::kEnd};
  if (text.starts_with('@')) {
    const std::string_view time = std::string_view(text).substr(1);
    if (const auto millis = NumberIn<int64_t>(time); millis && *millis >= 0)
      return LogPlace{Kind::kTimestamp, *millis};
    if (const auto moment = Ago(time, now)) return LogPlace{Kind::kTimestamp, std::max<int64_t>(*moment, 0)};
    if (const auto moment = Date(time); moment && *moment >= 0) return LogPlace{Kind::kTimestamp, *moment};
  } else if (const auto number = NumberIn<int64_t>(text)) {
    if (*number == INT64_MIN || text == "-0") return LogPlace{Kind::kEnd};
    return *number >= 0 ? LogPlace{Kind::kOffset, *number} : LogPlace{Kind::kFromEnd, -*number};
  }
  return Fail(
      v1::INVALID_REQUEST,
      "'{}' is no place in a log: start, end, an offset, -N for the last N, or @TIME (@2026-01-02T03:04 in "
      "UTC, @-2h, @1767323040000)",
      text);
}

Result<std::vector<PartitionIndex>> ParsePartitions(const std::string& text) {
  constexpr PartitionIndex kMost = 1'000'000;
  std::vector<PartitionIndex> out;
  for (const std::string& part : CommaList(text)) {
    const size_t dash = part.find('-');
    const auto first = NumberIn<PartitionIndex>(part.substr(0, dash));
    const auto last = dash == std::string::npos ? first : NumberIn<PartitionIndex>(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMost)
      return Fail(v1::INVALID_REQUEST, "'{}' is no list of partitions such as 0,2,5-7", text);
    for (PartitionIndex p = *first; p <= *last; ++p) out.push_back(p);
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace tidemark
