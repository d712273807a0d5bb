// Replicas that a broker holds and the controller does not name: only what ZooKeeper certainly knows no more,
// and what is no copy that a person has made, is removed.
#include <gtest/gtest.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

class Strays : public testing::Test {
 protected:
  Strays() {
    cluster_.StartAll();
    for (const char* topic : {"orders", "other"}) {
      cluster_.CreateTopic(topic, 1, 1);
      CHECK(cluster_.WaitForLeaders(topic));
      cluster_.Produce(topic, 0, {"one", "two"});
    }
    CHECK(cluster_.Stop(0)) << "its checkpoints name what it holds";
  }
  // A person's `cp -r`, while the broker is down.
  void Copy(const std::string& from, const std::string& to) {
    SimProcess& process = cluster_.world().StartProcess("host0");
    FileSystem& files = process.files();
    CHECK(files.CreateDirectories("/data/" + to));
    const auto entries = files.List("/data/" + from);
    CHECK(entries);
    for (const DirectoryEntry& entry : *entries) {
      const auto bytes = ReadFile(files, fmt::format("/data/{}/{}", from, entry.name));
      CHECK(bytes && WriteFileDurably(files, fmt::format("/data/{}/{}", to, entry.name), *bytes));
    }
    CHECK(files.SyncDirectory("/data"));
    process.Exit();
  }
  bool Holds(const std::string& folder) {
    for (const std::string& path : cluster_.world().disk("host0").Paths()) {
      if (path.starts_with("/data/" + folder + "/")) return true;
    }
    return false;
  }
  // Starts the broker and waits for what is to go, and for as long again.
  void StartUntilGone(const std::string& folder) {
    const Result<> started = cluster_.Start(0);
    ASSERT_TRUE(started) << started.error().message;
    if (!folder.empty()) EXPECT_TRUE(cluster_.world().RunUntil([&] { return !Holds(folder); }, 120s));
    cluster_.world().RunFor(60s);
  }

  SimBrokers cluster_{41, 1};
};

TEST_F(Strays, OfATopicThatIsGoneTheReplicaGoesAndACopyOfItStays) {
  Copy("orders-0", "orders.bak-4");
  cluster_.world().zookeeper().PokeDelete(zkpath::Topic("orders"));
  StartUntilGone("orders-0");
  EXPECT_TRUE(Holds("orders.bak-4")) << "no checkpoint names it";
  EXPECT_TRUE(Holds("other-0"));
}

TEST_F(Strays, ACopyUnderTheTopicsOwnNameStaysToo) {
  Copy("orders-0", "orders-7");
  cluster_.world().zookeeper().PokeDelete(zkpath::Topic("orders"));
  StartUntilGone("orders-0");
  EXPECT_TRUE(Holds("orders-7"));
}

// Another topic of that name proves that the id is gone, so nothing can be lost with it.
TEST_F(Strays, OfATopicThatWasMadeAnewTheFormerOnesGo) {
  Copy("orders-0", "orders-7");
  SimZooKeeper& zookeeper = cluster_.world().zookeeper();
  auto topic = DecodeTopic(zookeeper.Peek(zkpath::Topic("orders"))->data);
  ASSERT_TRUE(topic);
  topic->set_topic_id(std::string(TopicId::kSize, '\x5a'));
  zookeeper.Poke(zkpath::Topic("orders"), EncodeTopic(*topic));
  StartUntilGone("orders-7");
  EXPECT_TRUE(Holds("other-0"));
  // The one of now has taken the name, and keeps it.
  EXPECT_TRUE(Holds("orders-0"));
  cluster_.Produce("orders", 0, {"new"});
  EXPECT_EQ(cluster_.Consume("orders", 0), std::vector<std::string>({"new"}));
  ASSERT_TRUE(cluster_.Stop(0));
  ASSERT_TRUE(cluster_.Start(0));
  ASSERT_TRUE(cluster_.WaitForLeaders("orders"));
  EXPECT_EQ(cluster_.Consume("orders", 0), std::vector<std::string>({"new"}));
}

TEST_F(Strays, WhatZooKeeperCannotTellStays) {
  cluster_.world().zookeeper().Poke(zkpath::Topic("orders"), "no JSON");
  StartUntilGone("");
  EXPECT_TRUE(Holds("orders-0"));
  EXPECT_TRUE(Holds("other-0"));
}

}  // namespace
}  // namespace tidemark
