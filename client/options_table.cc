#include "client/options_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "common/record/batch.h"

namespace tidemark {
namespace {

constexpr int64_t kMostMillis = 2147483647;
constexpr ConfigEffect kIn = ConfigEffect::kInForce;
constexpr ConfigEffect kNone = ConfigEffect::kNone;
using enum ConfigType;

ConfigDef OneOf(const char* name, const char* value, const char* doc, std::vector<std::string> allowed,
                ConfigEffect effect = kIn) {
  return {name, kString, value, "", doc, effect, 0, 0, std::move(allowed)};
}

std::vector<ConfigDef> WithCommon(std::vector<ConfigDef> own) {
  std::vector<ConfigDef> all = CommonClientDefs();
  all.insert(all.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  return all;
}

bool SameText(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// Read as bytes, whatever class is named, which scripts written for Kafka do.
bool IsSerializer(std::string_view name) { return name.ends_with("serializer"); }

}  // namespace

const std::vector<ConfigDef>& CommonClientDefs() {
  static const std::vector<ConfigDef> defs = {
      {"bootstrap.servers", kString, "", "", "Brokers to ask first, host:port,..."},
      {"client.id", kString, "tidemark", "",
       "Name of this program in what brokers show of groups, and the one that quotas go by"},
      {"request.timeout.ms", kInt, "30000", "ms", "How long an answer is awaited", kIn, 1, kMostMillis},
      {"metadata.max.age.ms", kInt, "300000", "ms", "Metadata older than this is asked for anew", kIn, 1,
       kMostMillis},
      {"retry.backoff.ms", kInt, "50", "ms", "First pause before a retry", kIn, 0, kMostMillis},
      {"retry.backoff.max.ms", kInt, "1000", "ms", "Longest pause before a retry", kIn, 0, kMostMillis},
      OneOf("security.protocol", "PLAINTEXT", "Protection of connections", {"PLAINTEXT"}),
      {"key.serializer", kString, "", "", "Keys are bytes here", kNone},
      {"value.serializer", kString, "", "", "Values are bytes here", kNone},
      {"key.deserializer", kString, "", "", "Keys are bytes here", kNone},
      {"value.deserializer", kString, "", "", "Values are bytes here", kNone},
      {"reconnect.backoff.ms", kInt, "50", "ms",
       "First pause before a reconnect; it is retry.backoff.ms here", kNone, 0, kMostMillis},
      {"reconnect.backoff.max.ms", kInt, "1000", "ms",
       "Longest pause before a reconnect; it is retry.backoff.max.ms here", kNone, 0, kMostMillis},
      {"connections.max.idle.ms", kInt, "540000", "ms", "Idle connections are closed after this", kNone},
      {"send.buffer.bytes", kInt, "131072", "bytes", "Socket buffer; the system's own choice here", kNone},
      {"receive.buffer.bytes", kInt, "65536", "bytes", "Socket buffer; the system's own choice here", kNone},
  };
  return defs;
}

const ConfigTable& ProducerConfigTable() {
  static const ConfigTable table(
      "producer",
      WithCommon({
          OneOf(
              "acks", "all",
              "Who has a record before it counts as sent: nobody (0), the leader (1), every replica in sync "
              "(all, -1)",
              {"0", "1", "-1", "all"}),
          {"batch.size", kInt, "16384", "bytes", "A batch this large is sent at once", kIn, 0,
           kMaxRecordsBytes},
          {"linger.ms", kInt, "0", "ms", "How long a batch waits for more records", kIn, 0, kMostMillis},
          {"buffer.memory", kInt, "33554432", "bytes", "Most bytes of records not yet acknowledged", kIn, 1},
          OneOf("compression.type", "none", "Codec of batches", {"none", "gzip", "snappy", "lz4", "zstd"}),
          {"delivery.timeout.ms", kInt, "120000", "ms", "A record not acknowledged after this has failed",
           kIn, 1, kMostMillis},
          {"max.block.ms", kInt, "60000", "ms",
           "How long a send waits for metadata or memory; 0: a full buffer refuses at once", kIn, 0,
           kMostMillis},
          {"max.request.size", kInt, "1048576", "bytes", "Most bytes of a request, and of a record", kIn, 1,
           kMaxRecordsBytes},
          {"retries", kInt, "2147483647", "", "How often a batch is sent again within delivery.timeout.ms",
           kIn, 0, 2147483647},
          {"enable.idempotence", kBool, "false", "",
           "Retries never store a record twice; here one whose acknowledgement was lost may be stored again",
           kNone},
          {"max.in.flight.requests.per.connection", kInt, "5", "",
           "One batch per partition is in flight here, so that retries keep the order", kNone, 1},
          {"partitioner.class", kString, "", "",
           "A record goes where the murmur2 of its key says, one without key to its batch's partition",
           kNone},
      }));
  return table;
}

const ConfigTable& ConsumerConfigTable() {
  static const ConfigTable table(
      "consumer",
      WithCommon({
          {"fetch.min.bytes", kInt, "1", "bytes", "An answer waits for this much", kIn, 0, 2147483647},
          {"fetch.max.wait.ms", kInt, "500", "ms", "How long an answer waits for fetch.min.bytes", kIn, 0,
           kMostMillis},
          {"fetch.max.bytes", kInt, "52428800", "bytes", "Most bytes of an answer", kIn, 1, 52428800},
          {"max.partition.fetch.bytes", kInt, "1048576", "bytes", "Most bytes of a partition in an answer",
           kIn, 1, 52428800},
          {"prefetch.bytes", kInt, "67108864", "bytes", "Most bytes fetched ahead of poll; Tidemark's own",
           kIn, 1},
          OneOf("auto.offset.reset", "latest",
                "Where to go without a position, or when it is out of range; a partition added while a group "
                "reads its topic is read from its beginning",
                {"earliest", "latest", "none"}),
          {"max.poll.records", kInt, "500", "records", "Most records of one poll", kIn, 1, 2147483647},
          {"allow.auto.create.topics", kBool, "true", "",
           "A missing topic is created where brokers allow it"},
          {"client.rack", kString, "", "", "Rack of this program"},
          {"default.api.timeout.ms", kInt, "60000", "ms",
           "How long a call without a time of its own takes at most", kIn, 1, kMostMillis},
          {"group.id", kString, "", "", "Group of the consumer"},
          {"group.instance.id", kString, "", "",
           "Makes the member static: it keeps its share over a restart"},
          OneOf("group.remote.assignor", "", "Assignor that this member prefers; not set: as the others wish",
                {"", "range", "roundrobin", "sticky", "uniform"}),
          {"enable.auto.commit", kBool, "true", "", "Positions are committed in the background"},
          {"auto.commit.interval.ms", kInt, "5000", "ms", "Between two commits in the background", kIn, 0,
           kMostMillis},
          {"max.poll.interval.ms", kInt, "300000", "ms", "A member that polls less often leaves its group",
           kIn, 1, 86'400'000},
          {"session.timeout.ms", kInt, "45000", "ms", "A member silent for so long is taken out of its group",
           kIn, 1, kMostMillis},
          {"heartbeat.interval.ms", kInt, "3000", "ms",
           "Between two heartbeats; the coordinator sets it (group.consumer.heartbeat.interval.ms)", kNone, 1,
           kMostMillis},
          {"partition.assignment.strategy", kString, "", "",
           "Brokers assign; group.remote.assignor says what this member prefers", kNone},
          {"group.protocol", kString, "consumer", "",
           "Brokers assign, in the manner of Kafka's consumer protocol", kNone},
          OneOf("isolation.level", "read_uncommitted",
                "Which records are seen; there are no transactions yet",
                {"read_uncommitted", "read_committed"}, kNone),
          {"check.crcs", kBool, "true", "", "Checksums are always verified", kNone},
      }));
  return table;
}

const std::vector<ClientDifference>& ClientDifferences() {
  static const std::vector<ClientDifference> differences = {
      {"enable.idempotence", "true",
       "not implemented: a retry after a lost acknowledgement may store a record twice; the order is kept"},
      {"retry.backoff.ms", "100", "a leader is elected within tens of milliseconds"},
      {"client.id", "", "a name in what brokers show; give your own where quotas or groups are watched"},
      {"group.protocol", "classic",
       "assignments are made by the coordinator, without a leader among the members"},
      {"partition.assignment.strategy", "RangeAssignor, CooperativeStickyAssignor",
       "the coordinator assigns, sticky unless the members prefer otherwise (group.remote.assignor)"},
  };
  return differences;
}

std::vector<std::string> SettingsWithoutEffect(const ConfigTable& table, const Properties& given) {
  std::vector<std::string> out;
  for (const ConfigDef& def : table.defs()) {
    const auto value = given.find(def.name);
    if (def.effect != kNone || value == given.end() || IsSerializer(def.name)) continue;
    if (SameText(value->second, def.default_value)) continue;
    out.push_back(fmt::format("{}={} has no effect{}: {}", def.name, value->second,
                              std::string_view(def.name) == "enable.idempotence" ? " yet" : "", def.doc));
  }
  return out;
}

}  // namespace tidemark
