// How far the move of a replica between two log directories of a broker is, by what the broker says of its
// directories. Pure.
#pragma once

#include <cstdint>
#include <string>

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
  uint64_t copied_bytes = 0;  // kCopying
  uint64_t all_bytes = 0;     // of the present log; grows while it is written
  std::string why;            // kOffline
};

LogDirMove JudgeMove(const v1::DescribeLogDirsResponse& directories, const std::string& topic_id,
                     PartitionIndex partition, std::string to);

}  // namespace tidemark
