#include "client/options.h"

#include "common/config/config_table.h"
#include "common/config/properties.h"
#include "common/record/batch.h"
#include "common/record/compression.h"

namespace tidemark {

namespace {

constexpr int64_t kMostMillis = 2147483647;

std::vector<ConfigDef> WithClientDefs(std::vector<ConfigDef> defs) {
  using enum ConfigType;
  const ConfigEffect in_force = ConfigEffect::kInForce;
  const ConfigEffect none = ConfigEffect::kNone;
  std::vector<ConfigDef> common = {
      {"bootstrap.servers", kString, "", "", "brokers to ask first, host:port,..."},
      {"client.id", kString, "tidemark", "", "name of this program in logs and metrics of brokers"},
      {"request.timeout.ms", kInt, "30000", "ms", "how long an answer is awaited", in_force, 1, kMostMillis},
      {"metadata.max.age.ms", kInt, "300000", "ms", "metadata older than this is asked for anew", in_force, 1,
       kMostMillis},
      {"retry.backoff.ms", kInt, "50", "ms", "first pause before a retry", in_force, 0, kMostMillis},
      {"retry.backoff.max.ms", kInt, "1000", "ms", "longest pause before a retry", in_force, 0, kMostMillis},
      {"key.serializer", kString, "", "", "keys are bytes here", none},
      {"value.serializer", kString, "", "", "values are bytes here", none},
      {"key.deserializer", kString, "", "", "keys are bytes here", none},
      {"value.deserializer", kString, "", "", "values are bytes here", none},
      {"security.protocol",
       kString,
       "PLAINTEXT",
       "",
       "protection of connections",
       in_force,
       0,
       0,
       {"PLAINTEXT"}},
      {"reconnect.backoff.ms", kInt, "50", "ms", "first pause before a reconnect", none, 0, kMostMillis},
      {"reconnect.backoff.max.ms", kInt, "1000", "ms", "longest pause before a reconnect", none, 0,
       kMostMillis},
      {"connections.max.idle.ms", kInt, "540000", "ms", "idle connections are closed after this", none},
      {"send.buffer.bytes", kInt, "131072", "bytes", "socket buffer", none},
      {"receive.buffer.bytes", kInt, "65536", "bytes", "socket buffer", none},
  };
  common.insert(common.end(), std::make_move_iterator(defs.begin()), std::make_move_iterator(defs.end()));
  return common;
}

const ConfigTable& ProducerTable() {
  using enum ConfigType;
  const ConfigEffect in_force = ConfigEffect::kInForce;
  const ConfigEffect none = ConfigEffect::kNone;
  static const ConfigTable table(
      "producer",
      WithClientDefs({
          {"acks",
           kString,
           "all",
           "",
           "how many replicas acknowledge",
           in_force,
           0,
           0,
           {"0", "1", "-1", "all"}},
          {"batch.size", kInt, "16384", "bytes", "a batch this large is sent at once", in_force, 0,
           kMaxRecordsBytes},
          {"linger.ms", kInt, "0", "ms", "how long a batch waits for more records", in_force, 0, kMostMillis},
          {"buffer.memory", kInt, "33554432", "bytes", "most bytes of records not yet acknowledged", in_force,
           1},
          {"compression.type",
           kString,
           "none",
           "",
           "codec of batches",
           in_force,
           0,
           0,
           {"none", "gzip", "snappy", "lz4", "zstd"}},
          {"delivery.timeout.ms", kInt, "120000", "ms", "a record not acknowledged after this has failed",
           in_force, 1, kMostMillis},
          {"max.block.ms", kInt, "60000", "ms", "how long a send waits for metadata or memory", in_force, 0,
           kMostMillis},
          {"max.request.size", kInt, "1048576", "bytes", "most bytes of a request, and of a record", in_force,
           1, kMaxRecordsBytes},
          {"retries", kInt, "2147483647", "", "how often a batch is sent again", in_force, 0, 2147483647},
          {"max.in.flight.requests.per.connection", kInt, "5", "", "one batch per partition is in flight",
           none, 1},
          {"enable.idempotence", kBool, "false", "", "retries that never repeat a record", none},
          {"partitioner.class", kString, "", "", "murmur2 of the key, else sticky", none},
      }));
  return table;
}

const ConfigTable& ConsumerTable() {
  using enum ConfigType;
  const ConfigEffect in_force = ConfigEffect::kInForce;
  const ConfigEffect none = ConfigEffect::kNone;
  static const ConfigTable table(
      "consumer",
      WithClientDefs({
          {"fetch.min.bytes", kInt, "1", "bytes", "an answer waits for this much", in_force, 0, 2147483647},
          {"fetch.max.wait.ms", kInt, "500", "ms", "how long an answer waits for fetch.min.bytes", in_force,
           0, kMostMillis},
          {"fetch.max.bytes", kInt, "52428800", "bytes", "most bytes of an answer", in_force, 1, 52428800},
          {"max.partition.fetch.bytes", kInt, "1048576", "bytes", "most bytes of a partition in an answer",
           in_force, 1, 52428800},
          {"prefetch.bytes", kInt, "67108864", "bytes", "most bytes fetched ahead", in_force, 1},
          {"auto.offset.reset",
           kString,
           "latest",
           "",
           "where to go when the offset is out of range",
           in_force,
           0,
           0,
           {"earliest", "latest", "none"}},
          {"max.poll.records", kInt, "500", "records", "most records of one poll", in_force, 1, 2147483647},
          {"allow.auto.create.topics", kBool, "true", "",
           "a missing topic is created where brokers allow it"},
          {"check.crcs", kBool, "true", "", "checksums are always verified", none},
          {"group.id", kString, "", "", "group of the consumer"},
          {"group.instance.id", kString, "", "",
           "makes the member static: it keeps its share over a restart"},
          {"group.remote.assignor",
           kString,
           "",
           "",
           "assignor that this member prefers",
           in_force,
           0,
           0,
           {"", "range", "roundrobin", "sticky"}},
          {"partition.assignment.strategy", kString, "", "", "brokers assign; see group.remote.assignor",
           none},
          {"group.protocol", kString, "consumer", "", "brokers assign", none},
          {"enable.auto.commit", kBool, "true", "", "positions are committed in the background"},
          {"auto.commit.interval.ms", kInt, "5000", "ms", "between two commits in the background", in_force,
           0, kMostMillis},
          {"max.poll.interval.ms", kInt, "300000", "ms", "a member that polls less often leaves its group",
           in_force, 1, 86'400'000},
          {"session.timeout.ms", kInt, "45000", "ms", "a member silent for so long is taken out of its group",
           in_force, 1, kMostMillis},
          {"heartbeat.interval.ms", kInt, "3000", "ms", "the coordinator sets it", none, 1, kMostMillis},
          {"default.api.timeout.ms", kInt, "60000", "ms", "how long a call takes at most", in_force, 1,
           kMostMillis},
          {"isolation.level",
           kString,
           "read_uncommitted",
           "",
           "which records are seen",
           none,
           0,
           0,
           {"read_uncommitted", "read_committed"}},
          {"client.rack", kString, "", "", "rack of this program"},
      }));
  return table;
}

Duration Millis(const ConfigValues& values, std::string_view name) {
  return std::chrono::milliseconds(values.Int(name));
}

Result<ClientOptions> ClientFrom(const ConfigValues& values) {
  ClientOptions options;
  if (values.IsSet("bootstrap.servers")) {
    TM_ASSIGN_OR_RETURN(options.bootstrap, ParseBootstrap(values.Text("bootstrap.servers")));
  }
  options.client_id = values.Text("client.id");
  options.request_timeout = Millis(values, "request.timeout.ms");
  options.metadata_max_age = Millis(values, "metadata.max.age.ms");
  options.retry_backoff = Millis(values, "retry.backoff.ms");
  options.retry_backoff_max = std::max(options.retry_backoff, Millis(values, "retry.backoff.max.ms"));
  return options;
}

}  // namespace

Result<std::vector<Endpoint>> ParseBootstrap(std::string_view text) {
  std::vector<Endpoint> endpoints;
  for (const std::string& part : CommaList(text)) {
    auto endpoint = ParseEndpoint(part);
    if (!endpoint) return Fail(v1::INVALID_CONFIG, "bootstrap.servers: {}", endpoint.error().message);
    if (endpoint->host.empty() || endpoint->port == 0) {
      return Fail(v1::INVALID_CONFIG, "bootstrap.servers: '{}' is not host:port", part);
    }
    endpoints.push_back(std::move(*endpoint));
  }
  if (endpoints.empty())
    return Fail(v1::INVALID_CONFIG, "bootstrap.servers names no broker (host:port,host:port)");
  return endpoints;
}

Result<ProducerOptions> ProducerOptions::FromProperties(const PropertyMap& properties) {
  const Properties given(properties.begin(), properties.end());
  TM_RETURN_IF_ERROR(ProducerTable().Check(given));
  const ConfigValues values(ProducerTable(), given);
  ProducerOptions options;
  TM_ASSIGN_OR_RETURN(options.client, ClientFrom(values));
  options.client.allow_auto_create = true;
  const std::string acks = values.Text("acks");
  options.acks = acks == "0" ? 0 : acks == "1" ? 1 : -1;
  options.batch_size = static_cast<size_t>(values.Int("batch.size"));
  options.linger = Millis(values, "linger.ms");
  options.buffer_memory = static_cast<size_t>(values.Int("buffer.memory"));
  TM_ASSIGN_OR_RETURN(options.compression, ParseCompression(values.Text("compression.type")));
  options.delivery_timeout = Millis(values, "delivery.timeout.ms");
  options.max_block = Millis(values, "max.block.ms");
  options.max_request_size = static_cast<size_t>(values.Int("max.request.size"));
  options.retries = static_cast<uint32_t>(values.Int("retries"));
  return options;
}

Result<ConsumerOptions> ConsumerOptions::FromProperties(const PropertyMap& properties) {
  const Properties given(properties.begin(), properties.end());
  TM_RETURN_IF_ERROR(ConsumerTable().Check(given));
  const ConfigValues values(ConsumerTable(), given);
  ConsumerOptions options;
  TM_ASSIGN_OR_RETURN(options.client, ClientFrom(values));
  options.client.allow_auto_create = values.Bool("allow.auto.create.topics");
  options.fetch_min_bytes = static_cast<uint32_t>(values.Int("fetch.min.bytes"));
  options.fetch_max_wait = Millis(values, "fetch.max.wait.ms");
  options.fetch_max_bytes = static_cast<uint32_t>(values.Int("fetch.max.bytes"));
  options.max_partition_fetch_bytes = static_cast<uint32_t>(values.Int("max.partition.fetch.bytes"));
  options.prefetch_bytes = static_cast<size_t>(values.Int("prefetch.bytes"));
  const std::string reset = values.Text("auto.offset.reset");
  options.auto_offset_reset = reset == "earliest" ? OffsetReset::kEarliest
                              : reset == "none"   ? OffsetReset::kNone
                                                  : OffsetReset::kLatest;
  options.max_poll_records = static_cast<size_t>(values.Int("max.poll.records"));
  options.rack = values.Text("client.rack");
  options.group_id = values.Text("group.id");
  options.group_instance_id = values.Text("group.instance.id");
  options.assignor = values.Text("group.remote.assignor");
  options.enable_auto_commit = values.Bool("enable.auto.commit");
  options.auto_commit_interval = Millis(values, "auto.commit.interval.ms");
  options.max_poll_interval = Millis(values, "max.poll.interval.ms");
  options.session_timeout = Millis(values, "session.timeout.ms");
  options.default_api_timeout = Millis(values, "default.api.timeout.ms");
  return options;
}

}  // namespace tidemark
