// Who a broker is, and its registration over the lives of sessions and processes, over the simulated
// ZooKeeper.
#include "broker/server/registration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

// What a broker has of ZooKeeper, without the rest of it.
class Node {
 public:
  Node(SimProcess& process, Properties more) : process_(process) {
    Properties properties = {{"zookeeper.connect", "zookeeper:2181"},
                             {"log.dirs", "/data"},
                             {"broker.id", "1"},
                             {"zookeeper.session.timeout.ms", "30000"}};
    for (auto& [name, value] : more) properties[name] = value;
    config_ = *BrokerConfig::FromProperties(properties);
  }

  Task<Result<BrokerEpoch>> Start() {
    EventLoop& loop = process_.main_loop();
    auto dirs = co_await LogDirs::Open(process_, loop, config_.log_dirs);
    if (!dirs) co_return std::unexpected(dirs.error());
    dirs_ = std::move(*dirs);
    keeper_ =
        std::make_unique<ZkKeeper>(loop, process_.coordination(),
                                   ZkKeeper::Options{.connect = config_.zookeeper_connect,
                                                     .session_timeout = config_.zookeeper_session_timeout});
    registration_ = std::make_unique<Registration>(
        process_, loop, *keeper_, *dirs_, config_,
        Registration::Callbacks{.on_epoch = [this](BrokerEpoch epoch) { epochs.push_back(epoch); },
                                .on_conflict = [this](const Error& error) { conflict = error; }});
    TM_CO_RETURN_IF_ERROR(keeper_->Start());
    TM_CO_RETURN_IF_ERROR(co_await keeper_->WaitConnected());
    TM_CO_ASSIGN_OR_RETURN(identity, co_await registration_->Identify());
    v1::BrokerZnode node;
    node.set_host(process_.host());
    node.set_port(9092);
    node.set_directory_id(dirs_->directory_id());
    node.set_clean_shutdown(dirs_->last_stop_was_clean());
    co_return co_await registration_->Register(identity.broker_id, node);
  }

  Task<void> Stop() {
    if (registration_) co_await registration_->Close();
    if (keeper_) co_await keeper_->Close();
    if (dirs_) co_await dirs_->Close();
    registration_.reset();
    keeper_.reset();
    dirs_.reset();
  }

  Registration& registration() { return *registration_; }
  int64_t session() const { return keeper_->session()->session_id(); }

  BrokerIdentity identity;
  std::vector<BrokerEpoch> epochs;
  std::optional<Error> conflict;

 private:
  SimProcess& process_;
  BrokerConfig config_;
  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<ZkKeeper> keeper_;
  std::unique_ptr<Registration> registration_;
};

class RegistrationTest : public testing::Test {
 protected:
  struct Life {
    SimProcess* process;
    std::shared_ptr<Node> node;
    Result<BrokerEpoch> epoch;
  };

  Life Begin(const std::string& host, Properties more = {}) {
    SimProcess& process = world.StartProcess(host);
    auto node = std::make_shared<Node>(process, std::move(more));
    process.Keep(node);
    Result<BrokerEpoch> epoch = process.Await([node] { return node->Start(); });
    return {&process, node, std::move(epoch)};
  }
  void End(Life& life) {
    life.process->Await([node = life.node] { return node->Stop(); });
    life.node.reset();
    life.process->Exit();
  }
  std::optional<v1::BrokerZnode> Registered(BrokerId id) {
    const auto node = world.zookeeper().Peek(zkpath::Broker(id));
    if (!node) return std::nullopt;
    return *DecodeBroker(node->data);
  }

  SimWorld world{7};
};

TEST_F(RegistrationTest, TheEpochIsTheCzxidOfTheRegistration) {
  Life life = Begin("alpha");
  ASSERT_TRUE(life.epoch) << life.epoch.error().message;
  EXPECT_EQ(*life.epoch, world.zookeeper().Peek("/brokers/ids/1")->stat.czxid);
  EXPECT_EQ(Registered(1)->host(), "alpha");
  EXPECT_TRUE(world.zookeeper().Peek("/config/changes"));
  EXPECT_EQ(DecodeClusterId(world.zookeeper().Peek("/cluster/id")->data)->id(),
            life.node->identity.cluster_id);
  End(life);
  EXPECT_FALSE(Registered(1));
}

TEST_F(RegistrationTest, AKilledBrokerRegistersAgainWithoutWaitingForItsOldSession) {
  Life first = Begin("alpha");
  const BrokerEpoch before = *first.epoch;
  first.process->Kill();
  const MonoTime restarted = world.Now();
  Life second = Begin("alpha");
  ASSERT_TRUE(second.epoch) << second.epoch.error().message;
  EXPECT_GT(*second.epoch, before);
  EXPECT_LT(world.Now() - restarted, 5s);  // of a session that lives for 30
  EXPECT_EQ(second.node->identity.cluster_id, first.node->identity.cluster_id);
  End(second);
}

TEST_F(RegistrationTest, WithoutTheFormerSessionItsOwnOldRegistrationIsWaitedOut) {
  Life first = Begin("alpha");
  first.process->Kill();
  for (const std::string& path : world.disk("alpha").Paths()) {
    if (path.find("zookeeper-session") != std::string::npos) world.disk("alpha").RemovePath(path);
  }
  const MonoTime restarted = world.Now();
  Life second = Begin("alpha");
  ASSERT_TRUE(second.epoch) << second.epoch.error().message;
  EXPECT_GT(world.Now() - restarted, 5s);
  EXPECT_TRUE(second.node->registration().waiting_for().empty());
  End(second);
}

TEST_F(RegistrationTest, AnotherBrokerWithTheIdIsAnErrorThatNamesIt) {
  Life first = Begin("alpha");
  Life rival = Begin("beta");
  ASSERT_FALSE(rival.epoch);
  EXPECT_EQ(rival.epoch.error().code, v1::POLICY_VIOLATION);
  EXPECT_THAT(rival.epoch.error().message, HasSubstr("alpha:9092"));
  EXPECT_EQ(Registered(1)->host(), "alpha");
  End(rival);
  End(first);
}

// What an ACL refuses no retry mends: it is said, and not tried for ever.
TEST_F(RegistrationTest, WhereItMayNotMakeTheClustersIdItSaysSo) {
  world.zookeeper().Forbid(std::string(zkpath::kClusterId), true);
  Life life = Begin("alpha");
  ASSERT_FALSE(life.epoch);
  EXPECT_EQ(life.epoch.error().code, v1::POLICY_VIOLATION);
  EXPECT_THAT(life.epoch.error().message, HasSubstr(std::string(zkpath::kClusterId)));
  End(life);
}

TEST_F(RegistrationTest, WhereItMayNotRegisterItSaysSo) {
  world.zookeeper().Forbid(zkpath::Broker(1), true);
  Life life = Begin("alpha");
  ASSERT_FALSE(life.epoch);
  EXPECT_EQ(life.epoch.error().code, v1::POLICY_VIOLATION);
  EXPECT_THAT(life.epoch.error().message, HasSubstr(zkpath::Broker(1)));
  End(life);
}

TEST_F(RegistrationTest, ARegistrationThatCannotBeReadIsAStrangers) {
  Life first = Begin("alpha");
  world.zookeeper().Forbid(zkpath::Broker(1), false);
  Life rival = Begin("beta");
  ASSERT_FALSE(rival.epoch);
  EXPECT_EQ(rival.epoch.error().code, v1::POLICY_VIOLATION);
  EXPECT_THAT(rival.epoch.error().message, HasSubstr("taken"));
  End(rival);
  // One that goes makes room.
  const MonoTime gone = world.Now() + 5s;
  world.At(gone, [this] { world.zookeeper().PokeDelete(zkpath::Broker(1)); });
  Life second = Begin("beta");
  EXPECT_TRUE(second.epoch) << ToString(second.epoch.error());
  EXPECT_GE(world.Now(), gone);
  End(second);
  End(first);
}

// A running broker waits for a right that it had.
TEST_F(RegistrationTest, ARightThatIsTakenAwayIsWaitedForWithPauses) {
  Life life = Begin("alpha");
  world.zookeeper().Forbid(zkpath::Broker(1), true);
  world.zookeeper().Expire(life.node->session());
  world.RunFor(10s);
  EXPECT_EQ(life.node->registration().epoch(), kNoBrokerEpoch);
  EXPECT_THAT(life.node->registration().waiting_for(), HasSubstr(zkpath::Broker(1)));
  EXPECT_FALSE(life.node->conflict);
  world.zookeeper().Allow(zkpath::Broker(1), true);
  world.RunFor(5s);
  EXPECT_NE(life.node->registration().epoch(), kNoBrokerEpoch);
  End(life);
}

TEST_F(RegistrationTest, AnExpiredBrokerRegistersAgainByItself) {
  Life life = Begin("alpha");
  world.zookeeper().Expire(life.node->session());
  ASSERT_TRUE(world.RunUntil([&] { return life.node->epochs.size() == 3; }, 60s));
  EXPECT_EQ(life.node->epochs[0], *life.epoch);
  EXPECT_EQ(life.node->epochs[1], kNoBrokerEpoch);
  EXPECT_GT(life.node->epochs[2], *life.epoch);
  // It did not stop in between: nothing that was in memory is lost.
  EXPECT_TRUE(Registered(1)->clean_shutdown());
  End(life);
}

TEST_F(RegistrationTest, ItSurvivesABrokenConnectionWithoutASecondRegistration) {
  Life life = Begin("alpha");
  for (int i = 0; i < 5; ++i) {
    world.zookeeper().DropConnections("alpha");
    world.RunFor(2s);
  }
  EXPECT_EQ(life.node->epochs, std::vector<BrokerEpoch>{*life.epoch});
  End(life);
}

TEST_F(RegistrationTest, AGeneratedIdIsKept) {
  Life first = Begin("alpha", {{"broker.id", "-1"}});
  Life other = Begin("beta", {{"broker.id", "-1"}});
  ASSERT_TRUE(first.epoch && other.epoch);
  const BrokerId id = first.node->identity.broker_id;
  EXPECT_GT(id, 1000);
  EXPECT_NE(other.node->identity.broker_id, id);
  End(first);
  Life again = Begin("alpha", {{"broker.id", "-1"}});
  EXPECT_EQ(again.node->identity.broker_id, id);
  End(again);
  End(other);
}

TEST_F(RegistrationTest, DirectoriesOfAnotherBrokerOrClusterAreRefused) {
  Life first = Begin("alpha");
  End(first);
  Life renamed = Begin("alpha", {{"broker.id", "9"}});
  ASSERT_FALSE(renamed.epoch);
  EXPECT_THAT(renamed.epoch.error().message, HasSubstr("broker 1"));
  End(renamed);
  Life moved = Begin("alpha", {{"zookeeper.connect", "zookeeper:2181/elsewhere"}});
  ASSERT_FALSE(moved.epoch);
  EXPECT_THAT(moved.epoch.error().message, HasSubstr("cluster"));
  End(moved);
}

TEST_F(RegistrationTest, WhatItHoldsWhileZooKeeperIsDownIsNotGivenUp) {
  Life life = Begin("alpha");
  world.zookeeper().Stop();
  world.RunFor(20s);
  world.zookeeper().Start();
  world.RunFor(10s);
  EXPECT_NE(life.node->registration().epoch(), kNoBrokerEpoch);
  EXPECT_TRUE(Registered(1));
  End(life);
}

}  // namespace
}  // namespace tidemark
