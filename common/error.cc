#include "common/error.h"

#include <algorithm>
#include <array>

#include "common/utf8.h"

namespace tidemark {
namespace {

struct Row {
  ErrorCode code;
  ErrorClass error_class;
  std::string_view meaning;
};

// The class of every code. A unit test fails when a code of error.proto has no row.
constexpr Row kRows[] = {
    {v1::NONE, v1::ERROR_CLASS_NONE, "success"},
    {v1::UNKNOWN_SERVER_ERROR, v1::ERROR_CLASS_FATAL, "something unforeseen happened on the broker"},
    {v1::OFFSET_OUT_OF_RANGE, v1::ERROR_CLASS_FIX_REQUEST,
     "the offset is below the log start or above the log end"},
    {v1::CORRUPT_MESSAGE, v1::ERROR_CLASS_FIX_REQUEST,
     "a checksum, length or structure in a record batch is wrong"},
    {v1::UNKNOWN_TOPIC_OR_PARTITION, v1::ERROR_CLASS_REFRESH_METADATA, "no such topic or partition"},
    {v1::INVALID_FETCH_SIZE, v1::ERROR_CLASS_FIX_REQUEST, "a fetch size is not positive"},
    {v1::LEADER_NOT_AVAILABLE, v1::ERROR_CLASS_REFRESH_METADATA,
     "the partition has no leader at this moment"},
    {v1::NOT_LEADER_OR_FOLLOWER, v1::ERROR_CLASS_REFRESH_METADATA, "this broker does not lead the partition"},
    {v1::REQUEST_TIMED_OUT, v1::ERROR_CLASS_RETRY, "the deadline passed; the outcome is unknown"},
    {v1::BROKER_NOT_AVAILABLE, v1::ERROR_CLASS_REFRESH_METADATA,
     "the broker is not registered or not reachable"},
    {v1::REPLICA_NOT_AVAILABLE, v1::ERROR_CLASS_REFRESH_METADATA, "the replica is not on this broker"},
    {v1::MESSAGE_TOO_LARGE, v1::ERROR_CLASS_FIX_REQUEST,
     "the batch or frame is larger than the broker accepts"},
    {v1::STALE_CONTROLLER_EPOCH, v1::ERROR_CLASS_FATAL, "the controller has been replaced"},
    {v1::OFFSET_METADATA_TOO_LARGE, v1::ERROR_CLASS_FIX_REQUEST,
     "the metadata of a committed offset is too long"},
    {v1::NETWORK_EXCEPTION, v1::ERROR_CLASS_REFRESH_METADATA, "the connection broke; the outcome is unknown"},
    {v1::COORDINATOR_LOAD_IN_PROGRESS, v1::ERROR_CLASS_RETRY, "the coordinator is reading its state back"},
    {v1::COORDINATOR_NOT_AVAILABLE, v1::ERROR_CLASS_REFRESH_METADATA, "the coordinator is not available"},
    {v1::NOT_COORDINATOR, v1::ERROR_CLASS_REFRESH_METADATA, "this broker is not the coordinator"},
    {v1::INVALID_TOPIC_EXCEPTION, v1::ERROR_CLASS_FIX_REQUEST, "the topic name is not legal"},
    {v1::RECORD_LIST_TOO_LARGE, v1::ERROR_CLASS_FIX_REQUEST, "a batch exceeds the segment size"},
    {v1::NOT_ENOUGH_REPLICAS, v1::ERROR_CLASS_RETRY, "fewer replicas in sync than min.insync.replicas"},
    {v1::NOT_ENOUGH_REPLICAS_AFTER_APPEND, v1::ERROR_CLASS_RETRY,
     "appended, then fewer replicas in sync than min.insync.replicas; the outcome is unknown"},
    {v1::INVALID_REQUIRED_ACKS, v1::ERROR_CLASS_FIX_REQUEST, "acks must be 0, 1 or -1"},
    {v1::INVALID_GROUP_ID, v1::ERROR_CLASS_FIX_REQUEST, "the group id is empty or too long"},
    {v1::UNKNOWN_MEMBER_ID, v1::ERROR_CLASS_REJOIN, "the coordinator does not know this member"},
    {v1::INVALID_SESSION_TIMEOUT, v1::ERROR_CLASS_FIX_REQUEST,
     "the session timeout is outside what the broker accepts"},
    {v1::INVALID_TIMESTAMP, v1::ERROR_CLASS_FIX_REQUEST, "the timestamp lies outside the accepted range"},
    {v1::UNSUPPORTED_VERSION, v1::ERROR_CLASS_FIX_REQUEST, "a required feature or version is not known here"},
    {v1::TOPIC_ALREADY_EXISTS, v1::ERROR_CLASS_FIX_REQUEST, "the topic exists"},
    {v1::INVALID_PARTITIONS, v1::ERROR_CLASS_FIX_REQUEST, "the number of partitions is not legal"},
    {v1::INVALID_REPLICATION_FACTOR, v1::ERROR_CLASS_FIX_REQUEST, "the replication factor cannot be met"},
    {v1::INVALID_REPLICA_ASSIGNMENT, v1::ERROR_CLASS_FIX_REQUEST, "the replica assignment is not legal"},
    {v1::INVALID_CONFIG, v1::ERROR_CLASS_FIX_REQUEST, "a config name or value is not legal"},
    {v1::NOT_CONTROLLER, v1::ERROR_CLASS_REFRESH_METADATA, "this broker is not the controller"},
    {v1::INVALID_REQUEST, v1::ERROR_CLASS_FIX_REQUEST, "the request is malformed"},
    {v1::POLICY_VIOLATION, v1::ERROR_CLASS_FIX_REQUEST, "the request is against a policy"},
    {v1::KAFKA_STORAGE_ERROR, v1::ERROR_CLASS_REFRESH_METADATA, "the log directory of the partition failed"},
    {v1::LOG_DIR_NOT_FOUND, v1::ERROR_CLASS_FIX_REQUEST, "the broker has no such log directory"},
    {v1::NON_EMPTY_GROUP, v1::ERROR_CLASS_FIX_REQUEST, "the group has members"},
    {v1::GROUP_ID_NOT_FOUND, v1::ERROR_CLASS_FIX_REQUEST, "no group has this id"},
    {v1::FETCH_SESSION_ID_NOT_FOUND, v1::ERROR_CLASS_REJOIN, "the fetch session is not known"},
    {v1::INVALID_FETCH_SESSION_EPOCH, v1::ERROR_CLASS_REJOIN, "the fetch session epoch is not the next one"},
    {v1::TOPIC_DELETION_DISABLED, v1::ERROR_CLASS_FIX_REQUEST, "deleting topics is switched off"},
    {v1::FENCED_LEADER_EPOCH, v1::ERROR_CLASS_REFRESH_METADATA,
     "the leader epoch is older than the partition's"},
    {v1::UNKNOWN_LEADER_EPOCH, v1::ERROR_CLASS_RETRY, "the leader epoch is newer than this broker knows"},
    {v1::UNSUPPORTED_COMPRESSION_TYPE, v1::ERROR_CLASS_FIX_REQUEST, "the compression codec is not known"},
    {v1::STALE_BROKER_EPOCH, v1::ERROR_CLASS_FATAL,
     "the broker epoch is not that of the current registration"},
    {v1::OFFSET_NOT_AVAILABLE, v1::ERROR_CLASS_RETRY, "a new leader does not know its high watermark yet"},
    {v1::GROUP_MAX_SIZE_REACHED, v1::ERROR_CLASS_FIX_REQUEST, "the group is full"},
    {v1::FENCED_INSTANCE_ID, v1::ERROR_CLASS_FATAL, "another member took over the instance id"},
    {v1::ELIGIBLE_LEADERS_NOT_AVAILABLE, v1::ERROR_CLASS_RETRY, "no replica in sync is alive to lead"},
    {v1::GROUP_SUBSCRIBED_TO_TOPIC, v1::ERROR_CLASS_FIX_REQUEST, "members of the group read the topic"},
    {v1::INVALID_RECORD, v1::ERROR_CLASS_FIX_REQUEST, "a record in the batch is not legal"},
    {v1::INVALID_UPDATE_VERSION, v1::ERROR_CLASS_RETRY, "the partition epoch is not the current one"},
    {v1::UNKNOWN_TOPIC_ID, v1::ERROR_CLASS_REFRESH_METADATA, "no topic has this id"},
    {v1::BROKER_ID_NOT_REGISTERED, v1::ERROR_CLASS_FIX_REQUEST, "the broker id has no registration"},
    {v1::INCONSISTENT_TOPIC_ID, v1::ERROR_CLASS_REFRESH_METADATA, "the topic id is not the one of that name"},
    {v1::INCONSISTENT_CLUSTER_ID, v1::ERROR_CLASS_FATAL, "the request was meant for another cluster"},
    {v1::INELIGIBLE_REPLICA, v1::ERROR_CLASS_RETRY, "a replica named for the ISR may not join it"},
    {v1::FENCED_MEMBER_EPOCH, v1::ERROR_CLASS_REJOIN, "the member was fenced and has to join again"},
    {v1::UNRELEASED_INSTANCE_ID, v1::ERROR_CLASS_RETRY, "another member still holds the instance id"},
    {v1::UNSUPPORTED_ASSIGNOR, v1::ERROR_CLASS_FIX_REQUEST, "no assignor has this name"},
    {v1::STALE_MEMBER_EPOCH, v1::ERROR_CLASS_RETRY, "the member epoch is not the current one"},
    {v1::INVALID_REGULAR_EXPRESSION, v1::ERROR_CLASS_FIX_REQUEST, "the regular expression is not legal"},
    {v1::DISK_FULL, v1::ERROR_CLASS_RETRY, "the log directory is short of space"},
    {v1::WRONG_BROKER, v1::ERROR_CLASS_REFRESH_METADATA, "the request was meant for another broker"},
    {v1::CANCELLED, v1::ERROR_CLASS_RETRY, "given up because its owner is closing"},
    {v1::LISTENER_FORBIDDEN, v1::ERROR_CLASS_FIX_REQUEST, "this listener does not serve that request"},
    {v1::IO_ERROR, v1::ERROR_CLASS_FATAL, "a file or directory could not be read or written"},
    {v1::BROKER_NOT_READY, v1::ERROR_CLASS_RETRY, "the broker is starting or stopping"},
    {v1::NOT_FOUND, v1::ERROR_CLASS_FIX_REQUEST, "not found"},
    {v1::BUFFER_EXHAUSTED, v1::ERROR_CLASS_RETRY, "the producer's buffer is full"},
    {v1::PARTITION_NOT_OWNED, v1::ERROR_CLASS_FIX_REQUEST,
     "another member holds the partition or has held it since"},
    {v1::STALE_REQUEST, v1::ERROR_CLASS_RETRY, "a newer request of the same member came before it"},
    {v1::LOG_TRUNCATED, v1::ERROR_CLASS_FATAL, "what was read is no longer in the log"},
};

const Row* Find(ErrorCode code) {
  const Row* row =
      std::find_if(std::begin(kRows), std::end(kRows), [code](const Row& r) { return r.code == code; });
  return row == std::end(kRows) ? nullptr : row;
}

}  // namespace

std::string ErrorName(ErrorCode code) {
  const std::string& name = v1::ErrorCode_Name(code);
  return name.empty() ? fmt::format("ERROR_{}", static_cast<int>(code)) : name;
}

ErrorClass ClassOf(ErrorCode code) {
  const Row* row = Find(code);
  return row == nullptr ? v1::ERROR_CLASS_FATAL : row->error_class;
}

bool IsRetriable(ErrorCode code) {
  const ErrorClass error_class = ClassOf(code);
  return error_class == v1::ERROR_CLASS_RETRY || error_class == v1::ERROR_CLASS_REFRESH_METADATA;
}

std::string_view ErrorMeaning(ErrorCode code) {
  const Row* row = Find(code);
  return row == nullptr ? "an error this version does not know" : row->meaning;
}

std::string ToString(const Error& error) {
  const std::string_view message =
      error.message.empty() ? ErrorMeaning(error.code) : std::string_view(error.message);
  return fmt::format("{} ({})", message, ErrorName(error.code));
}

void ToProto(const Error& error, v1::Error* out) {
  out->set_code(error.code);
  out->set_error_class(ClassOf(error.code));
  // Messages quote what came from outside. One that is not UTF-8 would make the whole answer unreadable.
  out->set_message(ToUtf8(error.message));
  if (error.unknown_outcome) out->set_unknown_outcome(true);
}

v1::Error ToProto(const Error& error) {
  v1::Error out;
  ToProto(error, &out);
  return out;
}

Error FromProto(const v1::Error& error) { return {error.code(), error.message(), error.unknown_outcome()}; }

}  // namespace tidemark
