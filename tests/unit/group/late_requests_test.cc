// What was left behind in a broken connection and is read after newer requests of the same member: it is told
// from them by its serial, and changes nothing.
#include <gtest/gtest.h>

#include "tests/unit/group/coordinator_bench.h"
#include "tests/unit/group/group_bench.h"

namespace tidemark {
namespace {

class LateRequests : public testing::Test {
 protected:
  LateRequests() : orders_(bench_.AddTopic("orders", 4)) {}

  // Heartbeats; `epoch`: a member's, or one that joins or leaves.
  v1::ConsumerGroupHeartbeatRequest At(uint64_t serial, const std::string& member, int32_t epoch) {
    auto request = epoch == 0 ? bench_.JoinRequest(member, {"orders"}) : v1::ConsumerGroupHeartbeatRequest();
    request.set_group_id("g");
    request.set_member_id(member);
    request.set_member_epoch(epoch);
    request.set_serial(serial);
    return request;
  }
  ErrorCode Beat(const v1::ConsumerGroupHeartbeatRequest& request) {
    const auto answer = bench_.Beat(request);
    if (answer && answer->member_epoch() > 0) epoch_ = answer->member_epoch();
    return answer ? v1::NONE : answer.error().code;
  }
  ErrorCode Beat(uint64_t serial, const std::string& member, int32_t epoch) {
    return Beat(At(serial, member, epoch));
  }
  ErrorCode Commit(uint64_t serial, const std::string& member, uint64_t offset) {
    v1::OffsetCommitRequest request;
    request.set_group_id("g");
    request.set_member_id(member);
    request.set_member_epoch(member.empty() ? -1 : epoch_);
    request.set_serial(serial);
    request.add_topics()->set_topic_id(orders_.ToBytes());
    request.mutable_topics(0)->add_partitions()->set_offset(offset);
    const auto answer = bench_.Commit(request);
    return answer ? answer->topics(0).partitions(0).error().code() : answer.error().code;
  }
  Offset Committed() { return bench_.group->offsets().at({orders_, 0}).offset; }

  GroupBench bench_;
  TopicId orders_;
  int32_t epoch_ = 0;  // as last told
};

TEST_F(LateRequests, ACommitUndoesNoNewerOneOfTheSameEpoch) {
  ASSERT_EQ(Beat(1, "a", 0), v1::NONE);
  EXPECT_EQ(Commit(3, "a", 200), v1::NONE);
  const size_t records = bench_.log.size();
  EXPECT_EQ(Commit(2, "a", 100), v1::STALE_REQUEST);
  EXPECT_EQ(Commit(3, "a", 100), v1::STALE_REQUEST) << "nor does the same one, read twice";
  EXPECT_EQ(Committed(), 200u);
  EXPECT_EQ(bench_.log.size(), records);
  EXPECT_EQ(Commit(4, "a", 150), v1::NONE) << "the member itself may go back";
  EXPECT_EQ(Commit(0, "a", 140), v1::NONE) << "a client that does not count is obeyed as ever";
  EXPECT_EQ(Commit(4, "a", 130), v1::STALE_REQUEST) << "and changes nothing about the others";
  EXPECT_EQ(Committed(), 140u);
}

TEST_F(LateRequests, AHeartbeatAndACommitThatOvertakeEachOtherAreBothObeyed) {
  ASSERT_EQ(Beat(1, "a", 0), v1::NONE);
  EXPECT_EQ(Beat(9, "a", epoch_), v1::NONE);
  EXPECT_EQ(Commit(8, "a", 100), v1::NONE);
  EXPECT_EQ(Commit(11, "a", 200), v1::NONE);
  EXPECT_EQ(Beat(10, "a", epoch_), v1::NONE);
}

TEST_F(LateRequests, EachMemberHasItsOwnCount) {
  ASSERT_EQ(Beat(100, "a", 0), v1::NONE);
  EXPECT_EQ(Beat(1, "b", 0), v1::NONE);
  EXPECT_EQ(Beat(2, "b", epoch_), v1::NONE);
}

TEST_F(LateRequests, AHeartbeatBringsNoFormerSubscriptionBackAndKeepsNobodyAlive) {
  bench_.AddTopic("events", 2);
  ASSERT_EQ(Beat(1, "a", 0), v1::NONE);
  auto older = At(2, "a", epoch_), newer = At(3, "a", epoch_);
  older.mutable_subscription()->add_topics("orders");
  older.mutable_subscription()->add_topics("events");
  newer.mutable_subscription()->add_topics("events");
  ASSERT_EQ(Beat(newer), v1::NONE);
  const std::string before = bench_.Text(*bench_.group);
  bench_.Pass(30s);
  EXPECT_EQ(Beat(older), v1::STALE_REQUEST);
  EXPECT_EQ(bench_.Text(*bench_.group), before);
  bench_.Pass(30s);
  EXPECT_TRUE(bench_.group->members().empty()) << "its session of 45 s was not begun anew";
}

TEST_F(LateRequests, ALeaveDoesNotTakeOutAMemberThatHasGoneOn) {
  ASSERT_EQ(Beat(1, "a", 0), v1::NONE);
  // It left, the answer did not come, and it joined again.
  ASSERT_EQ(Beat(3, "a", 0), v1::NONE);
  EXPECT_EQ(Beat(2, "a", kLeaveEpoch), v1::STALE_REQUEST);
  ASSERT_NE(bench_.group->Find("a"), nullptr);
  EXPECT_EQ(bench_.group->Find("a")->assigned.size(), 4u);
  // A static one does not go away either.
  auto joins = At(1, "s", 0), leaves = At(2, "s", kAwayEpoch);
  for (auto* request : {&joins, &leaves}) request->set_instance_id("instance");
  ASSERT_EQ(Beat(joins), v1::NONE);
  joins.set_serial(3);
  ASSERT_EQ(Beat(joins), v1::NONE);
  EXPECT_EQ(Beat(leaves), v1::STALE_REQUEST);
  EXPECT_FALSE(bench_.group->Find("s")->away());
}

TEST_F(LateRequests, AJoinDoesNotBeginAMemberThatRunsAnew) {
  ASSERT_EQ(Beat(2, "a", 0), v1::NONE);
  ASSERT_EQ(Beat(3, "a", epoch_), v1::NONE);
  const int32_t before = epoch_;
  EXPECT_EQ(Beat(1, "a", 0), v1::STALE_REQUEST);
  EXPECT_EQ(bench_.group->Find("a")->epoch, before);
}

TEST_F(LateRequests, AreToldAlsoFromNewerOnesThatCouldNotBeRecorded) {
  ASSERT_EQ(Beat(1, "a", 0), v1::NONE);
  ASSERT_EQ(Commit(4, "a", 200), v1::NONE);
  {
    GroupChange change(*bench_.group);
    ASSERT_TRUE(Heartbeat(At(5, "a", kLeaveEpoch), {}, bench_.Scene(), change));
    change.Rollback();
    StartGroupTimers(*bench_.group, bench_.now);
  }
  EXPECT_EQ(Beat(3, "a", epoch_), v1::STALE_REQUEST);
  EXPECT_EQ(Commit(2, "a", 100), v1::STALE_REQUEST);
  EXPECT_EQ(Beat(6, "a", epoch_), v1::NONE);
}

TEST_F(LateRequests, OfWhoHasNoMembershipAreNotKnown) {
  EXPECT_EQ(Commit(2, "", 200), v1::NONE);
  EXPECT_EQ(Commit(1, "", 100), v1::NONE);
  EXPECT_EQ(Committed(), 100u);
}

// What a coordinator has seen of serials it does not hand on, so what was sent to it is not for the next one:
// the broker that leads again may have it in a connection still.
TEST(LateRequestsOverEpochs, AreNotObeyedByALaterCoordinator) {
  CoordinatorBench bench;
  bench.Lead();
  auto join = bench.JoinRequest("a");
  join.set_coordinator_epoch(1);
  join.set_serial(1);
  const auto joined = bench.Beat(join);
  ASSERT_TRUE(joined);
  const auto commit = [&](uint64_t serial, std::optional<LeaderEpoch> sent_to, uint64_t offset) {
    v1::OffsetCommitRequest request;
    request.set_group_id("g");
    request.set_member_id("a");
    request.set_member_epoch(joined->member_epoch());
    request.set_serial(serial);
    if (sent_to) request.set_coordinator_epoch(*sent_to);
    request.add_topics()->set_topic_id(bench.orders().ToBytes());
    request.mutable_topics(0)->add_partitions()->set_offset(offset);
    const auto answer = bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, request, kNoDeadline));
    return answer ? answer->topics(0).partitions(0).error().code() : answer.error().code;
  };
  EXPECT_EQ(commit(4, 1, 200), v1::NONE);
  bench.Lead();
  bench.loop().Advance(1s);
  EXPECT_EQ(commit(3, 1, 100), v1::NOT_COORDINATOR);
  v1::ConsumerGroupHeartbeatRequest leave;
  leave.set_group_id("g");
  leave.set_member_id("a");
  leave.set_member_epoch(kLeaveEpoch);
  leave.set_serial(2);
  leave.set_coordinator_epoch(1);
  EXPECT_EQ(bench.Beat(leave).error().code, v1::NOT_COORDINATOR);
  EXPECT_EQ(bench.Describe().offsets(0).partitions(0).offset(), 200u);
  EXPECT_EQ(commit(5, 2, 201), v1::NONE);
  EXPECT_EQ(commit(6, std::nullopt, 202), v1::NONE) << "who names no epoch asks for any";
  EXPECT_EQ(commit(0, 1, 203), v1::NONE) << "and who does not count is obeyed as ever";
  // A commit that cannot be recorded has been seen, too.
  bench.SetMinInsync(2);
  EXPECT_EQ(commit(9, 2, 300), v1::COORDINATOR_NOT_AVAILABLE);
  bench.SetMinInsync(1);
  EXPECT_EQ(commit(8, 2, 250), v1::STALE_REQUEST);
  EXPECT_EQ(commit(10, 2, 300), v1::NONE);
}

}  // namespace
}  // namespace tidemark
