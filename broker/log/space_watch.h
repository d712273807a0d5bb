// SpaceWatch: looks how much is free in each log directory, keeps the reserve file, and says when produce
// stops and goes on. One per broker, on the LogDirs' home loop; the looks themselves are on the blocking
// pool, one at a time per directory, so a disk that hangs holds up nothing but its own. What it finds is in
// LogDirectory::free_bytes and held_bytes, which any thread reads.
#pragma once

#include "broker/log/disk_space.h"
#include "broker/log/log_dirs.h"
#include "common/async/scope.h"

namespace tidemark {

class SpaceWatch {
 public:
  // By dirs.space_limits().
  explicit SpaceWatch(LogDirs& dirs);

  // Looks at each directory once, so that what follows goes by it. After LogDirs::Bind.
  Task<void> FirstLook();
  // Keeps looking.
  void Start();
  Task<void> Close();

 private:
  Task<Duration> Look(LogDirectory& directory);
  Task<void> Run(LogDirectory& directory, Duration first_pause);
  void Tell(const LogDirectory& directory, const SpaceSeen& seen);

  LogDirs& dirs_;
  Scope scope_;
  std::vector<bool> short_of_space_;  // by directory: produce is refused, and it was said
};

}  // namespace tidemark
