// Groups on whole brokers in the simulated world: finding the coordinator, members that share and take over,
// commits that survive kills and power losses of the coordinator's broker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

Properties ForGroups(int replicas) {
  return {{"offsets.topic.num.partitions", "4"},
          {"offsets.topic.replication.factor", std::to_string(replicas)}};
}

// A client of groups that follows the coordinator.
class GroupClient {
 public:
  explicit GroupClient(SimBrokers& cluster) : cluster_(cluster) {}

  v1::FindCoordinatorResponse::Coordinator Find(int asked, const std::string& group) {
    v1::Request request;
    request.mutable_find_coordinator()->add_group_ids(group);
    const Result<v1::Response> answer = cluster_.Call(asked, request);
    v1::FindCoordinatorResponse::Coordinator out;
    if (answer) return answer->find_coordinator().coordinators(0);
    ToProto(answer.error(), out.mutable_error());
    return out;
  }
  int Coordinator(const std::string& group) {
    for (int attempt = 0; attempt < 600; ++attempt) {
      for (int id = 0; id < 3; ++id) {
        if (cluster_.broker(id) == nullptr) continue;
        const auto found = Find(id, group);
        if (found.error().code() == v1::NONE && cluster_.broker(found.broker_id()) != nullptr)
          return found.broker_id();
      }
      cluster_.world().RunFor(200ms);
    }
    ADD_FAILURE() << "no coordinator of " << group;
    return 0;
  }
  // Sends it to the coordinator until the answer is not about who that is.
  Result<v1::Response> Ask(const std::string& group, const v1::Request& request) {
    Result<v1::Response> answer;
    for (int attempt = 0; attempt < 300; ++attempt) {
      answer = cluster_.Call(Coordinator(group), request);
      if (answer || !IsRetriable(answer.error().code) || answer.error().code == v1::UNRELEASED_INSTANCE_ID)
        break;
      cluster_.world().RunFor(200ms);
    }
    return answer;
  }
  ErrorCode Commit(const std::string& group, const std::string& member, int32_t epoch, TopicId topic,
                   uint32_t partition, uint64_t offset) {
    v1::Request request;
    auto* commit = request.mutable_offset_commit();
    commit->set_group_id(group);
    commit->set_member_id(member);
    commit->set_member_epoch(epoch);
    auto* wanted = commit->add_topics();
    wanted->set_topic_id(topic.ToBytes());
    wanted->add_partitions()->set_partition(partition);
    wanted->mutable_partitions(0)->set_offset(offset);
    const Result<v1::Response> answer = Ask(group, request);
    return answer ? answer->offset_commit().topics(0).partitions(0).error().code() : answer.error().code;
  }
  std::map<uint32_t, uint64_t> Committed(const std::string& group) {
    v1::Request request;
    request.mutable_offset_fetch()->add_groups()->set_group_id(group);
    for (int attempt = 0; attempt < 300; ++attempt) {
      const Result<v1::Response> answer = Ask(group, request);
      if (!answer || answer->offset_fetch().groups(0).error().code() != v1::NONE) {
        cluster_.world().RunFor(200ms);
        continue;
      }
      std::map<uint32_t, uint64_t> out;
      for (const auto& topic : answer->offset_fetch().groups(0).topics()) {
        for (const auto& partition : topic.partitions()) out[partition.partition()] = partition.offset();
      }
      return out;
    }
    ADD_FAILURE() << "the offsets of " << group << " cannot be read";
    return {};
  }
  v1::DescribeGroupsResponse::Group Describe(const std::string& group) {
    v1::Request request;
    request.mutable_describe_groups()->add_group_ids(group);
    request.mutable_describe_groups()->set_include_offsets(true);
    for (int attempt = 0; attempt < 300; ++attempt) {
      const Result<v1::Response> answer = Ask(group, request);
      if (answer && !IsRetriable(answer->describe_groups().groups(0).error().code()))
        return answer->describe_groups().groups(0);
      cluster_.world().RunFor(200ms);
    }
    return {};
  }

 private:
  SimBrokers& cluster_;
};

// A member that lets go at once of what is asked back.
class GroupReader {
 public:
  GroupReader(GroupClient& client, std::string group, std::string id)
      : client_(client), group_(group), id_(id) {}
  ErrorCode Beat(int32_t epoch) {
    v1::Request request;
    auto* beat = request.mutable_consumer_group_heartbeat();
    beat->set_group_id(group_);
    beat->set_member_id(id_);
    beat->set_member_epoch(epoch);
    if (epoch == 0) {
      beat->set_rebalance_timeout_ms(60'000);
      beat->mutable_subscription()->add_topics("orders");
      held.clear();
    }
    if (epoch >= 0) {
      auto* owned = beat->mutable_owned();
      if (!held.empty()) {
        owned->add_topics()->set_topic_id(topic_id_);
        for (const uint32_t partition : held) owned->mutable_topics(0)->add_partitions(partition);
      }
    }
    const Result<v1::Response> answer = client_.Ask(group_, request);
    if (!answer) return answer.error().code;
    const auto& told = answer->consumer_group_heartbeat();
    this->epoch = told.member_epoch();
    if (!told.has_assignment()) return v1::NONE;
    held.clear();
    for (const auto& topic : told.assignment().topics()) {
      EXPECT_EQ(topic.topic(), "orders");
      topic_id_ = topic.topic_id();
      held.insert(topic.partitions().begin(), topic.partitions().end());
    }
    return v1::NONE;
  }
  ErrorCode Beat() { return Beat(epoch); }

  int32_t epoch = 0;
  std::set<uint32_t> held;

 private:
  GroupClient& client_;
  const std::string group_;
  const std::string id_;
  std::string topic_id_;
};

void Settle(std::vector<GroupReader*> readers) {
  for (int round = 0; round < 6; ++round) {
    for (GroupReader* reader : readers) EXPECT_EQ(reader->Beat(), v1::NONE);
  }
}

TEST(Groups, TwoMembersShareAndOneTakesOverWhenTheOtherFallsSilent) {
  SimBrokers cluster(1, 1, ForGroups(1));
  cluster.StartAll();
  const TopicId orders = cluster.CreateTopic("orders", 4, 1);
  GroupClient client(cluster);
  GroupReader a(client, "g", "a"), b(client, "g", "b");
  Settle({&a, &b});
  EXPECT_EQ(a.held.size(), 2u);
  EXPECT_EQ(b.held.size(), 2u);
  EXPECT_EQ(client.Describe("g").state(), v1::GROUP_STATE_STABLE);
  EXPECT_EQ(client.Commit("g", "a", a.epoch, orders, *a.held.begin(), 7), v1::NONE);
  EXPECT_EQ(client.Commit("g", "a", a.epoch, orders, *b.held.begin(), 7), v1::PARTITION_NOT_OWNED);
  EXPECT_EQ(client.Commit("g", "", -1, orders, 0, 7), v1::NON_EMPTY_GROUP);
  for (int i = 0; i < 20; ++i) {
    cluster.world().RunFor(3s);
    EXPECT_EQ(b.Beat(), v1::NONE);
  }
  EXPECT_EQ(b.held.size(), 4u);
  EXPECT_EQ(a.Beat(), v1::UNKNOWN_MEMBER_ID);
  const auto described = client.Describe("g");
  EXPECT_EQ(described.last_rebalance().cause(), v1::REBALANCE_CAUSE_SESSION_TIMEOUT);
  EXPECT_THAT(described.last_rebalance().detail(), HasSubstr("'a'"));
  EXPECT_EQ(b.Beat(-1), v1::NONE);
  EXPECT_EQ(client.Describe("g").state(), v1::GROUP_STATE_EMPTY);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(Groups, EverythingIsThereAfterAKillAndAfterALossOfPower) {
  SimBrokers cluster(2, 1, ForGroups(1));
  cluster.StartAll();
  const TopicId orders = cluster.CreateTopic("orders", 4, 1);
  GroupClient client(cluster);
  GroupReader a(client, "g", "a"), b(client, "g", "b");
  Settle({&a, &b});
  EXPECT_EQ(client.Commit("simple", "", -1, orders, 3, 30), v1::NONE);
  uint64_t offset = 10;
  for (const bool power_loss : {false, true}) {
    for (const uint32_t partition : a.held)
      EXPECT_EQ(client.Commit("g", "a", a.epoch, orders, partition, ++offset), v1::NONE);
    const auto committed = client.Committed("g");
    EXPECT_EQ(committed.size(), 2u);
    const std::set<uint32_t> held = a.held;
    const int32_t epoch = a.epoch;
    cluster.Kill(0, power_loss);
    ASSERT_TRUE(cluster.Start(0));
    EXPECT_EQ(client.Committed("g"), committed);
    EXPECT_THAT(client.Committed("simple"), ElementsAre(std::pair(3u, 30u)));
    Settle({&a, &b});
    EXPECT_EQ(a.held, held) << "the new coordinator knows who holds what";
    EXPECT_EQ(a.epoch, epoch);
  }
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(Groups, TheOffsetsTopicWaitsForItsReplicas) {
  SimBrokers cluster(3, 3, ForGroups(3));
  ASSERT_TRUE(cluster.Start(0));
  GroupClient client(cluster);
  v1::FindCoordinatorResponse::Coordinator found;
  for (int i = 0; i < 50; ++i) {
    found = client.Find(0, "g");
    if (found.error().code() == v1::COORDINATOR_NOT_AVAILABLE) break;
    cluster.world().RunFor(200ms);
  }
  EXPECT_EQ(found.error().code(), v1::COORDINATOR_NOT_AVAILABLE);
  EXPECT_THAT(found.error().message(),
              AllOf(HasSubstr("offsets.topic.replication.factor=3"), HasSubstr("1 are")));
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.Start(2));
  const int coordinator = client.Coordinator("g");
  ASSERT_TRUE(cluster.WaitForLeaders("__consumer_offsets"));
  const auto topic = cluster.Metadata("__consumer_offsets");
  ASSERT_TRUE(topic);
  EXPECT_EQ(topic->partitions_size(), 4);
  EXPECT_EQ(topic->partitions(0).replicas_size(), 3);
  EXPECT_TRUE(topic->internal());
  found = client.Find(0, "g");
  ASSERT_TRUE(found.has_coordinator_epoch());
  EXPECT_EQ(found.coordinator_epoch(), topic->partitions(static_cast<int>(found.partition())).leader_epoch());
  // The others send the client on, as does it itself who knows of a later one, and clients cannot write into
  // it.
  v1::Request request;
  request.mutable_consumer_group_heartbeat()->set_group_id("g");
  request.mutable_consumer_group_heartbeat()->set_member_id("m");
  request.mutable_consumer_group_heartbeat()->set_coordinator_epoch(found.coordinator_epoch() + 1);
  EXPECT_EQ(cluster.Call(coordinator, request).error().code, v1::NOT_COORDINATOR);
  request.mutable_consumer_group_heartbeat()->clear_coordinator_epoch();
  EXPECT_EQ(cluster.Call((coordinator + 1) % 3, request).error().code, v1::NOT_COORDINATOR);
  EXPECT_EQ(cluster.ProduceOnce(topic->partitions(0).leader(), *TopicId::FromBytes(topic->id()), 0, {"x"})
                .error()
                .code(),
            v1::INVALID_TOPIC_EXCEPTION);
  v1::Request create;
  create.mutable_create_topics()->set_internal(true);
  create.mutable_create_topics()->add_topics()->set_name("__transaction_state");
  EXPECT_EQ(cluster.Call(coordinator, create).error().code, v1::INVALID_REQUEST)
      << "brokers make the system's topics, not clients";
  request.mutable_consumer_group_heartbeat()->set_group_id("");
  EXPECT_EQ(cluster.Call(coordinator, request).error().code, v1::INVALID_GROUP_ID);
}

TEST(Groups, AnotherBrokerCoordinatesWhenOneIsKilledAndNothingCommittedIsLost) {
  SimBrokers cluster(4, 3, ForGroups(3));
  cluster.StartAll();
  const TopicId orders = cluster.CreateTopic("orders", 6, 3);
  GroupClient client(cluster);
  GroupReader a(client, "g", "a"), b(client, "g", "b");
  Settle({&a, &b});
  EXPECT_EQ(a.held.size(), 3u);
  std::map<uint32_t, uint64_t> acknowledged;
  uint64_t offset = 0;
  for (int round = 0; round < 4; ++round) {
    for (auto* reader : {&a, &b}) {
      const std::string id = reader == &a ? "a" : "b";
      for (const uint32_t partition : reader->held) {
        if (client.Commit("g", id, reader->epoch, orders, partition, ++offset) == v1::NONE)
          acknowledged[partition] = offset;
      }
    }
    EXPECT_EQ(acknowledged.size(), 6u);
    const int coordinator = client.Coordinator("g");
    cluster.Kill(coordinator, round % 2 == 1);
    EXPECT_EQ(client.Committed("g"), acknowledged) << "round " << round;
    Settle({&a, &b});
    EXPECT_EQ(a.held.size(), 3u);
    EXPECT_EQ(b.held.size(), 3u);
    ASSERT_TRUE(cluster.Start(coordinator));
  }
}

// Sends over a connection of its own, to a broker that may stand still.
class OneConnection {
 public:
  OneConnection(SimBrokers& cluster, SimProcess& process) : cluster_(cluster), process_(process) {
    auto channel = std::make_shared<RpcChannel>(process.main_loop(), process.transport(), process.random(),
                                                Endpoint{"host0", 9092}, RpcChannelOptions{});
    channel_ = channel.get();
    process_.Keep(channel);
    v1::Request hello;
    hello.mutable_api_versions();
    Send(hello);
    cluster_.world().RunFor(1s);
  }
  void Send(v1::Request request) {
    process_.Spawn("send", [channel = channel_, request] { return Call(channel, request); });
    cluster_.world().RunFor(100ms);
  }
  void Close() {
    process_.Await([this] { return channel_->Close(); });
  }

 private:
  static Task<void> Call(RpcChannel* channel, v1::Request request) {
    (void)co_await channel->Call(std::move(request), 60s, {});
  }
  SimBrokers& cluster_;
  SimProcess& process_;
  RpcChannel* channel_;
};

TEST(Groups, ACommitThatABrokerThatStoodStillReadsLateUndoesNoneThatWasSentAfterIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimBrokers cluster(seed, 1, ForGroups(1));
    cluster.StartAll();
    const TopicId orders = cluster.CreateTopic("orders", 1, 1);
    GroupClient client(cluster);
    GroupReader a(client, "g", "a");
    Settle({&a});
    v1::Request commit;
    commit.mutable_offset_commit()->set_group_id("g");
    commit.mutable_offset_commit()->set_member_id("a");
    commit.mutable_offset_commit()->set_member_epoch(a.epoch);
    commit.mutable_offset_commit()->add_topics()->set_topic_id(orders.ToBytes());
    auto* partition = commit.mutable_offset_commit()->mutable_topics(0)->add_partitions();
    SimProcess& process = cluster.world().StartProcess("member");
    OneConnection first(cluster, process), second(cluster, process);
    cluster.process(0).Pause();
    partition->set_offset(100);
    commit.mutable_offset_commit()->set_serial(1);
    first.Send(commit);
    partition->set_offset(200);
    commit.mutable_offset_commit()->set_serial(2);
    second.Send(commit);
    cluster.process(0).Resume();
    cluster.world().RunFor(2s);
    EXPECT_THAT(client.Committed("g"), ElementsAre(std::pair(0u, 200u))) << "seed " << seed;
    first.Close();
    second.Close();
    EXPECT_TRUE(cluster.Stop(0));
  }
}

TEST(Groups, AreListedDescribedAndDeleted) {
  SimBrokers cluster(5, 1, ForGroups(1));
  cluster.StartAll();
  const TopicId orders = cluster.CreateTopic("orders", 1, 1);
  GroupClient client(cluster);
  GroupReader a(client, "with member", "a");
  Settle({&a});
  EXPECT_EQ(client.Commit("simple", "", -1, orders, 0, 5), v1::NONE);
  v1::Request list;
  list.mutable_list_groups();
  auto listed = client.Ask("simple", list);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->list_groups().groups_size(), 2);
  EXPECT_EQ(listed->list_groups().groups(0).group_id(), "simple");
  EXPECT_EQ(listed->list_groups().groups(0).state(), v1::GROUP_STATE_EMPTY);
  EXPECT_EQ(listed->list_groups().groups(1).members(), 1u);
  const auto described = client.Describe("with member");
  EXPECT_EQ(described.members(0).client_id(), "test");
  EXPECT_EQ(described.members(0).subscribed_topics(0), "orders");
  EXPECT_EQ(described.members(0).assignment().topics(0).partitions_size(), 1);
  EXPECT_EQ(client.Describe("simple").offsets(0).partitions(0).offset(), 5u);
  EXPECT_EQ(client.Describe("none").error().code(), v1::GROUP_ID_NOT_FOUND);
  v1::Request remove;
  for (const char* group : {"with member", "simple", "none"})
    remove.mutable_delete_groups()->add_group_ids(group);
  const auto removed = client.Ask("simple", remove);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->delete_groups().groups(0).error().code(), v1::NON_EMPTY_GROUP);
  EXPECT_EQ(removed->delete_groups().groups(1).error().code(), v1::NONE);
  EXPECT_EQ(removed->delete_groups().groups(2).error().code(), v1::GROUP_ID_NOT_FOUND);
  EXPECT_TRUE(client.Committed("simple").empty());
  EXPECT_TRUE(cluster.Stop(0));
}

// A few bytes of request must not become gigabytes of answer.
TEST(Groups, ARequestNamesEachGroupOnceAndNotTooMany) {
  SimBrokers cluster(7, 1, ForGroups(1));
  cluster.StartAll();
  GroupClient client(cluster);
  const int coordinator = client.Coordinator("g");
  const auto codes = [&](const std::vector<std::string>& groups) {
    std::vector<v1::Request> requests(4);
    for (const std::string& group : groups) {
      requests[0].mutable_find_coordinator()->add_group_ids(group);
      requests[1].mutable_offset_fetch()->add_groups()->set_group_id(group);
      requests[2].mutable_describe_groups()->add_group_ids(group);
      requests[3].mutable_delete_groups()->add_group_ids(group);
    }
    std::vector<ErrorCode> out;
    for (const v1::Request& request : requests) {
      const Result<v1::Response> answer = cluster.Call(coordinator, request);
      out.push_back(answer ? v1::NONE : answer.error().code);
    }
    return out;
  };
  std::vector<std::string> many;
  for (int i = 0; i < 1000; ++i) many.push_back(fmt::format("g{}", i));
  EXPECT_THAT(codes(many), Each(v1::NONE));
  many.push_back("one too many");
  EXPECT_THAT(codes(many), Each(v1::INVALID_REQUEST));
  EXPECT_THAT(codes({"g", "h", "g"}), Each(v1::INVALID_REQUEST));
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(Groups, WhatDoesNotFitIntoOneAnswerIsAskedForAgain) {
  Properties properties = ForGroups(1);
  properties["offset.metadata.max.bytes"] = "1000000";
  SimBrokers cluster(8, 1, properties);
  cluster.StartAll();
  const TopicId orders = cluster.CreateTopic("orders", 20, 1);
  GroupClient client(cluster);
  const std::vector<std::string> groups = {"small", "large", "larger", "none", "another"};
  for (const std::string& group : groups) {
    if (group == "none") continue;
    const uint32_t count = group == "small" ? 1 : 20;
    for (uint32_t first = 0; first < count; first += 10) {
      v1::Request request;
      request.mutable_offset_commit()->set_group_id(group);
      request.mutable_offset_commit()->set_member_epoch(-1);
      auto* topic = request.mutable_offset_commit()->add_topics();
      topic->set_topic_id(orders.ToBytes());
      for (uint32_t partition = first; partition < std::min(count, first + 10); ++partition) {
        auto* added = topic->add_partitions();
        added->set_partition(partition);
        added->set_metadata(std::string(1'000'000, 'm'));
      }
      ASSERT_TRUE(client.Ask(group, request));
    }
  }
  std::vector<std::string> left = groups;
  std::vector<std::vector<std::string>> answered;
  while (!left.empty() && answered.size() < groups.size()) {
    v1::Request request;
    for (const std::string& group : left) request.mutable_offset_fetch()->add_groups()->set_group_id(group);
    const Result<v1::Response> answer = cluster.Call(0, request);
    ASSERT_TRUE(answer) << ToString(answer.error());
    ASSERT_EQ(answer->offset_fetch().groups_size(), static_cast<int>(left.size()));
    answered.emplace_back();
    left.clear();
    for (const auto& group : answer->offset_fetch().groups()) {
      if (group.error().code() == v1::NONE) {
        answered.back().push_back(group.group_id());
      } else {
        EXPECT_EQ(group.error().code(), v1::COORDINATOR_LOAD_IN_PROGRESS);
        EXPECT_EQ(group.error().error_class(), v1::ERROR_CLASS_RETRY);
        left.push_back(group.group_id());
      }
    }
  }
  EXPECT_THAT(answered, ElementsAre(ElementsAre("small", "large"), ElementsAre("larger", "none"),
                                    ElementsAre("another")));
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(Groups, NewPartitionsAndOffsetsThatExpireAreSeenInTime) {
  Properties properties = ForGroups(1);
  properties["offsets.retention.minutes"] = "10";
  properties["offsets.retention.check.interval.ms"] = "60000";
  SimBrokers cluster(6, 1, properties);
  cluster.StartAll();
  GroupClient client(cluster);
  GroupReader a(client, "g", "a");
  Settle({&a});
  EXPECT_TRUE(a.held.empty()) << "the topic is not there yet";
  const TopicId orders = cluster.CreateTopic("orders", 2, 1);
  cluster.world().RunFor(5s);
  Settle({&a});
  EXPECT_EQ(a.held.size(), 2u);
  EXPECT_EQ(client.Commit("g", "a", a.epoch, orders, 0, 5), v1::NONE);
  EXPECT_EQ(a.Beat(-1), v1::NONE);
  cluster.world().RunFor(9min);
  EXPECT_EQ(client.Committed("g").size(), 1u);
  cluster.world().RunFor(3min);
  EXPECT_EQ(client.Committed("g").size(), 0u);
  EXPECT_EQ(client.Describe("g").error().code(), v1::GROUP_ID_NOT_FOUND);
  EXPECT_TRUE(cluster.Stop(0));
}

}  // namespace
}  // namespace tidemark
