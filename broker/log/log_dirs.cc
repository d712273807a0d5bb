#include "broker/log/log_dirs.h"

#include <algorithm>
#include <map>
#include <utility>

#include <glog/logging.h>

#include "broker/log/log_directory.h"
#include "broker/log/move_folders.h"
#include "broker/log/partition_files.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

std::string RandomId(Random& random) {
  std::array<uint8_t, TopicId::kSize> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random.Next() >> 56);
  return TopicId(bytes).ToBase64();
}

// What a directory that cannot be used says: the others go on. Anything else is for a person to settle first.
bool MakesOffline(const Error& error) {
  return error.code == v1::IO_ERROR || error.code == v1::NOT_FOUND || error.code == v1::DISK_FULL;
}

// A lock that is held may be this process's own.
Result<OpenedDirectory> OpenAfter(FileSystem& files, const std::vector<std::string>& locked,
                                  const std::string& path) {
  auto opened = OpenLogDirectory(files, path);
  if (opened || opened.error().code != v1::KAFKA_STORAGE_ERROR) return opened;
  for (const std::string& other : locked) {
    if (!IsSameDirectory(files, other, path)) continue;
    return Fail(v1::POLICY_VIOLATION, "log.dirs names one directory twice: {} and {} are the same", other,
                path);
  }
  return opened;
}

}  // namespace

LogDirs::LogDirs(Environment& env, EventLoop& loop)
    : env_(env), loop_(loop), scope_(std::make_unique<Scope>(loop, "log directories")) {}

LogDirs::~LogDirs() { *alive_ = false; }

Task<Result<std::unique_ptr<LogDirs>>> LogDirs::Open(Environment& env, EventLoop& loop,
                                                     std::vector<std::string> paths) {
  if (paths.empty()) co_return Fail(v1::INVALID_CONFIG, "log.dirs names no directory");
  std::unique_ptr<LogDirs> dirs(new LogDirs(env, loop));
  std::optional<Error> last_error;
  std::vector<std::string> locked;
  for (std::string& path : paths) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    auto opened =
        co_await RunBlocking(env.blocking_pool(), loop, "open log directory",
                             [&env, &locked, &path] { return OpenAfter(env.files(), locked, path); });
    auto directory = std::make_unique<LogDirectory>();
    directory->index = dirs->directories_.size();
    directory->path = path;
    directory->checkpoints = std::make_unique<Checkpoints>(env.files(), env.blocking_pool(), loop, path);
    if (opened) {
      TM_CO_RETURN_IF_ERROR(dirs->Take(*directory, std::move(*opened)));
      locked.push_back(path);
    } else if (MakesOffline(opened.error())) {
      last_error = opened.error();
      LOG(ERROR) << "log directory " << path << " is offline: " << ToString(*last_error);
      directory->failed = directory->unread = true;
      directory->why_failed = last_error->message;
    } else {
      co_return std::unexpected(std::move(opened).error());
    }
    dirs->directories_.push_back(std::move(directory));
  }
  if (auto healthy = dirs->FirstHealthy(); !healthy) co_return std::unexpected(std::move(*last_error));
  dirs->MissDirectories();
  TM_CO_RETURN_IF_ERROR(co_await dirs->TakeMoves());
  co_return dirs;
}

// What a directory held that is not in log.dirs any more is missed as what a new disk lacks. One that cannot
// be opened may be the one that is missed: then nothing at all is made anew (any_unread).
void LogDirs::MissDirectories() {
  for (const auto& directory : directories_) missed_.insert(directory->named.begin(), directory->named.end());
  for (const auto& directory : directories_) missed_.erase(directory->id);
  if (missed_.empty() || any_unread()) return;
  for (const auto& [id, path] : missed_) {
    LOG(WARNING) << "the log directory " << path << " (directory.id " << id << ") of this broker is not in "
                 << "log.dirs any more: replicas that were in it are copied anew, and those without another "
                 << "copy in sync stay offline until it is back";
  }
  may_have_lost_logs_ = true;
}

// With all directories that are to be known.
DirectoryIdentity LogDirs::IdentityOf(const LogDirectory& directory) const {
  DirectoryIdentity identity{.broker = *stored_broker_id_,
                             .cluster_id = *stored_cluster_id_,
                             .directory_id = directory.id,
                             .directories = missed_};
  for (const auto& each : directories_) {
    if (!each->unread) identity.directories[each->id] = each->path;
  }
  return identity;
}

Task<Result<>> LogDirs::TakeMoves() {
  std::vector<DirectoryMoves> all;
  std::vector<size_t> indexes;
  for (auto& [index, folders] : moves_) {
    indexes.push_back(index);
    all.push_back({directories_[index]->path, std::move(folders), {}});
    for (const FoundPartition& found : found_) {
      if (found.directory == index)
        all.back().found.push_back({found.path, found.topic, found.partition, found.topic_id});
    }
  }
  moves_.clear();
  auto moves = co_await RunBlocking(env_.blocking_pool(), loop_, "finish moves",
                                    [&] { return FinishMoves(env_.files(), all, !any_unread()); });
  if (!moves) co_return std::unexpected(std::move(moves).error());
  for (InterruptedMove& one : moves->interrupted) {
    MoveFolder& copy = one.folder;
    found_moves_[{*copy.topic_id, copy.partition}] = {indexes[one.index], std::move(copy.path),
                                                      std::move(copy.id)};
  }
  for (ArrivedFolder& one : moves->arrived) {
    LogDirectory& directory = *directories_[indexes[one.index]];
    ++directory.partitions;
    TM_CO_RETURN_IF_ERROR(TakeFound(directory, std::move(one.folder)));
  }
  co_return {};
}

Result<> LogDirs::TakeFound(LogDirectory& directory, FoundFolder folder) {
  const auto [other, added] = seen_.emplace(std::pair(folder.topic, folder.partition), folder.path);
  if (!added) {
    return Fail(v1::POLICY_VIOLATION, "{} and {} are the same partition; move one of them away",
                other->second, folder.path);
  }
  if (!folder.topic_id) {
    nameless_.insert(folder.path);
  } else if (!directory.was_clean) {
    settled_[folder.path] = false;
  }
  directory.folders.insert(PartitionFolderName(folder.topic, folder.partition));
  found_.push_back({directory.index, std::move(folder.path), std::move(folder.topic), folder.partition,
                    folder.topic_id, folder.checkpointed});
  return {};
}

// Where the recovery points are not known, what is bad in a log counts as damage; where the tombstones that
// compaction dropped are not, any may have gone. The next file must not turn "unknown" into "none" for a log
// that has no line in it. An unknown high watermark is the log start, an unknown log start what the segments
// and the epoch table say: there "none" says the same.
void LogDirs::KeepUnknown(LogDirectory& directory, const OpenedDirectory& opened) {
  for (const CheckpointKind kind : {CheckpointKind::kRecoveryPoint, CheckpointKind::kDroppedTombstones}) {
    if (directory.at_start.Has(kind)) continue;
    for (const FoundFolder& folder : opened.found) {
      if (!folder.topic_id) continue;
      directory.checkpoints->KeepUnknown(kind, {*folder.topic_id, folder.partition}, folder.topic);
    }
    for (const MoveFolder& folder : opened.moves) {
      if (!folder.topic_id) continue;
      directory.checkpoints->KeepUnknown(kind, {*folder.topic_id, folder.partition}, folder.topic);
    }
  }
}

Result<> LogDirs::Take(LogDirectory& directory, OpenedDirectory opened) {
  directory.has_clean_mark = opened.clean_mark;
  // Who lost one of these has perhaps lost more.
  directory.was_clean = opened.clean_mark && opened.checkpoints.Has(CheckpointKind::kRecoveryPoint) &&
                        opened.checkpoints.Has(CheckpointKind::kHighWatermark) &&
                        opened.checkpoints.Has(CheckpointKind::kLogStart);
  directory.held_bytes = opened.held_bytes;
  directory.partitions = opened.found.size();
  directory.checkpoints->Reset(opened.checkpoints);
  directory.at_start = std::move(opened.checkpoints);
  KeepUnknown(directory, opened);
  if (!directory.was_clean && !opened.found.empty()) last_stop_was_clean_ = false;
  directory.fresh = !opened.identity;
  directory.identity_stale = opened.identity_stale;
  if (directory.fresh || opened.new_mark) may_have_lost_logs_ = true;
  if (opened.identity) {
    const DirectoryIdentity& identity = *opened.identity;
    directory.id = identity.directory_id;
    directory.named = identity.directories;
    const bool differs = (stored_broker_id_ && *stored_broker_id_ != identity.broker) ||
                         (stored_cluster_id_ && *stored_cluster_id_ != identity.cluster_id);
    if (differs) {
      return Fail(v1::POLICY_VIOLATION,
                  "log directory {} is of broker {} in cluster {}, another one of broker {} in cluster {}",
                  directory.path, identity.broker, identity.cluster_id, *stored_broker_id_,
                  *stored_cluster_id_);
    }
    stored_broker_id_ = identity.broker;
    stored_cluster_id_ = identity.cluster_id;
  } else {
    directory.id = RandomId(env_.random());
  }
  for (FoundFolder& folder : opened.found) TM_RETURN_IF_ERROR(TakeFound(directory, std::move(folder)));
  moves_.emplace_back(directory.index, std::move(opened.moves));
  locks_.push_back(std::move(opened.lock));
  return {};
}

Result<LogDirectory*> LogDirs::FirstHealthy() {
  for (const auto& directory : directories_) {
    if (!directory->failed) return directory.get();
  }
  return Fail(v1::KAFKA_STORAGE_ERROR, "no log directory is online");
}

const std::string& LogDirs::directory_id() const {
  for (const auto& directory : directories_) {
    if (!directory->unread) return directory->id;
  }
  return directories_.front()->id;
}

bool LogDirs::any_unread() const {
  return std::any_of(directories_.begin(), directories_.end(), [](const auto& each) { return each->unread; });
}

Result<> LogDirs::BindOne(const LogDirectory& directory, const DirectoryIdentity& identity) {
  FileSystem& files = env_.files();
  if (directory.fresh) {
    // The mark first: a directory with an identity and without the mark counts as one that was always there.
    TM_RETURN_IF_ERROR(WriteFileDurably(files, fmt::format("{}/{}", directory.path, kNewDirectoryName),
                                        WithChecksum("0\n")));
  }
  if (directory.fresh || directory.identity_stale || directory.named != identity.directories) {
    TM_RETURN_IF_ERROR(WriteIdentity(files, directory.path, identity));
  }
  // From here on a stop is unclean until it is a clean one.
  if (!directory.has_clean_mark) return {};
  TM_RETURN_IF_ERROR(files.Remove(fmt::format("{}/{}", directory.path, kCleanShutdownName)));
  return files.SyncDirectory(directory.path);
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
  stored_broker_id_ = broker;
  stored_cluster_id_ = std::move(cluster_id);
  for (const auto& directory : directories_) {
    if (directory->failed) continue;
    const DirectoryIdentity identity = IdentityOf(*directory);
    auto bound = co_await RunBlocking(env_.blocking_pool(), loop_, "bind log directory",
                                      [&] { return BindOne(*directory, identity); });
    if (bound) directory->named = identity.directories;
    if (bound) directory->identity_stale = false;
    // Before there are logs all checkpoint files are there. Where they find no room, no log finds any: its
    // making begins with another attempt.
    if (bound) bound = co_await directory->checkpoints->Update({});
    if (bound || bound.error().code == v1::DISK_FULL) continue;
    ReportFailure(directory->index, bound.error());
    if (auto healthy = FirstHealthy(); !healthy) co_return bound;
  }
  co_return {};
}

Task<Result<>> LogDirs::SettleLostLogs() {
  loop_.CheckOwner();
  if (!may_have_lost_logs_) co_return {};
  may_have_lost_logs_ = false;
  // One that cannot be opened may be among them.
  if (!any_unread()) missed_.clear();
  for (const auto& directory : directories_) {
    if (directory->failed) continue;
    const DirectoryIdentity identity = IdentityOf(*directory);
    if (directory->named == identity.directories) continue;
    TM_CO_RETURN_IF_ERROR(co_await RunBlocking(env_.blocking_pool(), loop_, "name log directories", [&] {
      return WriteIdentity(env_.files(), directory->path, identity);
    }));
    directory->named = identity.directories;
  }
  co_return co_await RunBlocking(env_.blocking_pool(), loop_, "settle log directories", [this]() -> Result<> {
    for (const auto& directory : directories_) {
      if (directory->failed) continue;
      const auto removed = env_.files().Remove(fmt::format("{}/{}", directory->path, kNewDirectoryName));
      if (!removed && removed.error().code != v1::NOT_FOUND) return removed;
      if (removed) TM_RETURN_IF_ERROR(env_.files().SyncDirectory(directory->path));
    }
    return {};
  });
}

Task<Result<std::string>> LogDirs::ReadSmall(std::string name) {
  co_return co_await RunBlocking(
      env_.blocking_pool(), loop_, "read small file", [&]() -> Result<std::string> {
        Result<std::string> read = Fail(v1::NOT_FOUND, "{}: in no log directory", name);
        for (const auto& directory : directories_) {
          if (directory->failed) continue;
          const std::string path = directory->path + "/" + name;
          const auto bytes = ReadFile(env_.files(), path, 1 << 20);
          if (!bytes && bytes.error().code == v1::NOT_FOUND) continue;
          read = bytes ? VerifyChecksum(*bytes, path) : bytes;
          if (read) break;
        }
        return read;
      });
}

Task<Result<>> LogDirs::WriteSmall(std::string name, std::string content) {
  TM_CO_ASSIGN_OR_RETURN(LogDirectory* const directory, FirstHealthy());
  const std::string path = directory->path + "/" + name;
  co_return co_await RunBlocking(env_.blocking_pool(), loop_, "write small file",
                                 [&] { return WriteFileDurably(env_.files(), path, WithChecksum(content)); });
}

Task<Result<>> LogDirs::RemoveSmall(std::string name) {
  co_return co_await RunBlocking(env_.blocking_pool(), loop_, "remove small file", [&]() -> Result<> {
    for (const auto& directory : directories_) {
      if (directory->failed) continue;
      const auto removed = env_.files().Remove(directory->path + "/" + name);
      if (!removed && removed.error().code != v1::NOT_FOUND) return removed;
      if (removed) TM_RETURN_IF_ERROR(env_.files().SyncDirectory(directory->path));
    }
    return {};
  });
}

Result<> LogDirs::RoomFor(size_t index, SpaceUse use) const {
  const LogDirectory& directory = *directories_[index];
  const SpaceSeen seen{.free = directory.free_bytes.load(std::memory_order_relaxed),
                       .held = directory.held_bytes.load(std::memory_order_relaxed)};
  const SpaceLimits limits = space_limits();
  if (HasRoom(use, seen, limits)) return {};
  return Fail(
      v1::DISK_FULL,
      "log directory {} has {} bytes free, log.dir.min.free.bytes={}; nothing is appended until there is "
      "room",
      directory.path, seen.free, limits.min_free);
}

Result<> LogDirs::RoomToRewrite(size_t index, uint64_t bytes) const {
  const LogDirectory& directory = *directories_[index];
  const SpaceSeen seen{.free = directory.free_bytes.load(std::memory_order_relaxed),
                       .held = directory.held_bytes.load(std::memory_order_relaxed)};
  if (HasRoomToRewrite(bytes, seen, space_limits())) return {};
  return Fail(v1::DISK_FULL,
              "log directory {} has {} bytes free, too few to rewrite a segment of {} beside it",
              directory.path, seen.free, bytes);
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
    directories_[index]->why_failed = error.message;
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

void LogDirs::SettleFound(const std::string& path) {
  if (const auto found = settled_.find(path); found != settled_.end()) found->second = true;
}

void LogDirs::NoteFolder(size_t index, std::string name) {
  if (loop_.InLoopThread()) {
    directories_[index]->folders.insert(std::move(name));
    return;
  }
  loop_.Post([this, alive = alive_, index, name = std::move(name)] {
    if (*alive) directories_[index]->folders.insert(name);
  });
}

void LogDirs::ForgetFolder(size_t index, std::string name) {
  if (loop_.InLoopThread()) {
    directories_[index]->folders.erase(name);
    return;
  }
  loop_.Post([this, alive = alive_, index, name = std::move(name)] {
    if (*alive) directories_[index]->folders.erase(name);
  });
}

Task<Result<>> LogDirs::RefuseOffline(EventLoop& caller, std::string name) {
  const bool any = std::ranges::any_of(directories_, [](const auto& each) { return each->failed.load(); });
  if (!any) co_return Result<>{};
  // Behind what the caller has noted before.
  auto done = co_await CallOn<Result<>>(
      caller, loop_, *scope_, "find folder",
      [this, name = std::move(name)]() mutable { return RefuseOfflineHere(std::move(name)); });
  if (!done) co_return std::unexpected(std::move(done).error());
  co_return std::move(*done);
}

Task<Result<>> LogDirs::RefuseOfflineHere(std::string name) {
  for (const auto& directory : directories_) {
    if (!directory->failed || !directory->folders.contains(name)) continue;
    co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}/{} is in a failed log directory", directory->path, name);
  }
  co_return Result<>{};
}

size_t LogDirs::Unsettled(const LogDirectory& directory) const {
  return static_cast<size_t>(std::ranges::count_if(found_, [&](const FoundPartition& found) {
    const auto settled = settled_.find(found.path);
    return found.directory == directory.index && settled != settled_.end() && !settled->second;
  }));
}

Task<Result<>> LogDirs::CloseCleanly() {
  co_await Close();
  std::vector<std::string> marks;
  size_t unsettled = 0;
  for (const auto& directory : directories_) {
    if (directory->failed) continue;
    const size_t here = Unsettled(*directory);
    unsettled += here;
    if (here == 0) marks.push_back(fmt::format("{}/{}", directory->path, kCleanShutdownName));
  }
  auto marked = co_await RunBlocking(env_.blocking_pool(), loop_, "mark clean shutdown", [&]() -> Result<> {
    for (const std::string& mark : marks)
      TM_RETURN_IF_ERROR(WriteFileDurably(env_.files(), mark, WithChecksum("0\n")));
    return {};
  });
  locks_.clear();
  if (marked && unsettled > 0)
    co_return Fail(v1::BROKER_NOT_READY, "{} logs are still to be recovered", unsettled);
  co_return marked;
}

Task<void> LogDirs::Close() {
  loop_.CheckOwner();
  co_await scope_->Close();
}

}  // namespace tidemark
