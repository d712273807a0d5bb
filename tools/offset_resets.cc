#include "tools/offset_resets.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/config/properties.h"

namespace tidemark {
namespace {

// The protocol has offsets as signed numbers too, of which the negative ones have meanings of their own.
constexpr auto kLargestOffset = static_cast<Offset>(INT64_MAX);

template <typename T>
std::optional<T> NumberIn(std::string_view text) {
  T value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes exactly `digits` digits from the front.
std::optional<int> TakeDigits(std::string_view* text, size_t digits) {
  if (text->size() < digits || !std::all_of(text->begin(), text->begin() + static_cast<ptrdiff_t>(digits),
                                            [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  const auto value = NumberIn<int>(text->substr(0, digits));
  text->remove_prefix(digits);
  return value;
}

bool Take(std::string_view* text, char c) {
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

// "", "Z", "+hh", "+hhmm", "+hh:mm" in minutes.
std::optional<int> ZoneIn(std::string_view text) {
  if (text.empty() || text == "Z" || text == "z") return 0;
  const int sign = text.front() == '-' ? -1 : 1;
  if (!Take(&text, '+') && !Take(&text, '-')) return std::nullopt;
  const auto hours = TakeDigits(&text, 2);
  Take(&text, ':');
  const auto minutes = text.empty() ? std::optional(0) : TakeDigits(&text, 2);
  if (!hours || !minutes || !text.empty() || *hours > 18 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 60 + *minutes);
}

// The fraction of a second after a '.', in milliseconds.
std::optional<int> FractionIn(std::string_view* text) {
  int millis = 0;
  int digits = 0;
  for (; !text->empty() && text->front() >= '0' && text->front() <= '9'; text->remove_prefix(1), ++digits) {
    if (digits < 3) millis = millis * 10 + (text->front() - '0');
  }
  if (digits == 0 || digits > 9) return std::nullopt;
  for (; digits < 3; ++digits) millis *= 10;
  return millis;
}

std::optional<WallMillis> DateTimeIn(std::string_view text) {
  const auto year = TakeDigits(&text, 4);
  if (!year || !Take(&text, '-')) return std::nullopt;
  const auto month = TakeDigits(&text, 2);
  if (!month || !Take(&text, '-')) return std::nullopt;
  const auto day = TakeDigits(&text, 2);
  if (!day || (!Take(&text, 'T') && !Take(&text, ' '))) return std::nullopt;
  const auto hour = TakeDigits(&text, 2);
  if (!hour || !Take(&text, ':')) return std::nullopt;
  const auto minute = TakeDigits(&text, 2);
  std::optional<int> second = 0;
  std::optional<int> millis = 0;
  if (minute && Take(&text, ':')) second = TakeDigits(&text, 2);
  if (second && Take(&text, '.')) millis = FractionIn(&text);
  const auto zone = ZoneIn(text);
  if (!minute || !second || !millis || !zone || *hour > 23 || *minute > 59 || *second > 59)
    return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  return std::chrono::milliseconds(days + std::chrono::hours(*hour) + std::chrono::minutes(*minute - *zone) +
                                   std::chrono::seconds(*second))
             .count() +
         *millis;
}

}  // namespace

Result<TopicChoice> ParseTopicChoice(const std::string& text) {
  const size_t colon = text.find(':');
  TopicChoice choice{.topic = text.substr(0, colon), .partitions = {}};
  TM_RETURN_IF_ERROR(ValidateTopicName(choice.topic));
  if (colon == std::string::npos) return choice;
  for (const std::string& part : CommaList(text.substr(colon + 1))) {
    const auto partition = NumberIn<PartitionIndex>(part);
    if (!partition)
      return Fail(v1::INVALID_REQUEST, "--topic '{}' is not of the form TOPIC or TOPIC:0,1,2", text);
    choice.partitions.push_back(*partition);
  }
  if (choice.partitions.empty())
    return Fail(v1::INVALID_REQUEST, "--topic '{}' names no partition after ':'", text);
  return choice;
}

Result<WallMillis> ParseDateTime(std::string_view text) {
  if (const auto time = DateTimeIn(text)) return *time;
  return Fail(v1::INVALID_REQUEST, "'{}' is not a time such as 2026-01-02T03:04:05.678 (UTC) or ...+02:00",
              text);
}

Result<Duration> ParseIsoDuration(std::string_view text) {
  const auto wrong =
      Fail(v1::INVALID_REQUEST, "'{}' is not a duration such as P7D, PT1H30M or P1DT0.5S (ISO 8601)", text);
  std::string_view rest = text;
  if (!Take(&rest, 'P') || rest.empty()) return wrong;
  std::string_view units = "WD";
  bool any = false;
  double seconds = 0;
  while (!rest.empty()) {
    if (Take(&rest, 'T')) {
      if (units.find('S') != std::string_view::npos || rest.empty()) return wrong;
      units = "HMS";
      continue;
    }
    const size_t digits = rest.find_first_not_of("0123456789.");
    if (digits == 0 || digits == std::string_view::npos) return wrong;
    const auto number = NumberIn<double>(rest.substr(0, digits));
    const char unit = rest[digits];
    const size_t place = units.find(unit);
    if (!number || place == std::string_view::npos) return wrong;
    if (unit != 'S' && *number != std::floor(*number)) return wrong;
    units.remove_prefix(place);  // each unit once, the large ones first
    if (unit != 'S') units.remove_prefix(1);
    const bool last = unit == 'S';
    constexpr std::pair<char, double> kUnits[] = {
        {'W', 604800}, {'D', 86400}, {'H', 3600}, {'M', 60}, {'S', 1}};
    seconds += *number * std::ranges::find(kUnits, unit, &std::pair<char, double>::first)->second;
    any = true;
    rest.remove_prefix(digits + 1);
    if (last && !rest.empty()) return wrong;
  }
  if (!any || seconds > 1e9) return wrong;
  return std::chrono::milliseconds(static_cast<int64_t>(std::llround(seconds * 1000)));
}

Result<ResetPlan> ResetPlanOf(const Arguments& arguments, WallMillis now) {
  std::vector<ResetPlan> plans;
  if (arguments.Has("to-earliest")) plans.push_back({ResetKind::kEarliest});
  if (arguments.Has("to-latest")) plans.push_back({ResetKind::kLatest});
  if (arguments.Has("to-current")) plans.push_back({ResetKind::kCurrent});
  TM_ASSIGN_OR_RETURN(const auto offset, arguments.GetInteger("to-offset", 0, INT64_MAX));
  if (offset) plans.push_back({ResetKind::kOffset, *offset});
  TM_ASSIGN_OR_RETURN(const auto shift, arguments.GetInteger("shift-by", INT64_MIN / 2, INT64_MAX / 2));
  if (shift) plans.push_back({ResetKind::kShift, *shift});
  if (const auto text = arguments.Get("to-datetime")) {
    TM_ASSIGN_OR_RETURN(const WallMillis time, ParseDateTime(*text));
    plans.push_back({ResetKind::kTime, time});
  }
  if (const auto text = arguments.Get("by-duration")) {
    TM_ASSIGN_OR_RETURN(const Duration back, ParseIsoDuration(*text));
    plans.push_back({ResetKind::kTime, std::max<int64_t>(0, now - ToMillis(back))});
  }
  if (const auto file = arguments.Get("from-file")) plans.push_back({ResetKind::kFile, 0, *file});
  if (plans.size() == 1) return plans.front();
  return Fail(
      v1::INVALID_REQUEST,
      "--reset-offsets needs {} of --to-earliest, --to-latest, --to-current, --to-offset, --to-datetime, "
      "--by-duration, --shift-by and --from-file",
      plans.empty() ? "one" : "only one");
}

namespace {

// How much of the text the first record is, without its line end: that in a quoted field belongs to the
// field.
size_t RecordSize(std::string_view text) {
  enum class In { kBlanksBefore, kPlain, kQuotes, kBehindQuote } at = In::kBlanksBefore;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (at == In::kQuotes) {
      if (c == '"') at = In::kBehindQuote;
      continue;
    }
    if (c == '\n') return i;
    if (c == ',') {
      at = In::kBlanksBefore;
    } else if (c == '"' && at != In::kPlain) {
      at = In::kQuotes;  // the first one, or the second of ""
    } else if (at != In::kBlanksBefore || (c != ' ' && c != '\t')) {
      at = In::kPlain;
    }
  }
  return text.size();
}

// The fields of a record, without blanks around them. A field may stand in quotes, as Kafka's exporter writes
// long names; "" in it is one. Nothing: a quote is not closed, or something stands behind it.
std::optional<std::vector<std::string>> CsvFields(std::string_view line) {
  std::vector<std::string> fields;
  while (true) {
    std::string& field = fields.emplace_back();
    const size_t begin = line.find_first_not_of(" \t");
    if (begin != std::string_view::npos && line[begin] == '"') {
      line.remove_prefix(begin + 1);
      while (true) {
        const size_t quote = line.find('"');
        if (quote == std::string_view::npos) return std::nullopt;
        field += line.substr(0, quote);
        line.remove_prefix(quote + 1);
        if (!Take(&line, '"')) break;
        field += '"';
      }
      const size_t comma = std::min(line.find(','), line.size());
      if (!Trimmed(line.substr(0, comma)).empty()) return std::nullopt;
    } else {
      field = Trimmed(line.substr(0, line.find(',')));
    }
    const size_t comma = line.find(',');
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

int64_t Signed(Offset offset) { return static_cast<int64_t>(std::min(offset, kLargestOffset)); }

// May be below 0; what is above all offsets becomes the largest.
int64_t Shifted(Offset from, int64_t by) {
  int64_t to = 0;
  return __builtin_add_overflow(Signed(from), by, &to) ? INT64_MAX : to;
}

}  // namespace

std::string ResetFileField(const std::string& text) {
  if (text.find_first_of("\",\r\n") == std::string::npos && Trimmed(text) == text) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

namespace {

struct ResetLine {
  std::string group;
  TopicPartition at;
  Offset offset = 0;
};

// Nothing: a header.
Result<std::optional<ResetLine>> ResetLineIn(std::string_view text, int number,
                                             const std::string& only_group) {
  std::vector<std::string> fields = CsvFields(text).value_or(std::vector<std::string>());
  if (fields.size() == 3 && !only_group.empty()) fields.insert(fields.begin(), only_group);
  const auto partition = fields.size() == 4 ? NumberIn<PartitionIndex>(fields[2]) : std::nullopt;
  const auto offset = fields.size() == 4 ? NumberIn<Offset>(fields[3]) : std::nullopt;
  if (number == 1 && fields.size() == 4 && !partition && !offset) return std::nullopt;
  if (!partition || !offset) {
    return Fail(v1::INVALID_REQUEST, "line {}: '{}' is not {}topic,partition,offset", number,
                text.substr(0, text.find('\n')), only_group.empty() ? "group," : "");
  }
  TM_RETURN_IF_ERROR(ValidateTopicName(fields[1]));
  if (*offset > kLargestOffset) {
    return Fail(v1::INVALID_REQUEST, "line {}: offset {} is above the largest there can be, {}", number,
                *offset, kLargestOffset);
  }
  return ResetLine{.group = fields[0], .at = {fields[1], *partition}, .offset = *offset};
}

}  // namespace

Result<ResetFile> ParseResetFile(std::string_view text, const std::string& only_group) {
  ResetFile file;
  std::map<std::pair<std::string, TopicPartition>, int> lines;  // where each is named
  int next = 1;
  while (!text.empty()) {
    const int number = next;
    const size_t end = RecordSize(text);
    std::string_view record = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    next += 1 + static_cast<int>(std::ranges::count(record, '\n'));
    if (record.ends_with('\r')) record.remove_suffix(1);
    if (record.find_first_not_of(" \t") == std::string_view::npos) continue;
    TM_ASSIGN_OR_RETURN(const auto line, ResetLineIn(record, number, only_group));
    if (!line) continue;
    const auto [first, is_new] = lines.try_emplace({line->group, line->at}, number);
    if (!is_new) {
      return Fail(v1::INVALID_REQUEST, "lines {} and {} both name {} of group '{}'; leave one out",
                  first->second, number, ToString(line->at), line->group);
    }
    file[line->group][line->at] = line->offset;
  }
  return file;
}

Result<Offset> ResetOffset(const ResetPlan& plan, const TopicPartition& at, const ResetBounds& bounds,
                           std::string* note) {
  int64_t wanted = 0;
  switch (plan.kind) {
    case ResetKind::kEarliest:
      return bounds.earliest;
    case ResetKind::kLatest:
      return bounds.latest;
    case ResetKind::kTime:
      return bounds.at_time.value_or(bounds.latest);
    case ResetKind::kCurrent:
      wanted = Signed(bounds.committed.value_or(bounds.latest));
      break;
    case ResetKind::kOffset:
    case ResetKind::kFile:
      wanted = plan.value;
      break;
    case ResetKind::kShift:
      if (!bounds.committed)
        return Fail(v1::INVALID_REQUEST, "{}: nothing is committed, so nothing can be shifted", ToString(at));
      wanted = Shifted(*bounds.committed, plan.value);
      break;
  }
  // Both come from the leader, one after the other: the log may be cut between the two answers.
  const int64_t earliest = Signed(bounds.earliest);
  const int64_t inside = std::clamp(wanted, earliest, std::max(earliest, Signed(bounds.latest)));
  if (inside != wanted) {
    *note = fmt::format("{}: offset {} is not in the log, which has {} to {}; {} is taken", ToString(at),
                        wanted, bounds.earliest, bounds.latest, inside);
  }
  return static_cast<Offset>(inside);
}

uint64_t CountPartitions(const std::map<std::string, std::vector<PartitionIndex>>& by_topic) {
  uint64_t out = 0;
  for (const auto& [topic, partitions] : by_topic) out += partitions.size();
  return out;
}

}  // namespace tidemark
