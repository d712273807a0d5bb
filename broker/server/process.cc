#include "broker/server/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "common/config/properties.h"

namespace tidemark {
namespace {

std::optional<pid_t> ParsePid(std::string_view text) {
  pid_t pid = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (status != std::errc() || end != text.data() + text.size() || pid <= 1) return std::nullopt;
  return pid;
}

// Empty when there is no such process, it is gone, or it is not ours to read.
std::vector<std::string> CommandLine(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  return words;
}

bool IsBroker(const std::vector<std::string>& words) {
  if (words.empty()) return false;
  std::string name = words[0].substr(words[0].rfind('/') + 1);
  if (name.ends_with(".sh")) name.resize(name.size() - 3);
  if (name == "tidemark") return words.size() > 1 && words[1] == "server-start";
  return name == "tidemark-server-start" || name == "kafka-server-start";
}

bool Alive(pid_t pid) {
  if (kill(pid, 0) != 0 && errno == ESRCH) return false;
  // A zombie has ended; its parent has not looked yet.
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(stat, line);
  const size_t name_end = line.rfind(") ");
  return name_end == std::string::npos || line.size() < name_end + 3 || line[name_end + 2] != 'Z';
}

}  // namespace

Result<pid_t> Daemonize(const std::string& log_file) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(log_file).parent_path(), ignored);
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return Fail(v1::IO_ERROR, "cannot write {}: {}", log_file, std::strerror(errno));
  const pid_t child = fork();
  if (child < 0) {
    close(log);
    return Fail(v1::IO_ERROR, "cannot fork: {}", std::strerror(errno));
  }
  if (child > 0) {
    close(log);
    return child;
  }
  setsid();
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  close(null);
  close(log);
  return 0;
}

std::vector<RunningBroker> FindBrokers() {
  std::vector<RunningBroker> out;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return out;
  while (const dirent* entry = readdir(proc)) {
    const std::optional<pid_t> pid = ParsePid(entry->d_name);
    struct stat info{};
    if (!pid || *pid == getpid() || stat(("/proc/" + std::string(entry->d_name)).c_str(), &info) != 0)
      continue;
    if (info.st_uid != geteuid()) continue;
    const std::vector<std::string> words = CommandLine(*pid);
    if (!IsBroker(words) || !Alive(*pid)) continue;
    RunningBroker broker{.pid = *pid};
    for (const std::string& word : words) broker.command += (broker.command.empty() ? "" : " ") + word;
    out.push_back(std::move(broker));
  }
  closedir(proc);
  return out;
}

Result<pid_t> BrokerOfLogDirectory(const std::string& directory) {
  const std::string path = directory + "/.lock";
  std::ifstream in(path);
  if (!in) return Fail(v1::NOT_FOUND, "no broker runs on {}: there is no {}", directory, path);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::optional<pid_t> pid = ParsePid(Trimmed(text));
  if (!pid) return Fail(v1::NOT_FOUND, "{} names no process", path);
  // The file outlives its writer, and its number may be somebody else's by now.
  if (!Alive(*pid) || !IsBroker(CommandLine(*pid))) {
    return Fail(v1::NOT_FOUND, "no broker runs on {}: process {} of {} has ended", directory, *pid, path);
  }
  return *pid;
}

Result<> StopProcess(pid_t pid) {
  if (kill(pid, SIGTERM) != 0) {
    if (errno == ESRCH) return {};
    return Fail(v1::POLICY_VIOLATION, "cannot stop process {}: {}", pid, std::strerror(errno));
  }
  using std::chrono::steady_clock;
  const auto begun = steady_clock::now();
  for (bool told = false; Alive(pid);) {
    if (!told && steady_clock::now() - begun > std::chrono::seconds(2)) {
      fmt::print(stderr, "waiting for the controlled shutdown of broker process {}\n", pid);
      told = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return {};
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

unsigned CpuCount() { return std::max(1u, std::thread::hardware_concurrency()); }

}  // namespace tidemark
