// Exposition: one answer of /metrics. Names and help come from the one table of metrics, values from whoever
// collects. A value, used by one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/metrics/metrics.h"

namespace tidemark {

enum class MetricKind { kCounter, kGauge, kHistogram };

struct MetricDef {
  const char* name;
  MetricKind kind;
  const char* help;
};

// Every metric a broker has. Prometheus' rules: prefix, base unit, _total for counters.
const std::vector<MetricDef>& MetricTable();

class Exposition {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  Exposition();
  ~Exposition();
  // CHECKs that the table has the name with that kind.
  void Counter(std::string_view name, uint64_t value, const Labels& labels = {});
  // A counter of something that is no whole number, as seconds.
  void Amount(std::string_view name, double value, const Labels& labels = {});
  void Gauge(std::string_view name, double value, const Labels& labels = {});
  void Histogram(std::string_view name, const HistogramSnapshot& value, const Labels& labels = {});
  // The text format of Prometheus.
  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace tidemark
