// ClientOptions, ProducerOptions, ConsumerOptions: what applications set, under Kafka's names and with its
// defaults. Values. FromProperties: an unknown name is INVALID_CONFIG with the nearest one, an ill-typed
// value names its bounds.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "client/position_reset.h"
#include "common/net/transport.h"
#include "common/result.h"
#include "common/time.h"
#include "tidemark/v1/record.pb.h"

namespace tidemark {

using PropertyMap = std::map<std::string, std::string>;

// "host:port,host:port"; INVALID_CONFIG names what is wrong.
Result<std::vector<Endpoint>> ParseBootstrap(std::string_view text);

struct ClientOptions {
  std::vector<Endpoint> bootstrap;     // bootstrap.servers
  std::string client_id = "tidemark";  // client.id
  Duration request_timeout = 30s;      // request.timeout.ms
  Duration metadata_max_age = 300s;    // metadata.max.age.ms
  Duration retry_backoff = 50ms;       // retry.backoff.ms
  Duration retry_backoff_max = 1s;     // retry.backoff.max.ms
  // How long calls to any broker go on while none of the bootstrap list has ever answered; zero: as long as
  // the call may take. Tools set it: a wrong address should not cost a minute.
  Duration first_contact_timeout{};
  // Told once, on the client's loop, when the whole bootstrap list has been tried in vain and none of it has
  // ever answered; tries go on.
  std::function<void(const Error& last)> on_no_contact;
  // Told once of each call of an admin, and of each question for offsets, that has taken some seconds, on the
  // client's loop: how its last try failed (nothing: none has been answered yet; then once more when one
  // has), and how long it may still take. Of a producer: that records have been tried in vain for so long; at
  // most once in delivery.timeout.ms.
  std::function<void(const std::optional<Error>& last, Duration left)> on_slow_call;
  // A sentence for each setting that was given and does nothing here, as enable.idempotence=true: for whoever
  // runs the program. Tools write them to stderr.
  std::vector<std::string> without_effect;
  // Asking for a missing topic creates it, where the brokers allow that: producers' way, and consumers' by
  // allow.auto.create.topics.
  bool allow_auto_create = false;
};

struct ProducerOptions {
  ClientOptions client;
  int acks = -1;                                       // acks: 0, 1, all
  size_t batch_size = 16384;                           // batch.size
  Duration linger = 0ms;                               // linger.ms
  size_t buffer_memory = 32u << 20;                    // buffer.memory
  v1::Compression compression = v1::COMPRESSION_NONE;  // compression.type
  Duration delivery_timeout = 120s;                    // delivery.timeout.ms
  Duration max_block = 60s;           // max.block.ms; 0: refuse at once when the buffer is full
  size_t max_request_size = 1048576;  // max.request.size
  uint32_t retries = 2147483647;      // retries
  static Result<ProducerOptions> FromProperties(const PropertyMap& properties);
};

struct ConsumerOptions {
  ClientOptions client;
  uint32_t fetch_min_bytes = 1;                          // fetch.min.bytes
  Duration fetch_max_wait = 500ms;                       // fetch.max.wait.ms
  uint32_t fetch_max_bytes = 50u << 20;                  // fetch.max.bytes
  uint32_t max_partition_fetch_bytes = 1u << 20;         // max.partition.fetch.bytes
  size_t prefetch_bytes = 64u << 20;                     // most bytes fetched ahead of Poll
  OffsetReset auto_offset_reset = OffsetReset::kLatest;  // auto.offset.reset
  size_t max_poll_records = 500;                         // max.poll.records
  Duration start_patience = 30s;                         // Assign waits so long for starts to be found
  std::string rack;                                      // client.rack
  // Of consumers in groups.
  std::string group_id;                // group.id
  std::string group_instance_id;       // group.instance.id
  std::string assignor;                // group.remote.assignor; empty: as the others wish
  bool enable_auto_commit = true;      // enable.auto.commit
  Duration auto_commit_interval = 5s;  // auto.commit.interval.ms
  Duration max_poll_interval = 300s;   // max.poll.interval.ms
  Duration session_timeout = 45s;      // session.timeout.ms
  Duration default_api_timeout = 60s;  // default.api.timeout.ms: calls without a time of their own
  // Told on the client's loop, once each time, when auto.offset.reset has moved a position: records may have
  // been missed. What was fetched before it is still given first.
  std::function<void(const PositionReset&)> on_reset;
  static Result<ConsumerOptions> FromProperties(const PropertyMap& properties);
};

}  // namespace tidemark
