// What ShardLogs does at intervals: timed flushes, the flushes in the background and the checkpoint rounds,
// which look at no log but those that changed.
#include <glog/logging.h>

#include <unordered_set>
#include <utility>

#include "broker/log/shard_logs.h"

namespace tidemark {

void ShardLogs::FlushAt(Log& log, MonoTime due) {
  flushes_due_.emplace(due, log.key());
  due_changed_.NotifyAll();
  if (!std::exchange(timing_flushes_, true)) scope_.Spawn("timed flushes", TimedFlushes());
}

Task<void> ShardLogs::TimedFlushes() {
  const std::stop_token stop = scope_.stop_token();
  while (!flushes_due_.empty() && !stop.stop_requested()) {
    co_await due_changed_.Wait("timed flush", flushes_due_.begin()->first, stop);
    while (!flushes_due_.empty() && flushes_due_.begin()->first <= loop_.Now()) {
      // The log may have been flushed, or closed and opened, meanwhile: it knows.
      if (Log* log = Find(flushes_due_.begin()->second)) log->FlushIfDue(loop_.Now());
      flushes_due_.erase(flushes_due_.begin());
    }
  }
  timing_flushes_ = false;
}

void ShardLogs::NoteChanged(Log& log) { changed_.push_back(log.key()); }

std::vector<Log*> ShardLogs::Changed() {
  std::vector<Log*> logs;
  std::unordered_set<PartitionKey> seen;
  std::erase_if(changed_, [&](const PartitionKey& key) {
    Log* log = Find(key);
    const bool settled = log == nullptr || log->failure() || log->damage() || log->settled();
    if (settled || !seen.insert(key).second) return true;
    logs.push_back(log);
    return false;
  });
  return logs;
}

std::optional<ShardLogs::DiskWait> ShardLogs::OldestDiskWait() const {
  std::optional<DiskWait> oldest;
  if (const auto wait = disk_waits_.Oldest())
    oldest = {wait->since, dirs_.directories()[wait->directory]->path};
  for (size_t i = 0; i < commits_.size(); ++i) {
    const std::optional<MonoTime> since = commits_[i]->round_since();
    if (since && (!oldest || *since < oldest->since)) oldest = {*since, dirs_.directories()[i]->path};
  }
  return oldest;
}

Task<Result<>> ShardLogs::Checkpoint() {
  Result<> first;
  for (const auto& directory : dirs_.directories()) {
    if (directory->failed) continue;
    std::vector<CheckpointChange> changes;
    // Without a suspension between the collection and the sending, so that a later truncation's change comes
    // later.
    for (Log* log : Changed()) {
      if (log->directory_index() != directory->index) continue;
      log->CollectCheckpoint(&changes);
    }
    if (changes.empty() && !checkpoint_owed_[directory->index]) continue;
    // What a full disk refused is still to be written, though no log has anything new to say.
    checkpoint_owed_[directory->index] = true;
    // A directory that is full does not keep the others from theirs.
    const Result<> written = co_await WriteCheckpoints(directory->index, std::move(changes));
    if (written) {
      checkpoint_owed_[directory->index] = false;
    } else if (first) {
      first = written;
    }
  }
  co_return first;
}

Task<void> ShardLogs::CheckpointLoop() {
  const std::stop_token stop = scope_.stop_token();
  MonoTime next_background_flush = loop_.Now() + options_.background_flush_interval;
  while (co_await Sleep(loop_, options_.checkpoint_interval, "checkpoint interval", stop) !=
         WaitOutcome::kStopped) {
    KeepPromises();
    const bool flush_all = loop_.Now() >= next_background_flush;
    if (flush_all) next_background_flush = loop_.Now() + options_.background_flush_interval;
    std::vector<PartitionKey> with_garbage;
    for (Log* log : Changed()) {
      if (flush_all || log->config().durability == AckDurability::kSynced) log->RequestFlush();
      if (log->has_garbage()) with_garbage.push_back(log->key());
    }
    const auto written = co_await Checkpoint();
    if (!written) LOG(ERROR) << "checkpoint: " << ToString(written.error());
    for (const PartitionKey& key : with_garbage) {
      Log* log = Find(key);
      if (log == nullptr) continue;
      const auto removed = co_await log->RemoveBelowStart();
      LOG_IF(WARNING, !removed) << "segments below the log start: " << ToString(removed.error());
    }
  }
}

}  // namespace tidemark
