#include "broker/log/shard_logs.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/log_moves.h"
#include "broker/log/partition_files.h"
#include "broker/log/placement.h"
#include "broker/log/recovery.h"
#include "broker/log/set_aside.h"
#include "broker/log/shard_slot.h"

namespace tidemark {
namespace {

// Between two lines about a recovery under way.
constexpr Duration kProgressInterval = 5s;
constexpr Duration kSurveyPause = 500ms;
// Logs made anew at once: each waits for a few syncs, which the file system takes together.
constexpr size_t kCreations = 8;
// What a new replica is expected to take in the end.
constexpr uint64_t kYoungBytes = 1ull << 30;
// How often CloseCleanly asks for what is still not on disk (a full disk may refuse an index).
constexpr int kCloseFlushes = 3;

// A partition's folder that exists, as a pool thread finds it.
struct Folder {
  size_t directory = 0;
  std::string path;
};

// Pool thread: whether the folder belongs to the topic. Its metadata says so, or, where that is unreadable,
// a batch's header checksum, which the topic id is part of; a folder without batches belongs to whoever asks.
Result<bool> BelongsTo(FileSystem& files, const std::string& folder, const PartitionKey& key) {
  const auto id = ReadPartitionMetadata(files, folder);
  if (id) return *id == key.topic;
  if (id.error().code != v1::NOT_FOUND && id.error().code != v1::CORRUPT_MESSAGE &&
      id.error().code != v1::IO_ERROR) {
    return std::unexpected(id.error());
  }
  TM_ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  for (const auto& entry : entries) {
    if (!ParseSegmentName(entry.name, ".log")) continue;
    TM_ASSIGN_OR_RETURN(const auto file, files.Open(folder + "/" + entry.name, OpenMode::kRead));
    TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    if (size == 0) continue;
    // Where the first batches are damaged a later one tells.
    BatchScanner scanner(*file, key, 0, size);
    BatchView batch;
    BatchScanner::Step step;
    while ((step = scanner.Next(&batch, nullptr)) == BatchScanner::Step::kBad &&
           scanner.Resync(scanner.BytesToSkip(0))) {
    }
    if (step == BatchScanner::Step::kBatch) break;
    if (step == BatchScanner::Step::kIoError) return std::unexpected(scanner.error());
    if (step == BatchScanner::Step::kBad) return false;
  }
  LOG(WARNING) << folder << ": partition.metadata rebuilt: " << ToString(id.error());
  // On a full disk the next start does it.
  if (auto written = WritePartitionMetadata(files, folder, key.topic);
      !written && written.error().code != v1::DISK_FULL) {
    return std::unexpected(std::move(written).error());
  }
  return true;
}

Result<> RenameDurably(FileSystem& files, const std::string& directory, const std::string& from,
                       const std::string& to) {
  TM_RETURN_IF_ERROR(files.Rename(from, to));
  return files.SyncDirectory(directory);
}

// Pool thread: sets the partition's folder aside. Returns those that are one too many now.
Result<std::vector<std::string>> RenameAside(FileSystem& files, const std::string& directory,
                                             const std::string& path) {
  TM_ASSIGN_OR_RETURN(const auto entries, files.List(directory));
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.name);
  const std::string folder = path.substr(directory.size() + 1);
  AsidePlan plan = PlanSetAside(names, folder);
  TM_RETURN_IF_ERROR(RenameDurably(files, directory, path, directory + "/" + AsideName(folder, plan.number)));
  for (std::string& name : plan.to_remove) name = directory + "/" + name;
  return plan.to_remove;
}

// What compaction knew of the log. Beyond the log's end it would be believed once the log has grown past it.
void TakeCleanerCheckpoints(const CheckpointTables& tables, const PartitionKey& key, const std::string& topic,
                            Log::State* state, std::vector<CheckpointChange>* stale) {
  const auto take = [&](CheckpointKind kind, Offset unknown) -> Offset {
    const auto found = tables.Find(kind, key);
    if (!found) {
      if (found.error().code != v1::CORRUPT_MESSAGE) return 0;
      // From here on it is known, also to the next start.
      if (!state->damage) stale->push_back({kind, key, topic, unknown});
      return unknown;
    }
    if (*found > state->end && !state->damage) stale->push_back({kind, key, topic, state->end});
    return std::min(*found, state->end);
  };
  state->cleaned_to = take(CheckpointKind::kCleanerOffset, 0);
  // Not known: any tombstone may have gone.
  state->tombstone_drops = TombstoneDrops(take(CheckpointKind::kDroppedTombstones, state->end));
}

}  // namespace

ShardLogs::ShardLogs(LogDirs& dirs, EventLoop& loop, ShardLogsOptions options)
    : dirs_(dirs),
      env_(dirs.env()),
      loop_(loop),
      options_(options),
      handles_(options.open_files,
               [this] {
                 for (Log* log : Changed()) log->RequestFlush();
               }),
      recoveries_(loop, std::max<size_t>(options.recovery_threads, 1)),
      creations_(loop, kCreations),
      scrubber_(loop, options.scrub, *this),
      due_changed_(loop),
      next_progress_line_(loop.Now() + kProgressInterval),
      scope_(loop, "logs") {
  for (const FoundPartition& found : dirs_.found()) {
    unopened_.insert(PartitionFolderName(found.topic, found.partition));
  }
  for (const auto& directory : dirs_.directories()) {
    commits_.push_back(
        std::make_unique<GroupCommit>(env_.files(), env_.blocking_pool(), scope_, directory->path));
    failure_told_.push_back(false);
    checkpoint_owed_.push_back(false);
  }
  moves_ = std::make_unique<Moves>(*this);
  failure_token_ = dirs_.ListenForFailures(
      loop_, [this](size_t directory, const Error& error) { PoisonDirectory(directory, error); });
}

ShardLogs::~ShardLogs() {
  for (const auto& [key, slot] : slots_) CHECK(!slot->log) << slot->log->directory() << " was not closed";
}

void ShardLogs::SetDirectoryFailureListener(std::function<void(const LogDirectory&, const Error&)> listener) {
  failure_listener_ = std::move(listener);
}

void ShardLogs::Start() {
  scope_.Spawn("checkpoints", CheckpointLoop());
  scope_.Spawn("scrub", scrubber_.Run(scope_.stop_token()));
}

void ShardLogs::EnqueueFlush(Log& log) { commits_[log.directory_index()]->Enqueue(log); }

Task<Result<>> ShardLogs::WriteCheckpoints(size_t directory, std::vector<CheckpointChange> changes) {
  const DiskWaits::Mark waiting(disk_waits_, loop_.Now(), directory);
  auto written = co_await dirs_.UpdateCheckpoints(loop_, *dirs_.directories()[directory], std::move(changes));
  if (!written && written.error().code != v1::DISK_FULL && written.error().code != v1::CANCELLED) {
    OnDirectoryFailure(directory, written.error());
  }
  if (!written) checkpoint_owed_[directory] = true;
  co_return written;
}

void ShardLogs::OnDirectoryFailure(size_t directory, const Error& error) {
  dirs_.ReportFailure(directory, error);
  PoisonDirectory(directory, error);
}

void ShardLogs::PoisonDirectory(size_t directory, const Error& error) {
  if (failure_told_[directory]) return;
  failure_told_[directory] = true;
  for (const auto& [key, slot] : slots_) {
    if (slot->log && slot->log->directory_index() == directory) slot->log->Poison(error);
  }
  moves_->Poison(directory, error);
  if (failure_listener_) {
    // Deferred: the failure may be met in the middle of an append.
    loop_.Defer([this, token = std::weak_ptr<void>(failure_token_), directory, error] {
      if (!token.expired() && failure_listener_) failure_listener_(*dirs_.directories()[directory], error);
    });
  }
}

Log* ShardLogs::Find(const PartitionKey& key) {
  const auto slot = slots_.find(key);
  return slot == slots_.end() ? nullptr : slot->second->log.get();
}

std::vector<Log*> ShardLogs::All() {
  std::vector<Log*> logs;
  for (const auto& [key, slot] : slots_) {
    if (slot->log) logs.push_back(slot->log.get());
  }
  return logs;
}

Task<ShardLogs::Slot*> ShardLogs::LockSlot(PartitionKey key) {
  std::unique_ptr<Slot>& entry = slots_[key];
  if (!entry) {
    entry = std::make_unique<Slot>(loop_);
    entry->key = key;
  }
  Slot& slot = *entry;  // stays: it has a user
  ++slot.users;
  while (slot.busy) co_await slot.changed.Wait("partition folder");
  slot.busy = true;
  co_return &slot;
}

Task<Result<Log*>> ShardLogs::OpenOrCreate(PartitionKey key, std::string topic, LogConfig config,
                                           LogExpected expected) {
  loop_.CheckOwner();
  Slot& slot = *co_await LockSlot(key);
  const SlotLock lock(*this, slot);
  if (closing_) co_return Fail(v1::KAFKA_STORAGE_ERROR, "the broker is closing its logs");
  if (slot.log) {
    if (slot.log->failure()) co_return std::unexpected(*slot.log->failure());
    slot.log->SetConfig(config);
    co_return slot.log.get();
  }
  // Of a topic made anew nobody waits to hear how far its recovery is.
  const bool recovers = unopened_.erase(PartitionFolderName(topic, key.partition)) > 0;
  if (recovers) dirs_.recovery_progress().Ask(loop_.Now());
  Result<Log*> opened = co_await OpenInTurn(slot, std::move(topic), config, expected, recovers);
  if (recovers) EndRecovery();
  if (opened) moves_->Resume(key);
  if (opened && !(*opened)->surveyed()) {
    to_survey_.push_back(key);
    if (!std::exchange(surveying_, true)) scope_.Spawn("survey", SurveyLoop());
  }
  co_return opened;
}

Task<Result<Log*>> ShardLogs::OpenInTurn(Slot& slot, std::string topic, LogConfig config,
                                         LogExpected expected, bool recovers) {
  RecoveryQueue& queue = recovers ? recoveries_ : creations_;
  const auto turn = co_await queue.Acquire(/*urgent=*/topic.starts_with("__"));
  if (!turn || closing_) co_return Fail(v1::KAFKA_STORAGE_ERROR, "the broker is closing its logs");
  co_return co_await OpenSlot(slot, std::move(topic), config, expected);
}

void ShardLogs::EndRecovery() {
  RecoveryProgress& progress = dirs_.recovery_progress();
  progress.Finish(std::exchange(recovered_bytes_, 0));
  const RecoveryProgress::Figures figures = progress.At(loop_.Now());
  if (figures.under_way() ? loop_.Now() < next_progress_line_ : figures.done != dirs_.found().size()) return;
  next_progress_line_ = loop_.Now() + kProgressInterval;
  LOG(INFO) << ToString(figures);
}

// One log at a time, when no recovery waits: nobody waits for this.
Task<void> ShardLogs::SurveyLoop() {
  const std::stop_token stop = scope_.stop_token();
  while (!to_survey_.empty() && !stop.stop_requested()) {
    if (recoveries_.waiting()) {
      co_await Sleep(loop_, kSurveyPause, "survey pause", stop);
      continue;
    }
    Log* log = Find(to_survey_.front());
    to_survey_.pop_front();
    if (log == nullptr) continue;
    const auto surveyed = co_await log->Survey();
    LOG_IF(WARNING, !surveyed) << "survey: " << ToString(surveyed.error());
  }
  surveying_ = false;
}

Task<Result<std::optional<size_t>>> ShardLogs::FindFolder(PartitionKey key, std::string topic,
                                                          bool makes_room) {
  const std::string name = PartitionFolderName(topic, key.partition);
  for (const auto& directory : dirs_.directories()) {
    const std::string path = directory->path + "/" + name;
    if (directory->failed) continue;
    using Answer = Result<std::optional<bool>>;
    const auto belongs = co_await RunBlocking(env_.blocking_pool(), loop_, "find partition", [&]() -> Answer {
      TM_ASSIGN_OR_RETURN(const bool exists, env_.files().Exists(path));
      if (!exists) return std::nullopt;
      TM_ASSIGN_OR_RETURN(const bool ours, BelongsTo(env_.files(), path, key));
      return ours;
    });
    if (!belongs) co_return std::unexpected(belongs.error());
    if (!*belongs) continue;
    if (**belongs) co_return directory->index;
    if (!makes_room) continue;
    // Another incarnation of the topic.
    const std::string aside = WithSuffix(path, fmt::format(".{:016x}-stray", env_.random().Next()));
    LOG(WARNING) << path << " belongs to another topic of that name; it is set aside as " << aside;
    const auto renamed = co_await RunBlocking(env_.blocking_pool(), loop_, "set stray aside", [&] {
      return RenameDurably(env_.files(), directory->path, path, aside);
    });
    if (!renamed) {
      OnDirectoryFailure(directory->index, renamed.error());
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", renamed.error().message);
    }
    dirs_.SettleFound(path);
    dirs_.ForgetFolder(directory->index, name);
    --directory->partitions;
  }
  TM_CO_RETURN_IF_ERROR(co_await dirs_.RefuseOffline(loop_, name));
  co_return std::nullopt;
}

Task<Result<size_t>> ShardLogs::ChooseDirectory() {
  std::vector<std::pair<size_t, std::string>> healthy;
  for (const auto& directory : dirs_.directories()) {
    if (!directory->failed) healthy.emplace_back(directory->index, directory->path);
  }
  if (healthy.empty()) co_return Fail(v1::KAFKA_STORAGE_ERROR, "no log directory is online");
  if (healthy.size() == 1) co_return healthy.front().first;
  const auto free = co_await RunBlocking(env_.blocking_pool(), loop_, "free space", [&] {
    std::vector<uint64_t> bytes;
    for (const auto& [index, path] : healthy) bytes.push_back(env_.files().FreeBytes(path).value_or(0));
    return bytes;
  });
  std::vector<DirectoryRoom> rooms;
  for (size_t i = 0; i < healthy.size(); ++i) {
    const LogDirectory& directory = *dirs_.directories()[healthy[i].first];
    rooms.push_back({directory.index, free[i], directory.promised_bytes, directory.partitions});
  }
  co_return ChooseByRoom(rooms);
}

// What a young replica may still take: the room of one segment less what it has.
void ShardLogs::Promise(const PartitionKey& key, uint64_t size) {
  const auto young = young_.find(key);
  const int64_t now = static_cast<int64_t>(kYoungBytes - std::min(size, kYoungBytes));
  dirs_.directories()[young->second.directory]->promised_bytes +=
      now - std::exchange(young->second.bytes, now);
  if (now == 0) young_.erase(young);
}

void ShardLogs::KeepPromises() {
  std::vector<std::pair<PartitionKey, uint64_t>> sizes;
  for (const auto& [key, promise] : young_) {
    // One that was taken out needs nothing.
    const Log* log = Find(key);
    sizes.emplace_back(key, log == nullptr ? kYoungBytes : log->size_bytes());
  }
  for (const auto& [key, size] : sizes) Promise(key, size);
}

Task<Result<size_t>> ShardLogs::CreateFolder(PartitionKey key, std::string topic) {
  TM_CO_ASSIGN_OR_RETURN(const size_t index, co_await ChooseDirectory());
  LogDirectory& directory = *dirs_.directories()[index];
  ++directory.partitions;
  // Offsets of a log that was set aside must not be taken for this one's.
  if (auto removed = co_await WriteCheckpoints(index, RemovalOf(key, topic)); !removed) {
    --directory.partitions;
    co_return std::unexpected(std::move(removed).error());
  }
  const std::string name = PartitionFolderName(topic, key.partition);
  const std::string path = directory.path + "/" + name;
  dirs_.NoteFolder(index, name);
  const auto created =
      co_await RunBlocking(env_.blocking_pool(), loop_, "create partition", [&]() -> Result<> {
        TM_RETURN_IF_ERROR(env_.files().CreateDirectories(path));
        TM_RETURN_IF_ERROR(WritePartitionMetadata(env_.files(), path, key.topic));
        return env_.files().SyncDirectory(directory.path);
      });
  if (created) {
    // A young replica is expected to grow to a segment at least. What was promised to one before it is void.
    if (young_.contains(key)) Promise(key, kYoungBytes);
    young_[key] = {index, 0};
    Promise(key, 0);
    co_return index;
  }
  --directory.partitions;
  if (created.error().code == v1::DISK_FULL) co_return std::unexpected(created.error());
  OnDirectoryFailure(index, created.error());
  co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", created.error().message);
}

Result<> ShardLogs::MayCreate(const PartitionKey& key, const std::string& topic, LogExpected expected) const {
  if (expected == LogExpected::kNew) return {};
  if (dirs_.any_unread()) {
    return Fail(v1::KAFKA_STORAGE_ERROR, "{}-{} may be in a log directory that is offline", topic,
                key.partition);
  }
  if (expected == LogExpected::kPerhaps) return {};
  if (!recreated_.contains(key)) {
    for (const auto& directory : dirs_.directories()) {
      for (const CheckpointKind kind : {CheckpointKind::kRecoveryPoint, CheckpointKind::kHighWatermark}) {
        const auto known = directory->at_start.Find(kind, key);
        if (known.value_or(0) == 0) continue;
        return Fail(v1::REPLICA_NOT_AVAILABLE, "the log of {}-{} is gone: {} held it up to offset {}", topic,
                    key.partition, directory->path, *known);
      }
    }
  }
  if (!dirs_.may_have_lost_logs()) return {};
  return Fail(v1::REPLICA_NOT_AVAILABLE,
              "the log of {}-{} is gone: a log directory here was replaced or taken out of log.dirs", topic,
              key.partition);
}

Task<Result<Log*>> ShardLogs::OpenSlot(Slot& slot, std::string topic, LogConfig config,
                                       LogExpected expected) {
  const PartitionKey key = slot.key;
  TM_CO_ASSIGN_OR_RETURN(std::optional<size_t> index, co_await FindFolder(key, topic, /*makes_room=*/true));
  const bool is_new = !index.has_value();
  if (is_new) {
    TM_CO_RETURN_IF_ERROR(MayCreate(key, topic, expected));
    TM_CO_ASSIGN_OR_RETURN(index, co_await CreateFolder(key, topic));
  }
  LogDirectory& directory = *dirs_.directories()[*index];
  RecoveryInput input{.folder = directory.path + "/" + PartitionFolderName(topic, key.partition),
                      .key = key,
                      .index_interval_bytes = config.index_interval_bytes,
                      .recovery_point = 0};
  if (!is_new && !recreated_.contains(key)) {
    const auto recovery_point = directory.at_start.Find(CheckpointKind::kRecoveryPoint, key);
    if (recovery_point) input.recovery_point = *recovery_point;
    if (!recovery_point && recovery_point.error().code == v1::CORRUPT_MESSAGE) input.recovery_point.reset();
    const auto log_start = directory.at_start.Find(CheckpointKind::kLogStart, key);
    input.log_start = log_start.value_or(0);
    input.log_start_known = log_start || log_start.error().code == v1::NOT_FOUND;
    input.high_watermark = directory.at_start.Find(CheckpointKind::kHighWatermark, key).value_or(0);
  }
  input.clean = directory.was_clean && !recreated_.contains(key) && !dirs_.WithoutTopicId(input.folder);
  input.stop = stop_recovery_.get_token();
  const bool has_checkpoints = !is_new && !recreated_.contains(key);
  auto recovered = co_await RunBlocking(env_.blocking_pool(), loop_, "recover log",
                                        [&] { return RecoverLog(env_.files(), input); });
  if (recovered) recovered_bytes_ += recovered->scanned_bytes;
  if (!recovered) {
    if (recovered.error().code == v1::DISK_FULL) co_return std::unexpected(std::move(recovered).error());
    if (recovered.error().code == v1::CANCELLED)
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", recovered.error().message);
    OnDirectoryFailure(*index, recovered.error());
    co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", recovered.error().message);
  }
  dirs_.SettleFound(input.folder);
  for (const std::string& note : recovered->notes)
    LOG(WARNING) << topic << "-" << key.partition << ": " << note;
  // Checkpoints above what the log holds (it was cut, or a restart was cut short) would be believed once it
  // has grown past them: they are lowered before the first append.
  std::vector<CheckpointChange> stale;
  Log::State& state = recovered->state;
  if (!state.damage && input.log_start > state.start) {
    stale.push_back({CheckpointKind::kLogStart, key, topic, state.start});
    state.checkpointed_start = state.start;
  }
  if (!state.damage && input.high_watermark > state.high_watermark) {
    stale.push_back({CheckpointKind::kHighWatermark, key, topic, state.high_watermark});
  }
  if (has_checkpoints) TakeCleanerCheckpoints(directory.at_start, key, topic, &state, &stale);
  if (!stale.empty()) TM_CO_RETURN_IF_ERROR(co_await WriteCheckpoints(*index, std::move(stale)));
  slot.log = std::make_unique<Log>(env_.files(), env_.blocking_pool(), loop_, static_cast<LogHost&>(*this),
                                   Log::Place{key, std::move(topic), input.folder, *index}, config,
                                   std::move(recovered->state));
  if (directory.failed) slot.log->Poison(Error{v1::KAFKA_STORAGE_ERROR, directory.path + " has failed"});
  if (slot.log->failure()) co_return std::unexpected(*slot.log->failure());
  co_return slot.log.get();
}

Task<Result<>> ShardLogs::TakeOut(PartitionKey key, std::string topic, bool remove) {
  loop_.CheckOwner();
  moves_->Forget(key);
  Slot& slot = *co_await LockSlot(key);
  const SlotLock lock(*this, slot);
  std::optional<size_t> index;
  if (slot.log) {
    index = slot.log->directory_index();
    topic = slot.log->topic();
    co_await slot.log->Quiesce();
    commits_[*index]->Forget(*slot.log);
    slot.log.reset();
  } else {
    TM_CO_ASSIGN_OR_RETURN(index, co_await FindFolder(key, topic, /*makes_room=*/false));
    if (!index) co_return Fail(v1::NOT_FOUND, "no log of {}-{} here", topic, key.partition);
  }
  LogDirectory& directory = *dirs_.directories()[*index];
  if (directory.failed) co_return Fail(v1::KAFKA_STORAGE_ERROR, "{} has failed", directory.path);
  const std::string path = directory.path + "/" + PartitionFolderName(topic, key.partition);
  const std::string doomed = WithSuffix(path, fmt::format(".{:016x}-delete", env_.random().Next()));
  std::vector<std::string> too_many;
  // False: a topic made anew under the name has set ours aside, and the folder is that one's, or will be.
  const auto renamed =
      co_await RunBlocking(env_.blocking_pool(), loop_, "take partition out", [&]() -> Result<bool> {
        TM_ASSIGN_OR_RETURN(const bool exists, env_.files().Exists(path));
        const auto id = ReadPartitionMetadata(env_.files(), path);
        if (!exists || (id && *id != key.topic)) return false;
        if (remove) {
          TM_RETURN_IF_ERROR(RenameDurably(env_.files(), directory.path, path, doomed));
        } else {
          TM_ASSIGN_OR_RETURN(too_many, RenameAside(env_.files(), directory.path, path));
        }
        return true;
      });
  if (!renamed) {
    OnDirectoryFailure(*index, renamed.error());
    co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", renamed.error().message);
  }
  if (!*renamed) co_return Fail(v1::NOT_FOUND, "{} is gone, or another topic's of that name", path);
  dirs_.SettleFound(path);
  dirs_.ForgetFolder(*index, PartitionFolderName(topic, key.partition));
  --directory.partitions;
  recreated_.insert(key);
  auto forgotten = co_await WriteCheckpoints(*index, RemovalOf(key, topic));
  if (remove) scope_.Spawn("remove partition", RemoveFolder(doomed));
  for (std::string& folder : too_many) {
    LOG(WARNING) << folder << " is removed: of the logs of a partition that were set aside the first and the "
                 << "newest are kept";
    ++aside_removed_;
    scope_.Spawn("remove log set aside", RemoveFolder(std::move(folder)));
  }
  // With a full disk the lines stay: whoever creates the folder anew removes them first.
  if (!forgotten && forgotten.error().code != v1::DISK_FULL) co_return forgotten;
  co_return {};
}

Task<Result<>> ShardLogs::Delete(PartitionKey key, std::string topic) {
  return TakeOut(key, std::move(topic), /*remove=*/true);
}

Task<Result<>> ShardLogs::SetAside(PartitionKey key, std::string reason) {
  Log* log = Find(key);
  if (log == nullptr) co_return Fail(v1::NOT_FOUND, "no such log is open");
  LOG(ERROR) << log->topic() << "-" << key.partition << " is set aside: " << reason;
  co_return co_await TakeOut(key, log->topic(), /*remove=*/false);
}

Task<void> ShardLogs::RemoveFolder(std::string path) {
  const auto removed = co_await RunBlocking(env_.blocking_pool(), loop_, "remove folder",
                                            [&] { return RemoveAll(env_.files(), path); });
  // What is left is removed at the next start.
  if (!removed) LOG(ERROR) << "could not remove " << path << ": " << ToString(removed.error());
}

void ShardLogs::BeginClose() {
  closing_ = true;
  scope_.RequestStop();
  moves_->CancelAll("the broker stops");
  recoveries_.Close();
  creations_.Close();
  stop_recovery_.request_stop();
}

Task<bool> ShardLogs::CloseCleanly() {
  BeginClose();
  for (Log* log : All()) log->PrepareToClose();
  for (int i = 0; i < kCloseFlushes; ++i) {
    for (Log* log : All()) log->RequestFlush();
    for (const auto& commit : commits_) co_await commit->Idle();
  }
  bool clean = (co_await Checkpoint()).has_value();
  for (const Log* log : All()) {
    const bool settled = log->damage() || (!log->failure() && !log->flush_needed());
    LOG_IF(ERROR, !settled) << log->directory() << " could not be made durable at its close";
    clean = clean && settled;
  }
  co_await Close();
  co_return clean;
}

Task<void> ShardLogs::Close() {
  BeginClose();
  while (true) {
    const auto open = std::find_if(slots_.begin(), slots_.end(),
                                   [](const auto& slot) { return slot.second->log != nullptr; });
    if (open == slots_.end()) break;
    Slot& slot = *co_await LockSlot(open->first);
    const SlotLock lock(*this, slot);
    if (!slot.log) continue;
    co_await slot.log->Quiesce();
    commits_[slot.log->directory_index()]->Forget(*slot.log);
    slot.log.reset();
  }
  co_await scope_.Close();
  failure_token_.reset();
}

}  // namespace tidemark
