#include "client/options.h"

#include "client/options_table.h"
#include "common/config/properties.h"
#include "common/record/compression.h"

namespace tidemark {
namespace {

Duration Millis(const ConfigValues& values, std::string_view name) {
  return std::chrono::milliseconds(values.Int(name));
}

Result<ClientOptions> ClientFrom(const ConfigTable& table, const Properties& given) {
  const ConfigValues values(table, given);
  ClientOptions options;
  if (values.IsSet("bootstrap.servers")) {
    TM_ASSIGN_OR_RETURN(options.bootstrap, ParseBootstrap(values.Text("bootstrap.servers")));
  }
  options.client_id = values.Text("client.id");
  options.request_timeout = Millis(values, "request.timeout.ms");
  options.metadata_max_age = Millis(values, "metadata.max.age.ms");
  options.retry_backoff = Millis(values, "retry.backoff.ms");
  options.retry_backoff_max = std::max(options.retry_backoff, Millis(values, "retry.backoff.max.ms"));
  options.without_effect = SettingsWithoutEffect(table, given);
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
  TM_RETURN_IF_ERROR(ProducerConfigTable().Check(given));
  const ConfigValues values(ProducerConfigTable(), given);
  ProducerOptions options;
  TM_ASSIGN_OR_RETURN(options.client, ClientFrom(ProducerConfigTable(), given));
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
  TM_RETURN_IF_ERROR(ConsumerConfigTable().Check(given));
  const ConfigValues values(ConsumerConfigTable(), given);
  ConsumerOptions options;
  TM_ASSIGN_OR_RETURN(options.client, ClientFrom(ConsumerConfigTable(), given));
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
