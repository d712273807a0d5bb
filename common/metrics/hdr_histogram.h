// HdrHistogram: counts values in log-linear buckets with three significant digits (a bucket is never wider
// than 1/1024 of its value), in constant memory. For latencies, in whatever unit the caller counts. One owner
// at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark {

class HdrHistogram {
 public:
  // Values above `highest` are counted as `highest`.
  explicit HdrHistogram(uint64_t highest = 3'600'000'000ULL);

  void Record(uint64_t value, uint64_t count = 1);
  // Adds the other's counts; both must have the same `highest`.
  void Merge(const HdrHistogram& other);
  void Reset();

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }  // exact
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  double mean() const;
  // The value below or at which `percent` of all values lie (the bucket's upper end, at most max()); 0 when
  // empty.
  uint64_t Percentile(double percent) const;

 private:
  size_t IndexOf(uint64_t value) const;
  uint64_t UpperEnd(size_t index) const;

  uint64_t highest_;
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t max_ = 0;
  uint64_t min_ = UINT64_MAX;
  double sum_ = 0;
};

}  // namespace tidemark
