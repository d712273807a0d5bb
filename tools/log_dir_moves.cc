#include "tools/log_dir_moves.h"

#include <charconv>

#include <fmt/format.h>

namespace tidemark {
namespace {

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

Result<std::pair<std::string, PartitionIndex>> ParseReplica(const std::string& text) {
  const size_t dash = text.rfind('-');
  PartitionIndex partition = 0;
  const char* const end = text.data() + text.size();
  const char* const begin = dash == std::string::npos ? end : text.data() + dash + 1;
  const auto [rest, code] = std::from_chars(begin, end, partition);
  if (code != std::errc() || rest != end || dash == 0)
    return Fail(v1::INVALID_REQUEST, "--move '{}' is not of the form TOPIC-PARTITION", text);
  return std::pair(text.substr(0, dash), partition);
}

std::string MoveText(const LogDirMove& before, const std::string& replica, BrokerId broker,
                     const std::string& to) {
  if (before.state != LogDirMove::State::kArrived) {
    return fmt::format("Moving {} on broker {} to {}; --describe shows how far it is (isFuture).", replica,
                       broker, to);
  }
  if (before.leaving)
    return fmt::format("Called off the move of {} on broker {}: it stays in {}.", replica, broker, to);
  return fmt::format("{} is in {} of broker {} already.", replica, to, broker);
}

LogDirMove JudgeMove(const v1::DescribeLogDirsResponse& directories, const std::string& topic_id,
                     PartitionIndex partition, std::string to) {
  to = WithoutSlash(std::move(to));
  LogDirMove out;
  bool present = false, there = false, copying = false, copying_elsewhere = false;
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
        copying_elsewhere = copying_elsewhere || !target;
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
  out.leaving = there && copying_elsewhere;
  return out;
}

bool MayComeBack(const Error& error) {
  return error.code == v1::BROKER_NOT_READY || error.code == v1::NETWORK_EXCEPTION ||
         error.code == v1::BROKER_NOT_AVAILABLE || error.code == v1::REQUEST_TIMED_OUT;
}

std::optional<Result<>> MoveWatch::Saw(const LogDirMove& now) {
  switch (now.state) {
    case LogDirMove::State::kArrived:
      return Result<>();
    case LogDirMove::State::kOffline:
      return Fail(v1::KAFKA_STORAGE_ERROR, "{} is out of service: {}", to_, now.why);
    case LogDirMove::State::kCopying:
      idle_ = 0;
      return std::nullopt;
    case LogDirMove::State::kNotThere:
      if (++idle_ < patience_) return std::nullopt;
      return Fail(v1::UNKNOWN_SERVER_ERROR,
                  "the replica is not in {} and nothing is copied there: the move was cancelled or has "
                  "failed; the log of broker {} says why",
                  to_, broker_);
    case LogDirMove::State::kGone:
      // After a start: it is not open yet.
      if (restarted_ && ++idle_ < patience_) return std::nullopt;
      return Fail(v1::NOT_FOUND, "broker {} has the replica no more", broker_);
  }
  return std::nullopt;
}

std::optional<Result<>> MoveWatch::Missed(const Error& error) {
  if (!MayComeBack(error)) return Result<>(std::unexpected(error));
  // Logs are recovered one after the other when the broker is back.
  restarted_ = true;
  idle_ = 0;
  patience_ = 120;
  return std::nullopt;
}

}  // namespace tidemark
