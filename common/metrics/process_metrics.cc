#include "common/metrics/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace tidemark {
namespace {

// The fields of /proc/self/stat after the command's name, which may hold anything; the first is field 3.
std::vector<std::string> StatFields() {
  std::ifstream in("/proc/self/stat");
  std::string line;
  std::getline(in, line);
  const size_t name_end = line.rfind(") ");
  if (name_end == std::string::npos) return {};
  std::istringstream rest(line.substr(name_end + 2));
  return {std::istream_iterator<std::string>(rest), {}};
}

double NumberAt(const std::vector<std::string>& fields, size_t field) {
  return field - 3 < fields.size() ? std::strtod(fields[field - 3].c_str(), nullptr) : 0;
}

// Seconds since 1970 at which the machine started; 0 when it is not told.
double BootTime() {
  std::ifstream in("/proc/stat");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("btime ")) return std::strtod(line.c_str() + 6, nullptr);
  }
  return 0;
}

size_t OpenFiles() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  size_t entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  return entries < 3 ? 0 : entries - 3;  // ".", ".." and the descriptor that reads them
}

}  // namespace

void AddProcessMetrics(Exposition* out) {
  const std::vector<std::string> stat = StatFields();
  if (!stat.empty()) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    out->Amount("process_cpu_seconds_total", (NumberAt(stat, 14) + NumberAt(stat, 15)) / ticks);
    out->Gauge("process_resident_memory_bytes",
               NumberAt(stat, 24) * static_cast<double>(sysconf(_SC_PAGESIZE)));
    out->Gauge("process_virtual_memory_bytes", NumberAt(stat, 23));
    if (const double boot = BootTime(); boot > 0)
      out->Gauge("process_start_time_seconds", boot + NumberAt(stat, 22) / ticks);
  }
  out->Gauge("process_open_fds", static_cast<double>(OpenFiles()));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    out->Gauge("process_max_fds", static_cast<double>(limit.rlim_cur));
}

}  // namespace tidemark
