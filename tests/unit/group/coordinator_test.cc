// The coordinator between its log, its clock and the cluster's topics: what it does when one of them fails
// it.
#include <glog/logging.h>
#include <gmock/gmock.h>

#include "tests/unit/group/coordinator_bench.h"

namespace tidemark {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

size_t PartitionsOf(const v1::GroupPartitions& assignment) {
  size_t count = 0;
  for (const auto& topic : assignment.topics()) count += static_cast<size_t>(topic.partitions_size());
  return count;
}

TEST(Coordinator, NobodyIsFencedForTheTimeInWhichNobodyWasServed) {
  CoordinatorBench bench;
  bench.Lead();
  ASSERT_TRUE(bench.Beat(bench.JoinRequest("a")));
  bench.Restart();
  bench.SetTopics(0);  // the controller's metadata come late
  bench.Lead();
  for (int i = 0; i < 30; ++i) {
    bench.loop().Advance(1s);
    EXPECT_EQ(bench.Beat(bench.JoinRequest("a")).error().code, v1::COORDINATOR_LOAD_IN_PROGRESS);
  }
  bench.SetTopics(4);
  bench.loop().Advance(9s);
  EXPECT_THAT(bench.Describe().members(), SizeIs(1)) << "its session of 10 s begins with being served";
  bench.loop().Advance(3s);
  EXPECT_THAT(bench.Describe().members(), IsEmpty());
}

TEST(Coordinator, OneThatLedInAnEarlierEpochThanTheAskerKnowsServesNothing) {
  CoordinatorBench bench;
  bench.Lead();
  bench.Lead();
  auto join = bench.JoinRequest("a");
  join.set_coordinator_epoch(3);
  EXPECT_EQ(bench.Beat(join).error().code, v1::NOT_COORDINATOR);
  v1::OffsetCommitRequest commit;
  commit.set_group_id("g");
  commit.set_member_epoch(-1);
  commit.set_coordinator_epoch(3);
  commit.add_topics()->set_topic_id(bench.orders().ToBytes());
  commit.mutable_topics(0)->add_partitions();
  const auto committed = [&] {
    return bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline));
  };
  EXPECT_EQ(committed().error().code, v1::NOT_COORDINATOR);
  v1::OffsetFetchRequest::Group fetch;
  fetch.set_group_id("g");
  fetch.set_coordinator_epoch(3);
  const auto fetched = [&] {
    return bench.loop().Run(bench.groups().Fetch(CoordinatorBench::kKey, fetch, kNoDeadline));
  };
  EXPECT_EQ(fetched().error().code, v1::NOT_COORDINATOR);
  // Its own epoch, or one before it, will do.
  commit.set_coordinator_epoch(2);
  EXPECT_TRUE(committed());
  fetch.set_coordinator_epoch(1);
  EXPECT_TRUE(fetched());
  join.set_coordinator_epoch(2);
  EXPECT_TRUE(bench.Beat(join));
}

TEST(Coordinator, WhatANewOneCouldNotWriteItWritesLater) {
  CoordinatorBench bench;
  bench.Lead();
  const auto joined = bench.Beat(bench.JoinRequest("a"));
  ASSERT_TRUE(joined);
  v1::ConsumerGroupHeartbeatRequest beat;
  beat.set_group_id("g");
  beat.set_member_id("a");
  beat.set_member_epoch(joined->member_epoch());
  // Partitions are added while the groups are being read back, which takes long.
  bench.Lead(/*follower_in_sync=*/true);
  bench.loop().Advance(1s);
  v1::OffsetCommitRequest commit;
  commit.set_group_id("another");
  commit.set_member_epoch(-1);
  commit.add_topics()->set_topic_id(bench.orders().ToBytes());
  commit.mutable_topics(0)->add_partitions();
  EXPECT_EQ(bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline)).error().code,
            v1::REQUEST_TIMED_OUT);
  bench.Lead(/*follower_in_sync=*/true);
  bench.SetTopics(6);
  bench.loop().Advance(2s);
  EXPECT_EQ(bench.Beat(beat).error().code, v1::COORDINATOR_LOAD_IN_PROGRESS);
  // And then the new assignment cannot be written.
  bench.log().full = true;
  bench.Lead();
  bench.loop().Advance(3s);
  ASSERT_TRUE(bench.Beat(beat)) << "what needs no write is served";
  bench.log().full = false;
  bench.loop().Advance(3s);
  const auto told = bench.Beat(beat);
  ASSERT_TRUE(told);
  EXPECT_EQ(PartitionsOf(told->assignment()), 6u);
}

// Commits offset 5 of orders-0 for the group "g", which has no members.
void CommitFive(CoordinatorBench& bench) {
  v1::OffsetCommitRequest commit;
  commit.set_group_id("g");
  commit.set_member_epoch(-1);
  commit.add_topics()->set_topic_id(bench.orders().ToBytes());
  commit.mutable_topics(0)->add_partitions()->set_offset(5);
  const auto answer = bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline));
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->topics(0).partitions(0).error().code(), v1::NONE);
}

TEST(Coordinator, RemovesTheOffsetsOfATopicThatItSeesDeleted) {
  CoordinatorBench bench;
  bench.Lead();
  CommitFive(bench);
  bench.SetMinInsync(2);  // at first it cannot be recorded
  bench.DropTopics();
  bench.loop().Advance(3s);
  EXPECT_THAT(bench.Describe().error().code(), v1::NONE);
  bench.SetMinInsync(1);
  bench.loop().Advance(3s);
  EXPECT_THAT(bench.Describe().error().code(), v1::GROUP_ID_NOT_FOUND);
  bench.Restart();
  bench.SetTopics(4);
  bench.Lead();
  bench.loop().Advance(1s);
  EXPECT_THAT(bench.Describe().error().code(), v1::GROUP_ID_NOT_FOUND) << "the log says so too";
}

TEST(Coordinator, KeepsTheOffsetsOfATopicThatItHasNotHeardOfYet) {
  CoordinatorBench bench;
  bench.Lead();
  CommitFive(bench);
  bench.Restart();
  bench.DropTopics();  // the broker is behind
  bench.Lead();
  bench.loop().Advance(3s);
  bench.SetTopics(4);
  bench.loop().Advance(3s);
  const auto group = bench.Describe();
  ASSERT_THAT(group.offsets(), SizeIs(1));
  EXPECT_EQ(group.offsets(0).partitions(0).offset(), 5u);
}

TEST(Coordinator, ThatAGroupIsGoneIsToldWhenItsDeletionIsCommitted) {
  CoordinatorBench bench;
  bench.Lead();
  v1::OffsetCommitRequest commit;
  commit.set_group_id("g");
  commit.set_member_epoch(-1);
  commit.add_topics()->set_topic_id(bench.orders().ToBytes());
  commit.mutable_topics(0)->add_partitions();
  ASSERT_TRUE(bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline)));
  bench.Lead(/*follower_in_sync=*/true);
  bench.loop().Advance(1s);
  EXPECT_EQ(bench.loop().Run(bench.groups().Delete(CoordinatorBench::kKey, "g", kNoDeadline)).error().code,
            v1::REQUEST_TIMED_OUT);
  // Another leader may not have the deletion, and tell the offsets again.
  v1::OffsetFetchRequest::Group fetch;
  fetch.set_group_id("g");
  const auto told = bench.loop().Run(bench.groups().Fetch(CoordinatorBench::kKey, fetch, kNoDeadline));
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, v1::REQUEST_TIMED_OUT);
  EXPECT_EQ(bench.Describe().error().code(), v1::REQUEST_TIMED_OUT);
  bench.Lead();
  bench.loop().Advance(1s);
  const auto gone = bench.Describe().error();
  EXPECT_EQ(gone.code(), v1::GROUP_ID_NOT_FOUND) << gone.message();
}

TEST(Coordinator, MembersWhoseRecordsContradictEachOtherAreFencedBeforeAnybodyIsServed) {
  CoordinatorBench bench;
  bench.Lead();
  ASSERT_TRUE(bench.Beat(bench.JoinRequest("a")));
  GroupRecord info{.kind = GroupRecordKind::kMember, .group = "g", .member = "b"};
  info.value.emplace<v1::GroupMemberValue>().set_session_timeout_ms(10'000);
  GroupRecord held{.kind = GroupRecordKind::kCurrent, .group = "g", .member = "b"};
  auto& value = held.value.emplace<v1::CurrentAssignmentValue>();
  value.set_member_epoch(9);
  FillHeld({{{bench.orders(), 0}, 9}}, value.mutable_assigned());
  bench.Append({info, held});
  bench.Restart();
  bench.SetMinInsync(2);
  bench.Lead();
  bench.loop().Advance(5s);
  EXPECT_EQ(bench.Beat(bench.JoinRequest("c")).error().code, v1::COORDINATOR_LOAD_IN_PROGRESS);
  bench.SetMinInsync(1);
  bench.loop().Advance(5s);
  // b was given partition 0 last, so it is a that goes; now anybody may change anything.
  ASSERT_TRUE(bench.Beat(bench.JoinRequest("c")));
  ASSERT_TRUE(bench.Beat(bench.JoinRequest("a")));
  EXPECT_THAT(bench.Describe().members(), SizeIs(3));
}

// What the broker's log says meanwhile.
class LogLines final : public google::LogSink {
 public:
  LogLines() { google::AddLogSink(this); }
  ~LogLines() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t length) override {
    const std::string line(message, length);
    if (line.find("rebalances, epoch") != std::string::npos) lines.push_back(line);
  }
  std::vector<std::string> lines;
};

TEST(Coordinator, WritesALineForEachRebalanceWithItsCauseAndCountsItByCause) {
  LogLines log;
  CoordinatorBench bench;
  bench.Lead();
  const auto joined = bench.Beat(bench.JoinRequest("a"));
  ASSERT_TRUE(joined);
  ASSERT_TRUE(bench.Beat(bench.JoinRequest("b")));
  bench.SetTopics(6);
  bench.loop().Advance(2s);
  v1::ConsumerGroupHeartbeatRequest leave;
  leave.set_group_id("g");
  leave.set_member_id("a");
  leave.set_member_epoch(-1);
  ASSERT_TRUE(bench.Beat(leave));
  bench.loop().Advance(30s);  // b is not heard of
  EXPECT_THAT(
      log.lines,
      ElementsAre(
          AllOf(StartsWith("group 'g' rebalances, epoch "),
                HasSubstr(": member_joined: member 'a' (client at host) joined; it has 1 members")),
          HasSubstr(": member_joined: member 'b' (client at host) joined; it has 2 members"),
          HasSubstr(": topics_changed: topic 'orders' has 6 partitions instead of 4; it has 2 members"),
          HasSubstr(": member_left: member 'a' (client at host) left; it has 1 members"),
          HasSubstr(": session_timeout: member 'b' (client at host) was not heard of for 10000 ms; it "
                    "has 0 members")));
  const auto& counted = bench.groups().counters().rebalances;
  EXPECT_EQ(counted[v1::REBALANCE_CAUSE_MEMBER_JOINED], 2u);
  EXPECT_EQ(counted[v1::REBALANCE_CAUSE_TOPICS_CHANGED], 1u);
  EXPECT_EQ(counted[v1::REBALANCE_CAUSE_MEMBER_LEFT], 1u);
  EXPECT_EQ(counted[v1::REBALANCE_CAUSE_SESSION_TIMEOUT], 1u);
  EXPECT_EQ(bench.groups().counters().fenced_members, 1u);
}

TEST(Coordinator, AHeartbeatThatChangesNothingIsNoLineOfTheLog) {
  CoordinatorBench bench;
  bench.Lead();
  const auto joined = bench.Beat(bench.JoinRequest("a"));
  ASSERT_TRUE(joined);
  LogLines log;
  v1::ConsumerGroupHeartbeatRequest beat;
  beat.set_group_id("g");
  beat.set_member_id("a");
  beat.set_member_epoch(joined->member_epoch());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(bench.Beat(beat));
  EXPECT_THAT(log.lines, IsEmpty());
}

// Who has made a topic, and was told that every broker shows it, commits for it at once.
TEST(Coordinator, KnowsAtOnceOfTheTopicThatACommitNames) {
  CoordinatorBench bench;
  bench.SetTopics(1);
  bench.Lead();
  const auto commit = [&](PartitionIndex partition) {
    v1::OffsetCommitRequest request;
    request.set_group_id("g");
    request.set_member_epoch(-1);
    auto& topic = *request.add_topics();
    topic.set_topic_id(bench.orders().ToBytes());
    topic.add_partitions()->set_partition(partition);
    const auto answer = bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, request, kNoDeadline));
    return answer ? answer->topics(0).partitions(0).error().code() : answer.error().code;
  };
  ASSERT_EQ(commit(0), v1::NONE);
  EXPECT_EQ(commit(1), v1::UNKNOWN_TOPIC_OR_PARTITION);
  bench.SetTopics(2);
  EXPECT_EQ(commit(1), v1::NONE);
  bench.DropTopics();
  EXPECT_EQ(commit(2), v1::UNKNOWN_TOPIC_ID) << "of what is not there nothing else is read";
}

}  // namespace
}  // namespace tidemark
