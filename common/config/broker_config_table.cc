#include <algorithm>
#include <limits>

#include <glog/logging.h>

#include "common/config/broker_config.h"
#include "common/config/dynamic_configs.h"

namespace tidemark {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxLong = std::numeric_limits<int64_t>::max();
constexpr ConfigType kB = ConfigType::kBool, kI = ConfigType::kInt, kD = ConfigType::kDouble,
                     kS = ConfigType::kString, kL = ConfigType::kList;
constexpr ConfigEffect kYes = ConfigEffect::kInForce, kNo = ConfigEffect::kNone;

using Defs = std::vector<ConfigDef>;

Defs Identity() {
  return {
      {"broker.id", kI, "-1", "", "Id of this broker; -1: generated and kept in the log directory", kYes, -1,
       kMaxInt},
      {"broker.id.generation.enable", kB, "true", "", "Generate ids for brokers without one", kNo},
      {"broker.rack", kS, "", "", "Rack or zone; replicas of a partition are spread over them", kYes},
      {"reserved.broker.max.id", kI, "1000", "", "Generated ids are above this", kYes, 0, kMaxInt},
      {"zookeeper.connect", kS, "", "", "host:port,host:port/chroot of ZooKeeper", kYes},
      {"zookeeper.session.timeout.ms", kI, "18000", "ms", "Silence after which ZooKeeper gives a broker up",
       kYes, 100, 3'600'000},
      {"zookeeper.connection.timeout.ms", kI, "", "ms",
       "Set: the start fails when ZooKeeper was not reached for so long; not set: it keeps trying", kYes, 1,
       kMaxInt},
      {"zookeeper.max.in.flight.requests", kI, "10", "requests", "Requests to ZooKeeper in flight", kNo, 1,
       kMaxInt},
      {"zookeeper.set.acl", kB, "false", "", "Protect znodes by ACL", kNo},
  };
}

Defs Network() {
  return {
      {"listeners", kL, "PLAINTEXT://:9092", "", "NAME://host:port to listen on", kYes},
      {"advertised.listeners", kL, "", "", "Addresses told to clients; not set: the listeners'", kYes},
      {"listener.security.protocol.map", kL, "", "", "NAME:PROTOCOL of listeners", kYes},
      {"inter.broker.listener.name", kS, "", "", "Listener for brokers among themselves; not set: the first",
       kYes},
      {"security.inter.broker.protocol",
       kS,
       "PLAINTEXT",
       "",
       "Protocol between brokers",
       kNo,
       0,
       0,
       {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}},
      {"control.plane.listener.name", kS, "", "", "Listener for the controller's commands", kNo},
      {"admin.listener", kS, "127.0.0.1:0", "", "host:port of the admin HTTP listener", kYes},
      {"num.shards", kI, "0", "threads", "Shards (event loops) that serve; 0: one per core", kYes, 0, 1024},
      {"num.network.threads", kI, "3", "threads", "Kafka's network threads; see num.shards", kNo, 1, kMaxInt},
      {"num.io.threads", kI, "8", "threads", "Kafka's request threads; see num.shards", kNo, 1, kMaxInt},
      {"queued.max.requests", kI, "500", "requests",
       "Requests in flight of one connection before it is not read on", kYes, 1, kMaxInt},
      {"socket.request.max.bytes", kI, "16777216", "bytes", "Largest request frame", kYes, 1024, 1 << 30},
      {"socket.send.buffer.bytes", kI, "102400", "bytes", "SO_SNDBUF", kNo, -1, kMaxInt},
      {"socket.receive.buffer.bytes", kI, "102400", "bytes", "SO_RCVBUF", kNo, -1, kMaxInt},
      {"socket.listen.backlog.size", kI, "50", "connections", "Listen backlog", kNo, 1, kMaxInt},
      {"connections.max.idle.ms", kI, "600000", "ms", "A connection without a request for so long is closed",
       kYes, 1000, kMaxLong / 1'000'000},
      {"max.connections", kI, "2147483647", "connections",
       "Connections of clients; those of brokers come in beside them. Never more than the process may open "
       "files",
       kYes, 1, kMaxInt},
      {"max.connections.per.ip", kI, "2147483647", "connections", "Connections of one address", kNo, 0,
       kMaxInt},
  };
}

Defs Topics() {
  return {
      {"auto.create.topics.enable", kB, "false", "", "Create a topic when metadata of a missing one is asked",
       kYes},
      {"delete.topic.enable", kB, "true", "", "Topics may be deleted", kYes},
      {"num.partitions", kI, "1", "partitions", "Partitions of a topic created without a number", kYes, 1,
       1'000'000},
      {"default.replication.factor", kI, "0", "replicas",
       "Replicas of a topic created without a number; 0: the lesser of 3 and the live brokers", kYes, 0,
       32767},
      {"min.insync.replicas", kI, "2", "replicas",
       "Members the ISR needs before acks=all is accepted; counts as at most the number of replicas", kYes, 1,
       kMaxInt},
      {"unclean.leader.election.enable", kB, "false", "",
       "Let a replica outside the ISR lead when no member lives", kYes},
      {"message.max.bytes", kI, "1048588", "bytes", "Largest batch accepted", kYes, 0, 16 << 20},
      {"compression.type",
       kS,
       "producer",
       "",
       "Codec in which batches are stored",
       kNo,
       0,
       0,
       {"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"}},
      {"ack.durability",
       kS,
       "synced",
       "",
       "Whose end counts for acknowledgements: synced (what is on disk) or replicated (what is in memory)",
       kYes,
       0,
       0,
       {"synced", "replicated"}},
  };
}

Defs Logs() {
  return {
      {"log.dirs", kL, "", "", "Directories of the logs; missing ones are created", kYes},
      {"log.dir", kS, "", "", "Directory of the logs, where log.dirs is not set", kYes},
      {"log.dir.min.free.bytes", kI, "536870912", "bytes",
       "With less free in a log directory's file system produce to it is refused (DISK_FULL, retriable), but "
       "for "
       "internal topics; 0: never",
       kYes, 0, kMaxLong / 8},
      {"log.dir.reserve.bytes", kI, "33554432", "bytes",
       "Kept in a file of each log directory and given back when its file system has run full, for epochs, "
       "checkpoints and internal topics; followers stop when only as much again is free; 0: none",
       kYes, 0, kMaxLong / 8},
      {"replica.alter.log.dirs.io.max.bytes.per.second", kI, "9223372036854775807", "bytes/s",
       "How fast replicas are copied between the log directories of a broker "
       "and damaged segments are written anew",
       kYes, 1, kMaxLong},
      {"log.segment.bytes", kI, "1073741824", "bytes", "Size at which a new segment file is begun", kYes,
       1024, kMaxInt},
      {"log.open.files", kI, "0", "files",
       "Segment files that stay open; 0: two fifths of the limit of the process. A number above the one at "
       "the "
       "start counts after a restart",
       kYes, 0, kMaxInt},
      {"log.roll.ms", kI, "", "ms", "Age at which a new segment file is begun; not set: log.roll.hours", kYes,
       1, kMaxLong},
      {"log.roll.hours", kI, "168", "hours", "Age at which a new segment file is begun", kYes, 1, kMaxInt},
      {"log.roll.jitter.ms", kI, "", "ms", "Spread of log.roll.ms", kNo, 0, kMaxLong},
      {"log.roll.jitter.hours", kI, "0", "hours", "Spread of log.roll.hours", kNo, 0, kMaxInt},
      {"log.retention.ms", kI, "", "ms", "Age above which old segments go; not set: log.retention.minutes",
       kYes, -1, kMaxLong},
      {"log.retention.minutes", kI, "", "minutes",
       "Age above which old segments go; not set: log.retention.hours", kYes, -1, kMaxInt},
      {"log.retention.hours", kI, "168", "hours", "Age above which old segments go", kYes, -1, kMaxInt},
      {"log.retention.bytes", kI, "-1", "bytes", "Size of a partition above which old segments go", kYes, -1,
       kMaxLong},
      {"log.retention.check.interval.ms", kI, "300000", "ms", "Between two looks for old segments", kYes, 1,
       kMaxLong},
      {"log.scrub.bytes.per.second", kI, "4194304", "bytes/s",
       "How fast stored batches are read again in search of rot; 0: never", kYes, 0, kMaxLong},
      {"log.scrub.interval.ms", kI, "604800000", "ms", "Between two such reads of a log", kYes, 1000,
       kMaxLong},
      {"log.flush.interval.messages", kI, "9223372036854775807", "records",
       "Records after which a flush is begun, at replicated too", kYes, 1, kMaxLong},
      {"log.flush.interval.ms", kI, "", "ms", "Time after which a flush is begun, at replicated too", kYes, 0,
       kMaxLong},
      {"log.flush.scheduler.interval.ms", kI, "9223372036854775807", "ms",
       "Between two looks for due flushes", kNo, 0, kMaxLong},
      {"log.flush.offset.checkpoint.interval.ms", kI, "60000", "ms", "Between recovery point checkpoints",
       kNo, 0, kMaxInt},
      {"num.recovery.threads.per.data.dir", kI, "1", "threads",
       "Logs recovered at once (at least one per shard)", kYes, 1, kMaxInt},
      {"log.cleanup.policy", kL, "delete", "", "What happens to old data", kYes, 0, 0, {"delete", "compact"}},
      {"log.segment.delete.delay.ms", kI, "60000", "ms", "Between taking a file away and removing it", kYes,
       0, kMaxLong},
      {"log.index.interval.bytes", kI, "4096", "bytes", "Log bytes between two index entries", kYes, 1,
       kMaxInt},
      {"log.index.size.max.bytes", kI, "10485760", "bytes", "Largest index file", kNo, 4, kMaxInt},
      {"log.preallocate", kB, "false", "", "Preallocate segment files", kNo},
      {"log.message.timestamp.type",
       kS,
       "CreateTime",
       "",
       "Whose clock the timestamps are",
       kNo,
       0,
       0,
       {"CreateTime", "LogAppendTime"}},
  };
}

Defs Cleaner() {
  return {
      {"log.cleaner.enable", kB, "true", "", "Compact topics that ask for it", kYes},
      {"log.cleaner.threads", kI, "1", "threads", "Logs compacted at the same time", kYes, 0, kMaxInt},
      {"log.cleaner.dedupe.buffer.size", kI, "134217728", "bytes",
       "Most memory of the offset maps of all cleaners; taken while a log is compacted", kYes, 1 << 20,
       kMaxLong},
      {"log.cleaner.io.buffer.load.factor", kD, "0.9", "", "How full an offset map may become", kYes, 0, 1},
      {"log.cleaner.io.max.bytes.per.second", kD, "1.7976931348623157E308", "bytes/s",
       "Most bytes that all cleaners read and write in a second", kYes, 0, kMaxLong},
      {"log.cleaner.min.cleanable.ratio", kD, "0.5", "",
       "Part of the log that must be dirty before it is compacted", kYes, 0, 1},
      {"log.cleaner.delete.retention.ms", kI, "86400000", "ms",
       "How long tombstones stay after they were first compacted", kYes, 0, kMaxLong},
      {"log.cleaner.backoff.ms", kI, "15000", "ms", "Pause of an idle cleaner, at least 10", kYes, 0,
       kMaxLong},
      {"log.cleaner.min.compaction.lag.ms", kI, "0", "ms", "A record is not compacted before this", kYes, 0,
       kMaxLong},
      {"log.cleaner.max.compaction.lag.ms", kI, "9223372036854775807", "ms",
       "A record is compacted at the latest after this", kYes, 1, kMaxLong},
  };
}

Defs Replication() {
  return {
      {"replica.lag.time.max.ms", kI, "30000", "ms", "A follower not caught up for so long leaves the ISR",
       kYes, 100, kMaxInt},
      {"replica.fetch.max.bytes", kI, "1048576", "bytes", "Most bytes of one partition in a follower's fetch",
       kYes, 1024, 1 << 30},
      {"replica.fetch.response.max.bytes", kI, "10485760", "bytes", "Most bytes of a follower's fetch", kYes,
       1024, 1 << 30},
      {"replica.fetch.min.bytes", kI, "1", "bytes", "Least bytes of a follower's fetch", kYes, 1, kMaxInt},
      {"replica.fetch.wait.max.ms", kI, "500", "ms", "How long a follower's fetch is parked", kYes, 10,
       kMaxInt},
      {"replica.fetch.backoff.ms", kI, "1000", "ms", "Pause of a follower after an error, at least 10", kYes,
       0, kMaxInt},
      {"num.replica.fetchers", kI, "1", "", "Connections per leader; here one per shard", kNo, 1, kMaxInt},
      {"replica.high.watermark.checkpoint.interval.ms", kI, "5000", "ms",
       "Between high watermark checkpoints", kYes, 100, kMaxInt},
      {"replica.selector.class", kS, "", "", "Lets consumers read from followers", kNo},
      {"replica.socket.timeout.ms", kI, "30000", "ms", "Time limit of a follower's fetch", kNo, 1, kMaxInt},
      {"replica.socket.receive.buffer.bytes", kI, "65536", "bytes", "SO_RCVBUF of fetchers", kNo, -1,
       kMaxInt},
      {"controller.socket.timeout.ms", kI, "30000", "ms", "Time limit of the controller's commands", kNo, 1,
       kMaxInt},
      {"request.timeout.ms", kI, "30000", "ms", "Time limit of requests between brokers", kNo, 1, kMaxInt},
  };
}

Defs Leadership() {
  return {
      {"auto.leader.rebalance.enable", kB, "true", "", "Give leadership back to preferred leaders", kNo},
      {"leader.imbalance.per.broker.percentage", kI, "10", "%", "Imbalance that is left alone", kNo, 0, 100},
      {"leader.imbalance.check.interval.seconds", kI, "300", "s", "Between two looks at the balance", kNo, 1,
       kMaxInt},
      {"controlled.shutdown.enable", kB, "true", "", "Move leaderships away before stopping", kYes},
      {"controlled.shutdown.max.retries", kI, "3", "", "Tries of a controlled shutdown", kYes, 0, kMaxInt},
      {"controlled.shutdown.retry.backoff.ms", kI, "5000", "ms", "Pause between the tries", kYes, 0, kMaxInt},
      {"watchdog.stuck.ms", kI, "30000", "ms",
       "A shard, flush, cold read, truncation or checkpoint stuck for so long (a hung disk) makes the broker "
       "leave ZooKeeper, so that others lead, until it answers again",
       kYes, 1000, kMaxInt},
  };
}

Defs GroupsAndTransactions() {
  return {
      {"offsets.topic.num.partitions", kI, "50", "partitions", "Partitions of __consumer_offsets", kYes, 1,
       10'000},
      {"offsets.topic.replication.factor", kI, "3", "replicas",
       "Replicas of __consumer_offsets, which is not created before that many brokers are there", kYes, 1,
       32767},
      {"offsets.topic.segment.bytes", kI, "104857600", "bytes", "segment.bytes of __consumer_offsets", kYes,
       1024, kMaxInt},
      {"offsets.commit.timeout.ms", kI, "5000", "ms", "How long a commit or heartbeat waits for the replicas",
       kYes, 1, kMaxInt},
      {"offsets.retention.minutes", kI, "10080", "minutes", "How long offsets of an empty group stay", kYes,
       1, kMaxInt},
      {"offsets.retention.check.interval.ms", kI, "600000", "ms", "Between two looks for old offsets", kYes,
       1, kMaxLong},
      {"offset.metadata.max.bytes", kI, "4096", "bytes", "Longest text kept with a committed offset", kYes, 0,
       1 << 20},
      {"group.min.session.timeout.ms", kI, "6000", "ms", "Shortest session a member may ask for", kYes, 1,
       kMaxInt},
      {"group.max.session.timeout.ms", kI, "1800000", "ms", "Longest session a member may ask for", kYes, 1,
       kMaxInt},
      {"group.consumer.session.timeout.ms", kI, "45000", "ms",
       "Session of members that ask for none: silence after which they are fenced", kYes, 1, kMaxInt},
      {"group.consumer.heartbeat.interval.ms", kI, "3000", "ms",
       "Between two heartbeats of a member; shorter while partitions move", kYes, 1, kMaxInt},
      {"group.initial.rebalance.delay.ms", kI, "0", "ms",
       "Pause before the first assignment of a group that was empty", kYes, 0, kMaxInt},
      {"group.lag.interval.ms", kI, "15000", "ms",
       "How often the lag of groups coordinated here is found out for /metrics; 0: never", kYes, 0, kMaxInt},
      {"group.max.size", kI, "2147483647", "members", "Members of one group", kYes, 1, kMaxInt},
      {"group.max.memory.bytes", kI, "536870912", "bytes",
       "Memory that groups (members, assignments, offsets) may take on one shard: nobody joins above nine "
       "tenths "
       "of it, nothing new is committed above it",
       kYes, 1 << 20, kMaxLong},
      {"transaction.state.log.replication.factor", kI, "3", "replicas", "Replicas of the transaction log",
       kNo, 1, 32767},
      {"transaction.state.log.min.isr", kI, "2", "replicas", "min.insync.replicas of the transaction log",
       kNo, 1, kMaxInt},
      {"transaction.state.log.num.partitions", kI, "50", "partitions", "Partitions of the transaction log",
       kNo, 1, kMaxInt},
      {"transactional.id.expiration.ms", kI, "604800000", "ms",
       "When an unused transactional id is forgotten", kNo, 1, kMaxInt},
      {"transaction.max.timeout.ms", kI, "900000", "ms", "Longest transaction", kNo, 1, kMaxInt},
      {"producer.id.expiration.ms", kI, "86400000", "ms", "When an unused producer id is forgotten", kNo, 1,
       kMaxInt},
  };
}

Defs Misc() {
  return {
      {"quota.window.num", kI, "11", "samples",
       "Samples of a quota: what the quota lets through in all but one of them a client may use at once",
       kYes, 1, 3600},
      {"quota.window.size.seconds", kI, "1", "s", "Length of a sample", kYes, 1, 3600},
      {"fetch.max.bytes", kI, "57671680", "bytes", "Most bytes of one fetch answer", kYes, 1024, 1 << 30},
      {"max.fetch.partitions", kI, "20000", "partitions",
       "Most partitions in one fetch or fetch session of a consumer; a connection may hold twice as many "
       "with "
       "sessions that are just ending",
       kYes, 1, kMaxInt},
      {"max.incremental.fetch.session.cache.slots", kI, "1000", "",
       "Fetch sessions kept; here one per connection", kNo, 0, kMaxInt},
      {"background.threads", kI, "10", "threads", "Background threads", kNo, 1, kMaxInt},
      {"authorizer.class.name", kS, "", "", "Who decides on access", kNo},
      {"super.users", kS, "", "", "Who may do everything", kNo},
      {"inter.broker.protocol.version", kS, "", "", "Protocol between brokers", kNo},
      {"log.message.format.version", kS, "", "", "Record format", kNo},
  };
}

}  // namespace

const ConfigTable& BrokerConfigTable() {
  static const ConfigTable table = [] {
    Defs all;
    for (Defs part : {Identity(), Network(), Topics(), Logs(), Cleaner(), Replication(), Leadership(),
                      GroupsAndTransactions(), Misc()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    for (const DynamicConfigName& dynamic : DynamicBrokerConfigNames()) {
      const auto def = std::ranges::find(all, std::string_view(dynamic.name), &ConfigDef::name);
      CHECK(def != all.end()) << "there is no broker config '" << dynamic.name << "'";
      def->scope = dynamic.scope;
    }
    return ConfigTable("broker", std::move(all));
  }();
  return table;
}

}  // namespace tidemark
