#include "broker/log/move_verdict.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "broker/log/move_folders.h"
#include "broker/log/partition_files.h"

namespace tidemark {
namespace {

// Names of all folders in the broker's directories, and the first directory that could not be read.
struct Surroundings {
  std::set<std::string> folders;
  std::optional<std::string> unread;
};

Surroundings LookAround(FileSystem& files, const std::string& directory) {
  Surroundings out;
  const auto look = [&](const std::string& path) {
    const auto entries = files.List(path);
    if (!entries && !out.unread) out.unread = path;
    if (!entries) return;
    for (const DirectoryEntry& entry : *entries) {
      if (entry.is_directory) out.folders.insert(entry.name);
    }
  };
  look(directory);
  bool stale = false;
  const auto identity = ReadIdentity(files, directory, &stale);
  if (!identity) {
    out.unread = directory + "/" + std::string(kIdentityName);
    return out;
  }
  for (const auto& [id, path] : identity->directories) {
    if (id != identity->directory_id) look(path);
  }
  return out;
}

}  // namespace

MoveVerdict JudgeMoveFolder(FileSystem& files, const std::string& directory, const MoveFolder& folder) {
  const Surroundings around = LookAround(files, directory);
  const std::string name = PartitionFolderName(folder.topic, folder.partition);
  if (folder.is_future) {
    if (around.folders.contains(MovedFolder(name, folder.id))) {
      return {.is_log = true,
              .what = fmt::format("is the log of {}: its move here was cut off at its end, the next start "
                                  "gives it its name",
                                  name)};
    }
    if (around.unread) {
      return {.what = fmt::format("is the copy that a move of {} makes here, or its log: {} cannot be read; "
                                  "it is not verified (name it to do so)",
                                  name, *around.unread)};
    }
    return {.what = fmt::format("is the copy that a move of {} makes here; until it is whole the log is in "
                                "the other directory, and this is not verified (name it to do so)",
                                name)};
  }
  if (around.folders.contains(name) || around.folders.contains(FutureFolder(name, folder.id))) {
    return {.what = fmt::format("is where {} was before it was moved to another directory; the next start "
                                "removes it, and it is not verified",
                                name)};
  }
  if (around.unread) {
    return {.what = fmt::format("is where {} was before it was moved to another directory, perhaps the one "
                                "that cannot be read ({}); it is not verified (name it to do so)",
                                name, *around.unread)};
  }
  return {.what = fmt::format("is where {} was before it was moved to another directory, but none has it: "
                              "the broker keeps this and does not use it; it is not verified (name it to do "
                              "so)",
                              name)};
}

}  // namespace tidemark
