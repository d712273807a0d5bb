#include "broker/log/space_watch.h"

#include <algorithm>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/async/wait.h"

namespace tidemark {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

// The file is written, not only lengthened: a hole reserves nothing.
Result<> FillReserve(File& file, uint64_t from, uint64_t to) {
  const std::string zeros(kPieceBytes, '\0');
  for (uint64_t at = from; at < to;) {
    const size_t size = std::min<uint64_t>(kPieceBytes, to - at);
    TM_RETURN_IF_ERROR(file.WriteAt(at, std::string_view(zeros).substr(0, size)));
    at += size;
  }
  return file.Sync();
}

// Pool thread: looks, and makes or gives back the reserve. What goes wrong with the reserve is no failure of
// the directory: without it there is only less in need.
Result<SpaceSeen> LookAt(FileSystem& files, const std::string& path, SpaceSeen known, SpaceLimits limits) {
  TM_ASSIGN_OR_RETURN(known.free, files.FreeBytes(path));
  const ReserveStep step = DecideReserve(known, limits);
  if (step == ReserveStep::kNone) return known;
  TM_ASSIGN_OR_RETURN(const auto file,
                      files.Open(fmt::format("{}/{}", path, kReserveName), OpenMode::kCreate));
  if (step == ReserveStep::kGiveBack) {
    TM_RETURN_IF_ERROR(file->Truncate(0));
    known.held = 0;
  } else if (const auto filled = FillReserve(*file, known.held, limits.reserve); filled) {
    known.held = limits.reserve;
  } else {
    TM_RETURN_IF_ERROR(file->Truncate(0));
    known.held = 0;
  }
  TM_ASSIGN_OR_RETURN(known.free, files.FreeBytes(path));
  return known;
}

}  // namespace

SpaceWatch::SpaceWatch(LogDirs& dirs)
    : dirs_(dirs), scope_(dirs.loop(), "disk space"), short_of_space_(dirs.directories().size(), false) {}

Task<Duration> SpaceWatch::Look(LogDirectory& directory) {
  const SpaceLimits limits = dirs_.space_limits();
  const SpaceSeen known{.free = directory.free_bytes, .held = directory.held_bytes};
  const auto seen =
      co_await RunBlocking(dirs_.env().blocking_pool(), dirs_.loop(), "look at free space",
                           [&] { return LookAt(dirs_.env().files(), directory.path, known, limits); });
  if (!seen) {
    LOG_EVERY_N(WARNING, 100) << "free space of " << directory.path << ": " << ToString(seen.error());
    co_return NextSpaceLook(known, limits);
  }
  if (known.held > 0 && seen->held == 0) {
    LOG(WARNING) << "log directory " << directory.path << " has run full: its reserve of " << known.held
                 << " bytes is given back for what must still be written";
  }
  directory.free_bytes = seen->free;
  directory.held_bytes = seen->held;
  Tell(directory, *seen);
  co_return NextSpaceLook(*seen, limits);
}

void SpaceWatch::Tell(const LogDirectory& directory, const SpaceSeen& seen) {
  const SpaceLimits limits = dirs_.space_limits();
  const bool is_short = !HasRoom(SpaceUse::kProduce, seen, limits);
  if (is_short == short_of_space_[directory.index]) return;
  short_of_space_[directory.index] = is_short;
  if (is_short) {
    LOG(ERROR) << "log directory " << directory.path << " has " << seen.free
               << " bytes free, below log.dir.min.free.bytes=" << limits.min_free
               << ": produce to it is refused until there is room";
  } else {
    LOG(WARNING) << "log directory " << directory.path << " has " << seen.free
                 << " bytes free again: produce goes on";
  }
}

Task<void> SpaceWatch::FirstLook() {
  for (const auto& directory : dirs_.directories()) {
    if (!directory->failed) (void)co_await Look(*directory);
  }
}

void SpaceWatch::Start() {
  for (const auto& directory : dirs_.directories()) {
    if (directory->failed) continue;
    const SpaceSeen seen{.free = directory->free_bytes, .held = directory->held_bytes};
    scope_.Spawn("disk space", Run(*directory, NextSpaceLook(seen, dirs_.space_limits())));
  }
}

Task<void> SpaceWatch::Run(LogDirectory& directory, Duration pause) {
  while (!directory.failed && co_await Sleep(dirs_.loop(), pause, "next look at free space",
                                             scope_.stop_token()) != WaitOutcome::kStopped) {
    pause = co_await Look(directory);
  }
}

Task<void> SpaceWatch::Close() { co_await scope_.Close(); }

}  // namespace tidemark
