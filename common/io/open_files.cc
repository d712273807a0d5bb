#include "common/io/open_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <climits>

namespace tidemark {
namespace {

constexpr size_t kReserve = 128;
constexpr size_t kMostNeeded = 1u << 20;  // a limit of "unlimited" is no number to divide

}  // namespace

size_t RaiseOpenFilesLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return std::min<size_t>(limit.rlim_cur, kMostNeeded);
}

OpenFilesBudget DivideOpenFiles(size_t limit, size_t log_files) {
  OpenFilesBudget out;
  const size_t free = limit > kReserve ? limit - kReserve : 1;
  out.log_files = std::max<size_t>(1, log_files > 0 ? std::min(log_files, free * 3 / 5) : free * 2 / 5);
  const size_t most = out.log_files + out.log_files / 4;
  out.connections = std::max<size_t>(1, free > most ? free - most : 1);
  return out;
}

}  // namespace tidemark
