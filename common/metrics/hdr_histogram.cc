#include "common/metrics/hdr_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <glog/logging.h>

namespace tidemark {

namespace {
// Values below 2^11 have a bucket each; above, each doubling is divided into 2^10 buckets.
constexpr int kSubBucketBits = 10;
constexpr uint64_t kSubBuckets = 1ULL << kSubBucketBits;
}  // namespace

HdrHistogram::HdrHistogram(uint64_t highest) : highest_(std::max<uint64_t>(highest, 1)) {
  counts_.resize(IndexOf(highest_) + 1);
}

size_t HdrHistogram::IndexOf(uint64_t value) const {
  if (value < 2 * kSubBuckets) return value;
  const int shift = std::bit_width(value) - 1 - kSubBucketBits;
  return static_cast<size_t>(shift) * kSubBuckets + (value >> shift);
}

uint64_t HdrHistogram::UpperEnd(size_t index) const {
  if (index < 2 * kSubBuckets) return index;
  const size_t shift = index / kSubBuckets - 1;
  const uint64_t mantissa = index - shift * kSubBuckets;
  return ((mantissa + 1) << shift) - 1;
}

void HdrHistogram::Record(uint64_t value, uint64_t count) {
  if (count == 0) return;
  value = std::min(value, highest_);
  counts_[IndexOf(value)] += count;
  count_ += count;
  max_ = std::max(max_, value);
  min_ = std::min(min_, value);
  sum_ += static_cast<double>(value) * static_cast<double>(count);
}

void HdrHistogram::Merge(const HdrHistogram& other) {
  CHECK_EQ(highest_, other.highest_) << "histograms of different range";
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  min_ = std::min(min_, other.min_);
  sum_ += other.sum_;
}

void HdrHistogram::Reset() { *this = HdrHistogram(highest_); }

double HdrHistogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

uint64_t HdrHistogram::Percentile(double percent) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_));
  const auto rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(UpperEnd(i), max_);
  }
  return max_;
}

}  // namespace tidemark
