// What `tidemark-dump-log --verify` says of a log directory on a simulated disk, asked by a process of its
// own while no broker has the directory open. A crash at any instant leaves nothing that it calls damage.
#pragma once

#include <optional>
#include <string>

#include <glog/logging.h>

#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tools/dump_log_verify.h"

namespace tidemark {

enum class AfterCrash {
  kKill,       // or what a recovery has left
  kPowerLoss,  // of what was not synced anything may be there: bad batches with good ones after them too
};

// What was told, when there was damage among it that the crash does not explain, or when it could not be
// verified. A directory that no broker has got to write its identity into is none yet: an answer too.
inline std::optional<std::string> OfflineDamage(const SimDisk& left, const std::string& directory,
                                                AfterCrash crash) {
  // On a copy in a world of its own: what comes after it does not depend on whether anybody looked.
  SimWorld world(1);
  SimDisk& disk = world.disk("reader");
  disk.Restore(left.Snapshot());
  SimProcess& reader = world.StartProcess("reader");
  std::string told;
  const auto summary =
      VerifyPath(reader.files(), directory, [&told](std::string_view piece) { told += piece; });
  for (const DiskOp op : {DiskOp::kWrite, DiskOp::kSync, DiskOp::kTruncate, DiskOp::kRename, DiskOp::kRemove,
                          DiskOp::kMakeDirectory, DiskOp::kSyncDirectory, DiskOp::kLock}) {
    CHECK_EQ(disk.count(op), 0u) << "verification changes what it reads: " << ToString(op);
  }
  reader.Exit();
  if (summary) {
    const size_t explained = crash == AfterCrash::kPowerLoss ? summary->above_flushed : 0;
    return summary->damage == explained ? std::nullopt : std::optional(std::move(told));
  }
  for (const std::string& path : disk.Paths()) {
    if (path.ends_with("/meta.properties") || path.ends_with(".log")) return ToString(summary.error());
  }
  return std::nullopt;
}

}  // namespace tidemark
