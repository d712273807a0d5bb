#include "common/config/broker_config.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "common/config/dynamic_configs.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;

// More at the same time would only take the disks' time from each other.
constexpr int64_t kMostCleanerThreads = 64;
// Kafka takes 0 for a pause, which would be a busy loop.
constexpr int64_t kLeastBackoffMs = 10;

Result<> ParseAdminListener(std::string_view text, BrokerConfig* out) {
  // The address of a listener without its name.
  Result<ListenerAddress> address = ParseListenerAddress(fmt::format("ADMIN://{}", text));
  if (!address) return Fail(v1::INVALID_CONFIG, "admin.listener: '{}' is not host:port", text);
  out->admin_host = address->host;
  out->admin_port = address->port;
  return {};
}

Result<std::vector<std::string>> LogDirectories(const ConfigValues& values) {
  std::vector<std::string> dirs = values.List("log.dirs");
  if (dirs.empty()) dirs = values.List("log.dir");
  if (dirs.empty()) {
    return Fail(v1::INVALID_CONFIG, "log.dirs is not set: name the directories that are to hold the data");
  }
  for (std::string& dir : dirs) {
    while (dir.size() > 1 && dir.ends_with('/')) dir.pop_back();
  }
  for (size_t i = 0; i < dirs.size(); ++i) {
    if (std::find(dirs.begin(), dirs.begin() + static_cast<ptrdiff_t>(i), dirs[i]) !=
        dirs.begin() + static_cast<ptrdiff_t>(i)) {
      return Fail(v1::INVALID_CONFIG, "log.dirs: {} is given twice", dirs[i]);
    }
  }
  return dirs;
}

void FillNetwork(const ConfigValues& values, BrokerConfig* out) {
  out->num_shards = static_cast<uint32_t>(values.Int("num.shards"));
  out->max_request_bytes = static_cast<size_t>(values.Int("socket.request.max.bytes"));
  out->queued_max_requests = static_cast<size_t>(values.Int("queued.max.requests"));
  out->connections_max_idle = milliseconds(values.Int("connections.max.idle.ms"));
  out->max_connections = static_cast<size_t>(values.Int("max.connections"));
  out->recovery_threads = static_cast<uint32_t>(values.Int("num.recovery.threads.per.data.dir"));
  out->log_open_files = static_cast<size_t>(values.Int("log.open.files"));
  out->max_fetch_partitions = static_cast<size_t>(values.Int("max.fetch.partitions"));
  out->fetch_max_bytes = static_cast<size_t>(values.Int("fetch.max.bytes"));
}

void FillDirectories(const ConfigValues& values, BrokerConfig* out) {
  out->log_dir_min_free = static_cast<uint64_t>(values.Int("log.dir.min.free.bytes"));
  out->log_dir_reserve = static_cast<uint64_t>(values.Int("log.dir.reserve.bytes"));
  const int64_t rate = values.Int("replica.alter.log.dirs.io.max.bytes.per.second");
  out->move_bytes_per_second = rate == std::numeric_limits<int64_t>::max() ? 0 : static_cast<uint64_t>(rate);
}

void FillReplication(const ConfigValues& values, BrokerConfig* out) {
  out->replica_lag_time_max = milliseconds(values.Int("replica.lag.time.max.ms"));
  out->replica_fetch_max_bytes = static_cast<uint32_t>(values.Int("replica.fetch.max.bytes"));
  out->replica_fetch_response_max_bytes =
      static_cast<uint32_t>(values.Int("replica.fetch.response.max.bytes"));
  out->replica_fetch_min_bytes = static_cast<uint32_t>(values.Int("replica.fetch.min.bytes"));
  out->replica_fetch_wait_max = milliseconds(values.Int("replica.fetch.wait.max.ms"));
  out->replica_fetch_backoff =
      milliseconds(std::max(values.Int("replica.fetch.backoff.ms"), kLeastBackoffMs));
  out->high_watermark_checkpoint_interval =
      milliseconds(values.Int("replica.high.watermark.checkpoint.interval.ms"));
  out->controlled_shutdown = values.Bool("controlled.shutdown.enable");
  out->controlled_shutdown_max_retries = static_cast<int>(values.Int("controlled.shutdown.max.retries"));
  out->controlled_shutdown_retry_backoff = milliseconds(values.Int("controlled.shutdown.retry.backoff.ms"));
  out->retention_check_interval =
      milliseconds(std::min(values.Int("log.retention.check.interval.ms"), ToMillis(Duration::max()) / 4));
  out->scrub_bytes_per_second = static_cast<uint64_t>(values.Int("log.scrub.bytes.per.second"));
  out->scrub_interval =
      milliseconds(std::min(values.Int("log.scrub.interval.ms"), ToMillis(Duration::max()) / 4));
  out->watchdog_stuck = milliseconds(values.Int("watchdog.stuck.ms"));
}

void FillCleaner(const ConfigValues& values, CleanerConfig* out) {
  out->enabled = values.Bool("log.cleaner.enable");
  out->threads =
      static_cast<uint32_t>(std::min<int64_t>(values.Int("log.cleaner.threads"), kMostCleanerThreads));
  out->dedupe_buffer_bytes = static_cast<uint64_t>(values.Int("log.cleaner.dedupe.buffer.size"));
  out->load_factor = values.Double("log.cleaner.io.buffer.load.factor");
  const double rate = values.Double("log.cleaner.io.max.bytes.per.second");
  // As good as no limit.
  if (rate < 1e15) out->bytes_per_second = std::max(rate, 1.0);
  out->backoff =
      milliseconds(std::clamp<int64_t>(values.Int("log.cleaner.backoff.ms"), kLeastBackoffMs, 86'400'000));
}

Result<> FillGroups(const ConfigValues& values, BrokerConfig::Groups* out) {
  out->topic_partitions = static_cast<uint32_t>(values.Int("offsets.topic.num.partitions"));
  out->topic_replication_factor = static_cast<uint32_t>(values.Int("offsets.topic.replication.factor"));
  out->topic_segment_bytes = static_cast<uint64_t>(values.Int("offsets.topic.segment.bytes"));
  out->commit_timeout = milliseconds(values.Int("offsets.commit.timeout.ms"));
  out->retention = std::chrono::minutes(values.Int("offsets.retention.minutes"));
  out->retention_check_interval = milliseconds(
      std::min(values.Int("offsets.retention.check.interval.ms"), ToMillis(Duration::max()) / 4));
  out->max_metadata_bytes = static_cast<uint32_t>(values.Int("offset.metadata.max.bytes"));
  out->min_session_timeout = milliseconds(values.Int("group.min.session.timeout.ms"));
  out->max_session_timeout = milliseconds(values.Int("group.max.session.timeout.ms"));
  out->session_timeout = milliseconds(values.Int("group.consumer.session.timeout.ms"));
  out->heartbeat_interval = milliseconds(values.Int("group.consumer.heartbeat.interval.ms"));
  out->initial_rebalance_delay = milliseconds(values.Int("group.initial.rebalance.delay.ms"));
  out->max_size = static_cast<uint32_t>(values.Int("group.max.size"));
  out->max_memory_bytes = static_cast<uint64_t>(values.Int("group.max.memory.bytes"));
  out->lag_interval = milliseconds(values.Int("group.lag.interval.ms"));
  if (out->min_session_timeout > out->max_session_timeout) {
    return Fail(v1::INVALID_CONFIG,
                "group.min.session.timeout.ms={} is above group.max.session.timeout.ms={}",
                ToMillis(out->min_session_timeout), ToMillis(out->max_session_timeout));
  }
  if (out->heartbeat_interval >= out->session_timeout) {
    return Fail(v1::INVALID_CONFIG,
                "group.consumer.heartbeat.interval.ms={} is not below group.consumer.session.timeout.ms={}",
                ToMillis(out->heartbeat_interval), ToMillis(out->session_timeout));
  }
  return {};
}

void FillTopics(const ConfigValues& values, BrokerConfig* out) {
  out->auto_create_topics = values.Bool("auto.create.topics.enable");
  out->delete_topics = values.Bool("delete.topic.enable");
  out->num_partitions = static_cast<uint32_t>(values.Int("num.partitions"));
  out->default_replication_factor = static_cast<uint32_t>(values.Int("default.replication.factor"));
  out->topic_defaults = MakeTopicConfigs(out->properties, {});
}

}  // namespace

Result<BrokerConfig> BrokerConfig::FromProperties(const Properties& properties) {
  TM_RETURN_IF_ERROR(BrokerConfigTable().Check(properties));
  BrokerConfig out;
  out.properties = properties;
  const ConfigValues values(BrokerConfigTable(), out.properties);
  out.broker_id = static_cast<BrokerId>(values.Int("broker.id"));
  out.reserved_broker_max_id = static_cast<int32_t>(values.Int("reserved.broker.max.id"));
  out.rack = values.Text("broker.rack");
  out.zookeeper_connect = values.Text("zookeeper.connect");
  if (out.zookeeper_connect.empty()) {
    return Fail(v1::INVALID_CONFIG,
                "zookeeper.connect is not set: name ZooKeeper as host:port,host:port/chroot");
  }
  out.zookeeper_session_timeout = milliseconds(values.Int("zookeeper.session.timeout.ms"));
  if (!values.Text("zookeeper.connection.timeout.ms").empty()) {
    out.zookeeper_connection_timeout = milliseconds(values.Int("zookeeper.connection.timeout.ms"));
  }
  if (out.broker_id > out.reserved_broker_max_id && values.IsSet("reserved.broker.max.id")) {
    return Fail(v1::INVALID_CONFIG,
                "broker.id={} is above reserved.broker.max.id={}, where generated ids live", out.broker_id,
                out.reserved_broker_max_id);
  }
  TM_ASSIGN_OR_RETURN(out.listeners,
                      ParseListeners({.listeners = values.Text("listeners"),
                                      .advertised = values.Text("advertised.listeners"),
                                      .protocol_map = values.Text("listener.security.protocol.map"),
                                      .inter_broker_name = values.Text("inter.broker.listener.name")}));
  TM_RETURN_IF_ERROR(ParseAdminListener(values.Text("admin.listener"), &out));
  TM_ASSIGN_OR_RETURN(out.log_dirs, LogDirectories(values));
  FillNetwork(values, &out);
  FillDirectories(values, &out);
  FillReplication(values, &out);
  FillCleaner(values, &out.cleaner);
  FillTopics(values, &out);
  out.quota_windows = {.samples = static_cast<uint32_t>(values.Int("quota.window.num")),
                       .length = std::chrono::seconds(values.Int("quota.window.size.seconds"))};
  TM_RETURN_IF_ERROR(FillGroups(values, &out.groups));
  TM_RETURN_IF_ERROR(CheckTogether(properties));
  for (const auto& [name, value] : properties) {
    const ConfigDef* def = BrokerConfigTable().Find(name);
    // What equals the default loses nothing.
    if (def->effect == ConfigEffect::kNone && value != def->default_value) out.without_effect.push_back(name);
  }
  return out;
}

Result<BrokerConfig> BrokerConfig::WithDynamic(const Properties& merged) const {
  TM_ASSIGN_OR_RETURN(const BrokerConfig fresh, FromProperties(merged));
  // Only what is dynamic is taken over: the rest was settled at the start, partly by other things than
  // properties.
  BrokerConfig out = *this;
  out.properties = merged;
  out.topic_defaults = fresh.topic_defaults;
  out.auto_create_topics = fresh.auto_create_topics;
  out.num_partitions = fresh.num_partitions;
  out.default_replication_factor = fresh.default_replication_factor;
  out.connections_max_idle = fresh.connections_max_idle;
  out.max_connections = std::min(fresh.max_connections, most_connections);
  out.queued_max_requests = fresh.queued_max_requests;
  out.fetch_max_bytes = fresh.fetch_max_bytes;
  out.max_fetch_partitions = fresh.max_fetch_partitions;
  out.replica_lag_time_max = fresh.replica_lag_time_max;
  out.replica_fetch_max_bytes = fresh.replica_fetch_max_bytes;
  out.replica_fetch_response_max_bytes = fresh.replica_fetch_response_max_bytes;
  out.replica_fetch_min_bytes = fresh.replica_fetch_min_bytes;
  out.replica_fetch_wait_max = fresh.replica_fetch_wait_max;
  out.replica_fetch_backoff = fresh.replica_fetch_backoff;
  out.retention_check_interval = fresh.retention_check_interval;
  out.log_dir_min_free = fresh.log_dir_min_free;
  out.move_bytes_per_second = fresh.move_bytes_per_second;
  if (fresh.log_open_files > 0) out.log_open_files = std::min(fresh.log_open_files, most_log_open_files);
  const bool cleans = cleaner.enabled;
  out.cleaner = fresh.cleaner;
  out.cleaner.enabled = cleans;
  return out;
}

}  // namespace tidemark
