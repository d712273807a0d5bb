// Process: what a broker program does as a Unix process: running in the background, finding and stopping
// brokers of this user. Used by main only; any thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

namespace tidemark {

// Continues in a child without terminal whose output goes to `log_file` (appended; its folder is created). In
// the parent: the child's pid. In the child: 0.
Result<pid_t> Daemonize(const std::string& log_file);

struct RunningBroker {
  pid_t pid = 0;
  std::string command;  // its command line
};
// Brokers of this user, by exact look at each process's command line, without this process.
std::vector<RunningBroker> FindBrokers();

// The pid in a log directory's lock file, if that process lives.
Result<pid_t> BrokerOfLogDirectory(const std::string& directory);

// Sends SIGTERM and waits until the process is gone. Says on stderr for what it waits after 2 s.
Result<> StopProcess(pid_t pid);

std::string HostName();
unsigned CpuCount();

}  // namespace tidemark
