#include "broker/server/partition_metrics.h"

#include <algorithm>

#include "broker/replica/high_watermark.h"

namespace tidemark {

void CountPartition(const Partition& partition, ShardReport* report) {
  if (partition.role() == PartitionRole::kFollower) ++report->following;
  if (partition.offline()) ++report->offline;
  const LeaderState* leader = partition.leader_state();
  if (leader == nullptr) return;
  ++report->leading;
  const size_t replicas = leader->replicas().size();
  const size_t in_sync = leader->isr().size();
  const size_t required = RequiredInSync(partition.settings().min_insync_replicas, replicas);
  if (in_sync < replicas) ++report->under_replicated;
  if (in_sync < required) ++report->under_min_isr;
  if (in_sync == required) ++report->at_min_isr;
  for (const FollowerProgress& follower : leader->followers()) {
    // One that has not fetched in this epoch yet has told nothing.
    if (!follower.ends) continue;
    report->max_follower_lag =
        std::max(report->max_follower_lag, partition.log_end() - follower.ends->log_end);
  }
}

void CountLogs(ShardLogs& logs, ShardReport* report) {
  for (const Log* log : logs.All()) {
    const auto bytes = static_cast<uint64_t>(log->size_bytes());
    report->bytes_by_directory[log->directory_index()] += bytes;
    report->bytes_by_topic[log->topic()] += bytes;
  }
}

void AddPartitions(const ShardReport& report, ShardReport* sum) {
  sum->leading += report.leading;
  sum->following += report.following;
  sum->offline += report.offline;
  sum->under_replicated += report.under_replicated;
  sum->under_min_isr += report.under_min_isr;
  sum->at_min_isr += report.at_min_isr;
  sum->max_follower_lag = std::max(sum->max_follower_lag, report.max_follower_lag);
  for (const auto& [directory, bytes] : report.bytes_by_directory)
    sum->bytes_by_directory[directory] += bytes;
  for (const auto& [topic, bytes] : report.bytes_by_topic) sum->bytes_by_topic[topic] += bytes;
}

void AddPartitionMetrics(const ShardReport& sum, const LogDirs* dirs, Exposition* out) {
  out->Gauge("tidemark_partitions", static_cast<double>(sum.leading), {{"role", "leader"}});
  out->Gauge("tidemark_partitions", static_cast<double>(sum.following), {{"role", "follower"}});
  out->Gauge("tidemark_partitions_offline", static_cast<double>(sum.offline));
  out->Gauge("tidemark_partitions_under_replicated", static_cast<double>(sum.under_replicated));
  out->Gauge("tidemark_partitions_under_min_isr", static_cast<double>(sum.under_min_isr));
  out->Gauge("tidemark_partitions_at_min_isr", static_cast<double>(sum.at_min_isr));
  out->Gauge("tidemark_follower_lag_records_max", static_cast<double>(sum.max_follower_lag));
  for (size_t i = 0; dirs != nullptr && i < dirs->directories().size(); ++i) {
    const auto bytes = sum.bytes_by_directory.find(i);
    out->Gauge("tidemark_log_directory_bytes",
               bytes == sum.bytes_by_directory.end() ? 0 : static_cast<double>(bytes->second),
               {{"directory", dirs->directories()[i]->path}});
  }
  std::vector<std::pair<uint64_t, std::string>> topics;
  for (const auto& [topic, bytes] : sum.bytes_by_topic) topics.emplace_back(bytes, topic);
  std::ranges::sort(topics, std::greater<>());
  uint64_t others = 0;
  for (size_t i = 0; i < topics.size(); ++i) {
    if (i < kMostTopicsTold) {
      out->Gauge("tidemark_topic_log_bytes", static_cast<double>(topics[i].first),
                 {{"topic", topics[i].second}});
    } else {
      others += topics[i].first;
    }
  }
  if (topics.size() > kMostTopicsTold)
    out->Gauge("tidemark_topic_log_bytes", static_cast<double>(others), {{"topic", ""}});
}

}  // namespace tidemark
