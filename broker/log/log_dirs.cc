#include "broker/log/log_dirs.h"

#include <algorithm>
#include <map>
#include <utility>

#include <glog/logging.h>

#include "broker/log/log_directory.h"
#include "broker/log/partition_files.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

std::string RandomId(Random& random) {
  std::array<uint8_t, TopicId::kSize> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random.Next() >> 56);
  return TopicId(bytes).ToBase64();
}

}  // namespace

LogDirs::LogDirs(Environment& env, EventLoop& loop)
    : env_(env), loop_(loop), scope_(std::make_unique<Scope>(loop, "log directories")) {}

LogDirs::~LogDirs() { *alive_ = false; }

Task<Result<std::unique_ptr<LogDirs>>> LogDirs::Open(Environment& env, EventLoop& loop,
                                                     std::vector<std::string> paths) {
  if (paths.empty()) co_return Fail(v1::INVALID_CONFIG, "log.dirs names no directory");
  std::unique_ptr<LogDirs> dirs(new LogDirs(env, loop));
  bool unclean = false;
  std::map<std::pair<std::string, PartitionIndex>, std::string> seen;
  for (std::string& path : paths) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    auto opened = co_await RunBlocking(env.blocking_pool(), loop, "open log directory",
                                       [&env, &path] { return OpenLogDirectory(env.files(), path); });
    if (!opened) co_return std::unexpected(std::move(opened).error());
    auto directory = std::make_unique<LogDirectory>();
    directory->index = dirs->directories_.size();
    directory->path = path;
    directory->was_clean = opened->clean_mark;
    directory->partitions = opened->found.size();
    directory->checkpoints = std::make_unique<Checkpoints>(env.files(), env.blocking_pool(), loop, path);
    directory->checkpoints->Reset(opened->checkpoints);
    directory->at_start = std::move(opened->checkpoints);
    unclean = unclean || (!opened->clean_mark && !opened->found.empty());
    if (opened->identity) {
      const DirectoryIdentity& identity = *opened->identity;
      directory->id = identity.directory_id;
      const bool differs = (dirs->stored_broker_id_ && *dirs->stored_broker_id_ != identity.broker) ||
                           (dirs->stored_cluster_id_ && *dirs->stored_cluster_id_ != identity.cluster_id);
      if (differs) {
        co_return Fail(
            v1::POLICY_VIOLATION,
            "log directory {} is of broker {} in cluster {}, another one of broker {} in cluster {}", path,
            identity.broker, identity.cluster_id, *dirs->stored_broker_id_, *dirs->stored_cluster_id_);
      }
      dirs->stored_broker_id_ = identity.broker;
      dirs->stored_cluster_id_ = identity.cluster_id;
    }
    for (FoundFolder& folder : opened->found) {
      const auto [other, fresh] = seen.emplace(std::pair(folder.topic, folder.partition), folder.path);
      if (!fresh) {
        co_return Fail(v1::POLICY_VIOLATION, "{} and {} are the same partition; move one of them away",
                       other->second, folder.path);
      }
      dirs->found_.push_back({directory->index, std::move(folder.path), std::move(folder.topic),
                              folder.partition, folder.topic_id});
    }
    dirs->locks_.push_back(std::move(opened->lock));
    dirs->directories_.push_back(std::move(directory));
  }
  dirs->last_stop_was_clean_ = !unclean;
  for (auto& directory : dirs->directories_) {
    if (directory->id.empty()) directory->id = RandomId(env.random());
  }
  co_return dirs;
}

Task<Result<>> LogDirs::Bind(BrokerId broker, std::string cluster_id) {
  loop_.CheckOwner();
  if (stored_broker_id_ && *stored_broker_id_ != broker) {
    co_return Fail(v1::POLICY_VIOLATION, "the log directory {} belongs to broker {}, this is broker {}",
                   directories_.front()->path, *stored_broker_id_, broker);
  }
  if (stored_cluster_id_ && *stored_cluster_id_ != cluster_id) {
    co_return Fail(v1::INCONSISTENT_CLUSTER_ID,
                   "the log directory {} belongs to cluster {}, ZooKeeper holds cluster {}",
                   directories_.front()->path, *stored_cluster_id_, cluster_id);
  }
  auto bound = co_await RunBlocking(env_.blocking_pool(), loop_, "bind log directories", [&]() -> Result<> {
    FileSystem& files = env_.files();
    for (const auto& directory : directories_) {
      TM_RETURN_IF_ERROR(WriteIdentity(files, directory->path, {broker, cluster_id, directory->id}));
      // From here on a stop is unclean until it is a clean one.
      if (!directory->was_clean) continue;
      TM_RETURN_IF_ERROR(files.Remove(fmt::format("{}/{}", directory->path, kCleanShutdownName)));
      TM_RETURN_IF_ERROR(files.SyncDirectory(directory->path));
    }
    return {};
  });
  if (!bound) co_return bound;
  stored_broker_id_ = broker;
  stored_cluster_id_ = std::move(cluster_id);
  co_return {};
}

Task<Result<std::string>> LogDirs::ReadSmall(std::string name) {
  const std::string path = directories_.front()->path + "/" + name;
  co_return co_await RunBlocking(
      env_.blocking_pool(), loop_, "read small file", [&]() -> Result<std::string> {
        TM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(env_.files(), path, 1 << 20));
        return VerifyChecksum(bytes, path);
      });
}

Task<Result<>> LogDirs::WriteSmall(std::string name, std::string content) {
  const std::string path = directories_.front()->path + "/" + name;
  co_return co_await RunBlocking(env_.blocking_pool(), loop_, "write small file",
                                 [&] { return WriteFileDurably(env_.files(), path, WithChecksum(content)); });
}

Task<Result<>> LogDirs::RemoveSmall(std::string name) {
  const std::string directory = directories_.front()->path;
  co_return co_await RunBlocking(env_.blocking_pool(), loop_, "remove small file", [&]() -> Result<> {
    auto removed = env_.files().Remove(directory + "/" + name);
    if (!removed && removed.error().code != v1::NOT_FOUND) return removed;
    return env_.files().SyncDirectory(directory);
  });
}

Task<Result<>> LogDirs::UpdateCheckpoints(EventLoop& caller, LogDirectory& directory,
                                          std::vector<CheckpointChange> changes) {
  auto done = co_await CallOn<Result<>>(caller, loop_, *scope_, "update checkpoints",
                                        [&directory, changes = std::move(changes)]() mutable {
                                          return directory.checkpoints->Update(std::move(changes));
                                        });
  if (!done) co_return std::unexpected(std::move(done).error());
  co_return std::move(*done);
}

std::shared_ptr<void> LogDirs::ListenForFailures(EventLoop& loop,
                                                 std::function<void(size_t, const Error&)> told) {
  auto listener = std::make_shared<Listener>(loop, std::move(told));
  loop_.Post([this, alive = alive_, weak = std::weak_ptr(listener)] {
    if (*alive) listeners_.push_back(weak);
  });
  return listener;
}

void LogDirs::ReportFailure(size_t index, const Error& error) {
  if (directories_[index]->failed.exchange(true)) return;
  LOG(ERROR) << "log directory " << directories_[index]->path << " is offline: " << ToString(error);
  loop_.Post([this, alive = alive_, index, error] {
    if (!*alive) return;
    for (const std::weak_ptr<Listener>& weak : listeners_) {
      // The token dies on the listener's loop, so only there is it asked for the last time.
      if (const auto listener = weak.lock()) {
        listener->loop.Post([weak, index, error] {
          if (const auto same = weak.lock()) same->told(index, error);
        });
      }
    }
  });
}

Task<Result<>> LogDirs::CloseCleanly() {
  co_await Close();
  auto marked =
      co_await RunBlocking(env_.blocking_pool(), loop_, "mark clean shutdown", [this]() -> Result<> {
        for (const auto& directory : directories_) {
          if (directory->failed) continue;
          TM_RETURN_IF_ERROR(WriteFileDurably(
              env_.files(), fmt::format("{}/{}", directory->path, kCleanShutdownName), WithChecksum("0\n")));
        }
        return {};
      });
  locks_.clear();
  co_return marked;
}

Task<void> LogDirs::Close() {
  loop_.CheckOwner();
  co_await scope_->Close();
}

}  // namespace tidemark
