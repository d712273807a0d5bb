// How far a move between log directories is.
#include "tools/log_dir_moves.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using State = LogDirMove::State;

void Add(v1::DescribeLogDirsResponse* response, const std::string& path, uint32_t partition, uint64_t bytes,
         bool future) {
  auto* directory = response->add_log_dirs();
  directory->set_path(path);
  auto* replica = directory->add_replicas();
  replica->set_topic_id("id");
  replica->set_partition(partition);
  replica->set_size_bytes(bytes);
  replica->set_is_future(future);
}

TEST(LogDirMove, IsCopyingWhileTheFutureReplicaIsThere) {
  v1::DescribeLogDirsResponse response;
  Add(&response, "/a", 3, 100, false);
  Add(&response, "/b", 3, 40, true);
  const LogDirMove move = JudgeMove(response, "id", 3, "/b/");
  EXPECT_EQ(move.state, State::kCopying);
  EXPECT_EQ(move.copied_bytes, 40u);
  EXPECT_EQ(move.all_bytes, 100u);
}

TEST(LogDirMove, HasArrivedWhenTheReplicaServesFromThere) {
  v1::DescribeLogDirsResponse response;
  Add(&response, "/b", 3, 100, false);
  EXPECT_EQ(JudgeMove(response, "id", 3, "/b").state, State::kArrived);
}

TEST(LogDirMove, IsNotThereWhenNothingIsCopied) {
  v1::DescribeLogDirsResponse response;
  Add(&response, "/a", 3, 100, false);
  EXPECT_EQ(JudgeMove(response, "id", 3, "/b").state, State::kNotThere);
  Add(&response, "/c", 3, 40, true);
  EXPECT_EQ(JudgeMove(response, "id", 3, "/b").state, State::kNotThere) << "that is somebody else's move";
}

TEST(LogDirMove, ToWhereItIsSaysSoAndWhetherAnotherMoveIsCalledOff) {
  v1::DescribeLogDirsResponse response;
  Add(&response, "/a", 3, 100, false);
  const LogDirMove there = JudgeMove(response, "id", 3, "/a");
  EXPECT_FALSE(there.leaving);
  EXPECT_EQ(MoveText(there, "mv-3", 1, "/a"), "mv-3 is in /a of broker 1 already.");
  EXPECT_TRUE(MoveText(JudgeMove(response, "id", 3, "/b"), "mv-3", 1, "/b").starts_with("Moving mv-3"));
  Add(&response, "/b", 3, 40, true);
  const LogDirMove leaving = JudgeMove(response, "id", 3, "/a");
  EXPECT_EQ(leaving.state, State::kArrived);
  EXPECT_TRUE(leaving.leaving);
  EXPECT_EQ(MoveText(leaving, "mv-3", 1, "/a"), "Called off the move of mv-3 on broker 1: it stays in /a.");
}

TEST(LogDirMove, AReplicaIsNamedByTopicAndPartition) {
  EXPECT_EQ(*ParseReplica("a-b-3"), (std::pair<std::string, PartitionIndex>("a-b", 3)));
  for (const char* wrong : {"mv", "mv-", "mv-x", "-3", "mv-3x", "mv-99999999999", ""})
    EXPECT_FALSE(ParseReplica(wrong)) << wrong;
}

TEST(LogDirMove, OtherReplicasDoNotCount) {
  v1::DescribeLogDirsResponse response;
  Add(&response, "/b", 4, 100, false);
  EXPECT_EQ(JudgeMove(response, "id", 3, "/b").state, State::kGone);
  EXPECT_EQ(JudgeMove(response, "other", 4, "/b").state, State::kGone);
}

TEST(LogDirMove, ADirectoryThatIsOutOfServiceSaysWhy) {
  v1::DescribeLogDirsResponse response;
  Add(&response, "/a", 3, 100, false);
  auto* bad = response.add_log_dirs();
  bad->set_path("/b");
  bad->mutable_error()->set_message("no such device");
  const LogDirMove move = JudgeMove(response, "id", 3, "/b");
  EXPECT_EQ(move.state, State::kOffline);
  EXPECT_EQ(move.why, "no such device");
}

TEST(MoveWatch, WaitsForABrokerThatStartsAgain) {
  for (const ErrorCode code : {v1::BROKER_NOT_READY, v1::NETWORK_EXCEPTION, v1::BROKER_NOT_AVAILABLE}) {
    MoveWatch watch(1, "/b");
    EXPECT_FALSE(watch.Saw({.state = State::kCopying}));
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(watch.Missed({code, "down"}));
    // Its log is not open yet, and then the copy is looked for.
    for (int i = 0; i < 20; ++i) EXPECT_FALSE(watch.Saw({.state = State::kGone}));
    for (int i = 0; i < 20; ++i) EXPECT_FALSE(watch.Saw({.state = State::kNotThere}));
    EXPECT_FALSE(watch.Saw({.state = State::kCopying}));
    const auto outcome = watch.Saw({.state = State::kArrived});
    ASSERT_TRUE(outcome);
    EXPECT_TRUE(*outcome);
  }
}

TEST(MoveWatch, EndsWhenNothingComesOfIt) {
  const auto looks_until = [](MoveWatch watch, State state, ErrorCode expected) {
    int looks = 1;
    for (;; ++looks) {
      const auto outcome = watch.Saw({.state = state});
      if (!outcome && looks < 1000) continue;
      EXPECT_TRUE(outcome && !*outcome && outcome->error().code == expected);
      return looks;
    }
  };
  EXPECT_EQ(looks_until({1, "/b"}, State::kNotThere, v1::UNKNOWN_SERVER_ERROR), 10);
  EXPECT_EQ(looks_until({1, "/b"}, State::kGone, v1::NOT_FOUND), 1);
  EXPECT_EQ(looks_until({1, "/b"}, State::kOffline, v1::KAFKA_STORAGE_ERROR), 1);
  MoveWatch restarted(1, "/b");
  EXPECT_FALSE(restarted.Missed({v1::BROKER_NOT_READY, ""}));
  EXPECT_EQ(looks_until(restarted, State::kGone, v1::NOT_FOUND), 120);
  const auto refused = restarted.Missed({v1::UNSUPPORTED_VERSION, "no"});
  ASSERT_TRUE(refused && !*refused);
  EXPECT_EQ(refused->error().code, v1::UNSUPPORTED_VERSION);
}

}  // namespace
}  // namespace tidemark
