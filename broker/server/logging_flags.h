// LoggingFlags: glog's flags on the server's command line (--v=1, --minloglevel 2). gflags' own parser is not
// used, because it ends the process with status 1 at an unknown flag and names no other. Main thread, before
// any other thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/result.h"

namespace tidemark {

class LoggingFlags {
 public:
  // `word` begins with a dash; `next` is the word after it, null at the end. Says whether that one is its
  // value. INVALID_REQUEST: no such flag (names the nearest of these and of `others`, the caller's own), no
  // value.
  Result<bool> Take(const std::string& word, const char* next, const std::vector<std::string>& others);
  // Sets what was taken. INVALID_REQUEST: a value of the wrong type.
  Result<> Apply() const;

 private:
  std::vector<std::pair<std::string, std::string>> given_;
};

}  // namespace tidemark
