#include "broker/log/group_commit.h"

#include <algorithm>
#include <utility>

#include "broker/log/log.h"
#include "common/async/wait.h"

namespace tidemark {

namespace {

// How many syncs the round would take one by one.
size_t SyncsOf(const FlushWork& work) {
  size_t syncs = work.files.size();
  for (const IndexWrite& write : work.indexes) syncs += write.sync ? 2 : 0;
  if (!work.epoch_table.empty()) return syncs + 2;  // and the directory with it
  return syncs + (work.directory.empty() ? 0 : 1);
}

Result<> SyncOneByOne(FileSystem& files, std::vector<FlushWork>& round) {
  for (const FlushWork& work : round) {
    for (const IndexWrite& write : work.indexes) TM_RETURN_IF_ERROR(WriteIndex(files, write));
  }
  for (const FlushWork& work : round) {
    for (const auto& file : work.files) TM_RETURN_IF_ERROR(file->Sync());
  }
  for (const FlushWork& work : round) {
    if (!work.epoch_table.empty()) {
      // Its rename syncs the partition's directory with it.
      TM_RETURN_IF_ERROR(WriteFileDurably(files, work.epoch_table_path, work.epoch_table));
    } else if (!work.directory.empty()) {
      TM_RETURN_IF_ERROR(files.SyncDirectory(work.directory));
    }
  }
  return {};
}

// The first sync takes the data, the indexes, new directory entries and the epoch tables' new contents; the
// second, where there are any, the renames that put those in force: never before the data they speak of.
Result<> SyncTogether(FileSystem& files, const std::string& log_directory, std::vector<FlushWork>& round) {
  bool renames = false;
  for (const FlushWork& work : round) {
    for (IndexWrite write : work.indexes) {
      write.sync = false;
      TM_RETURN_IF_ERROR(WriteIndex(files, write));
    }
    if (work.epoch_table.empty()) continue;
    TM_RETURN_IF_ERROR(WriteTemporary(files, work.epoch_table_path, work.epoch_table));
    renames = true;
  }
  TM_RETURN_IF_ERROR(files.SyncFileSystem(log_directory));
  if (!renames) return {};
  for (const FlushWork& work : round) {
    if (!work.epoch_table.empty()) TM_RETURN_IF_ERROR(RenameTemporary(files, work.epoch_table_path));
  }
  return files.SyncFileSystem(log_directory);
}

}  // namespace

Result<> RunFlushRound(FileSystem& files, const std::string& log_directory, std::vector<FlushWork>& round) {
  size_t syncs = 0;
  for (const FlushWork& work : round) syncs += SyncsOf(work);
  if (syncs < kSyncFileSystemThreshold) return SyncOneByOne(files, round);
  return SyncTogether(files, log_directory, round);
}

GroupCommit::GroupCommit(FileSystem& files, BlockingPool& pool, Scope& scope, std::string log_directory)
    : files_(files),
      pool_(pool),
      scope_(scope),
      log_directory_(std::move(log_directory)),
      idle_(scope.loop()) {}

void GroupCommit::Enqueue(Log& log) {
  waiting_.push_back(&log);
  if (running_) return;
  running_ = true;
  scope_.Spawn("group commit", Run());
}

void GroupCommit::Forget(Log& log) { std::erase(waiting_, &log); }

Task<void> GroupCommit::Run() {
  // Whatever the current callback still appends (a request's other partitions) joins the first round.
  Waiter gather(scope_.loop(), "group commit gather");
  scope_.loop().Defer([&gather] { gather.Wake(); });
  co_await gather;
  while (!waiting_.empty()) {
    std::vector<FlushWork> round;
    std::vector<Log*> owners;
    for (Log* log : std::exchange(waiting_, {})) {
      if (auto work = log->BeginFlush()) {
        round.push_back(std::move(*work));
        owners.push_back(log);
      }
    }
    if (round.empty()) continue;
    round_since_ = scope_.loop().Now();
    const Result<> result = co_await RunBlocking(pool_, scope_.loop(), "group commit flush", [this, &round] {
      return RunFlushRound(files_, log_directory_, round);
    });
    round_since_.reset();
    ++rounds_;
    // The logs still live: each waits for its flush before it ends.
    for (size_t i = 0; i < owners.size(); ++i) owners[i]->EndFlush(round[i], result);
  }
  running_ = false;
  idle_.NotifyAll();
}

Task<void> GroupCommit::Idle() {
  while (running_) co_await idle_.Wait("group commit idle");
}

}  // namespace tidemark
