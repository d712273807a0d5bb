// What a `-future` or `-moved` folder of a log directory is (move_folders.h), for people and the offline
// verifier. Reads the other directories of the broker, which meta.properties names; changes nothing. Blocking
// calls. Beside a running broker it tells how things were a moment ago.
#pragma once

#include <string>

#include "broker/log/log_directory.h"

namespace tidemark {

struct MoveVerdict {
  // The replica's log: the next start, or the broker that is at it, only gives it its name.
  bool is_log = false;
  std::string what;  // "is ..."
};

MoveVerdict JudgeMoveFolder(FileSystem& files, const std::string& directory, const MoveFolder& folder);

}  // namespace tidemark
