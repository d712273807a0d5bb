// The parts of ShardLogs that its .cc files share: a partition's place in the table and the lock on it.
// Loop-affine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/log/shard_logs.h"
#include "common/async/wait.h"

namespace tidemark {

// A partition's place in the table; `busy` while somebody opens it, takes it out or switches its directory.
struct ShardLogs::Slot {
  explicit Slot(EventLoop& loop) : changed(loop) {}
  PartitionKey key;
  std::unique_ptr<Log> log;
  bool busy = false;
  size_t users = 0;  // who hold or wait for it
  Notifier changed;
};

// Holds a slot for one user at a time; forgets it when it is empty and nobody waits.
class ShardLogs::SlotLock {
 public:
  SlotLock(ShardLogs& logs, Slot& slot) : logs_(logs), slot_(slot) {}
  ~SlotLock() {
    slot_.busy = false;
    slot_.changed.NotifyAll();
    if (--slot_.users == 0 && !slot_.log) logs_.slots_.erase(PartitionKey(slot_.key));
  }
  SlotLock(const SlotLock&) = delete;
  SlotLock& operator=(const SlotLock&) = delete;

 private:
  ShardLogs& logs_;
  Slot& slot_;
};

// Takes a partition's lines out of a directory's checkpoints.
inline std::vector<CheckpointChange> RemovalOf(const PartitionKey& key, const std::string& topic) {
  std::vector<CheckpointChange> changes;
  for (size_t i = 0; i < kCheckpointKinds; ++i) {
    changes.push_back({static_cast<CheckpointKind>(i), key, topic, std::nullopt});
  }
  return changes;
}

}  // namespace tidemark
