// Which controller commands are obeyed, and which connections may send what.
#include "broker/server/control_fence.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "broker/server/request_metrics.h"
#include "broker/server/request_router.h"

namespace tidemark {
namespace {

v1::ControllerStamp Stamp(ControllerEpoch controller_epoch, BrokerEpoch broker_epoch) {
  v1::ControllerStamp stamp;
  stamp.set_controller_id(1);
  stamp.set_controller_epoch(controller_epoch);
  stamp.set_broker_epoch(broker_epoch);
  return stamp;
}

TEST(ControlFence, ObeysNobodyBeforeTheBrokerIsRegistered) {
  const ControlFence fence;
  EXPECT_EQ(fence.Check(Stamp(1, 10)).error().code, v1::BROKER_NOT_READY);
}

TEST(ControlFence, VerifiesAHigherEpochBeforeItIsObeyed) {
  ControlFence fence;
  fence.SetBrokerEpoch(10);
  EXPECT_EQ(*fence.Check(Stamp(3, 10)), FenceVerdict::kVerify);
  // An epoch that ZooKeeper does not hold stays unverified, and shuts nobody out.
  fence.NoteVerified(2);
  EXPECT_EQ(*fence.Check(Stamp(3, 10)), FenceVerdict::kVerify);
  EXPECT_EQ(*fence.Check(Stamp(2, 10)), FenceVerdict::kObey);
}

TEST(ControlFence, RefusesADeposedController) {
  ControlFence fence;
  fence.SetBrokerEpoch(10);
  fence.NoteVerified(4);
  EXPECT_EQ(fence.Check(Stamp(3, 10)).error().code, v1::STALE_CONTROLLER_EPOCH);
  EXPECT_EQ(fence.refused(), 1u);
  fence.NoteVerified(2);
  EXPECT_EQ(fence.highest(), 4u);
}

TEST(ControlFence, RefusesCommandsForAFormerLifeAndDefersThoseForALaterOne) {
  ControlFence fence;
  fence.NoteVerified(4);
  fence.SetBrokerEpoch(10);
  EXPECT_EQ(fence.Check(Stamp(4, 9)).error().code, v1::STALE_BROKER_EPOCH);
  EXPECT_EQ(fence.Check(Stamp(4, 11)).error().code, v1::BROKER_NOT_READY);
  fence.SetBrokerEpoch(kNoBrokerEpoch);
  EXPECT_EQ(fence.Check(Stamp(4, 10)).error().code, v1::BROKER_NOT_READY);
}

TEST(RequestRouter, ControlAndReplicationNeedTheirOwnConnections) {
  ConnectionInfo client{.roles = {.client = true, .inter_broker = false}};
  EXPECT_FALSE(RefusalFor(v1::Request::kProduce, client));
  EXPECT_EQ(RefusalFor(v1::Request::kLeaderAndIsr, client)->code, v1::LISTENER_FORBIDDEN);
  EXPECT_EQ(RefusalFor(v1::Request::kReplicaProgress, client)->code, v1::LISTENER_FORBIDDEN);
  ConnectionInfo inside{.roles = {.client = true, .inter_broker = true}};
  EXPECT_TRUE(RefusalFor(v1::Request::kAlterPartition, inside));
  inside.purpose = v1::CONNECTION_PURPOSE_CONTROL;
  EXPECT_FALSE(RefusalFor(v1::Request::kAlterPartition, inside));
  EXPECT_TRUE(RefusalFor(v1::Request::kReplicaProgress, inside));
}

TEST(RequestRouter, ToldApisAreThoseServed) {
  const auto outside = ApisServed({.client = true, .inter_broker = false});
  EXPECT_EQ(std::ranges::count(outside, static_cast<uint32_t>(v1::Request::kLeaderAndIsr)), 0);
  const auto both = ApisServed({});
  EXPECT_EQ(std::ranges::count(both, static_cast<uint32_t>(v1::Request::kLeaderAndIsr)), 1);
  for (const uint32_t api : both) EXPECT_FALSE(RequestMetrics::NameOf(api).empty()) << api;
}

}  // namespace
}  // namespace tidemark
