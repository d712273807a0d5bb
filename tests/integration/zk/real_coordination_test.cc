// The contract suite of Coordination against a real ZooKeeper server, through the real client.
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/async/libevent_loop.h"
#include "common/zk/zk_client.h"
#include "tests/unit/zk/coordination_contract.h"
#include "tests/unit/zk/keeper_contract.h"

namespace tidemark::zktest {
namespace {

// One server for all tests of this process, in a folder of its own.
class Server {
 public:
  static Server& Get() {
    static Server server;
    return server;
  }
  const std::string& connect() const { return connect_; }
  void Start() {
    Run("start");
    std::getline(std::ifstream(folder_ / "connect"), connect_);
  }
  void Kill() {
    pid_t pid = 0;
    std::ifstream(folder_ / "member-1" / "pid") >> pid;
    ASSERT_GT(pid, 0);
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }

 private:
  Server() {
    std::string name = (std::filesystem::temp_directory_path() / "tidemark-zk-XXXXXX").string();
    CHECK(mkdtemp(name.data()) != nullptr);
    folder_ = name;
    Start();
  }
  ~Server() {
    Run("stop");
    std::filesystem::remove_all(folder_);
  }
  void Run(const std::string& command) {
    const std::string line =
        std::string(TIDEMARK_ZOOKEEPER_SH) + " " + command + " --dir " + folder_.string();
    CHECK_EQ(std::system((line + " >/dev/null").c_str()), 0) << line;
  }

  std::filesystem::path folder_;
  std::string connect_;
};

class RealWorld final : public ContractWorld {
 public:
  ~RealWorld() override {
    if (cut_) RestoreConnection();
  }
  EventLoop& loop() override { return loop_; }
  Coordination& coordination() override { return *coordination_; }
  std::string servers() override { return Server::Get().connect(); }
  Duration session_timeout() override { return 6s; }

  bool RunUntil(const std::function<bool()>& condition) override {
    // A condition may itself run the loop (it asks the server), so it is looked at between runs, not within.
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      const TimerId timer = loop_.StartTimerAfter(1ms, [this] { loop_.Stop(); });
      loop_.Run();
      loop_.CancelTimer(timer);
    }
    return true;
  }
  void CutConnection() override {
    Server::Get().Kill();
    cut_ = true;
  }
  void RestoreConnection() override {
    Server::Get().Start();
    cut_ = false;
  }

 private:
  LibeventLoop loop_{"test"};
  std::unique_ptr<Coordination> coordination_ = MakeZooKeeperCoordination();
  bool cut_ = false;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Real, CoordinationContract, RealWorld);
INSTANTIATE_TYPED_TEST_SUITE_P(Real, ZkKeeperContract, RealWorld);

}  // namespace
}  // namespace tidemark::zktest
