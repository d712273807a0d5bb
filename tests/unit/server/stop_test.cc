// Brokers that are stopped together, or while they recover.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

// Stops of several brokers at the same time.
struct Stopping {
  std::shared_ptr<Broker> broker;
  SimProcess* process = nullptr;
  std::shared_ptr<std::optional<bool>> clean = std::make_shared<std::optional<bool>>();

  static Task<void> Run(Broker* broker, std::shared_ptr<std::optional<bool>> clean) {
    *clean = co_await broker->Stop();
  }
  void Begin() {
    process->Spawn("stop", [broker = broker.get(), clean = clean] { return Run(broker, clean); });
  }
};

TEST(Stop, ABrokerThatWaitsForAnotherLeaderSeesSoonThatTheOthersStopToo) {
  SimBrokers cluster(5, 2, {{"log.dirs", "/a,/b"}, {"replica.lag.time.max.ms", "3000"}});
  cluster.StartAll();
  cluster.CreateTopic("orders", 1, 2, {{"min.insync.replicas", "1"}});
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  const int leader = cluster.LeaderOf("orders", 0), other = 1 - leader;
  // The other one lives, but its replica is on a disk that has failed.
  SimDisk& disk = cluster.world().disk("host" + std::to_string(other));
  const std::string place = disk.Content("/a/orders-0/partition.metadata") ? "/a/" : "/b/";
  disk.Fail({.op = DiskOp::kSync, .path = place});
  cluster.Produce("orders", 0, {"x"});
  ASSERT_TRUE(cluster.world().RunUntil(
      [&] {
        const auto topic = cluster.Metadata("orders");
        return topic && topic->partitions(0).isr_size() == 1;
      },
      60s));
  Stopping first{cluster.Launched(leader), &cluster.process(leader)};
  Stopping second{cluster.Launched(other), &cluster.process(other)};
  const MonoTime begun = cluster.world().Now();
  first.Begin();
  cluster.world().RunFor(1s);
  EXPECT_FALSE(first.clean->has_value()) << "somebody lives who might lead";
  second.Begin();
  ASSERT_TRUE(cluster.world().RunUntil([&] { return first.clean->has_value(); }, 60s));
  EXPECT_TRUE(**first.clean);
  EXPECT_LT(cluster.world().Now() - begun, 3s);
  ASSERT_TRUE(cluster.world().RunUntil([&] { return second.clean->has_value(); }, 60s));
}

}  // namespace
}  // namespace tidemark
