// The controller in a simulated cluster: elections, failover, broker deaths, requests, and what goes wrong
// meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/unit/controller/cluster.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Ids = std::vector<BrokerId>;

// Three brokers, of which the first is the controller, and a topic that 2 leads.
// Each test runs under several seeds: delays, and so the order of things, differ.
class ControllerTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  ControllerTest() : cluster_(GetParam()) {
    for (const BrokerId id : {1, 2, 3}) cluster_.Start(id);
    cluster_.Controlling();
  }
  void CreateOrders(std::map<std::string, std::string> configs = {}) {
    const Error error = cluster_.Create("orders", {{2, 3, 1}}, std::move(configs));
    ASSERT_EQ(error.code, v1::NONE) << error.message;
    ASSERT_EQ(cluster_.LeaderOf("orders"), 2);
  }
  ControllerEpoch EpochInZk() {
    return *DecodeControllerEpoch(cluster_.zk().Peek(std::string(zkpath::kControllerEpoch))->data);
  }
  BrokerId Controlling() { return cluster_.Controlling().id(); }
  Node& node(BrokerId id) { return cluster_.node(id); }

  Cluster cluster_;
};

TEST_P(ControllerTest, ExactlyOneIsElectedAndAllKnowWho) {
  const BrokerId id = Controlling();
  EXPECT_EQ(node(id).controller().epoch(), EpochInZk());
  EXPECT_TRUE(cluster_.Until([&] {
    for (const BrokerId other : {1, 2, 3}) {
      if (node(other).controller().controller_id() != id) return false;
    }
    return true;
  }));
  EXPECT_TRUE(cluster_.Until([&] { return node(id).controller().status().live_brokers == 3; }));
  v1::Request request;
  request.mutable_describe_topics();
  const BrokerId other = id == 1 ? 2 : 1;
  EXPECT_EQ(cluster_.CallNode(other, request).header().error().code(), v1::NOT_CONTROLLER);
}

TEST_P(ControllerTest, ACreatedTopicIsKnownEverywhereWhenTheCallReturns) {
  CreateOrders({{"min.insync.replicas", "2"}});
  for (const BrokerId id : {1, 2, 3}) {
    EXPECT_TRUE(node(id).Knows("orders")) << id;
  }
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{2, 3, 1}));
  EXPECT_TRUE(cluster_.Until([&] { return node(3).State("orders", 0) != nullptr; }));
  EXPECT_EQ(node(3).State("orders", 0)->leader(), 2);
  EXPECT_TRUE(node(3).State("orders", 0)->is_new());
  EXPECT_THAT(cluster_.zk().Peek(zkpath::TopicConfig("orders"))->data, HasSubstr("min.insync.replicas"));
  EXPECT_EQ(cluster_.Create("orders", {{1}}).code, v1::TOPIC_ALREADY_EXISTS);
  EXPECT_EQ(cluster_.Create("or.ders", {{9}}).code, v1::INVALID_REPLICA_ASSIGNMENT);
}

TEST_P(ControllerTest, ADeadLeaderIsReplacedWithARaisedEpoch) {
  CreateOrders();
  cluster_.Kill(2);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == 3; }));
  EXPECT_EQ(cluster_.StateOf("orders")->leader_epoch(), 1u);
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{3, 1}));
  EXPECT_TRUE(cluster_.Until([&] {
    const v1::PartitionState* state = node(3).State("orders", 0);
    return state != nullptr && state->leader() == 3 && state->leader_epoch() == 1;
  }));
}

TEST_P(ControllerTest, TheLastMemberStaysInTheIsrAndLeadsWhenItReturns) {
  const BrokerId controller = Controlling();
  const BrokerId victim = controller == 3 ? 2 : 3;
  ASSERT_EQ(cluster_.Create("single", {{victim}}).code, v1::NONE);
  cluster_.Kill(victim);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("single") == kNoBroker; }));
  EXPECT_EQ(cluster_.IsrOf("single"), (Ids{victim}));
  EXPECT_EQ(cluster_.StateOf("single")->leader_epoch(), 1u);
  cluster_.Start(victim, {.clean_shutdown = false});
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("single") == victim; }));
  EXPECT_EQ(cluster_.StateOf("single")->leader_epoch(), 2u);
}

TEST_P(ControllerTest, AnotherOneTakesOverWhenTheControllerDies) {
  CreateOrders();
  const BrokerId before = Controlling();
  const ControllerEpoch epoch = EpochInZk();
  cluster_.Kill(before);
  const BrokerId after = Controlling();
  EXPECT_NE(after, before);
  EXPECT_EQ(EpochInZk(), epoch + 1);
  const BrokerId third = 6 - before - after;
  // Also what only the new one knows: the dead broker's leaderships moved, and each broker was told
  // everything anew.
  EXPECT_TRUE(cluster_.Until([&] {
    return !node(third).states.empty() && node(third).states.back().stamp().controller_epoch() == epoch + 1 &&
           cluster_.LeaderOf("orders") != before;
  }));
}

TEST_P(ControllerTest, APausedControllerWritesAndCommandsNothingWhenItWakes) {
  CreateOrders();
  const BrokerId paused = Controlling();
  cluster_.process(paused).Pause();
  const BrokerId successor = Controlling();
  ASSERT_NE(successor, paused);
  const size_t writes = cluster_.zk().history().size();
  const int64_t old_session = node(paused).keeper().session()->session_id();
  const ControllerEpoch epoch = EpochInZk();
  cluster_.process(paused).Resume();
  ASSERT_TRUE(cluster_.Until([&] { return node(paused).controller().controller_id() == successor; }));
  EXPECT_FALSE(node(paused).controller().active());
  for (size_t i = writes; i < cluster_.zk().history().size(); ++i) {
    const SimZkRecord& record = cluster_.zk().history()[i];
    EXPECT_FALSE(record.session == old_session &&
                 (record.op == "set" || record.op == "create" || record.op == "delete"))
        << record.op << " " << record.path;
  }
  EXPECT_EQ(EpochInZk(), epoch);
}

TEST_P(ControllerTest, ADeposedControllerIsFencedByTheEpochAlone) {
  CreateOrders();
  const BrokerId id = Controlling();
  // Somebody moves the epoch behind its back, while it holds /controller: the next write of its term must
  // fail.
  const std::string path(zkpath::kControllerEpoch);
  cluster_.zk().Poke(path, EncodeControllerEpoch(41));
  EXPECT_NE(cluster_.Create("never", {{1}}, {}, 0).code, v1::TOPIC_ALREADY_EXISTS);
  // The request was served by a later term, or refused; the old term wrote nothing.
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.Controlling().controller().epoch() > 41; }));
  const ControllerStatus status = node(id).controller().status();
  EXPECT_GE(status.counters.fenced_writes, 1u);
  EXPECT_GE(status.counters.resignations, 1u);
}

TEST_P(ControllerTest, AnExpiredSessionEndsTheTermAndTheBrokerStandsAgain) {
  CreateOrders();
  const BrokerId id = Controlling();
  const ControllerEpoch epoch = EpochInZk();
  cluster_.Expire(id);
  ASSERT_TRUE(cluster_.Until([&] { return EpochInZk() > epoch; }));
  // The old one does not act, but learns of its end only when it is connected again.
  ASSERT_TRUE(
      cluster_.Until([&] { return node(id).controller().controller_id() != id || EpochInZk() > epoch + 1; }));
  ASSERT_TRUE(cluster_.Until([&] {
    Controller& now = cluster_.Controlling().controller();
    return now.epoch() == EpochInZk() && now.status().live_brokers == 3;
  }));
}

TEST_P(ControllerTest, ABrokerThatBouncedUnseenIsElectedAnewWithARaisedEpoch) {
  ASSERT_EQ(cluster_.Create("lonely", {{Controlling() == 2 ? 3 : 2}}).code, v1::NONE);
  const BrokerId leader = cluster_.LeaderOf("lonely");
  Node& bounced = cluster_.Bounce(leader, {.clean_shutdown = false});
  ASSERT_TRUE(cluster_.Until([&] {
    const v1::PartitionState* state = bounced.State("lonely", 0);
    return state != nullptr && state->leader() == leader && state->leader_epoch() >= 1;
  }));
}

TEST_P(ControllerTest, ANewControllerSeesThatABrokerBouncedBeforeItsTime) {
  const BrokerId controller = Controlling();
  const BrokerId leader = controller == 2 ? 3 : 2;
  const BrokerId third = 6 - controller - leader;
  ASSERT_EQ(cluster_.Create("orders", {{leader, third}}, {{"ack.durability", "replicated"}}).code, v1::NONE);
  cluster_.process(controller).Pause();
  cluster_.Bounce(leader, {.clean_shutdown = false});
  ASSERT_NE(Controlling(), controller);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == third; }));
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{third})) << "the unclean stop may have lost what was counted";
  EXPECT_EQ(cluster_.StateOf("orders")->leader_epoch(), 1u);
  cluster_.process(controller).Resume();
}

TEST_P(ControllerTest, AlterPartitionChangesTheIsrOnceAndForTheRightSender) {
  CreateOrders();
  v1::AlterPartitionResponse answer = cluster_.AlterIsr("orders", {2, 3});
  ASSERT_EQ(answer.partitions_size(), 1);
  EXPECT_EQ(answer.partitions(0).error().code(), v1::NONE) << answer.partitions(0).error().message();
  EXPECT_EQ(answer.partitions(0).state().partition_epoch(), 1u);
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{2, 3}));
  answer = cluster_.AlterIsr("orders", {2, 3});
  EXPECT_EQ(answer.partitions(0).error().code(), v1::NONE) << "already so";
  EXPECT_EQ(answer.partitions(0).state().partition_epoch(), 2u)
      << "and no earlier wish can be granted any more";
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{2, 3}));

  v1::Request request;
  auto& alter = *request.mutable_alter_partition();
  alter.set_broker_id(2);
  alter.set_broker_epoch(node(2).epoch() - 1);
  EXPECT_EQ(cluster_.Call(request).alter_partition().error().code(), v1::STALE_BROKER_EPOCH);
  alter.set_broker_epoch(node(2).epoch());
  alter.add_partitions()->set_topic_id(std::string(16, 'x'));
  EXPECT_EQ(cluster_.Call(request).alter_partition().partitions(0).error().code(), v1::UNKNOWN_TOPIC_ID);
}

TEST_P(ControllerTest, ADeadBrokerMayNotJoinTheIsr) {
  const BrokerId controller = Controlling();
  const BrokerId leader = controller == 2 ? 3 : 2;
  const BrokerId victim = 6 - controller - leader;
  ASSERT_EQ(cluster_.Create("orders", {{leader, victim, controller}}).code, v1::NONE);
  cluster_.Kill(victim);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.IsrOf("orders") == (Ids{leader, controller}); }));
  const auto answer = cluster_.AlterIsr("orders", {leader, controller, victim});
  EXPECT_EQ(answer.partitions(0).error().code(), v1::INELIGIBLE_REPLICA);
}

// The whole cluster stops; the first broker to come back has an empty disk.
TEST_P(ControllerTest, AnEmptiedBrokerThatComesFirstDoesNotShutTheOthersOut) {
  const BrokerId controller = Controlling();
  const BrokerId emptied = controller == 2 ? 3 : 2;
  const BrokerId other = 6 - controller - emptied;
  ASSERT_EQ(cluster_.Create("orders", {{emptied, other}}).code, v1::NONE);
  for (const BrokerId id : {controller, other, emptied}) cluster_.Kill(id);
  cluster_.world().RunFor(10s);
  cluster_.Start(controller);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == kNoBroker; }));
  const Ids both{emptied, other};
  ASSERT_EQ(cluster_.IsrOf("orders"), both);
  const auto on_state = [](const std::string&, PartitionIndex) { return v1::REPLICA_NOT_AVAILABLE; };
  Node& back = cluster_.Start(emptied, {.clean_shutdown = false, .new_log_dirs = true, .on_state = on_state});
  ASSERT_TRUE(cluster_.Until([&] { return back.State("orders", 0) != nullptr; }));
  cluster_.world().RunFor(5s);
  EXPECT_EQ(cluster_.LeaderOf("orders"), kNoBroker);
  EXPECT_EQ(cluster_.IsrOf("orders"), both);
  for (const v1::LeaderAndIsrRequest& command : back.states) {
    for (const auto& topic : command.topics()) EXPECT_NE(topic.partitions(0).leader(), emptied);
  }
  cluster_.Start(other, {.clean_shutdown = false});
  EXPECT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == other; }));
  EXPECT_EQ(cluster_.IsrOf("orders"), Ids{other});
}

TEST_P(ControllerTest, ABrokerWithANewDirectoryLeadsAgainWhenItHasTheLog) {
  const BrokerId controller = Controlling();
  const BrokerId leader = controller == 2 ? 3 : 2;
  ASSERT_EQ(cluster_.Create("orders", {{leader}}).code, v1::NONE);
  cluster_.Kill(leader);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == kNoBroker; }));
  cluster_.Start(leader, {.clean_shutdown = false, .new_log_dirs = true});
  EXPECT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == leader; }));
}

TEST_P(ControllerTest, WhatWasToldWithTopicsLeftOutIsToldInFullOnceTheyCanBeRead) {
  CreateOrders();
  const std::string path = zkpath::Topic("broken");
  cluster_.zk().Poke(path, "no JSON");
  Node& late = cluster_.Start(4);
  ASSERT_TRUE(cluster_.Until([&] { return !late.states.empty(); }));
  EXPECT_TRUE(late.states.back().incomplete());
  v1::TopicZnode node;
  node.set_topic_id(std::string(16, 'b'));
  (*node.mutable_partitions())[0].add_replicas(4);
  cluster_.zk().Poke(path, EncodeTopic(node));
  EXPECT_TRUE(cluster_.Until([&] {
    return std::ranges::any_of(late.states,
                               [](const auto& told) { return told.full() && !told.incomplete(); });
  }));
}

TEST_P(ControllerTest, AFailedLogDirectoryMovesTheLeadership) {
  node(2).on_state = [](const std::string& topic, PartitionIndex) {
    return topic == "orders" ? v1::KAFKA_STORAGE_ERROR : v1::NONE;
  };
  (void)cluster_.Create("orders", {{2, 3, 1}}, {}, 0);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == 3; }));
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{3, 1}));
  const auto answer = cluster_.AlterIsr("orders", {3, 1, 2});
  EXPECT_EQ(answer.partitions(0).error().code(), v1::INELIGIBLE_REPLICA);
}

TEST_P(ControllerTest, StatesAreSentAgainUntilTheyAreObeyed) {
  int refusals = 3;
  node(3).on_state = [&](const std::string&, PartitionIndex) {
    return refusals > 0 && refusals-- > 0 ? v1::BROKER_NOT_READY : v1::NONE;
  };
  CreateOrders();
  EXPECT_TRUE(cluster_.Until([&] { return refusals == 0 && node(3).State("orders", 0) != nullptr; }));
  cluster_.world().RunFor(10s);
  const size_t settled = node(3).states.size();
  cluster_.world().RunFor(20s);
  EXPECT_EQ(node(3).states.size(), settled) << "and then no more";
}

TEST_P(ControllerTest, ControlledShutdownMovesLeadershipsAndKeepsTheBrokerOut) {
  CreateOrders();
  v1::Request request;
  auto& shutdown = *request.mutable_controlled_shutdown();
  shutdown.set_broker_id(2);
  shutdown.set_broker_epoch(node(2).epoch());
  const v1::Response response = cluster_.Call(request);
  EXPECT_EQ(response.controlled_shutdown().error().code(), v1::NONE);
  EXPECT_THAT(response.controlled_shutdown().remaining(), IsEmpty());
  EXPECT_EQ(cluster_.LeaderOf("orders"), 3);
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{3, 1}));
  EXPECT_EQ(cluster_.AlterIsr("orders", {3, 1, 2}).partitions(0).error().code(), v1::INELIGIBLE_REPLICA);
  shutdown.set_broker_epoch(1);
  EXPECT_EQ(cluster_.Call(request).controlled_shutdown().error().code(), v1::STALE_BROKER_EPOCH);
}

TEST_P(ControllerTest, ResignLeadershipFindsAnotherLeaderOrSaysThatThereIsNone) {
  CreateOrders();
  ASSERT_EQ(cluster_.Create("lonely", {{2}}).code, v1::NONE);
  v1::Request request;
  auto& resign = *request.mutable_resign_leadership();
  resign.set_broker_id(2);
  resign.set_broker_epoch(node(2).epoch());
  for (const char* topic : {"orders", "lonely"}) {
    auto& partition = *resign.add_partitions();
    partition.set_topic_id(cluster_.TopicIdOf(topic));
    partition.set_leave_isr(true);
  }
  const v1::Response response = cluster_.Call(request);
  ASSERT_EQ(response.resign_leadership().partitions_size(), 2);
  EXPECT_EQ(response.resign_leadership().partitions(0).error().code(), v1::NONE);
  EXPECT_EQ(response.resign_leadership().partitions(1).error().code(), v1::ELIGIBLE_LEADERS_NOT_AVAILABLE);
  EXPECT_EQ(cluster_.IsrOf("orders"), (Ids{3, 1}));
  EXPECT_EQ(cluster_.LeaderOf("lonely"), 2);
}

TEST_P(ControllerTest, AnOnlyCopyWhoseLogIsDamagedLeavesItsPartitionWithoutLeader) {
  ASSERT_EQ(cluster_.Create("lonely", {{2}}).code, v1::NONE);
  v1::Request request;
  auto& resign = *request.mutable_resign_leadership();
  resign.set_broker_id(2);
  resign.set_broker_epoch(node(2).epoch());
  resign.set_reason(v1::RESIGN_REASON_OFFLINE_LOG);
  auto& partition = *resign.add_partitions();
  partition.set_topic_id(cluster_.TopicIdOf("lonely"));
  partition.set_leave_isr(true);
  const v1::Response response = cluster_.Call(request);
  EXPECT_EQ(response.resign_leadership().partitions(0).error().code(), v1::ELIGIBLE_LEADERS_NOT_AVAILABLE);
  EXPECT_EQ(cluster_.LeaderOf("lonely"), -1);
  EXPECT_EQ(cluster_.IsrOf("lonely"), (Ids{2})) << "its data is the best there is";
  // A log begun anew serves again.
  EXPECT_TRUE(cluster_.Until([&] { return node(2).State("lonely", 0)->leader() == 2; }));
}

TEST_P(ControllerTest, ADeletedTopicIsGoneEverywhereWhenTheCallReturns) {
  CreateOrders();
  const Error error = cluster_.Delete("orders");
  EXPECT_EQ(error.code, v1::NONE) << error.message;
  for (const BrokerId id : {1, 2, 3}) {
    EXPECT_TRUE(node(id).deleted.contains("orders-0"));
    EXPECT_FALSE(node(id).Knows("orders"));
  }
  EXPECT_FALSE(cluster_.Exists(zkpath::Topic("orders")));
  EXPECT_FALSE(cluster_.Exists(zkpath::TopicConfig("orders")));
  EXPECT_FALSE(cluster_.Exists(zkpath::DeleteTopic("orders")));
  EXPECT_EQ(cluster_.Delete("orders").code, v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_EQ(cluster_.Create("orders", {{1}}).code, v1::NONE) << "and can be created again";
}

TEST_P(ControllerTest, ADeletionWaitsForADeadReplicaAndSaysSo) {
  const BrokerId controller = Controlling();
  const BrokerId dead = controller == 3 ? 2 : 3;
  ASSERT_EQ(cluster_.Create("orders", {{controller, dead}}).code, v1::NONE);
  cluster_.Kill(dead);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.IsrOf("orders").size() == 1; }));
  const Error error = cluster_.Delete("orders", 3000);
  EXPECT_EQ(error.code, v1::REQUEST_TIMED_OUT);
  EXPECT_THAT(error.message, HasSubstr(fmt::format("broker {}, which is down", dead)));
  EXPECT_EQ(cluster_.Create("orders", {{1}}).code, v1::TOPIC_ALREADY_EXISTS);
  // Also a new controller goes on with it.
  cluster_.Expire(controller);
  cluster_.Start(dead);
  ASSERT_TRUE(cluster_.Until([&] { return !cluster_.Exists(zkpath::Topic("orders")); }));
  EXPECT_TRUE(node(dead).deleted.contains("orders-0"));
  EXPECT_TRUE(cluster_.Until([&] { return !cluster_.Exists(zkpath::DeleteTopic("orders")); }));
}

TEST_P(ControllerTest, AMarkerForNoTopicIsRemoved) {
  cluster_.zk().Poke(zkpath::DeleteTopic("nothing"), "");
  EXPECT_TRUE(cluster_.Until([&] { return !cluster_.Exists(zkpath::DeleteTopic("nothing")); }));
}

TEST_P(ControllerTest, ATopicWrittenByHandIsPickedUpAndGetsAnId) {
  cluster_.zk().Poke(zkpath::Topic("byhand"), R"({"version":2,"partitions":{"0":[1,2],"1":[3,1]}})");
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.StateOf("byhand", 1).has_value(); }));
  EXPECT_EQ(cluster_.LeaderOf("byhand"), 1);
  EXPECT_EQ(cluster_.TopicIdOf("byhand").size(), 16u);
}

TEST_P(ControllerTest, AMalformedTopicIsLeftAloneUntilItIsMended) {
  CreateOrders();
  cluster_.zk().Poke(zkpath::Topic("broken"), R"({"version":3,"partitions":{"0":[1,1]}})");
  Controller& controller = cluster_.Controlling().controller();
  ASSERT_TRUE(cluster_.Until([&] { return controller.status().quarantined.size() == 1; }));
  EXPECT_EQ(controller.status().quarantined[0].what, "topic broken");
  EXPECT_EQ(cluster_.Create("broken", {{1}}).code, v1::TOPIC_ALREADY_EXISTS);
  EXPECT_EQ(cluster_.Create("fine", {{1}}).code, v1::NONE) << "the others go on";
  cluster_.zk().Poke(zkpath::Topic("broken"), R"({"version":3,"partitions":{"0":[1,2]}})");
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("broken") == 1; }));
  EXPECT_THAT(controller.status().quarantined, IsEmpty());
}

TEST_P(ControllerTest, ATopicWithTheIdOfAnotherIsLeftAlone) {
  CreateOrders();
  cluster_.zk().Poke(zkpath::Topic("zebra"), cluster_.zk().Peek(zkpath::Topic("orders"))->data);
  Controller& controller = cluster_.Controlling().controller();
  ASSERT_TRUE(cluster_.Until([&] { return controller.status().quarantined.size() == 1; }));
  EXPECT_EQ(controller.status().quarantined[0].what, "topic zebra");
  EXPECT_THAT(controller.status().quarantined[0].reason, ::testing::HasSubstr("orders"));
  cluster_.zk().PokeDelete(zkpath::Topic("zebra"));
  ASSERT_TRUE(cluster_.Until([&] { return controller.status().quarantined.empty(); }));
  EXPECT_NE(cluster_.LeaderOf("orders"), kNoBroker) << "the other one is as it was";
}

TEST_P(ControllerTest, AMalformedStateStopsDecisionsForItsTopicOnly) {
  CreateOrders();
  ASSERT_EQ(cluster_.Create("other", {{2, 1}}).code, v1::NONE);
  cluster_.zk().Poke(zkpath::PartitionState("orders", 0), "{garbage");
  const BrokerId before = Controlling();
  cluster_.Expire(before);
  ASSERT_TRUE(cluster_.Until([&] {
    Node& now = cluster_.Controlling();
    return now.controller().status().quarantined.size() == 1 && now.controller().status().live_brokers == 3;
  }));
  EXPECT_EQ(cluster_.zk().Peek(zkpath::PartitionState("orders", 0))->data, "{garbage");
  cluster_.zk().Poke(zkpath::PartitionState("orders", 0),
                     R"({"controller_epoch":1,"leader":2,"version":1,"leader_epoch":4,"isr":[2,3]})");
  EXPECT_TRUE(
      cluster_.Until([&] { return cluster_.Controlling().controller().status().quarantined.empty(); }));
}

TEST_P(ControllerTest, AMalformedRegistrationIsReportedAndTheBrokerCountsAsDead) {
  cluster_.zk().Poke(zkpath::Broker(7), "not json");
  cluster_.zk().Poke(std::string(zkpath::kBrokerIds) + "/seven", "{}");
  Controller& controller = cluster_.Controlling().controller();
  ASSERT_TRUE(cluster_.Until([&] { return controller.status().quarantined.size() == 2; }));
  EXPECT_EQ(controller.status().live_brokers, 3u);
}

TEST_P(ControllerTest, UncleanElectionHappensOnlyOnceItIsAllowed) {
  const BrokerId controller = Controlling();
  const BrokerId leader = controller == 2 ? 3 : 2;
  ASSERT_EQ(cluster_.Create("orders", {{leader, controller}}).code, v1::NONE);
  ASSERT_EQ(cluster_.AlterIsr("orders", {leader}).partitions(0).error().code(), v1::NONE);
  cluster_.Kill(leader);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == kNoBroker; }));
  v1::Request request;
  auto& change = *request.mutable_alter_configs()->add_changes();
  change.mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
  change.mutable_entity()->set_name("orders");
  (*change.mutable_set())["unclean.leader.election.enable"] = "true";
  const v1::Response response = cluster_.Call(request);
  ASSERT_EQ(response.alter_configs().results(0).error().code(), v1::NONE);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == controller; }));
  EXPECT_EQ(cluster_.StateOf("orders")->leader_recovery_state(), 1u);
  EXPECT_TRUE(
      cluster_.Until([&] { return node(controller).controller().status().counters.unclean_elections == 1; }));
  EXPECT_EQ(cluster_.zk().PeekChildren(std::string(zkpath::kConfigChanges)).size(), 1u);
}

// Whose configs have changed it does not tell: they are read of all topics.
TEST_P(ControllerTest, AConfigNotificationThatCannotBeReadIsOfAnyTopic) {
  const BrokerId controller = Controlling();
  const BrokerId leader = controller == 2 ? 3 : 2;
  ASSERT_EQ(cluster_.Create("orders", {{leader, controller}}).code, v1::NONE);
  ASSERT_EQ(cluster_.AlterIsr("orders", {leader}).partitions(0).error().code(), v1::NONE);
  cluster_.Kill(leader);
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == kNoBroker; }));
  cluster_.zk().Poke("/config/topics/orders",
                     R"({"version":1,"config":{"unclean.leader.election.enable":"true"}})");
  cluster_.zk().Poke("/config/changes/config_change_0000000007", "not json");
  EXPECT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == controller; }));
}

TEST_P(ControllerTest, AlterConfigsRefusesWhatIsWrongAndWarnsOfWhatIsUnwise) {
  ASSERT_EQ(cluster_.Create("orders", {{1, 2}}).code, v1::NONE);
  v1::Request request;
  auto& change = *request.mutable_alter_configs()->add_changes();
  change.mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
  change.mutable_entity()->set_name("orders");
  (*change.mutable_set())["min.insync.replicas"] = "5";
  EXPECT_EQ(cluster_.Call(request).alter_configs().results(0).warnings_size(), 1);
  (*change.mutable_set())["min.insync.replicaz"] = "5";
  EXPECT_EQ(cluster_.Call(request).alter_configs().results(0).error().code(), v1::INVALID_CONFIG);
  change.clear_set();
  change.add_remove("min.insync.replicas");
  EXPECT_EQ(cluster_.Call(request).alter_configs().results(0).error().code(), v1::NONE);
  EXPECT_THAT(cluster_.zk().Peek(zkpath::TopicConfig("orders"))->data,
              ::testing::Not(HasSubstr("min.insync")));
  change.mutable_entity()->set_name("nothing");
  EXPECT_EQ(cluster_.Call(request).alter_configs().results(0).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
}

TEST_P(ControllerTest, TheSystemsOwnTopicsAreMadeByBrokersAndStayCompacted) {
  EXPECT_EQ(cluster_.Create("__consumer_offsets", {{1, 2}}).code, v1::INVALID_TOPIC_EXCEPTION);
  v1::Request create;
  create.mutable_create_topics()->set_internal(true);
  create.mutable_create_topics()->set_timeout_ms(30000);
  auto& wish = *create.mutable_create_topics()->add_topics();
  wish.set_name("__consumer_offsets");
  wish.set_partitions(2);
  (*wish.mutable_configs())["cleanup.policy"] = "compact";
  EXPECT_EQ(cluster_.Call(create).create_topics().topics(0).error().code(), v1::NONE);
  const auto alter = [&](const std::string& policy) {
    v1::Request request;
    auto& change = *request.mutable_alter_configs()->add_changes();
    change.mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
    change.mutable_entity()->set_name("__consumer_offsets");
    if (policy.empty()) {
      change.add_remove("cleanup.policy");  // the broker's default is delete
    } else {
      (*change.mutable_set())["cleanup.policy"] = policy;
    }
    return cluster_.Call(request).alter_configs().results(0).error().code();
  };
  EXPECT_EQ(alter("delete"), v1::INVALID_CONFIG);
  EXPECT_EQ(alter(""), v1::INVALID_CONFIG);
  EXPECT_EQ(alter("compact,delete"), v1::NONE);
  EXPECT_EQ(cluster_.Delete("__consumer_offsets").code, v1::INVALID_TOPIC_EXCEPTION);
  EXPECT_FALSE(cluster_.Exists(zkpath::DeleteTopic("__consumer_offsets")));
}

TEST_P(ControllerTest, AChangeOfTheDefaultsCountsForTheNextTopic) {
  CreateOrders();
  const BrokerId controller = Controlling();
  ControllerDefaults defaults{.num_partitions = 4};
  defaults.broker_properties["min.insync.replicas"] = "1";
  cluster_.process(controller).Await([&at = node(controller).controller(), defaults]() -> Task<bool> {
    at.SetDefaults(defaults);
    co_return true;
  });
  v1::Request request;
  request.mutable_create_topics()->add_topics()->set_name("defaults");
  const v1::Response made = cluster_.Call(request);
  EXPECT_EQ(made.create_topics().topics(0).partitions(), 4u);
}

TEST_P(ControllerTest, AlterConfigsOfBrokersAndClientsAreStoredUnderKafkasNames) {
  const auto alter = [&](v1::ConfigEntityType type, const std::string& name, const char* key,
                         const char* value) {
    v1::Request request;
    auto& change = *request.mutable_alter_configs()->add_changes();
    change.mutable_entity()->set_type(type);
    change.mutable_entity()->set_name(name);
    (*change.mutable_set())[key] = value;
    return cluster_.Call(request).alter_configs().results(0);
  };
  EXPECT_EQ(alter(v1::CONFIG_ENTITY_TYPE_BROKER, "", "log.retention.ms", "5").error().code(), v1::NONE);
  EXPECT_EQ(alter(v1::CONFIG_ENTITY_TYPE_BROKER, "2", "log.open.files", "50").error().code(), v1::NONE);
  EXPECT_EQ(alter(v1::CONFIG_ENTITY_TYPE_CLIENT, "a b", "producer_byte_rate", "5").error().code(), v1::NONE);
  EXPECT_EQ(alter(v1::CONFIG_ENTITY_TYPE_USER, "", "consumer_byte_rate", "5").error().code(), v1::NONE);
  EXPECT_EQ(cluster_.zk().Peek("/config/brokers/<default>")->data,
            R"({"version":1,"config":{"log.retention.ms":"5"}})");
  EXPECT_TRUE(cluster_.zk().Peek("/config/brokers/2"));
  EXPECT_TRUE(cluster_.zk().Peek("/config/clients/a%20b"));
  EXPECT_TRUE(cluster_.zk().Peek("/config/users/<default>"));
  const std::vector<std::string> changes = cluster_.zk().PeekChildren(std::string(zkpath::kConfigChanges));
  ASSERT_EQ(changes.size(), 4u);
  EXPECT_THAT(cluster_.zk().Peek("/config/changes/" + changes[2])->data, HasSubstr("clients/a%20b"));
  EXPECT_EQ(alter(v1::CONFIG_ENTITY_TYPE_BROKER, "x", "log.retention.ms", "5").error().code(),
            v1::INVALID_REQUEST);
  EXPECT_EQ(alter(v1::CONFIG_ENTITY_TYPE_UNSPECIFIED, "x", "a", "5").error().code(), v1::INVALID_REQUEST);
}

TEST_P(ControllerTest, WritesWithUnknownOutcomeAreReadThenDone) {
  // Connections break all the time while topics are made: each is made exactly once, and the caller hears the
  // truth.
  for (int i = 0; i < 30; ++i) {
    const std::string topic = fmt::format("t{}", i);
    const BrokerId id = Controlling();
    cluster_.world().After(std::chrono::microseconds(300 * i),
                           [&, host = fmt::format("b{}", id)] { cluster_.zk().DropConnections(host); });
    const Error error = cluster_.Create(topic, {{1, 2, 3}});
    ASSERT_EQ(error.code, v1::NONE) << topic << ": " << error.message;
    ASSERT_EQ(cluster_.IsrOf(topic).size(), 3u);
  }
}

TEST_P(ControllerTest, ZooKeeperMayStopForAWhile) {
  CreateOrders();
  cluster_.zk().Stop();
  cluster_.world().RunFor(20s);
  cluster_.zk().Start();
  EXPECT_EQ(cluster_.Create("after", {{1, 2, 3}}).code, v1::NONE);
  EXPECT_EQ(cluster_.Controlling().controller().status().live_brokers, 3u);
}

TEST_P(ControllerTest, WithoutZooKeeperAnAdminRequestIsAnsweredSoonAndNotServedLater) {
  CreateOrders();
  Node& controller = node(Controlling());
  cluster_.zk().Stop();
  ASSERT_TRUE(cluster_.Until([&] { return !controller.keeper().lease_valid(); }));
  const MonoTime begun = cluster_.world().Now();
  v1::Request request;
  request.mutable_create_topics()->add_topics()->set_name("late");
  const Error error = FromProto(cluster_.CallNode(controller.id(), request).header().error());
  EXPECT_EQ(error.code, v1::BROKER_NOT_READY);
  EXPECT_EQ(error.message,
            fmt::format("the controller, broker {}, has no connection to ZooKeeper; nothing was changed",
                        controller.id()));
  EXPECT_FALSE(error.unknown_outcome);
  EXPECT_LT(cluster_.world().Now() - begun, Duration(5s));
  cluster_.zk().Start();
  cluster_.Controlling();
  cluster_.world().RunFor(10s);
  EXPECT_FALSE(cluster_.Exists(zkpath::Topic("late"))) << "whoever asked was told that nothing was changed";
}

TEST_P(ControllerTest, ARequestThatWasBegunWhenTheTermEndedMayHaveBeenDone) {
  const BrokerId id = Controlling();
  v1::Request request;
  auto& wish = *request.mutable_create_topics()->add_topics();
  wish.set_name("orders");
  wish.set_partitions(1);
  std::optional<Result<v1::Response>> answer;
  cluster_.process(id).Spawn(
      "create", [&]() -> Task<void> { answer.emplace(co_await node(id).controller().Handle(request)); });
  // It is written, and the answer to that is lost.
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.Exists(zkpath::Topic("orders")); }));
  ASSERT_FALSE(answer.has_value());
  cluster_.world().network().Cut(fmt::format("b{}", id), SimZooKeeper::kHost);
  ASSERT_TRUE(cluster_.Until([&] { return answer.has_value(); }));
  ASSERT_FALSE(answer->has_value());
  EXPECT_TRUE(answer->error().unknown_outcome) << answer->error().message;
  cluster_.world().network().HealAll();
  EXPECT_EQ(cluster_.Create("orders", {{1, 2, 3}}).code, v1::TOPIC_ALREADY_EXISTS);
}

TEST_P(ControllerTest, PastTheLeaseNothingIsWrittenOrSent) {
  CreateOrders();
  const BrokerId id = Controlling();
  const BrokerId victim = id == 3 ? 2 : 3;
  Node& controller = node(id);
  cluster_.world().network().Cut(fmt::format("b{}", id), SimZooKeeper::kHost);
  ASSERT_TRUE(cluster_.Until([&] { return !controller.keeper().lease_valid(); }));
  const ControllerStatus before = controller.controller().status();
  const BrokerId other = 6 - id - victim;
  const size_t heard = node(other).states.size() + node(other).updates.size();
  cluster_.process(victim).Pause();  // something to do, which the cut-off one cannot know of
  cluster_.world().RunFor(1s);
  EXPECT_EQ(controller.controller().status().counters.commands_sent, before.counters.commands_sent);
  EXPECT_EQ(node(other).states.size() + node(other).updates.size(), heard);
  cluster_.process(victim).Resume();
  cluster_.world().network().HealAll();
  EXPECT_EQ(cluster_.Create("after", {{1, 2, 3}}).code, v1::NONE);
}

TEST_P(ControllerTest, ABrokerThatDoesNotAnswerDelaysNobodyElse) {
  const BrokerId controller = Controlling();
  const BrokerId deaf = controller == 3 ? 2 : 3;
  const BrokerId other = 6 - controller - deaf;
  node(deaf).deaf = true;
  const Error error = cluster_.Create("orders", {{other, controller}}, {}, 5000);
  EXPECT_EQ(error.code, v1::REQUEST_TIMED_OUT);
  EXPECT_THAT(error.message, HasSubstr(fmt::format("broker {} has not heard", deaf)));
  EXPECT_TRUE(node(other).Knows("orders"));
  EXPECT_TRUE(node(other).State("orders", 0) != nullptr);
  node(deaf).deaf = false;
  EXPECT_TRUE(cluster_.Until([&] { return node(deaf).Knows("orders"); })) << "it is told until it answers";
}

TEST_P(ControllerTest, ManyPartitionsAreMadeAndMovedInFewWrites) {
  v1::Request request;
  auto& wish = *request.mutable_create_topics()->add_topics();
  wish.set_name("wide");
  wish.set_partitions(1500);
  wish.set_replication_factor(3);
  request.mutable_create_topics()->set_timeout_ms(60000);
  const v1::Response response = cluster_.Call(request);
  ASSERT_EQ(response.create_topics().topics(0).error().code(), v1::NONE);
  const BrokerId controller = Controlling();
  const BrokerId victim = controller == 3 ? 2 : 3;
  cluster_.Kill(victim);
  ASSERT_TRUE(cluster_.Until([&] {
    for (PartitionIndex index = 0; index < 1500; index += 7) {
      const auto state = cluster_.StateOf("wide", index);
      if (state->leader() == victim || state->isr_size() != 2) return false;
    }
    return true;
  }));
}

TEST_P(ControllerTest, AnIdleClusterSendsNothing) {
  CreateOrders();
  cluster_.world().RunFor(5s);
  const uint64_t commands = cluster_.Controlling().controller().status().counters.commands_sent;
  const uint64_t events = cluster_.Controlling().controller().status().counters.events;
  cluster_.world().RunFor(600s);
  EXPECT_EQ(cluster_.Controlling().controller().status().counters.commands_sent, commands);
  EXPECT_EQ(cluster_.Controlling().controller().status().counters.events, events);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ControllerTest, ::testing::Range<uint64_t>(1, 6));

}  // namespace
}  // namespace tidemark::testing
