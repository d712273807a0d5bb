#include "tools/next_step.h"

#include <algorithm>
#include <iterator>

namespace tidemark {
namespace {

constexpr std::string_view kHealth =
    "try again; 'tidemark cluster health' shows what is wrong with the cluster";
constexpr std::string_view kUnknownOutcome =
    "it may have been done, or may be yet: look before trying again; 'tidemark cluster health' shows what is "
    "wrong";
constexpr std::string_view kOffsets = "'tidemark topic offsets TOPIC' shows the offsets that there are";
constexpr std::string_view kTopics = "'tidemark topic list' shows what there is";
constexpr std::string_view kGroup = "'tidemark group describe GROUP' shows its members and why they changed";
constexpr std::string_view kBrokerLog = "the log of the broker says more";
constexpr std::string_view kVerify = "'tidemark log dump --verify DIR' checks a broker's log directory";
constexpr std::string_view kVersions = "'tidemark-broker-api-versions' shows what the brokers speak";
// The message has the limit, the nearest name, the holder: all that there is to say.
constexpr std::string_view kInMessage = "";

struct Step {
  ErrorCode code;
  std::string_view text;
};

// In the order of error.proto. A unit test fails when a code has no row.
constexpr Step kSteps[] = {
    {v1::NONE, kInMessage},
    {v1::UNKNOWN_SERVER_ERROR, kBrokerLog},
    {v1::OFFSET_OUT_OF_RANGE, kOffsets},
    {v1::CORRUPT_MESSAGE, kVerify},
    {v1::UNKNOWN_TOPIC_OR_PARTITION, kTopics},
    {v1::INVALID_FETCH_SIZE, kInMessage},
    {v1::LEADER_NOT_AVAILABLE, kHealth},
    {v1::NOT_LEADER_OR_FOLLOWER, kHealth},
    {v1::REQUEST_TIMED_OUT, kUnknownOutcome},
    {v1::BROKER_NOT_AVAILABLE, "'tidemark cluster info' shows the brokers that are live"},
    {v1::REPLICA_NOT_AVAILABLE, "'tidemark topic describe TOPIC' shows which brokers have the replicas"},
    {v1::MESSAGE_TOO_LARGE,
     "send smaller records, or set max.message.bytes of the topic higher (and max.request.size of the "
     "producer)"},
    {v1::STALE_CONTROLLER_EPOCH, kHealth},
    {v1::OFFSET_METADATA_TOO_LARGE, "offset.metadata.max.bytes of the brokers is the limit"},
    {v1::NETWORK_EXCEPTION, kUnknownOutcome},
    {v1::COORDINATOR_LOAD_IN_PROGRESS, "try again in some seconds: the coordinator reads its state back"},
    {v1::COORDINATOR_NOT_AVAILABLE,
     "try again; 'tidemark cluster info' shows which brokers are live: offsets.topic.replication.factor of "
     "them are needed before the first group, later one that has a copy of the group's partition"},
    {v1::NOT_COORDINATOR, kHealth},
    {v1::INVALID_TOPIC_EXCEPTION, kInMessage},
    {v1::RECORD_LIST_TOO_LARGE,
     "send smaller batches (batch.size), or set segment.bytes of the topic higher"},
    {v1::NOT_ENOUGH_REPLICAS,
     "'tidemark topic describe TOPIC' shows which replicas are not in sync; bring their brokers back"},
    {v1::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
     "the records may be there: look before sending again; 'tidemark topic describe TOPIC' shows the ISR"},
    {v1::INVALID_REQUIRED_ACKS, "acks is 0, 1 or all"},
    {v1::INVALID_GROUP_ID, kInMessage},
    {v1::UNKNOWN_MEMBER_ID, kGroup},
    {v1::INVALID_SESSION_TIMEOUT,
     "group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers are the limits"},
    {v1::INVALID_TIMESTAMP, "message.timestamp.before.max.ms and .after.max.ms of the topic are the limits"},
    {v1::UNSUPPORTED_VERSION, kVersions},
    {v1::TOPIC_ALREADY_EXISTS,
     "describe shows the topic (list one that is being deleted), --if-not-exists accepts one that is there"},
    {v1::INVALID_PARTITIONS, kInMessage},
    {v1::INVALID_REPLICATION_FACTOR, kInMessage},
    {v1::INVALID_REPLICA_ASSIGNMENT,
     "'tidemark cluster info' shows the brokers that are live, with their racks"},
    {v1::INVALID_CONFIG, kInMessage},
    {v1::NOT_CONTROLLER, kHealth},
    {v1::INVALID_REQUEST, kInMessage},
    {v1::POLICY_VIOLATION, kInMessage},
    {v1::KAFKA_STORAGE_ERROR,
     "'tidemark-log-dirs --describe' shows the directories and what is wrong with them"},
    {v1::LOG_DIR_NOT_FOUND, "'tidemark-log-dirs --describe' shows the directories that there are"},
    {v1::NON_EMPTY_GROUP,
     "stop its members first (one that is away counts until its session ends); 'tidemark group describe "
     "GROUP' shows them"},
    {v1::GROUP_ID_NOT_FOUND, kInMessage},
    {v1::FETCH_SESSION_ID_NOT_FOUND, kHealth},
    {v1::INVALID_FETCH_SESSION_EPOCH, kHealth},
    {v1::TOPIC_DELETION_DISABLED, "delete.topic.enable=true of the brokers allows it"},
    {v1::FENCED_LEADER_EPOCH, kHealth},
    {v1::UNKNOWN_LEADER_EPOCH, kHealth},
    {v1::UNSUPPORTED_COMPRESSION_TYPE, "there are none, gzip, snappy, lz4 and zstd"},
    {v1::STALE_BROKER_EPOCH, kHealth},
    {v1::OFFSET_NOT_AVAILABLE, "try again: a new leader is finding out what its followers have"},
    {v1::GROUP_MAX_SIZE_REACHED,
     "stop members or delete groups, or set group.max.size (or group.max.memory.bytes) of the brokers "
     "higher"},
    {v1::FENCED_INSTANCE_ID, "give each member a group.instance.id of its own"},
    {v1::ELIGIBLE_LEADERS_NOT_AVAILABLE, kHealth},
    {v1::GROUP_SUBSCRIBED_TO_TOPIC,
     "stop the members that read the topic first; 'tidemark group describe GROUP'"},
    {v1::INVALID_RECORD, "a compacted topic takes only records that have a key"},
    {v1::INVALID_UPDATE_VERSION, kHealth},
    {v1::UNKNOWN_TOPIC_ID, kTopics},
    {v1::BROKER_ID_NOT_REGISTERED, "'tidemark cluster info' shows the brokers that are live"},
    {v1::INCONSISTENT_TOPIC_ID, kTopics},
    {v1::INCONSISTENT_CLUSTER_ID,
     "'tidemark-cluster cluster-id' shows which cluster answers at that address"},
    {v1::INELIGIBLE_REPLICA, kHealth},
    {v1::FENCED_MEMBER_EPOCH, kGroup},
    {v1::UNRELEASED_INSTANCE_ID,
     "stop the member that holds the group.instance.id, or wait for its session timeout"},
    {v1::UNSUPPORTED_ASSIGNOR, kInMessage},
    {v1::STALE_MEMBER_EPOCH, kGroup},
    {v1::INVALID_REGULAR_EXPRESSION, kInMessage},
    {v1::DISK_FULL, "free space there, move replicas to other directories, or lower the topics' retention"},
    {v1::WRONG_BROKER,
     "is advertised.listeners of the brokers right? another broker answers at that address"},
    {v1::CANCELLED, kInMessage},
    {v1::LISTENER_FORBIDDEN, "use the port of 'listeners', not the one that brokers talk to each other on"},
    {v1::IO_ERROR, kInMessage},
    {v1::BROKER_NOT_READY, "try again; /readyz of the broker's admin port says what it waits for"},
    {v1::NOT_FOUND, kInMessage},
    {v1::BUFFER_EXHAUSTED, "set buffer.memory or max.block.ms of the producer higher, or send slower"},
    {v1::PARTITION_NOT_OWNED, kGroup},
    {v1::STALE_REQUEST, kGroup},
    {v1::LOG_TRUNCATED, kInMessage},
};

}  // namespace

std::optional<std::string_view> NextStepAfter(ErrorCode code) {
  const auto* found = std::ranges::find(kSteps, code, &Step::code);
  return found == std::end(kSteps) ? std::nullopt : std::optional(found->text);
}

std::string_view NextStep(const Error& error, bool only_reads) {
  if (error.message.find('?') != std::string::npos) return {};
  if (error.unknown_outcome && !only_reads) return kUnknownOutcome;
  const std::string_view step = NextStepAfter(error.code).value_or(kInMessage);
  return only_reads && step == kUnknownOutcome ? kHealth : step;
}

}  // namespace tidemark
