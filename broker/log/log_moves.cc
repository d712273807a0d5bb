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
constexpr Duration kMovePauseWithoutRoom = 1s;

}  // namespace

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
  std::string id = fmt::format("{:016x}", logs_.env_.random().Next());
  // As DiscardFolder names it.
  const std::string longest = FutureFolder(PartitionFolderName(log->topic(), key.partition), id) + "-delete";
  if (longest.size() > kMaxFileName) {
    return Fail(v1::INVALID_REQUEST, "the topic's name is {} bytes too long for the folder of a copy",
                longest.size() - kMaxFileName);
  }
  auto move = std::make_shared<Move>(logs_.loop_, key);
  move->topic = log->topic();
  move->target = target;
  move->id = std::move(id);
  move->folder =
      FutureFolder(directory.path + "/" + PartitionFolderName(move->topic, key.partition), move->id);
  LOG(INFO) << move->name() << " (" << size << " bytes) is moved to " << directory.path;
  Start(std::move(move), log->size_bytes());
  return {};
}

void ShardLogs::Moves::Start(std::shared_ptr<Move> move, uint64_t size) {
  move->promised = static_cast<int64_t>(size);
  logs_.dirs_.directories()[move->target]->promised_bytes += move->promised;
  CHECK(moves_.emplace(move->key, move).second);
  ++counters_.begun;
  logs_.scope_.Spawn("move log", Run(std::move(move)));
}

void ShardLogs::Moves::Resume(const PartitionKey& key) {
  const auto found = interrupted_.find(key);
  const Log* log = logs_.Find(key);
  if (found == interrupted_.end() || log == nullptr || log->failure() || log->damage() || logs_.closing_)
    return;
  const LogDirectory& directory = *logs_.dirs_.directories()[found->second.target];
  // One that has failed keeps its copy for the next start.
  if (directory.failed) return;
  if (log->directory_index() == found->second.target) return Forget(key);
  const FoundMove copy = std::move(found->second);
  interrupted_.erase(found);
  auto move = std::make_shared<Move>(logs_.loop_, key);
  move->topic = log->topic();
  move->target = copy.target;
  move->id = copy.id;
  move->folder = copy.path;
  move->resumed = true;
  LOG(INFO) << "the move of " << move->name() << " to " << directory.path << " goes on";
  Start(std::move(move), log->size_bytes());
}

void ShardLogs::Moves::Forget(const PartitionKey& key) {
  Cancel(key, "the replica is taken out of service");
  const auto found = interrupted_.find(key);
  if (found == interrupted_.end()) return;
  logs_.scope_.Spawn("discard copy", [](Moves* moves, FoundMove copy) -> Task<void> {
    (void)co_await moves->DiscardDurably(copy.target, copy.path);
  }(this, found->second));
  interrupted_.erase(found);
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
  for (const PartitionKey& key : keys) {
    const auto found = moves_.find(key);
    if (found == moves_.end()) continue;
    if (!found->second->stop.stop_requested()) found->second->goes_on = true;
    Cancel(key, why);
  }
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
  if (Log* log = logs_.Find(move->key)) {
    log->HoldCleaning(false);
    log->HoldRepairs(false);
  }
  if (result) {
    ++counters_.finished;
    LOG(INFO) << move->name() << " is in " << logs_.dirs_.directories()[move->target]->path << " now";
  } else if (move->goes_on && !move->committed) {
    LOG(INFO) << "the move of " << move->name() << " to " << logs_.dirs_.directories()[move->target]->path
              << " goes on at the next start";
    co_await Discard(*move);
  } else {
    const std::string& why = move->why_stopped.empty() ? result.error().message : move->why_stopped;
    LOG(WARNING) << "the move of " << move->name() << " to " << logs_.dirs_.directories()[move->target]->path
                 << " was given up: " << why;
    co_await Discard(*move);
    ++counters_.given_up;
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
    co_await Sleep(logs_.loop_, kMovePauseWithoutRoom, "room to end a move", move.stop.get_token());
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
                            .recovery_point = 0,
                            .stop = move.stop.get_token()};
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
    if (opened.error().code != v1::DISK_FULL && opened.error().code != v1::CANCELLED)
      logs_.OnDirectoryFailure(move.target, opened.error());
    co_return std::unexpected(std::move(opened).error());
  }
  move.copy = std::make_unique<Log>(
      logs_.env_.files(), logs_.env_.blocking_pool(), logs_.loop_, static_cast<LogHost&>(logs_),
      Log::Place{move.key, move.topic, move.folder, move.target}, config, std::move(opened->state));
  move.copy->SetFlushListener([&move] { move.flushed.NotifyAll(); });
  TM_CO_ASSIGN_OR_RETURN(source, Source(move));
  move.generation = source->generation();
  if (move.resumed) co_return co_await KeepCommonPart(move);
  co_return Result<>{};
}

Task<Result<>> ShardLogs::Moves::KeepCommonPart(Move& move) {
  TM_CO_ASSIGN_OR_RETURN(const Log* source, Source(move));
  Log& copy = *move.copy;
  const Offset start = source->start_offset();
  const Offset ends = std::min(copy.end_offset(), source->end_offset());
  if (copy.start_offset() > start || ends <= start || source->may_be_compacted())
    co_return co_await StartCopyAnew(move, start);
  // What happens to the source from here on raises its generation.
  const Offset common = source->epochs().AgreesUpTo(copy.epochs(), start, ends);
  if (common < copy.end_offset()) TM_CO_RETURN_IF_ERROR(co_await copy.TruncateTo(common));
  const int64_t kept = std::min<int64_t>(move.promised, static_cast<int64_t>(copy.size_bytes()));
  move.promised -= kept;
  logs_.dirs_.directories()[move.target]->promised_bytes -= kept;
  LOG(INFO) << "the copy of " << move.name() << " is good up to offset " << copy.end_offset();
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
    co_await Sleep(logs_.loop_, kMovePauseWithoutRoom, "room for a copy", move.stop.get_token());
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
    const WaitOutcome outcome = co_await move.flushed.Wait(
        "flush of a copy", logs_.loop_.Now() + kMovePauseWithoutRoom, move.stop.get_token());
    // Nobody is kept out for longer: whatever the flush lacks may be long in coming.
    const bool stuck = outcome == WaitOutcome::kTimedOut || !logs_.RoomFor(copy, SpaceUse::kFollow);
    if (move.exclusive && copy.flush_needed() && stuck)
      co_return Fail(v1::DISK_FULL, "no room for the flush of a copy");
  }
  co_return Result<>{};
}

}  // namespace tidemark
