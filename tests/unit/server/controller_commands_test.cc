// Commands of the controller: their order, and what they do not wait for.
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

TEST(ControllerCommands, MetadataThatWasOvertakenIsNotObeyed) {
  SimBrokers cluster(31, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  v1::Request request;
  auto& update = *request.mutable_update_metadata();
  update.mutable_stamp()->set_controller_epoch(1);
  update.mutable_stamp()->set_broker_epoch(cluster.broker(0)->epoch());
  update.add_deleted_topic_ids(id.ToBytes());
  // Sent before what the broker has heard since: the controller has told of "orders" after it.
  update.set_sequence(1);
  auto answer = cluster.Call(0, request, v1::CONNECTION_PURPOSE_CONTROL);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->update_metadata().error().code(), v1::NONE)
      << answer->update_metadata().error().message();
  EXPECT_TRUE(cluster.Metadata("orders"));
  update.set_sequence(1000);
  answer = cluster.Call(0, request, v1::CONNECTION_PURPOSE_CONTROL);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(cluster.Metadata("orders")) << "the latest is obeyed";
}

TEST(ControllerCommands, DoNotWaitForAReplicaThatIsBeingDeleted) {
  SimBrokers cluster(32, 1, {{"watchdog.stuck.ms", "3600000"}});
  cluster.StartAll();
  const TopicId told = cluster.CreateTopic("told", 1, 1);
  cluster.CreateTopic("deleted", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("told"));
  ASSERT_TRUE(cluster.WaitForLeaders("deleted"));
  cluster.process(0).pool().SetHung(true);
  v1::Request request;
  request.mutable_delete_topics()->add_names("deleted");
  request.mutable_delete_topics()->set_timeout_ms(2000);
  const auto marked = cluster.Call(0, request);
  ASSERT_TRUE(marked);
  EXPECT_EQ(marked->delete_topics().topics(0).error().code(), v1::REQUEST_TIMED_OUT)
      << "its disk stands still";
  auto& update = *request.mutable_update_metadata();
  update.mutable_stamp()->set_controller_epoch(1);
  update.mutable_stamp()->set_broker_epoch(cluster.broker(0)->epoch());
  update.add_deleted_topic_ids(told.ToBytes());
  update.set_sequence(1000);
  const auto answer = cluster.Call(0, request, v1::CONNECTION_PURPOSE_CONTROL);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(cluster.Metadata("told"));
  cluster.process(0).pool().SetHung(false);
}

}  // namespace
}  // namespace tidemark
