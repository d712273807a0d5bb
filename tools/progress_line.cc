#include "tools/progress_line.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>

namespace tidemark {
namespace {

constexpr size_t kWidestBar = 30;
constexpr size_t kNarrowestBar = 8;
// What was done so long ago counts for a third.
constexpr double kMemoryMs = 3000;

const char* NameOf(ProgressUnit unit) {
  switch (unit) {
    case ProgressUnit::kBytes:
      return "bytes";
    case ProgressUnit::kRecords:
      return "records";
    case ProgressUnit::kPartitions:
      return "partitions";
    case ProgressUnit::kTopics:
      return "topics";
    case ProgressUnit::kGroups:
      return "groups";
  }
  return "";
}

std::string Bytes(double bytes) {
  static constexpr std::array kNames = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t name = 0;
  while (bytes >= 1024 && name + 1 < kNames.size()) {
    bytes /= 1024;
    ++name;
  }
  return name == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kNames[name]);
}

std::string Counts(const ProgressState& state) {
  const auto value = [&](uint64_t n) {
    return state.unit == ProgressUnit::kBytes ? Bytes(static_cast<double>(n)) : std::to_string(n);
  };
  const std::string unit = state.unit == ProgressUnit::kBytes ? "" : fmt::format(" {}", NameOf(state.unit));
  if (state.total == 0) return value(state.done) + unit;
  return fmt::format("{} of {}{}", value(state.done), value(state.total), unit);
}

std::string Rate(const ProgressState& state) {
  if (state.per_second <= 0) return "";
  if (state.unit == ProgressUnit::kBytes) return Bytes(state.per_second) + "/s";
  return state.per_second < 10 ? fmt::format("{:.1f}/s", state.per_second)
                               : fmt::format("{:.0f}/s", state.per_second);
}

// How long it will take still, or how long it has taken where nobody can tell.
std::string Time(const ProgressState& state) {
  const uint64_t left = state.total - std::min(state.done, state.total);
  if (left == 0 || state.per_second <= 0) return ShortDuration(state.elapsed_ms / 1000);
  const double seconds = static_cast<double>(left) / state.per_second;
  if (seconds > 30.0 * 24 * 3600) return ShortDuration(state.elapsed_ms / 1000);
  return ShortDuration(static_cast<uint64_t>(std::ceil(seconds))) + " left";
}

double ShareOf(const ProgressState& state) {
  return std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total));
}

std::string Bar(double share, size_t width) {
  const auto full = static_cast<size_t>(share * static_cast<double>(width));
  return "[" + std::string(full, '#') + std::string(width - full, '-') + "]";
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) {
    if (!part.empty()) out += (out.empty() ? "" : "  ") + part;
  }
  return out;
}

}  // namespace

std::string ShortDuration(uint64_t seconds) {
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 24 * 3600) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86400, seconds / 3600 % 24);
}

std::string ProgressLine(const ProgressState& state, size_t columns) {
  const bool known = state.total > 0;
  // Never 100% of what is not finished.
  const int percent = known ? static_cast<int>(ShareOf(state) * 100) : 0;
  const std::string share = known ? fmt::format("{:3}%", percent) : "";
  const std::string counts = Counts(state);
  const std::string rate = Rate(state);
  const std::string time = Time(state);
  const auto with_bar = [&](const std::vector<std::string>& others) -> std::string {
    const size_t taken = Joined(others).size() + 2 + 2;  // the gap, and the bar's ends
    if (!known || columns < taken + kNarrowestBar) return "";
    std::vector<std::string> parts = others;
    parts.insert(parts.begin() + 1, Bar(ShareOf(state), std::min(kWidestBar, columns - taken)));
    return Joined(parts);
  };
  for (const std::string& text :
       {with_bar({state.what, share, counts, rate, time}), with_bar({state.what, share, counts, time}),
        with_bar({state.what, share, time}), Joined({state.what, share, known ? "" : counts, rate, time}),
        Joined({state.what, share, known ? "" : counts, time}), Joined({share, known ? "" : counts, time}),
        known ? share : counts}) {
    if (!text.empty() && text.size() <= columns) return text;
  }
  return "";
}

void ProgressRate::Note(uint64_t done, uint64_t now_ms) {
  if (!begun_) {
    begun_ = true;
    done_ = done;
    at_ms_ = now_ms;
    return;
  }
  if (now_ms <= at_ms_) return;
  const auto passed = static_cast<double>(now_ms - at_ms_);
  const double lately = static_cast<double>(done - std::min(done, done_)) * 1000 / passed;
  const double weight = known_ ? 1 - std::exp(-passed / kMemoryMs) : 1;
  per_second_ += weight * (lately - per_second_);
  known_ = true;
  done_ = done;
  at_ms_ = now_ms;
}

}  // namespace tidemark
