#include "common/metrics/exposition.h"

#include <algorithm>
#include <limits>
#include <sstream>

#include <glog/logging.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace tidemark {
namespace {

prometheus::MetricType TypeOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric WithLabels(const Exposition::Labels& labels) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

}  // namespace

struct Exposition::Families {
  // In the table's order; those without a value are not printed.
  std::vector<prometheus::MetricFamily> all;

  prometheus::MetricFamily& Get(std::string_view name, MetricKind kind) {
    const std::vector<MetricDef>& table = MetricTable();
    const auto def =
        std::ranges::find(table, name, [](const MetricDef& d) { return std::string_view(d.name); });
    CHECK(def != table.end() && def->kind == kind) << "no such metric: " << name;
    return all[static_cast<size_t>(def - table.begin())];
  }
};

Exposition::Exposition() : families_(std::make_unique<Families>()) {
  for (const MetricDef& def : MetricTable()) {
    prometheus::MetricFamily family;
    family.name = def.name;
    family.help = def.help;
    family.type = TypeOf(def.kind);
    families_->all.push_back(std::move(family));
  }
}

Exposition::~Exposition() = default;

void Exposition::Counter(std::string_view name, uint64_t value, const Labels& labels) {
  Amount(name, static_cast<double>(value), labels);
}

void Exposition::Amount(std::string_view name, double value, const Labels& labels) {
  prometheus::ClientMetric metric = WithLabels(labels);
  metric.counter.value = value;
  families_->Get(name, MetricKind::kCounter).metric.push_back(std::move(metric));
}

void Exposition::Gauge(std::string_view name, double value, const Labels& labels) {
  prometheus::ClientMetric metric = WithLabels(labels);
  metric.gauge.value = value;
  families_->Get(name, MetricKind::kGauge).metric.push_back(std::move(metric));
}

void Exposition::Histogram(std::string_view name, const HistogramSnapshot& value, const Labels& labels) {
  prometheus::ClientMetric metric = WithLabels(labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < value.counts.size(); ++i) {
    cumulative += value.counts[i];
    const double bound =
        i < kLatencyBounds.size() ? kLatencyBounds[i] : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({cumulative, bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = value.sum_seconds;
  families_->Get(name, MetricKind::kHistogram).metric.push_back(std::move(metric));
}

std::string Exposition::Text() const {
  std::vector<prometheus::MetricFamily> filled;
  for (const prometheus::MetricFamily& family : families_->all) {
    if (!family.metric.empty()) filled.push_back(family);
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, filled);
  return std::move(out).str();
}

}  // namespace tidemark
