// The broker's picture of the cluster.
#include "broker/server/cluster_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TopicId Id(uint8_t n) {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes[0] = n;
  return TopicId(bytes);
}

v1::UpdateMetadataRequest Update(uint32_t controller_epoch, std::vector<BrokerId> live) {
  v1::UpdateMetadataRequest out;
  out.mutable_stamp()->set_controller_id(1);
  out.mutable_stamp()->set_controller_epoch(controller_epoch);
  for (const BrokerId id : live) {
    v1::LiveBroker* broker = out.add_live_brokers();
    broker->set_id(id);
    broker->set_epoch(100 + id);
    broker->set_inter_broker_listener("INSIDE");
    for (const char* listener : {"OUTSIDE", "INSIDE"}) {
      v1::ListenerEndpoint* endpoint = broker->add_endpoints();
      endpoint->set_listener(listener);
      endpoint->set_host(std::string(listener) + std::to_string(id));
      endpoint->set_port(9000 + static_cast<uint32_t>(id));
    }
  }
  return out;
}

void AddTopic(v1::UpdateMetadataRequest* update, const std::string& name, TopicId id,
              std::vector<BrokerId> leaders, uint32_t epoch = 1) {
  v1::TopicState* topic = update->add_topics();
  topic->set_name(name);
  topic->set_id(id.ToBytes());
  uint32_t number = 0;
  for (const BrokerId leader : leaders) {
    v1::PartitionState* partition = topic->add_partitions();
    partition->set_partition(number++);
    partition->set_leader(leader);
    partition->set_leader_epoch(epoch);
    for (const BrokerId replica : {1, 2, 3}) partition->add_replicas(replica);
    partition->add_isr(leader);
  }
}

ClusterSnapshot::Ptr First() {
  v1::UpdateMetadataRequest update = Update(5, {1, 2});
  update.set_full(true);
  AddTopic(&update, "orders", Id(1), {1, 2});
  AddTopic(&update, "events", Id(2), {-1});
  return ClusterSnapshot::Apply(*ClusterSnapshot::Empty(), update);
}

TEST(ClusterSnapshot, AFullUpdateIsEverythingThereIs) {
  const auto first = First();
  EXPECT_THAT(first->TopicNames(), ElementsAre("events", "orders"));
  EXPECT_EQ(first->version(), 1u);
  v1::UpdateMetadataRequest update = Update(6, {2});
  update.set_full(true);
  AddTopic(&update, "orders", Id(1), {2, 2}, 2);
  const auto second = ClusterSnapshot::Apply(*first, update);
  EXPECT_THAT(second->TopicNames(), ElementsAre("orders"));
  EXPECT_EQ(second->controller_epoch(), 6u);
  EXPECT_EQ(second->Broker(1), nullptr);
  // The one before is as it was: whoever holds it reads on.
  EXPECT_EQ(first->topic_count(), 2u);
}

TEST(ClusterSnapshot, AnIncrementChangesWhatItNames) {
  v1::UpdateMetadataRequest update = Update(5, {1, 2, 3});
  AddTopic(&update, "orders", Id(1), {3}, 7);
  const auto next = ClusterSnapshot::Apply(*First(), update);
  EXPECT_EQ(next->version(), 2u);
  EXPECT_EQ(next->Topic("orders")->partitions.at(0).leader, 3);
  EXPECT_EQ(next->Topic("orders")->partitions.at(1).leader, 2);
  EXPECT_NE(next->Topic("events"), nullptr);
}

TEST(ClusterSnapshot, ARecreatedTopicIsAnotherOne) {
  v1::UpdateMetadataRequest update = Update(5, {1, 2});
  AddTopic(&update, "orders", Id(9), {1});
  const auto next = ClusterSnapshot::Apply(*First(), update);
  EXPECT_EQ(next->Topic(Id(1)), nullptr);
  EXPECT_EQ(next->Topic("orders")->id, Id(9));
  EXPECT_EQ(next->Topic("orders")->partitions.size(), 1u);
  // The news that the former one is gone comes late and does not touch the new one.
  v1::UpdateMetadataRequest late = Update(5, {1, 2});
  late.add_deleted_topic_ids(Id(1).ToBytes());
  EXPECT_NE(ClusterSnapshot::Apply(*next, late)->Topic("orders"), nullptr);
}

TEST(ClusterSnapshot, LeavesOutWhatCannotBe) {
  v1::UpdateMetadataRequest update = Update(5, {1});
  update.add_topics()->set_name("no-id");
  AddTopic(&update, "../etc", Id(4), {1});
  AddTopic(&update, "fine", Id(5), {1});
  const auto next = ClusterSnapshot::Apply(*First(), update);
  EXPECT_THAT(next->TopicNames(), ElementsAre("events", "fine", "orders"));
}

TEST(ClusterSnapshot, SaysWhyAPartitionIsNotServedHere) {
  const auto snapshot = First();
  EXPECT_EQ(snapshot->WhyNotHere({Id(7), 0}, 1).code, v1::UNKNOWN_TOPIC_ID);
  const Error range = snapshot->WhyNotHere({Id(1), 2}, 1);
  EXPECT_EQ(range.code, v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_THAT(range.message, HasSubstr("it has 2"));
  EXPECT_THAT(snapshot->WhyNotHere({Id(1), 1}, 1).message, HasSubstr("broker 2 does"));
  EXPECT_THAT(snapshot->WhyNotHere({Id(2), 0}, 1).message, HasSubstr("no leader"));
  EXPECT_EQ(snapshot->WhyNotHere({Id(1), 0}, 1).code, v1::NOT_LEADER_OR_FOLLOWER);
}

TEST(ClusterSnapshot, HintsAtTheLeaderOnTheListenerAsked) {
  const auto snapshot = First();
  v1::LeaderHint hint;
  snapshot->FillHint({Id(1), 1}, "OUTSIDE", kNoBroker, 0, &hint);
  EXPECT_EQ(hint.leader(), 2);
  EXPECT_EQ(hint.host(), "OUTSIDE2");
  // What the replica knows counts where it is newer.
  snapshot->FillHint({Id(1), 1}, "INSIDE", 1, 8, &hint);
  EXPECT_EQ(hint.leader(), 1);
  EXPECT_EQ(hint.leader_epoch(), 8u);
  EXPECT_EQ(hint.host(), "INSIDE1");
}

TEST(ClusterSnapshot, ATopicHasOneNameAndANameOneTopic) {
  v1::UpdateMetadataRequest renamed = Update(5, {1, 2});
  AddTopic(&renamed, "strange", Id(1), {1});
  const auto snapshot = ClusterSnapshot::Apply(*First(), renamed);
  EXPECT_THAT(snapshot->TopicNames(), ElementsAre("events", "strange"));
  v1::UpdateMetadataRequest deleted = Update(5, {1, 2});
  deleted.add_deleted_topic_ids(Id(1).ToBytes());
  const auto without = ClusterSnapshot::Apply(*snapshot, deleted);
  EXPECT_THAT(without->TopicNames(), ElementsAre("events"));
  EXPECT_EQ(without->Topic("strange"), nullptr);
}

TEST(ClusterSnapshot, ATopicThatTheControllerCannotReadStaysAsItWasKnown) {
  v1::UpdateMetadataRequest full = Update(6, {1, 2});
  full.set_full(true);
  AddTopic(&full, "events", Id(2), {1});
  full.add_unreadable_topics("orders");
  full.add_unreadable_topics("never seen");
  const auto kept = ClusterSnapshot::Apply(*First(), full);
  EXPECT_THAT(kept->TopicNames(), ElementsAre("events", "orders"));
  EXPECT_EQ(kept->Topic("orders")->partitions.size(), 2u);
  EXPECT_TRUE(kept->unreadable_topics());
  EXPECT_TRUE(ClusterSnapshot::Apply(*kept, Update(6, {1}))->unreadable_topics())
      << "until all is told again";
  full.clear_unreadable_topics();
  const auto gone = ClusterSnapshot::Apply(*kept, full);
  EXPECT_THAT(gone->TopicNames(), ElementsAre("events"));
  EXPECT_FALSE(gone->unreadable_topics());
}

TEST(ClusterSnapshot, TellsClientsOfOfflineReplicasAndMissingLeaders) {
  const auto snapshot = First();
  v1::TopicMetadata topic;
  snapshot->FillTopic(*snapshot->Topic("events"), &topic);
  EXPECT_EQ(topic.partitions(0).error().code(), v1::LEADER_NOT_AVAILABLE);
  EXPECT_THAT(topic.partitions(0).offline_replicas(), ElementsAre(3));
}

}  // namespace
}  // namespace tidemark
