#include "broker/log/log_moves.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/move_folders.h"
#include "broker/log/partition_files.h"
#include "broker/log/recovery.h"
#include "broker/log/shard_slot.h"
#include "common/record/batch.h"

namespace tidemark {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
// So much is copied between two flushes: the disk sets the pace, not the page cache.
constexpr uint64_t kBytesPerFlush = 8 << 20;
constexpr Duration kPauseWithoutRoom = 1s;

}  // namespace

struct ShardLogs::Moves::Move {
  Move(EventLoop& loop, PartitionKey k) : key(k), flushed(loop) {}
  const PartitionKey key;
  std::string topic;
  size_t target = 0;
  std::string id;
  std::string folder;         // of the copy
  std::unique_ptr<Log> copy;  // from OpenCopy until it is switched to, or discarded
  std::stop_source stop;
  std::string why_stopped;
  int64_t promised = 0;
  uint64_t generation = 0;  // of the source, as copied
  Offset begun_for = 0;     // log start of the source for which the copy began
  Offset cleaned_to = 0;    // of the copy, once it is complete
  uint64_t unflushed = 0;
  bool exclusive = false;  // everybody is kept out of the source: no time to lose
  bool committed = false;  // the renames have begun: no way back
  Notifier flushed;

  std::string name() const { return fmt::format("{}-{}", topic, key.partition); }
};

ShardLogs::Moves::~Moves() { CHECK(moves_.empty()) << "moves outlive their logs"; }

Result<> ShardLogs::MoveTo(const PartitionKey& key, size_t directory) {
  return moves_->Begin(key, directory);
}
std::optional<ShardLogs::MoveProgress> ShardLogs::MoveOf(const PartitionKey& key) const {
  return moves_->Progress(key);
}
ShardLogs::MoveCounters ShardLogs::move_counters() const { return moves_->counters(); }

ShardLogs::MoveCounters& ShardLogs::MoveCounters::operator+=(const MoveCounters& other) {
  begun += other.begun;
  finished += other.finished;
  given_up += other.given_up;
  copied_bytes += other.copied_bytes;
  return *this;
}

Result<> ShardLogs::Moves::Begin(const PartitionKey& key, size_t target) {
  logs_.loop_.CheckOwner();
  const Log* log = logs_.Find(key);
  if (log == nullptr || logs_.closing_)
    return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "no log of that partition is open");
  if (log->failure()) return std::unexpected(*log->failure());
  if (log->damage()) return std::unexpected(*log->damage());
  LogDirectory& directory = *logs_.dirs_.directories()[target];
  const auto known = moves_.find(key);
  if (known != moves_.end() && known->second->target == target && !known->second->stop.stop_requested())
    return {};
  if (known != moves_.end()) Cancel(key, "another one was asked for");
  if (log->directory_index() == target) return {};
  if (known != moves_.end())
    return Fail(v1::BROKER_NOT_READY, "the move before this one is ending; ask again");
  if (directory.failed) return Fail(v1::KAFKA_STORAGE_ERROR, "{} has failed", directory.path);
  const int64_t size = static_cast<int64_t>(log->size_bytes());
  const uint64_t needed = static_cast<uint64_t>(size + std::max<int64_t>(directory.promised_bytes, 0)) +
                          logs_.dirs_.space_limits().min_free;
  if (directory.free_bytes < needed) {
    return Fail(v1::DISK_FULL,
                "{} has {} bytes free; {} bytes, what was promised to others and "
                "log.dir.min.free.bytes need {}",
                directory.path, directory.free_bytes.load(), size, needed);
  }
  auto move = std::make_shared<Move>(logs_.loop_, key);
  move->topic = log->topic();
  move->target = target;
  move->id = fmt::format("{:016x}", logs_.env_.random().Next());
  move->folder =
      FutureFolder(directory.path + "/" + PartitionFolderName(move->topic, key.partition), move->id);
  move->promised = size;
  directory.promised_bytes += size;
  moves_.emplace(key, move);
  ++counters_.begun;
  LOG(INFO) << move->name() << " (" << size << " bytes) is moved to " << directory.path;
  logs_.scope_.Spawn("move log", Run(std::move(move)));
  return {};
}

void ShardLogs::Moves::Cancel(const PartitionKey& key, const std::string& why) {
  const auto found = moves_.find(key);
  if (found == moves_.end() || found->second->committed) return;
  if (found->second->why_stopped.empty()) found->second->why_stopped = why;
  const std::shared_ptr<Move> move = found->second;  // what it wakes may erase it
  move->stop.request_stop();
  move->flushed.NotifyAll();
}

void ShardLogs::Moves::CancelAll(const std::string& why) {
  std::vector<PartitionKey> keys;
  for (const auto& [key, move] : moves_) keys.push_back(key);
  for (const PartitionKey& key : keys) Cancel(key, why);
}

void ShardLogs::Moves::Poison(size_t directory, const Error& error) {
  std::vector<PartitionKey> keys;
  for (const auto& [key, move] : moves_) {
    const Log* source = logs_.Find(key);
    const bool of_target = move->target == directory;
    if (!of_target && (source == nullptr || source->directory_index() != directory)) continue;
    if (of_target && move->copy) move->copy->Poison(error);
    keys.push_back(key);
  }
  for (const PartitionKey& key : keys) Cancel(key, error.message);
}

std::optional<ShardLogs::MoveProgress> ShardLogs::Moves::Progress(const PartitionKey& key) const {
  const auto found = moves_.find(key);
  if (found == moves_.end()) return std::nullopt;
  MoveProgress out{.directory = found->second->target};
  if (const Log* copy = found->second->copy.get()) {
    out.end = copy->end_offset();
    out.size_bytes = copy->size_bytes();
  }
  return out;
}

Task<void> ShardLogs::Moves::Run(std::shared_ptr<Move> move) {
  while (working_ && !move->stop.stop_requested()) {
    co_await turn_.Wait("turn of a move", kNoDeadline, move->stop.get_token());
  }
  Result<> result = Fail(v1::CANCELLED, "{}", move->why_stopped);
  if (!move->stop.stop_requested()) {
    working_ = true;
    result = co_await Work(*move);
    working_ = false;
    turn_.NotifyAll();
  }
  if (result) {
    ++counters_.finished;
    LOG(INFO) << move->name() << " is in " << logs_.dirs_.directories()[move->target]->path << " now";
  } else {
    ++counters_.given_up;
    const std::string& why = move->why_stopped.empty() ? result.error().message : move->why_stopped;
    LOG(WARNING) << "the move of " << move->name() << " to " << logs_.dirs_.directories()[move->target]->path
                 << " was given up: " << why;
    if (Log* log = logs_.Find(move->key)) log->HoldCleaning(false);
    co_await Discard(*move);
  }
  logs_.dirs_.directories()[move->target]->promised_bytes -= move->promised;
  moves_.erase(move->key);
}

Result<Log*> ShardLogs::Moves::Source(Move& move) {
  if (move.stop.stop_requested()) return Fail(v1::CANCELLED, "{}", move.why_stopped);
  Log* log = logs_.Find(move.key);
  if (log == nullptr) return Fail(v1::CANCELLED, "the replica is gone");
  if (log->failure()) return std::unexpected(*log->failure());
  if (log->damage()) return std::unexpected(*log->damage());
  if (move.copy && move.copy->failure()) return std::unexpected(*move.copy->failure());
  return log;
}

Task<Result<>> ShardLogs::Moves::Work(Move& move) {
  TM_CO_ASSIGN_OR_RETURN(Log* const source, Source(move));
  source->HoldCleaning(true);
  TM_CO_RETURN_IF_ERROR(co_await OpenCopy(move));
  while (true) {
    TM_CO_RETURN_IF_ERROR(co_await CatchUp(move));
    TM_CO_RETURN_IF_ERROR(co_await FlushCopy(move, /*whole=*/false));
    TM_CO_ASSIGN_OR_RETURN(const bool done, co_await Switch(move));
    if (done) co_return Result<>{};
    co_await Sleep(logs_.loop_, kPauseWithoutRoom, "room to end a move", move.stop.get_token());
  }
}

Task<Result<>> ShardLogs::Moves::OpenCopy(Move& move) {
  TM_CO_ASSIGN_OR_RETURN(Log * source, Source(move));
  // Lines of a log that was here once must not be taken for this one's.
  TM_CO_RETURN_IF_ERROR(co_await logs_.WriteCheckpoints(move.target, RemovalOf(move.key, move.topic)));
  TM_CO_ASSIGN_OR_RETURN(source, Source(move));
  LogConfig config = source->config();
  // Flushed when the move says so.
  config.durability = AckDurability::kReplicated;
  const RecoveryInput input{.folder = move.folder,
                            .key = move.key,
                            .index_interval_bytes = config.index_interval_bytes,
                            .recovery_point = 0};
  const std::string& directory = logs_.dirs_.directories()[move.target]->path;
  auto opened = co_await RunBlocking(
      logs_.env_.blocking_pool(), logs_.loop_, "open copy of log", [&]() -> Result<Recovered> {
        FileSystem& files = logs_.env_.files();
        TM_RETURN_IF_ERROR(files.CreateDirectories(move.folder));
        TM_RETURN_IF_ERROR(WritePartitionMetadata(files, move.folder, move.key.topic));
        TM_RETURN_IF_ERROR(files.SyncDirectory(directory));
        return RecoverLog(files, input);
      });
  if (!opened) {
    if (opened.error().code != v1::DISK_FULL) logs_.OnDirectoryFailure(move.target, opened.error());
    co_return std::unexpected(std::move(opened).error());
  }
  move.copy = std::make_unique<Log>(
      logs_.env_.files(), logs_.env_.blocking_pool(), logs_.loop_, static_cast<LogHost&>(logs_),
      Log::Place{move.key, move.topic, move.folder, move.target}, config, std::move(opened->state));
  move.copy->SetFlushListener([&move] { move.flushed.NotifyAll(); });
  TM_CO_ASSIGN_OR_RETURN(source, Source(move));
  move.generation = source->generation();
  co_return Result<>{};
}

// The copy begins with the batch that holds `start`.
Task<Result<>> ShardLogs::Moves::StartCopyAnew(Move& move, Offset start) {
  TM_CO_ASSIGN_OR_RETURN(Log * source, Source(move));
  move.generation = source->generation();
  move.begun_for = start;
  Offset base = start;
  if (start < source->end_offset()) {
    TM_CO_ASSIGN_OR_RETURN(const LogRead first, co_await source->Read(start, source->end_offset(), 1));
    BatchHeader header;
    if (!first.bytes.empty()) {
      if (ParseBatchHeader(first.bytes, &header, nullptr, nullptr) != BatchParse::kOk)
        co_return Fail(v1::CORRUPT_MESSAGE, "the first batch cannot be read");
      base = header.base_offset;
    }
  }
  co_return co_await move.copy->RestartAt(base);
}

// One chunk more. What the source has dropped from its start or its end meanwhile makes the copy begin anew.
Task<Result<>> ShardLogs::Moves::CopyOnce(Move& move) {
  TM_CO_ASSIGN_OR_RETURN(Log * source, Source(move));
  Log& copy = *move.copy;
  const Offset start = source->start_offset();
  if (source->generation() != move.generation || (copy.end_offset() < start && start != move.begun_for)) {
    co_return co_await StartCopyAnew(move, start);
  }
  // Below the start only while the batch that holds it is to come.
  const Offset from = std::max(copy.end_offset(), start);
  const size_t chunk = move.exclusive ? kChunkBytes : logs_.dirs_.copy_pace().ChunkBytes(kChunkBytes);
  auto read = co_await source->Read(from, source->end_offset(), chunk);
  if (!read && read.error().code == v1::OFFSET_OUT_OF_RANGE) co_return Result<>{};  // looked at again
  if (!read) co_return std::unexpected(std::move(read).error());
  TM_CO_ASSIGN_OR_RETURN(source, Source(move));
  // Of another history by now.
  if (source->generation() != move.generation || read->bytes.empty()) co_return Result<>{};
  Result<AppendResult> appended = AppendResult{};
  if (auto room = logs_.RoomFor(copy, SpaceUse::kFollow); room) {
    appended = copy.AppendAsFollower(read->bytes);
  } else {
    appended = std::unexpected(std::move(room).error());
  }
  if (!appended && appended.error().code == v1::DISK_FULL && !move.exclusive) {
    co_await Sleep(logs_.loop_, kPauseWithoutRoom, "room for a copy", move.stop.get_token());
    co_return Result<>{};
  }
  if (!appended) co_return std::unexpected(appended.error());
  counters_.copied_bytes += appended->bytes;
  move.unflushed += appended->bytes;
  const int64_t kept = std::min<int64_t>(move.promised, static_cast<int64_t>(appended->bytes));
  move.promised -= kept;
  logs_.dirs_.directories()[move.target]->promised_bytes -= kept;
  if (move.unflushed >= kBytesPerFlush) TM_CO_RETURN_IF_ERROR(co_await FlushCopy(move, /*whole=*/false));
  if (!move.exclusive) co_await Throttle(move, appended->bytes);
  co_return Result<>{};
}

Task<void> ShardLogs::Moves::Throttle(Move& move, size_t bytes) {
  // Others have their turn in any case.
  const MonoTime now = logs_.loop_.Now();
  co_await Sleep(logs_.loop_, logs_.dirs_.copy_pace().Take(bytes, now) - now, "rate of a move",
                 move.stop.get_token());
}

Task<Result<>> ShardLogs::Moves::CatchUp(Move& move) {
  while (true) {
    TM_CO_ASSIGN_OR_RETURN(const Log* source, Source(move));
    if (source->generation() == move.generation && move.copy->end_offset() >= source->end_offset() &&
        move.copy->end_offset() >= source->start_offset()) {
      co_return Result<>{};
    }
    TM_CO_RETURN_IF_ERROR(co_await CopyOnce(move));
  }
}

Task<Result<>> ShardLogs::Moves::FlushCopy(Move& move, bool whole) {
  Log& copy = *move.copy;
  if (whole) copy.PrepareToClose();
  move.unflushed = 0;
  while (copy.flush_needed()) {
    if (copy.failure()) co_return std::unexpected(*copy.failure());
    if (move.stop.stop_requested()) co_return Fail(v1::CANCELLED, "{}", move.why_stopped);
    copy.RequestFlush();
    // A flush that found no room is asked for again.
    co_await move.flushed.Wait("flush of a copy", logs_.loop_.Now() + kPauseWithoutRoom,
                               move.stop.get_token());
    if (move.exclusive && copy.flush_needed() && !logs_.RoomFor(copy, SpaceUse::kFollow))
      co_return Fail(v1::DISK_FULL, "no room for the flush of a copy");
  }
  co_return Result<>{};
}

Task<Result<bool>> ShardLogs::Moves::Switch(Move& move) {
  Slot& slot = *co_await logs_.LockSlot(move.key);
  const SlotLock lock(logs_, slot);
  TM_CO_ASSIGN_OR_RETURN(Log* const source, Source(move));
  const size_t from = source->directory_index();
  if (logs_.switch_observer_.before) logs_.switch_observer_.before(move.key);
  move.exclusive = true;
  Result<> complete = co_await Complete(move, *source);
  move.exclusive = false;
  if (!complete) {
    if (logs_.switch_observer_.after) logs_.switch_observer_.after(move.key, *source);
    // Nobody is kept out until there is room.
    if (complete.error().code == v1::DISK_FULL) co_return false;
    co_return std::unexpected(std::move(complete).error());
  }
  // From here on the log and its copy hold the same, durably, and nobody changes either.
  move.committed = true;
  co_await source->Quiesce();
  logs_.commits_[from]->Forget(*source);
  co_await move.copy->Quiesce();
  logs_.commits_[move.target]->Forget(*move.copy);
  auto opened = co_await Rename(move, source->directory(), from);
  if (!opened) {
    // Out of service, as with any failed disk; the next start finds either the log or its copy.
    source->Poison(opened.error());
    if (logs_.switch_observer_.after) logs_.switch_observer_.after(move.key, *source);
    co_return std::unexpected(std::move(opened).error());
  }
  // An epoch without a record is not told by the files.
  if (const auto latest = source->epochs().latest();
      latest && (*opened)->epochs().latest().value_or(0) < *latest) {
    const auto begun = co_await (*opened)->BeginEpoch(*latest);
    LOG_IF(ERROR, !begun) << move.name() << ": " << ToString(begun.error());
  }
  const std::string former = MovedFolder(source->directory(), move.id);
  const std::unique_ptr<Log> old = std::exchange(slot.log, std::move(*opened));
  move.copy.reset();
  --logs_.dirs_.directories()[from]->partitions;
  ++logs_.dirs_.directories()[move.target]->partitions;
  if (logs_.dirs_.directories()[move.target]->failed) {
    slot.log->Poison({v1::KAFKA_STORAGE_ERROR, "its log directory has failed"});
  }
  if (logs_.switch_observer_.after) logs_.switch_observer_.after(move.key, *slot.log);
  logs_.scope_.Spawn("remove moved log", RemoveFormer(move.key, move.topic, from, former));
  co_return true;
}

// With everybody kept out: the rest of the log, and what goes with it.
Task<Result<>> ShardLogs::Moves::Complete(Move& move, Log& source) {
  TM_CO_RETURN_IF_ERROR(co_await CatchUp(move));
  Log& copy = *move.copy;
  copy.AdvanceStartTo(source.start_offset());
  // An epoch that has no record yet.
  if (const auto latest = source.epochs().latest(); latest && copy.epochs().latest().value_or(0) < *latest)
    TM_CO_RETURN_IF_ERROR(co_await copy.BeginEpoch(*latest));
  TM_CO_RETURN_IF_ERROR(co_await FlushCopy(move, /*whole=*/true));
  if (auto still = Source(move); !still) co_return std::unexpected(std::move(still).error());
  CHECK_EQ(copy.end_offset(), source.end_offset()) << move.name();
  CHECK_EQ(copy.flushed_end(), copy.end_offset()) << move.name();
  std::vector<CheckpointChange> lines;
  lines.push_back({CheckpointKind::kRecoveryPoint, move.key, move.topic, copy.end_offset()});
  lines.push_back({CheckpointKind::kHighWatermark, move.key, move.topic,
                   std::min(source.checkpointed_high_watermark(), copy.end_offset())});
  lines.push_back({CheckpointKind::kLogStart, move.key, move.topic, source.start_offset()});
  // A swap that was in its last steps when the copy began may have ended since: it has what was there before.
  move.cleaned_to = source.generation() == move.generation ? source.cleaned_to() : 0;
  lines.push_back({CheckpointKind::kCleanerOffset, move.key, move.topic, move.cleaned_to});
  lines.push_back(
      {CheckpointKind::kDroppedTombstones, move.key, move.topic, source.tombstone_drops().below()});
  co_return co_await logs_.WriteCheckpoints(move.target, std::move(lines));
}

// Steps 1 and 2, and the opening of the log at its new place.
Task<Result<std::unique_ptr<Log>>> ShardLogs::Moves::Rename(Move& move, std::string source_folder,
                                                            size_t source_directory) {
  FileSystem& files = logs_.env_.files();
  const std::string& from = logs_.dirs_.directories()[source_directory]->path;
  const std::string& to = logs_.dirs_.directories()[move.target]->path;
  const std::string moved = MovedFolder(source_folder, move.id);
  const auto left =
      co_await RunBlocking(logs_.env_.blocking_pool(), logs_.loop_, "leave directory", [&]() -> Result<> {
        TM_RETURN_IF_ERROR(files.Rename(source_folder, moved));
        return files.SyncDirectory(from);
      });
  if (!left) {
    logs_.OnDirectoryFailure(source_directory, left.error());
    co_return std::unexpected(left.error());
  }
  LogConfig config = logs_.Find(move.key)->config();
  RecoveryInput input{.folder = to + "/" + PartitionFolderName(move.topic, move.key.partition),
                      .key = move.key,
                      .index_interval_bytes = config.index_interval_bytes,
                      .recovery_point = move.copy->end_offset(),
                      .log_start = logs_.Find(move.key)->start_offset(),
                      .high_watermark = logs_.Find(move.key)->checkpointed_high_watermark()};
  auto arrived = co_await RunBlocking(logs_.env_.blocking_pool(), logs_.loop_, "enter directory",
                                      [&]() -> Result<Recovered> {
                                        TM_RETURN_IF_ERROR(files.Rename(move.folder, input.folder));
                                        TM_RETURN_IF_ERROR(files.SyncDirectory(to));
                                        return RecoverLog(files, input);
                                      });
  if (!arrived) {
    logs_.OnDirectoryFailure(move.target, arrived.error());
    co_return std::unexpected(std::move(arrived).error());
  }
  for (const std::string& note : arrived->notes) LOG(WARNING) << move.name() << ": " << note;
  arrived->state.cleaned_to = move.cleaned_to;
  // With what followers are judged by: a leader may go on leading.
  arrived->state.tombstone_drops = logs_.Find(move.key)->tombstone_drops();
  co_return std::make_unique<Log>(
      files, logs_.env_.blocking_pool(), logs_.loop_, static_cast<LogHost&>(logs_),
      Log::Place{move.key, move.topic, input.folder, move.target}, config, std::move(arrived->state));
}

// Step 3.
Task<void> ShardLogs::Moves::RemoveFormer(PartitionKey key, std::string topic, size_t directory,
                                          std::string moved) {
  const std::string doomed = moved + "-delete";
  const std::string& path = logs_.dirs_.directories()[directory]->path;
  const auto renamed =
      co_await RunBlocking(logs_.env_.blocking_pool(), logs_.loop_, "discard former log", [&]() -> Result<> {
        TM_RETURN_IF_ERROR(logs_.env_.files().Rename(moved, doomed));
        return logs_.env_.files().SyncDirectory(path);
      });
  if (!renamed) {
    logs_.OnDirectoryFailure(directory, renamed.error());
    co_return;
  }
  co_await logs_.RemoveFolder(doomed);
  const auto forgotten = co_await logs_.WriteCheckpoints(directory, RemovalOf(key, topic));
  LOG_IF(WARNING, !forgotten) << "checkpoints of a moved log: " << ToString(forgotten.error());
}

// Of a move given up. What cannot be removed now is removed at the next start.
Task<void> ShardLogs::Moves::Discard(Move& move) {
  if (move.copy) {
    co_await move.copy->Quiesce();
    logs_.commits_[move.target]->Forget(*move.copy);
    move.copy.reset();
  }
  // After step 1 the copy may be the log.
  if (move.committed || logs_.dirs_.directories()[move.target]->failed) co_return;
  co_await logs_.RemoveFolder(move.folder);
}

}  // namespace tidemark
