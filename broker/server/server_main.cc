#include "broker/server/server_main.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

#include <glog/logging.h>

#include "broker/server/broker.h"
#include "broker/server/logging_flags.h"
#include "broker/server/process.h"
#include "broker/server/service_status.h"
#include "common/env/real_environment.h"
#include "common/io/open_files.h"

namespace tidemark {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct CommandLine {
  std::string file;
  std::vector<std::pair<std::string, std::string>> overrides;
  bool daemon = false;
  bool help = false;
  bool version = false;
  LoggingFlags logging;
};

constexpr const char* kHelp =
    "usage: tidemark-server-start [-daemon] server.properties [--override name=value]... [glog's flags]\n"
    "\n"
    "Runs a broker. In the foreground it is the broker itself, with its logs on stderr; SIGTERM ends it "
    "after a\n"
    "controlled shutdown.\n"
    "\n"
    "  -daemon               run in the background, logs in $LOG_DIR/server.log (logs/server.log)\n"
    "  --override name=value set a config over the file's; may be repeated\n"
    "  --v=N, --minloglevel=N and glog's other flags\n"
    "\n"
    "Examples:\n"
    "  tidemark-server-start deploy/server.properties\n"
    "  tidemark-server-start -daemon server.properties --override broker.id=1 --override "
    "log.dirs=/var/lib/tidemark\n";

Result<CommandLine> ParseCommandLine(int argc, char** argv) {
  CommandLine out;
  static const std::vector<std::string> kOwn = {"daemon", "override", "help", "version"};
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.starts_with("--")) word.erase(0, 1);
    if (word == "-help" || word == "-h") {
      out.help = true;
    } else if (word == "-version") {
      out.version = true;
    } else if (word == "-daemon") {
      out.daemon = true;
    } else if (word == "-zookeeper" || word.starts_with("-zookeeper=")) {
      return Fail(v1::INVALID_REQUEST,
                  "--zookeeper is no option of tidemark-server-start: a broker finds ZooKeeper by "
                  "zookeeper.connect in "
                  "its server.properties; to stop a broker use tidemark-server-stop");
    } else if (word == "-override" || word.starts_with("-override=")) {
      if (word == "-override" && ++i == argc) return Fail(v1::INVALID_REQUEST, "--override needs name=value");
      const std::string assignment =
          word == "-override" ? argv[i] : word.substr(std::string("-override=").size());
      TM_ASSIGN_OR_RETURN(auto parsed, ParseAssignment(assignment));
      out.overrides.push_back(std::move(parsed));
    } else if (word.starts_with('-')) {
      TM_ASSIGN_OR_RETURN(const bool with_next,
                          out.logging.Take(argv[i], i + 1 < argc ? argv[i + 1] : nullptr, kOwn));
      if (with_next) ++i;
    } else if (out.file.empty()) {
      out.file = word;
    } else {
      return Fail(v1::INVALID_REQUEST, "unexpected '{}' after {}", word, out.file);
    }
  }
  return out;
}

Result<BrokerConfig> ReadConfig(const CommandLine& line) {
  if (line.file.empty()) return Fail(v1::INVALID_REQUEST, "name a server.properties; see --help");
  std::ifstream in(line.file, std::ios::binary);
  if (!in) return Fail(v1::NOT_FOUND, "cannot read {}", line.file);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  Result<Properties> properties = ParseProperties(text);
  if (!properties) return Fail(properties.error().code, "{}: {}", line.file, properties.error().message);
  for (const auto& [name, value] : line.overrides) (*properties)[name] = value;
  Result<BrokerConfig> config = BrokerConfig::FromProperties(*properties);
  if (!config) return Fail(config.error().code, "{}: {}", line.file, config.error().message);
  if (config->num_shards == 0) config->num_shards = CpuCount();
  const OpenFilesBudget budget = DivideOpenFiles(RaiseOpenFilesLimit(), config->log_open_files);
  config->log_open_files = config->most_log_open_files = budget.log_files;
  config->most_connections = budget.connections;
  config->max_connections = std::min(config->max_connections, config->most_connections);
  for (ListenerConfig& listener : config->listeners) {
    if (listener.advertised_host.empty()) listener.advertised_host = HostName();
  }
  return config;
}

// The broker on its control loop, and what main waits for.
class Program {
 public:
  explicit Program(BrokerConfig config)
      : control_(env_.StartLoop("control")), scope_(control_->loop(), "main"), config_(std::move(config)) {}
  // The thread ends first: its last callback may still be about to return.
  ~Program() { control_.reset(); }

  void Start() {
    control_->loop().Post([this] {
      service_.Start();
      scope_.Spawn("start", RunStart());
    });
  }
  // From a signal: ends a start under way, or the broker. `done` is set when everything is closed.
  void Stop() {
    stopping_ = true;
    control_->loop().Post([this] {
      service_.Stopping();
      if (broker_) broker_->RequestStop();
      scope_.Spawn("stop", RunStop());
    });
    done_.get_future().wait();
  }
  bool failed() const { return status_ != 0; }
  int status() const { return status_; }

 private:
  Task<void> RunStart() {
    BrokerOptions options;
    options.admin = StartAdminHttp;
    options.on_fatal = [this](const Error& error) { Fail(error, kFailed); };
    broker_ = std::make_unique<Broker>(env_, control_->loop(), config_, std::move(options));
    const Result<> started = co_await broker_->Start();
    if (started) {
      SayReady();
    } else if (started.error().code != v1::CANCELLED) {
      Fail(started.error(), StartExitStatus(started.error()));
    }
    starting_ = false;
    started_.NotifyAll();
  }

  Task<void> RunStop() {
    while (starting_) co_await started_.Wait("end of start");
    if (!co_await broker_->Stop() && !failed())
      LOG(WARNING) << "the stop was not clean; the next start will recover";
    co_await service_.Close();
    broker_.reset();
    done_.set_value();
  }

  void SayReady() {
    std::string listeners;
    for (const BoundListener& listener : broker_->listeners()) {
      listeners += (listeners.empty() ? "" : ",") + listener.name + "://" + ToString(listener.advertised);
    }
    const auto admin = broker_->admin_endpoint();
    service_.Ready(fmt::format("broker {} serves at {}", broker_->id(), listeners));
    fmt::print(stderr, "tidemark broker {} ready listeners={} admin={}\n", broker_->id(), listeners,
               admin ? ToString(*admin) : "none");
    std::fflush(stderr);
  }

  // Wakes main, which ends everything in order.
  void Fail(const Error& error, int status) {
    if (int none = 0; !status_.compare_exchange_strong(none, status)) return;
    fmt::print(stderr, "error: {}\n", error.message.empty() ? ToString(error) : error.message);
    std::fflush(stderr);
    service_.Failed(error.message);
    if (!stopping_) kill(getpid(), SIGTERM);
  }

  RealEnvironment env_;
  std::unique_ptr<LoopThread> control_;
  Scope scope_;
  BrokerConfig config_;
  std::unique_ptr<Broker> broker_;
  ServiceStatus service_{control_->loop(), ServiceManager::FromEnvironment(), [this] {
                           return broker_ ? broker_->NotReadyReasons() : std::vector<std::string>();
                         }};
  bool starting_ = true;
  Notifier started_{control_->loop()};
  std::atomic<int> status_ = 0;  // of the process
  std::atomic<bool> stopping_ = false;
  std::promise<void> done_;
};

// A stop that hangs (a disk that does not answer) must not need a SIGKILL: the second signal ends the process
// at once.
extern "C" void EndAtOnce(int) { _exit(kFailed); }

int RunBroker(BrokerConfig config) {
  // Blocked before any thread exists, so that all inherit it and only main takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGHUP, SIG_IGN);
  int status = 0;
  {
    Program program(std::move(config));
    program.Start();
    int received = 0;
    sigwait(&signals, &received);
    if (!program.failed()) LOG(INFO) << "stopping after " << strsignal(received);
    signal(SIGTERM, EndAtOnce);
    signal(SIGINT, EndAtOnce);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    program.Stop();
    status = program.status();
  }
  LOG(INFO) << "stopped";
  return status;
}

int Complain(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.message);
  return kUsage;
}

}  // namespace

// What the directories or ZooKeeper hold does not fit the configuration: another start would meet it again.
int StartExitStatus(const Error& error) {
  const bool configured = error.code == v1::INVALID_CONFIG || error.code == v1::INCONSISTENT_CLUSTER_ID;
  return configured ? kUsage : kFailed;
}

int ServerMain(int argc, char** argv) {
  Result<CommandLine> line = ParseCommandLine(argc, argv);
  if (!line) return Complain(line.error());
  if (line->help) {
    fmt::print("{}", kHelp);
    return 0;
  }
  if (line->version) {
    fmt::print("tidemark 0.1.0\n");
    return 0;
  }
  FLAGS_logtostderr = true;
  if (const Result<> set = line->logging.Apply(); !set) return Complain(set.error());
  Result<BrokerConfig> config = ReadConfig(*line);
  if (!config) return Complain(config.error());
  if (line->daemon) {
    const char* folder = getenv("LOG_DIR");
    const std::string log =
        std::filesystem::absolute(fmt::format("{}/server.log", folder ? folder : "logs")).string();
    const Result<pid_t> child = Daemonize(log);
    if (!child) return Complain(child.error());
    if (*child > 0) {
      fmt::print("broker process {} started, logs in {}\n", *child, log);
      return 0;
    }
  }
  google::InitGoogleLogging(argv[0]);
  return RunBroker(std::move(*config));
}

}  // namespace tidemark
