// How far the move of a replica between two log directories of a broker is, by what the broker says of its
// directories, and what whoever waits for it makes of one look after the other. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/admin_api.pb.h"

namespace tidemark {

struct LogDirMove {
  enum class State {
    kArrived,  // it is in the directory, and nowhere else
    kCopying,
    kNotThere,  // it is elsewhere and nothing is copied: not begun yet, or given up
    kOffline,   // the directory is out of service
    kGone,      // the broker has no such replica any more
  };
  State state = State::kGone;
  bool leaving = false;       // kArrived: a copy in another directory is to take its place
  uint64_t copied_bytes = 0;  // kCopying
  uint64_t all_bytes = 0;     // of the present log; grows while it is written
  std::string why;            // kOffline
};

// What of "orders-3": the topic and the partition. INVALID_REQUEST: it is not of that form.
Result<std::pair<std::string, PartitionIndex>> ParseReplica(const std::string& text);

// What a request to move has come to, by how the replica was just before it.
std::string MoveText(const LogDirMove& before, const std::string& replica, BrokerId broker,
                     const std::string& to);

LogDirMove JudgeMove(const v1::DescribeLogDirsResponse& directories, const std::string& topic_id,
                     PartitionIndex partition, std::string to);

// The broker does not answer, or not for itself, now: it may be about to start again, and a move goes on
// then.
bool MayComeBack(const Error& error);

// Looks come every half second. Until there is an outcome.
class MoveWatch {
 public:
  MoveWatch(BrokerId broker, std::string to) : broker_(broker), to_(std::move(to)) {}

  std::optional<Result<>> Saw(const LogDirMove& now);
  // The look has failed.
  std::optional<Result<>> Missed(const Error& error);

 private:
  const BrokerId broker_;
  const std::string to_;
  int idle_ = 0;
  int patience_ = 10;  // looks at a replica that is elsewhere: the move is about to begin
  bool restarted_ = false;
};

}  // namespace tidemark
