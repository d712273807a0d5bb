// What a progress bar says: one line of text made from how far the work is, how fast it went and how wide the
// terminal is. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tidemark {

// What is being counted.
enum class ProgressUnit { kBytes, kRecords, kPartitions, kTopics, kGroups };

struct ProgressState {
  std::string what;  // "sending"
  ProgressUnit unit = ProgressUnit::kRecords;
  uint64_t done = 0;
  uint64_t total = 0;       // 0: nobody knows
  double per_second = 0;    // of late
  uint64_t elapsed_ms = 0;  // since the work began
};

// At most `columns` characters, all of them ASCII and none a control character; what does not fit is left
// out, the least needed first: rate, counts, the bar itself, the estimate, the name.
std::string ProgressLine(const ProgressState& state, size_t columns);

// "12s", "3m05s", "2h07m", "4d03h".
std::string ShortDuration(uint64_t seconds);

// How fast something goes, by what was done lately: a stall shows within seconds, a hiccup hardly. A value.
class ProgressRate {
 public:
  // `done` so far, at `now_ms`; times only rise.
  void Note(uint64_t done, uint64_t now_ms);
  double per_second() const { return per_second_; }

 private:
  bool begun_ = false;
  bool known_ = false;
  uint64_t done_ = 0;
  uint64_t at_ms_ = 0;
  double per_second_ = 0;
};

}  // namespace tidemark
