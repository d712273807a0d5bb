#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {
namespace {

struct Client final : ZkSessionHandler {
  void OnZkState(ZkState state) override { states.push_back(state); }
  std::vector<ZkState> states;
  std::vector<std::string> events;  // and what else the test notes, in order
  std::unique_ptr<ZkSession> session;
};

class ZookeeperTest : public testing::Test {
 protected:
  std::shared_ptr<Client> Connect(SimProcess& process, ZkSessionOptions options = {}) {
    auto client = std::make_shared<Client>();
    process.Keep(client);
    if (options.connect.empty()) options.connect = "zookeeper:2181";
    options.session_timeout = 6s;
    process.main_loop().Post([&process, options, c = client.get()] {
      c->session = process.coordination().Connect(process.main_loop(), options, c);
    });
    world_.RunFor(200ms);
    return client;
  }
  template <typename F>
  auto Run(SimProcess& process, F body) {
    return process.Await(std::move(body));
  }
  ZkCode Create(SimProcess& process, Client& client, ZkCreate op) {
    auto result = process.Await([&]() { return client.session->Create(op); });
    return result ? ZkCode::kOk : result.error();
  }
  static ZkWatch Note(Client* client) {
    return [client](ZkWatchEvent event, const std::string& path) {
      client->events.push_back(path + " " + std::to_string(static_cast<int>(event)));
    };
  }
  static std::string Seen(const std::string& path, ZkWatchEvent event) {
    return path + " " + std::to_string(static_cast<int>(event));
  }

  SimWorld world_{11};
  SimZooKeeper& zk_ = world_.zookeeper();
  SimProcess& a_ = world_.StartProcess("a");
  SimProcess& b_ = world_.StartProcess("b");
};

TEST_F(ZookeeperTest, NodesAreCreatedReadSetAndDeletedWithVersions) {
  auto client = Connect(a_);
  ASSERT_EQ(client->states, std::vector<ZkState>{ZkState::kConnected});
  ZkSession& zk = *client->session;
  EXPECT_EQ(Create(a_, *client, {"/x", "1"}), ZkCode::kOk);
  EXPECT_EQ(Create(a_, *client, {"/x", "1"}), ZkCode::kNodeExists);
  EXPECT_EQ(Create(a_, *client, {"/no/x", ""}), ZkCode::kNoNode);
  EXPECT_EQ(Create(a_, *client, {"bad", ""}), ZkCode::kInvalidArguments);
  EXPECT_EQ(Create(a_, *client, {"/big", std::string(1 << 20, 'x')}), ZkCode::kTooLarge);
  EXPECT_EQ(Run(a_, [&] { return zk.Set({"/x", "2", 0}); })->version, 1);
  EXPECT_EQ(Run(a_, [&] { return zk.Set({"/x", "3", 0}); }).error(), ZkCode::kBadVersion);
  EXPECT_EQ(Run(a_, [&] { return zk.Get("/x"); })->data, "2");
  EXPECT_EQ(Create(a_, *client, {"/x/y", ""}), ZkCode::kOk);
  EXPECT_EQ(Run(a_, [&] { return zk.Delete({"/x"}); }).error(), ZkCode::kNotEmpty);
  EXPECT_TRUE(Run(a_, [&] { return zk.Delete({"/x/y", 0}); }));
  EXPECT_EQ(Run(a_, [&] { return zk.Exists("/x"); })->value().cversion, 2);
  EXPECT_TRUE(Run(a_, [&] { return zk.Delete({"/x"}); }));
  EXPECT_EQ(Run(a_, [&] { return zk.Exists("/x"); })->has_value(), false);
}

TEST_F(ZookeeperTest, SequentialsCountUpwardsAndAreNeverReused) {
  auto client = Connect(a_);
  EXPECT_EQ(Create(a_, *client, {"/s", ""}), ZkCode::kOk);
  std::vector<std::string> made;
  for (int i = 0; i < 3; ++i) {
    auto result =
        Run(a_, [&] { return client->session->Create({"/s/n-", "", ZkCreateMode::kPersistentSequential}); });
    made.push_back(result->path);
    EXPECT_TRUE(Run(a_, [&] { return client->session->Delete({result->path}); }));
  }
  EXPECT_THAT(made, testing::ElementsAre("/s/n-0000000000", "/s/n-0000000001", "/s/n-0000000002"));
}

TEST_F(ZookeeperTest, AMultiIsAllOrNothingAndSaysWhichOpFailed) {
  auto client = Connect(a_);
  zk_.Poke("/epoch", "1");
  auto failed = Run(a_, [&] {
    return client->session->Multi({ZkCreate{"/m", "x"}, ZkCheck{"/epoch", 5}, ZkSet{"/epoch", "2"}});
  });
  ASSERT_TRUE(failed);
  EXPECT_EQ((*failed)[0].code, ZkCode::kRuntimeInconsistency);
  EXPECT_EQ((*failed)[1].code, ZkCode::kBadVersion);
  EXPECT_EQ((*failed)[2].code, ZkCode::kRuntimeInconsistency);
  EXPECT_FALSE(zk_.Peek("/m"));
  EXPECT_EQ(zk_.Peek("/epoch")->data, "1");
  auto done = Run(a_, [&] {
    return client->session->Multi({ZkCreate{"/m", "x"}, ZkSet{"/m", "y", 0}, ZkCheck{"/epoch", 0}});
  });
  ASSERT_TRUE(done);
  EXPECT_EQ(zk_.Peek("/m")->data, "y");
  EXPECT_EQ(zk_.Peek("/m")->stat.czxid, zk_.Peek("/m")->stat.mzxid) << "one transaction has one zxid";
}

TEST_F(ZookeeperTest, AWatchIsSeenBeforeTheDataThatFiredIt) {
  auto a = Connect(a_);
  for (int i = 0; i < 50; ++i) {
    zk_.Poke("/w", std::to_string(i));
    a->events.clear();
    Run(a_, [&]() -> Task<void> {
      (void)co_await a->session->Get("/w", Note(a.get()));
      zk_.Poke("/w", "changed");
      auto again = co_await a->session->Get("/w");
      if (again && again->data == "changed") a->events.push_back("read");
    });
    EXPECT_THAT(a->events, testing::ElementsAre(Seen("/w", ZkWatchEvent::kDataChanged), "read"));
  }
}

TEST_F(ZookeeperTest, WatchesFireOnceAndByKind) {
  auto a = Connect(a_);
  zk_.Poke("/p", "");
  Run(a_, [&]() -> Task<void> {
    (void)co_await a->session->Children("/p", Note(a.get()));
    (void)co_await a->session->Exists("/p/c", Note(a.get()));
  });
  zk_.Poke("/p/c", "1");
  zk_.Poke("/p/c", "2");
  zk_.Poke("/p/d", "");
  world_.RunFor(1s);
  EXPECT_THAT(a->events, testing::ElementsAre(Seen("/p/c", ZkWatchEvent::kCreated),
                                              Seen("/p", ZkWatchEvent::kChildrenChanged)));
}

TEST_F(ZookeeperTest, WhatHappenedWhileDisconnectedIsToldOnReconnect) {
  auto a = Connect(a_);
  zk_.Poke("/changes", "");
  zk_.Poke("/stays", "");
  zk_.Poke("/goes", "");
  Run(a_, [&]() -> Task<void> {
    for (const char* path : {"/changes", "/stays", "/goes"})
      (void)co_await a->session->Get(path, Note(a.get()));
    (void)co_await a->session->Exists("/comes", Note(a.get()));
    (void)co_await a->session->Children("/stays", Note(a.get()));
  });
  zk_.DropConnections("a");
  zk_.Poke("/changes", "2");
  zk_.PokeDelete("/goes");
  zk_.Poke("/comes", "");
  world_.RunFor(4s);
  EXPECT_THAT(a->states,
              testing::ElementsAre(ZkState::kConnected, ZkState::kConnecting, ZkState::kConnected));
  EXPECT_THAT(a->events, testing::UnorderedElementsAre(Seen("/changes", ZkWatchEvent::kDataChanged),
                                                       Seen("/goes", ZkWatchEvent::kDeleted),
                                                       Seen("/comes", ZkWatchEvent::kCreated)));
  a->events.clear();
  zk_.Poke("/stays", "2");  // its watch has survived
  world_.RunFor(1s);
  EXPECT_THAT(a->events, testing::ElementsAre(Seen("/stays", ZkWatchEvent::kDataChanged)));
}

TEST_F(ZookeeperTest, AKilledClientsEphemeralsGoAfterItsTimeOut) {
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", "", ZkCreateMode::kEphemeral}), ZkCode::kOk);
  EXPECT_EQ(Create(a_, *a, {"/e/child", ""}), ZkCode::kNoChildrenForEphemerals);
  world_.RunFor(60s);
  EXPECT_TRUE(zk_.Peek("/e")) << "heartbeats keep it";
  a_.Kill();
  world_.RunFor(3s);  // its last heartbeat was at most half a time-out ago
  EXPECT_TRUE(zk_.Peek("/e"));
  world_.RunFor(5s);
  EXPECT_FALSE(zk_.Peek("/e"));
  EXPECT_EQ(zk_.expiries(), 1u);
}

TEST_F(ZookeeperTest, APausedClientLearnsThatItExpiredWhenItWakes) {
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", "", ZkCreateMode::kEphemeral}), ZkCode::kOk);
  a_.Pause();
  world_.RunFor(20s);
  EXPECT_FALSE(zk_.Peek("/e"));
  EXPECT_EQ(a->session->state(), ZkState::kConnected);
  a_.Resume();
  world_.RunFor(5s);
  EXPECT_EQ(a->states.back(), ZkState::kExpired);
  EXPECT_EQ(Create(a_, *a, {"/f", ""}), ZkCode::kSessionExpired);
}

TEST_F(ZookeeperTest, ACutClientDisconnectsByItselfAndComesBackInTime) {
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", "", ZkCreateMode::kEphemeral}), ZkCode::kOk);
  const MonoTime answered = a->session->last_answered_sent();
  world_.network().Cut("a", SimZooKeeper::kHost);
  world_.RunFor(4500ms);
  world_.network().HealAll();
  world_.RunFor(4s);
  EXPECT_TRUE(zk_.Peek("/e"));
  EXPECT_EQ(a->session->state(), ZkState::kConnected);
  EXPECT_GT(a->session->last_answered_sent(), answered);
  world_.network().Cut("a", SimZooKeeper::kHost);
  world_.RunFor(30s);
  EXPECT_EQ(a->session->state(), ZkState::kConnecting) << "expiry is learnt only from the servers";
  EXPECT_FALSE(zk_.Peek("/e"));
  world_.network().HealAll();
  world_.RunFor(5s);
  EXPECT_EQ(a->session->state(), ZkState::kExpired);
}

TEST_F(ZookeeperTest, ARequestInFlightAtADisconnectMayOrMayNotBeApplied) {
  int applied = 0, lost = 0;
  auto a = Connect(a_);
  for (int i = 0; i < 60; ++i) {
    const std::string path = "/r" + std::to_string(i);
    world_.After(Duration(world_.random().Below(3000)) * 1000, [this] { zk_.DropConnections(); });
    const ZkCode code = Create(a_, *a, {path, ""});
    world_.RunFor(2s);
    if (code == ZkCode::kConnectionLoss) ++(zk_.Peek(path) ? applied : lost);
    if (code == ZkCode::kOk) EXPECT_TRUE(zk_.Peek(path));
  }
  EXPECT_GT(applied, 0);
  EXPECT_GT(lost, 0);
}

TEST_F(ZookeeperTest, AStopDoesNotExpireSessionsAPauseDoes) {
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", "", ZkCreateMode::kEphemeral}), ZkCode::kOk);
  zk_.Stop();
  world_.RunFor(60s);
  EXPECT_EQ(a->states.back(), ZkState::kConnecting);
  zk_.Start();
  world_.RunFor(30s);
  EXPECT_EQ(a->states.back(), ZkState::kConnected);
  EXPECT_TRUE(zk_.Peek("/e"));
  zk_.Pause();
  world_.RunFor(20s);
  EXPECT_TRUE(zk_.Peek("/e"));
  zk_.Resume();
  EXPECT_FALSE(zk_.Peek("/e"));
  world_.RunFor(5s);
  EXPECT_EQ(a->states.back(), ZkState::kExpired);
}

TEST_F(ZookeeperTest, CallsMadeWhileTheServersAreAwayFailInTheEnd) {
  zk_.Stop();
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", ""}), ZkCode::kConnectionLoss);
}

TEST_F(ZookeeperTest, AnOwnFormerSessionIsClosedByItsIdAndPassword) {
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", "", ZkCreateMode::kEphemeral}), ZkCode::kOk);
  ZkSessionOptions former{.session_id = a->session->session_id(), .password = a->session->password()};
  a_.Kill();
  ZkSessionOptions wrong = former;
  wrong.password[0] = static_cast<char>(wrong.password[0] + 1);
  EXPECT_EQ(Connect(b_, wrong)->states, std::vector<ZkState>{ZkState::kExpired});
  auto b = Connect(b_, former);
  ASSERT_EQ(b->session->session_id(), former.session_id);
  Run(b_, [&] { return b->session->Close(); });
  EXPECT_FALSE(zk_.Peek("/e"));
  EXPECT_EQ(Create(b_, *b, {"/f", ""}), ZkCode::kClosing);
}

TEST_F(ZookeeperTest, AChrootIsPrependedAndTakenOffAgain) {
  zk_.Poke("/root", "");
  auto a = Connect(a_, {.connect = "zookeeper:2181/root"});
  auto made = Run(a_, [&] { return a->session->Create({"/x", ""}); });
  EXPECT_EQ(made->path, "/x");
  EXPECT_TRUE(zk_.Peek("/root/x"));
  EXPECT_THAT(*Run(a_, [&] { return a->session->Children("/", Note(a.get())); }), testing::ElementsAre("x"));
  zk_.Poke("/root/y", "");
  world_.RunFor(1s);
  EXPECT_THAT(a->events, testing::ElementsAre(Seen("/", ZkWatchEvent::kChildrenChanged)));
}

TEST_F(ZookeeperTest, TheHistoryIsAWitness) {
  auto a = Connect(a_);
  EXPECT_EQ(Create(a_, *a, {"/e", "data", ZkCreateMode::kEphemeral}), ZkCode::kOk);
  zk_.Expire(a->session->session_id());
  std::vector<std::string> ops;
  for (const SimZkRecord& record : zk_.history()) ops.push_back(record.op + " " + record.path);
  EXPECT_THAT(ops, testing::ElementsAre("session ", "create /e", "expire ", "delete /e"));
  EXPECT_EQ(zk_.history()[1].data, "data");
}

}  // namespace
}  // namespace tidemark
