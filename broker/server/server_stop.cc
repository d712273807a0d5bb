#include <cstdio>
#include <fstream>
#include <iterator>

#include "broker/server/process.h"
#include "broker/server/server_main.h"
#include "common/config/broker_config.h"

namespace tidemark {
namespace {

int Complain(int status, const std::string& message) {
  fmt::print(stderr, "error: {}\n", message);
  return status;
}

Result<std::string> FirstLogDirectory(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return Fail(v1::NOT_FOUND, "cannot read {}", file);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  TM_ASSIGN_OR_RETURN(const Properties properties, ParseProperties(text));
  for (const char* name : {"log.dirs", "log.dir"}) {
    const auto it = properties.find(std::string_view(name));
    if (it == properties.end()) continue;
    if (const std::vector<std::string> dirs = CommaList(it->second); !dirs.empty()) return dirs.front();
  }
  return Fail(v1::INVALID_CONFIG, "{} does not set log.dirs", file);
}

int StopAndTell(pid_t pid) {
  if (const Result<> stopped = StopProcess(pid); !stopped) return Complain(1, stopped.error().message);
  fmt::print(stderr, "broker process {} has stopped\n", pid);
  return 0;
}

}  // namespace

int ServerStopMain(int argc, char** argv) {
  std::string file;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-help" || word == "-h") {
      fmt::print(
          "usage: tidemark-server-stop [server.properties]\n"
          "Stops the broker whose log directory the file names; without a file the only broker of this "
          "user.\n\nExamples:\n  tidemark-server-stop\n  tidemark-server-stop server.properties\n");
      return 0;
    }
    if (word.starts_with('-') || !file.empty())
      return Complain(2, fmt::format("unexpected '{}'; see --help", word));
    file = word;
  }
  if (!file.empty()) {
    const Result<std::string> directory = FirstLogDirectory(file);
    if (!directory) return Complain(2, directory.error().message);
    const Result<pid_t> pid = BrokerOfLogDirectory(*directory);
    return pid ? StopAndTell(*pid) : Complain(1, pid.error().message);
  }
  const std::vector<RunningBroker> brokers = FindBrokers();
  if (brokers.empty()) return Complain(1, "no broker of this user runs");
  if (brokers.size() == 1) return StopAndTell(brokers.front().pid);
  for (const RunningBroker& broker : brokers) fmt::print(stderr, "{:>8}  {}\n", broker.pid, broker.command);
  return Complain(2, "several brokers run; name the server.properties of the one to stop");
}

}  // namespace tidemark
