#include "tools/log_dir_moves.h"

namespace tidemark {
namespace {

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

LogDirMove JudgeMove(const v1::DescribeLogDirsResponse& directories, const std::string& topic_id,
                     PartitionIndex partition, std::string to) {
  to = WithoutSlash(std::move(to));
  LogDirMove out;
  bool present = false, there = false, copying = false;
  for (const auto& directory : directories.log_dirs()) {
    const bool target = WithoutSlash(directory.path()) == to;
    if (target && directory.has_error()) {
      out.state = LogDirMove::State::kOffline;
      out.why = directory.error().message();
      return out;
    }
    for (const auto& replica : directory.replicas()) {
      if (replica.topic_id() != topic_id || replica.partition() != partition) continue;
      if (replica.is_future()) {
        copying = copying || target;
        if (target) out.copied_bytes = replica.size_bytes();
        continue;
      }
      present = true;
      there = target;
      out.all_bytes = replica.size_bytes();
    }
  }
  if (!present) return out;
  out.state = there     ? LogDirMove::State::kArrived
              : copying ? LogDirMove::State::kCopying
                        : LogDirMove::State::kNotThere;
  return out;
}

}  // namespace tidemark
