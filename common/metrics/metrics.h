// Counter, Gauge, LatencyHistogram: what one shard counts. Each has one writer, the loop that owns it, and is
// read by anybody: plain relaxed loads and stores, no locked instruction and no lock on the hot path.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/time.h"

namespace tidemark {

class Counter {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_ = 0;
};

// Upper bounds in seconds of the latency buckets; the last one, +Inf, is implied.
inline constexpr std::array<double, 14> kLatencyBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                          0.025,  0.05,    0.1,    0.25,  0.5,    1.0,   5.0};

// Buckets of one histogram, summed over shards.
struct HistogramSnapshot {
  std::array<uint64_t, kLatencyBounds.size() + 1> counts{};  // per bucket, not cumulative
  double sum_seconds = 0;
  HistogramSnapshot& operator+=(const HistogramSnapshot& other);
};

class LatencyHistogram {
 public:
  void Record(Duration latency);
  HistogramSnapshot Snapshot() const;

 private:
  std::array<Counter, kLatencyBounds.size() + 1> counts_;
  Counter sum_nanos_;
};

}  // namespace tidemark
