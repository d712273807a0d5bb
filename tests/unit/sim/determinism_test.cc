// A run of everything at once (streams, files, ZooKeeper, kills, cuts, pauses) is a function of its seed.
#include <gtest/gtest.h>

#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {
namespace {

// Writes a file, tells ZooKeeper, talks to the others; over and over.
class Node final : public ZkSessionHandler, public StreamHandler {
 public:
  explicit Node(SimProcess& process) : process_(process) {}

  Task<void> Run() {
    auto& loop = process_.main_loop();
    session_ =
        process_.coordination().Connect(loop, {.connect = "zookeeper:2181", .session_timeout = 4s}, this);
    auto listener = process_.transport().Listen(loop, {"", 9092}, [this, &loop](auto pending) {
      accepted_.push_back(pending->Attach(loop));
      accepted_.back()->Start(this);
    });
    CHECK(listener);
    for (int round = 0;; ++round) {
      (void)co_await Sleep(loop, Duration(process_.random().Below(200'000'000)), "round");
      const std::string text = process_.host() + " " + std::to_string(round);
      (void)co_await RunBlocking(process_.blocking_pool(), loop, "write", [this, text] {
        return WriteFileDurably(process_.files(), "/round", text).has_value();
      });
      (void)co_await session_->Create({"/n-", text, ZkCreateMode::kEphemeralSequential});
      const std::string peer(1, static_cast<char>('a' + process_.random().Below(3)));
      auto stream = co_await process_.transport().Connect(loop, {peer, 9092}, loop.Now() + 2s, {});
      if (!stream) continue;
      (*stream)->Write(text);
      (*stream)->CloseAfterWrites();
    }
  }

  void OnZkState(ZkState) override {}
  std::span<char> ReadBuffer() override { return buffer_; }
  void OnRead(size_t size) override { process_.world().Trace(std::string_view(buffer_, size)); }
  void OnDrained() override {}
  void OnClosed(const Error& reason) override { process_.world().Trace(reason.message); }

 private:
  SimProcess& process_;
  std::unique_ptr<ZkSession> session_;
  std::vector<std::unique_ptr<Stream>> accepted_;
  char buffer_[256];
};

struct Outcome {
  uint64_t hash = 0;
  uint64_t expiries = 0;
  auto operator<=>(const Outcome&) const = default;
};

Outcome RunStorm(uint64_t seed) {
  SimWorld world(seed);
  std::map<std::string, SimProcess*> processes;
  const auto start = [&](const std::string& host) {
    SimProcess& process = world.StartProcess(host);
    processes[host] = &process;
    auto node = std::make_shared<Node>(process);
    process.Keep(node);
    process.Spawn("node", [raw = node.get()] { return raw->Run(); });
  };
  for (const char* host : {"a", "b", "c"}) start(host);
  for (int i = 0; i < 40; ++i) {
    world.RunFor(world.random().Between(10ms, 2s));
    const std::string host(1, static_cast<char>('a' + world.random().Below(3)));
    switch (world.random().Below(5)) {
      case 0:
        processes[host]->Kill(world.random().Chance(0.5));
        start(host);
        break;
      case 1:
        world.network().Isolate(host);
        break;
      case 2:
        world.network().HealAll();
        break;
      case 3:
        processes[host]->Pause();
        break;
      default:
        processes[host]->Resume();
    }
  }
  for (const std::string& path : world.disk("a").Paths()) world.Trace(*world.disk("a").Content(path));
  return {world.trace_hash(), world.zookeeper().expiries()};
}

TEST(Determinism, AWholeRunFollowsFromItsSeed) {
  uint64_t expiries = 0;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Outcome first = RunStorm(seed);
    EXPECT_EQ(first, RunStorm(seed)) << "seed " << seed;
    EXPECT_NE(first.hash, RunStorm(seed + 100).hash);
    expiries += first.expiries;
  }
  EXPECT_GT(expiries, 0u);
}

}  // namespace
}  // namespace tidemark
