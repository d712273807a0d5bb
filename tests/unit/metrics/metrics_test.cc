// Counters, histograms and what /metrics says of them.
#include "common/metrics/exposition.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(LatencyHistogram, PutsEachLatencyIntoTheFirstBucketThatHoldsIt) {
  LatencyHistogram histogram;
  histogram.Record(100us);  // a bound belongs to its bucket
  histogram.Record(101us);
  histogram.Record(60s);
  histogram.Record(-1s);  // a clock oddity counts as nothing
  const HistogramSnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.counts[0], 2u);
  EXPECT_EQ(snapshot.counts[1], 1u);
  EXPECT_EQ(snapshot.counts.back(), 1u);
  EXPECT_NEAR(snapshot.sum_seconds, 60.000201, 1e-9);
}

TEST(LatencyHistogram, SumsOverShards) {
  LatencyHistogram one, other;
  one.Record(1ms);
  other.Record(1ms);
  HistogramSnapshot sum = one.Snapshot();
  sum += other.Snapshot();
  EXPECT_EQ(sum.counts[3], 2u);
}

TEST(MetricTable, FollowsPrometheusRules) {
  std::set<std::string> names;
  for (const MetricDef& def : MetricTable()) {
    const std::string_view name = def.name;
    EXPECT_TRUE(names.insert(def.name).second) << name;
    EXPECT_TRUE(name.starts_with("tidemark_") || name.starts_with("process_")) << name;
    EXPECT_EQ(name.ends_with("_total"), def.kind == MetricKind::kCounter) << name;
    if (def.kind == MetricKind::kHistogram) EXPECT_TRUE(name.ends_with("_seconds")) << name;
    EXPECT_GT(std::string_view(def.help).size(), 5u) << name;
  }
}

TEST(Exposition, PrintsTheTextFormat) {
  Exposition out;
  out.Counter("tidemark_requests_total", 7, {{"api", "fetch"}});
  out.Gauge("tidemark_broker_ready", 1);
  HistogramSnapshot latency;
  latency.counts[0] = 2;
  latency.counts.back() = 1;
  latency.sum_seconds = 9;
  out.Histogram("tidemark_request_seconds", latency, {{"api", "fetch"}});
  const std::string text = out.Text();
  EXPECT_THAT(
      text, HasSubstr("# TYPE tidemark_requests_total counter\ntidemark_requests_total{api=\"fetch\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_broker_ready 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_request_seconds_count{api=\"fetch\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("le=\"+Inf\"} 3\n"));
  // Cumulative, and nothing about metrics without a value.
  EXPECT_THAT(text, HasSubstr("le=\"0.001\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("tidemark_truncations_total")));
}

}  // namespace
}  // namespace tidemark
