// The end of a move between log directories: the switch, the renames, and what is left behind.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/log_moves.h"
#include "broker/log/move_folders.h"
#include "broker/log/partition_files.h"
#include "broker/log/recovery.h"
#include "broker/log/shard_slot.h"

namespace tidemark {

Task<Result<bool>> ShardLogs::Moves::Switch(Move& move) {
  Slot& slot = *co_await logs_.LockSlot(move.key);
  const SlotLock lock(logs_, slot);
  TM_CO_ASSIGN_OR_RETURN(Log* const source, Source(move));
  source->HoldRepairs(true);
  // A repair may wait for another broker: nobody is kept out for that.
  co_await source->RepairsEnded();
  if (auto still = Source(move); !still) co_return std::unexpected(std::move(still).error());
  const size_t from = source->directory_index();
  if (logs_.switch_observer_.before) logs_.switch_observer_.before(move.key);
  move.exclusive = true;
  // Nobody begins anything from here on; a truncation, say, that had begun before is seen through.
  co_await source->Settle();
  // What has changed all of the log is copied with everybody let in.
  Result<> complete = source->generation() == move.generation ? co_await Complete(move, *source)
                                                              : Fail(v1::CANCELLED, "the log was changed");
  const bool changed = !complete && source->generation() != move.generation;
  move.exclusive = false;
  if (!complete) {
    if (logs_.switch_observer_.after) logs_.switch_observer_.after(move.key, *source);
    // Nobody is kept out until there is room.
    source->HoldRepairs(false);
    if (changed || complete.error().code == v1::DISK_FULL) co_return false;
    co_return std::unexpected(std::move(complete).error());
  }
  // From here on the log and its copy hold the same, durably, and nobody changes either.
  move.committed = true;
  co_await source->Quiesce();
  logs_.commits_[from]->Forget(*source);
  co_await move.copy->Quiesce();
  logs_.commits_[move.target]->Forget(*move.copy);
  const std::string name = PartitionFolderName(move.topic, move.key.partition);
  logs_.dirs_.NoteFolder(move.target, name);
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
  logs_.dirs_.ForgetFolder(from, name);
  const std::string former = MovedFolder(source->directory(), move.id);
  const std::unique_ptr<Log> old = std::exchange(slot.log, std::move(*opened));
  move.copy.reset();
  --logs_.dirs_.directories()[from]->partitions;
  ++logs_.dirs_.directories()[move.target]->partitions;
  if (logs_.dirs_.directories()[move.target]->failed) {
    slot.log->Poison({v1::KAFKA_STORAGE_ERROR, "its log directory has failed"});
  }
  // What the new log noted so far may have been asked of the one that it replaces.
  logs_.NoteChanged(*slot.log);
  if (logs_.switch_observer_.after) logs_.switch_observer_.after(move.key, *slot.log);
  // While the slot is held: later the lines could be those of a replica that has come back.
  const auto forgotten = co_await logs_.WriteCheckpoints(from, RemovalOf(move.key, move.topic));
  LOG_IF(WARNING, !forgotten) << "checkpoints of a moved log: " << ToString(forgotten.error());
  logs_.scope_.Spawn("remove moved log", RemoveFormer(from, former));
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
Task<void> ShardLogs::Moves::RemoveFormer(size_t directory, std::string moved) {
  (void)co_await DiscardDurably(directory, std::move(moved));
}

Task<bool> ShardLogs::Moves::DiscardDurably(size_t directory, std::string folder) {
  const std::string& path = logs_.dirs_.directories()[directory]->path;
  const auto discarded = co_await RunBlocking(logs_.env_.blocking_pool(), logs_.loop_, "discard folder", [&] {
    return DiscardFolder(logs_.env_.files(), path, folder);
  });
  if (!discarded) logs_.OnDirectoryFailure(directory, discarded.error());
  co_return discarded.has_value();
}

// Of a move that has ended before its time. What cannot be removed now is removed at the next start.
Task<void> ShardLogs::Moves::Discard(Move& move) {
  if (move.copy) {
    co_await move.copy->Quiesce();
    logs_.commits_[move.target]->Forget(*move.copy);
    move.copy.reset();
  }
  // After step 1 the copy may be the log.
  if (move.committed || move.goes_on || logs_.dirs_.directories()[move.target]->failed) co_return;
  (void)co_await DiscardDurably(move.target, move.folder);
}

}  // namespace tidemark
