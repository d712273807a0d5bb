#include "common/metrics/metrics.h"

#include <algorithm>

namespace tidemark {

HistogramSnapshot& HistogramSnapshot::operator+=(const HistogramSnapshot& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_seconds += other.sum_seconds;
  return *this;
}

void LatencyHistogram::Record(Duration latency) {
  const Duration positive = std::max(latency, Duration::zero());
  const double seconds = std::chrono::duration<double>(positive).count();
  const auto bucket = std::lower_bound(kLatencyBounds.begin(), kLatencyBounds.end(), seconds);
  counts_[static_cast<size_t>(bucket - kLatencyBounds.begin())].Add();
  sum_nanos_.Add(static_cast<uint64_t>(positive.count()));
}

HistogramSnapshot LatencyHistogram::Snapshot() const {
  HistogramSnapshot out;
  for (size_t i = 0; i < counts_.size(); ++i) out.counts[i] = counts_[i].value();
  out.sum_seconds = static_cast<double>(sum_nanos_.value()) * 1e-9;
  return out;
}

}  // namespace tidemark
