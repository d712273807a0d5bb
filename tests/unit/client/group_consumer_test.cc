#include "client/group_consumer.h"

#include <random>

#include "client/list_offsets.h"
#include "tests/unit/client/group_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using Kind = StartPosition::Kind;

TEST_F(GroupConsumerTest, AloneItReadsEverythingAndCommitsInTheBackground) {
  for (PartitionIndex p = 0; p < kPartitions; ++p)
    Append(p, {"a" + std::to_string(p), "b" + std::to_string(p)});
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.given.size() == 12; }));
  EXPECT_EQ(member.consumer->assignment().size(), 6u);
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 5) == 2u; }, 3s));
  for (PartitionIndex p = 0; p < kPartitions; ++p) EXPECT_EQ(coordinator_->Committed("orders", p), 2u);
  const size_t commits = coordinator_->commits;
  env_.RunFor(10s);
  EXPECT_EQ(coordinator_->commits, commits) << "where nothing moved nothing is committed";
}

TEST_F(GroupConsumerTest, ASecondMemberTakesOverHalfAndNothingIsGivenTwice) {
  for (PartitionIndex p = 0; p < kPartitions; ++p) Append(p, {"a" + std::to_string(p)});
  GroupApplication& first = Join();
  ASSERT_TRUE(Await([&] { return first.given.size() == 6; }));
  GroupApplication& second = Join();
  ASSERT_TRUE(Await([&] { return second.consumer->assignment().size() == 3; }));
  EXPECT_EQ(first.consumer->assignment().size(), 3u);
  for (PartitionIndex p = 0; p < kPartitions; ++p) Append(p, {"b" + std::to_string(p)});
  ASSERT_TRUE(Await([&] { return first.given.size() + second.given.size() == 12; }));
  env_.RunFor(5s);
  EXPECT_EQ(AllValues().size(), 12u);
  EXPECT_EQ(second.given.size(), 3u);
  EXPECT_THAT(first.listener.notes, Contains(HasSubstr("-orders-")).Times(3));
}

TEST_F(GroupConsumerTest, ACloseCommitsExactlyWhatWasGivenAndLeavesAtOnce) {
  GroupApplication& first = Join();
  GroupApplication& second = Join();
  ASSERT_TRUE(Await([&] { return second.consumer->assignment().size() == 3; }));
  for (PartitionIndex p = 0; p < kPartitions; ++p) Append(p, {"a" + std::to_string(p)});
  ASSERT_TRUE(Await([&] { return first.given.size() + second.given.size() == 6; }));
  EXPECT_TRUE(first.Close());
  EXPECT_EQ(coordinator_->members(), 1u);
  ASSERT_TRUE(Await([&] { return second.consumer->assignment().size() == 6; }, 4s))
      << "its next heartbeat tells it; no session has to time out";
  env_.RunFor(3s);
  EXPECT_EQ(AllValues().size(), 6u) << "nothing is read again";
}

TEST_F(GroupConsumerTest, AReleaseWaitsForTheListenerAndItsCommit) {
  ConsumerOptions options = Options();
  options.enable_auto_commit = false;
  GroupApplication& first = Join(options);
  for (PartitionIndex p = 0; p < kPartitions; ++p) Append(p, {"a"});
  ASSERT_TRUE(Await([&] { return first.given.size() == 6; }));
  first.listener.hold = true;
  Result<> committed = Fail(v1::CANCELLED, "not called");
  OffsetsToCommit offsets;
  first.listener.on_revoked = [&](const std::vector<TopicPartition>& partitions) {
    for (const TopicPartition& at : partitions) offsets[at] = {.offset = 1, .metadata = "by hand"};
    first.consumer->CommitAsync(offsets, [&](const Result<>& result) { committed = result; });
  };
  GroupApplication& second = Join(options);
  ASSERT_TRUE(Await([&] { return offsets.size() == 3; }));
  env_.RunFor(10s);
  EXPECT_THAT(second.consumer->assignment(), IsEmpty()) << "the listener has not returned";
  EXPECT_TRUE(committed.has_value());
  first.listener.hold = false;
  first.listener.release.NotifyAll();
  ASSERT_TRUE(Await([&] { return second.consumer->assignment().size() == 3; }, 3s));
  for (const auto& [at, what] : offsets) EXPECT_EQ(coordinator_->Committed("orders", at.partition), 1u);
  EXPECT_THAT(second.given, IsEmpty()) << "it begins where the first one committed";
  first.listener.on_revoked = nullptr;
}

TEST_F(GroupConsumerTest, OffsetsAreCommittedByHandInBothWays) {
  Append(0, {"a", "b", "c"});
  ConsumerOptions options = Options();
  options.enable_auto_commit = false;
  GroupApplication& member = Join(options, false);
  GroupConsumer& consumer = *member.consumer;
  while (member.Poll()->records.empty()) {
  }
  EXPECT_EQ(consumer.Position({"orders", 0}), 3u);
  env_.RunFor(20s);
  EXPECT_EQ(coordinator_->Committed("orders", 0), std::nullopt);
  EXPECT_TRUE(
      env_.Run(consumer.CommitSync({{{"orders", 0}, {.offset = 1, .leader_epoch = 1, .metadata = "x"}}})));
  EXPECT_EQ(coordinator_->Committed("orders", 0), 1u);
  const auto committed = env_.Run(consumer.Committed({{"orders", 0}, {"orders", 1}}));
  ASSERT_TRUE(committed);
  EXPECT_THAT(*committed,
              ElementsAre(std::pair(TopicPartition{"orders", 0},
                                    OffsetToCommit{.offset = 1, .leader_epoch = 1, .metadata = "x"})));
  std::vector<std::string> ended;
  consumer.CommitAsync([&](const Result<>& result) { ended.push_back(result ? "ok" : "failed"); });
  consumer.CommitAsync({{{"orders", 77}, {.offset = 1}}},
                       [&](const Result<>& result) { ended.push_back(ErrorName(result.error().code)); });
  ASSERT_TRUE(Await([&] { return ended.size() == 2; }));
  EXPECT_THAT(ended, UnorderedElementsAre("ok", "PARTITION_NOT_OWNED"));
  EXPECT_EQ(coordinator_->Committed("orders", 0), 3u);
  const auto times =
      env_.Run(consumer.OffsetsForTimes({{{"orders", 0}, 1}, {{"orders", 1}, kLatestTimestamp}}));
  EXPECT_EQ(times.at({"orders", 0}).value(), 1u);
  EXPECT_EQ(times.at({"orders", 1}).value(), 0u);
}

TEST_F(GroupConsumerTest, SeekPauseAndResumeActOnWhatIsHeld) {
  Append(0, {"a", "b", "c"});
  Append(1, {"x"});
  GroupApplication& member = Join(Options(), false);
  member.listener.on_assigned = [&](const std::vector<TopicPartition>&) {
    EXPECT_TRUE(member.consumer->Seek({"orders", 0}, {Kind::kOffset, 2}));
    EXPECT_TRUE(member.consumer->Pause({{"orders", 1}}));
  };
  std::vector<std::string> values;
  const auto drain = [&] {
    values.clear();
    for (int i = 0; i < 5; ++i) {
      const auto batch = member.Poll();
      for (const auto& record : batch->records) values.emplace_back(*record.view.value);
    }
  };
  drain();
  EXPECT_THAT(values, ElementsAre("c"));
  EXPECT_TRUE(member.consumer->Resume({{"orders", 1}}));
  EXPECT_TRUE(member.consumer->Seek({"orders", 0}, {Kind::kBeginning}));
  drain();
  EXPECT_THAT(values, UnorderedElementsAre("a", "b", "c", "x"));
  EXPECT_EQ(member.consumer->Seek({"orders", 9}, {Kind::kEnd}).error().code, v1::INVALID_REQUEST);
}

TEST_F(GroupConsumerTest, WithoutACommittedOffsetThePolicyDecides) {
  Append(0, {"old"});
  ConsumerOptions options = Options();
  options.auto_offset_reset = OffsetReset::kLatest;
  GroupApplication& latest = Join(options);
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 1u; }))
      << "where it began is committed too: what comes while nobody reads is not passed over";
  EXPECT_TRUE(latest.Close());
  Append(0, {"while nobody reads"});
  GroupApplication& again = Join(options);
  ASSERT_TRUE(Await([&] { return again.given.size() == 1; }));
  EXPECT_EQ(again.given[0].value, "while nobody reads");
  EXPECT_TRUE(again.Close());

  fakes_->AddTopic("orders", 1, 2);
  options.auto_offset_reset = OffsetReset::kNone;
  GroupApplication& none = Join(options);
  ASSERT_TRUE(Await([&] { return !none.errors.empty(); }));
  EXPECT_EQ(none.errors[0].code, v1::OFFSET_OUT_OF_RANGE);
  EXPECT_THAT(none.errors[0].message, HasSubstr("committed nothing for orders-0"));
  env_.RunFor(10s);
  EXPECT_EQ(none.errors.size(), 1u) << "told once";
  Append(0, {"x"});
  EXPECT_TRUE(none.consumer->Seek({"orders", 0}, {Kind::kBeginning}));
  EXPECT_TRUE(Await([&] { return none.given.size() == 1; })) << "a seek begins all the same";
}

TEST_F(GroupConsumerTest, APartitionAddedWhileItsTopicIsReadIsReadWhole) {
  Append(0, {"old"});
  ConsumerOptions options = Options();
  options.auto_offset_reset = OffsetReset::kLatest;
  GroupApplication& member = Join(options);
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 1u; }));
  FakePartition added;
  fakes_->topics["orders"].partitions.push_back(added);
  Append(kPartitions, {"before anybody knew of it"});
  ASSERT_TRUE(Await([&] { return !member.given.empty(); }));
  EXPECT_EQ(member.given[0].at, (TopicPartition{"orders", kPartitions}));
  EXPECT_EQ(member.given[0].value, "before anybody knew of it");
  EXPECT_THAT(member.values(), ElementsAre("before anybody knew of it"))
      << "and the others from where they were";
}

TEST_F(GroupConsumerTest, HeartbeatsGoOnWhileTheApplicationIsBusy) {
  Append(0, {"a"});
  coordinator_->options.session_timeout = 6s;
  ConsumerOptions options = Options();
  options.session_timeout = 6s;
  GroupApplication& member = Join(options, false);
  while (member.Poll()->records.empty()) {
  }
  const size_t before = coordinator_->heartbeats;
  env_.RunFor(120s);
  EXPECT_GE(coordinator_->heartbeats - before, 35u);
  EXPECT_EQ(coordinator_->members(), 1u);
  EXPECT_EQ(member.Poll()->records.size(), 0u);
  EXPECT_THAT(member.listener.notes, Contains(HasSubstr("!")).Times(0));
}

TEST_F(GroupConsumerTest, AMemberThatIsNotPolledLeavesAndComesBackWithItsNextPoll) {
  Append(0, {"a"});
  ConsumerOptions options = Options();
  options.max_poll_interval = 20s;
  GroupApplication& member = Join(options, false);
  while (member.Poll()->records.empty()) {
  }
  env_.RunFor(25s);
  EXPECT_EQ(coordinator_->members(), 0u);
  const Result<> refused = env_.Run(member.consumer->CommitSync({{{"orders", 0}, {.offset = 1}}}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::PARTITION_NOT_OWNED);
  EXPECT_THAT(refused.error().message, HasSubstr("max.poll.interval.ms=20000"));
  EXPECT_FALSE(env_.Run(member.consumer->CommitSync())) << "what was given last is not committed";
  while (member.Poll()->records.empty()) {
  }
  EXPECT_EQ(coordinator_->members(), 1u);
  EXPECT_THAT(member.listener.notes, Contains("!orders-0"));
  EXPECT_THAT(member.listener.last_loss.message, HasSubstr("max.poll.interval.ms"));
}

TEST_F(GroupConsumerTest, FollowsTheCoordinatorAndKeepsReadingMeanwhile) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 2) == 0u; }));
  coordinator_->broker = kNoBroker;
  Append(2, {"while there is none"});
  ASSERT_TRUE(Await([&] { return member.given.size() == 1; }));
  env_.RunFor(5s);
  ASSERT_TRUE(member.consumer->problem().has_value());
  EXPECT_EQ(member.consumer->problem()->code, v1::COORDINATOR_NOT_AVAILABLE);
  EXPECT_EQ(coordinator_->Committed("orders", 2), 0u);
  coordinator_->broker = 3;
  coordinator_->loading = true;
  env_.RunFor(5s);
  EXPECT_EQ(member.consumer->problem()->code, v1::COORDINATOR_LOAD_IN_PROGRESS);
  coordinator_->loading = false;
  EXPECT_TRUE(Await([&] { return coordinator_->Committed("orders", 2) == 1u; }));
  EXPECT_TRUE(Await([&] { return !member.consumer->problem(); }));
  EXPECT_THAT(member.listener.notes, Contains(HasSubstr("!")).Times(0));
}

TEST_F(GroupConsumerTest, NobodyStaysWithACoordinatorThatWasReplacedAndDoesNotKnowIt) {
  for (int i = 0; i < 4; ++i) Join();
  ASSERT_TRUE(Await([&] {
    const auto shares = coordinator_->Shares();
    return shares.size() == 4 && std::ranges::all_of(shares, [](const auto& s) { return s.second > 0; });
  }));
  env_.RunFor(10s);
  coordinator_->former = 1;
  coordinator_->broker = 2;
  ++coordinator_->epoch;
  EXPECT_TRUE(Await([&] { return coordinator_->confirmed_by_former > 4; })) << "it shows in nothing";
  for (PartitionIndex p = 0; p < kPartitions; ++p) Append(p, {"value" + std::to_string(p)});
  // Each learns it by its first commit; nobody is sent back after that.
  ASSERT_TRUE(Await([&] {
    for (PartitionIndex p = 0; p < kPartitions; ++p) {
      if (coordinator_->Committed("orders", p) != 1u) return false;
    }
    return true;
  }));
  coordinator_->confirmed_by_former = 0;
  env_.RunFor(30s);
  EXPECT_EQ(coordinator_->confirmed_by_former, 0u);
  EXPECT_EQ(coordinator_->members(), 4u) << "nobody was fenced for its silence";
  EXPECT_EQ(AllValues().size(), size_t{kPartitions}) << "each once";
}

// A member that joined at the one that took over, and whose connection to that breaks.
TEST_F(GroupConsumerTest, ACoordinatorOfAnEarlierEpochThanOneSeenTakesNothingAway) {
  coordinator_->epoch = 2;
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == kPartitions; }));
  coordinator_->former = 2;
  fakes_->Stop(1);
  env_.RunFor(5s);
  fakes_->Start(1);
  Append(0, {"a"});
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 1u; }));
  EXPECT_EQ(coordinator_->confirmed_by_former, 0u);
  EXPECT_THAT(member.listener.notes, Not(Contains(StartsWith("!"))));
}

TEST_F(GroupConsumerTest, AFencedMemberIsToldJoinsAgainAndGoesOnFromTheLastCommit) {
  ConsumerOptions options = Options();
  options.enable_auto_commit = false;
  Append(0, {"a", "b"});
  GroupApplication& member = Join(options);
  ASSERT_TRUE(Await([&] { return member.given.size() == 2; }));
  EXPECT_TRUE(env_.Run(member.consumer->CommitSync({{{"orders", 0}, {.offset = 1}}})));
  {
    GroupChange change(coordinator_->group());
    change.RemoveMember(member.consumer->member_id());
  }
  const Result<> refused = env_.Run(member.consumer->CommitSync({{{"orders", 0}, {.offset = 2}}}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::UNKNOWN_MEMBER_ID);
  ASSERT_TRUE(Await([&] { return member.given.size() == 3; }, 3s))
      << "it need not wait for its next heartbeat";
  EXPECT_EQ(member.given[2].value, "b");
  EXPECT_THAT(member.listener.notes, Contains("!orders-0").Times(1));
  EXPECT_EQ(member.listener.last_loss.code, v1::UNKNOWN_MEMBER_ID);
}

TEST_F(GroupConsumerTest, LostAnswersOfHeartbeatsAndCommitsDoNoHarm) {
  int count = 0;
  coordinator_->after = [&](const v1::Request&) -> std::optional<Error> {
    if (++count % 3 != 0) return std::nullopt;
    return Error{count % 2 == 0 ? v1::CANCELLED : v1::REQUEST_TIMED_OUT, "lost"};
  };
  ConsumerOptions options = Options();
  options.client.request_timeout = 2s;
  GroupApplication& first = Join(options);
  GroupApplication& second = Join(options);
  std::vector<std::string> wanted;
  for (int round = 0; round < 30; ++round) {
    for (PartitionIndex p = 0; p < kPartitions; ++p) {
      wanted.push_back(fmt::format("{}-{}", p, round));
      Append(p, {wanted.back()});
    }
    env_.RunFor(1s);
  }
  ASSERT_TRUE(Await([&] { return first.given.size() + second.given.size() >= wanted.size(); }));
  std::ranges::sort(wanted);
  EXPECT_EQ(AllValues(), wanted);
  EXPECT_EQ(first.consumer->assignment().size() + second.consumer->assignment().size(), 6u);
}

TEST_F(GroupConsumerTest, ACommitThatIsTriedAgainNeverUndoesANewerOne) {
  GroupApplication& member = Join(Options(), false);
  while (member.consumer->assignment().empty()) (void)member.Poll();
  int refused = 0;
  coordinator_->before = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_offset_commit() || ++refused > 5) return std::nullopt;
    return Error{v1::COORDINATOR_LOAD_IN_PROGRESS, "for a while"};
  };
  std::vector<int> ended;
  for (int i = 1; i <= 5; ++i) {
    member.consumer->CommitAsync({{{"orders", 0}, {.offset = static_cast<Offset>(i)}}},
                                 [&ended, i](const Result<>& result) { ended.push_back(result ? i : -i); });
    env_.RunFor(30ms);
  }
  ASSERT_TRUE(Await([&] { return ended.size() == 5; }));
  EXPECT_THAT(ended, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(coordinator_->Committed("orders", 0), 5u);
}

TEST_F(GroupConsumerTest, AStaticMemberKeepsItsShareOverARestartAndASecondOneWaits) {
  ConsumerOptions options = Options();
  options.group_instance_id = "one";
  GroupApplication& first = Join(options);
  GroupApplication& other = Join();
  ASSERT_TRUE(Await([&] { return other.consumer->assignment().size() == 3; }));
  const auto share = first.consumer->assignment();
  ASSERT_EQ(share.size(), 3u);
  GroupApplication& twin = Join(options);
  env_.RunFor(10s);
  ASSERT_TRUE(twin.consumer->problem());
  EXPECT_EQ(twin.consumer->problem()->code, v1::UNRELEASED_INSTANCE_ID);
  const auto notes = other.listener.notes;
  EXPECT_TRUE(first.Close());
  ASSERT_TRUE(Await([&] { return twin.consumer->assignment().size() == 3; }));
  EXPECT_EQ(twin.consumer->assignment(), share);
  EXPECT_EQ(other.listener.notes, notes) << "the other member is not disturbed";
}

TEST_F(GroupConsumerTest, WhatNoRetryMendsIsToldByEveryPollUntilTheNextSubscription) {
  coordinator_->options.max_size = 1;
  GroupApplication& first = Join();
  ASSERT_TRUE(Await([&] { return first.consumer->assignment().size() == 6; }));
  GroupApplication& second = Join(Options(), false);
  for (int i = 0; i < 2; ++i) {
    const auto refused = second.Poll(5s);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, v1::GROUP_MAX_SIZE_REACHED);
  }
  coordinator_->options.max_size = 2;
  second.Subscribe({"orders"});
  second.Start();
  EXPECT_TRUE(Await([&] { return second.consumer->assignment().size() == 3; }));
  EXPECT_EQ(second.consumer->SubscribePattern("(").has_value(), true);
  EXPECT_TRUE(Await([&] { return !second.errors.empty(); }));
  EXPECT_EQ(second.errors[0].code, v1::INVALID_REGULAR_EXPRESSION);
}

TEST_F(GroupConsumerTest, APatternReadsTopicsMadeLaterAndATopicMadeAnewIsReadFromItsBeginning) {
  GroupApplication& member = Join(Options());
  EXPECT_TRUE(member.consumer->SubscribePattern("ord.*|logs"));
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  fakes_->AddTopic("logs", 2, 9);
  Append(1, {"log line"}, "logs");
  ASSERT_TRUE(Await([&] { return member.given.size() == 1; }));
  EXPECT_EQ(member.given[0].at, (TopicPartition{"logs", 1}));
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("logs", 1) == 1u; }));
  fakes_->AddTopic("logs", 2, 10);
  Append(1, {"first of the new"}, "logs");
  ASSERT_TRUE(Await([&] { return member.given.size() == 2; }));
  EXPECT_EQ(member.given[1].value, "first of the new");
  EXPECT_THAT(member.errors, IsEmpty());
}

TEST_F(GroupConsumerTest, AProcessThatStoodStillGivesNothingBeforeItKnowsThatItIsStillAMember) {
  ConsumerOptions options = Options();
  options.session_timeout = 6s;
  options.enable_auto_commit = false;
  for (int i = 0; i < 3; ++i) Append(0, {"a" + std::to_string(i)});
  options.max_poll_records = 1;
  GroupApplication& member = Join(options, false);
  while (member.Poll()->records.empty()) {
  }
  env_.loop.StandStill(60s);
  // The coordinator fences it when it next hears of it. What was fetched ahead must not be given.
  std::vector<Offset> offsets;
  ASSERT_TRUE(Await([&] {
    const auto batch = member.Poll();
    EXPECT_TRUE(batch.has_value());
    for (const auto& record : batch->records) offsets.push_back(record.view.offset);
    return offsets.size() >= 3;
  }));
  EXPECT_THAT(offsets, ElementsAre(0, 1, 2)) << "from the last commit, as a new owner";
  EXPECT_THAT(member.listener.notes, Contains("!orders-0"));
}

TEST_F(GroupConsumerTest, ACloseWithoutACoordinatorEndsInItsTimeAndSaysWhatWasNotCommitted) {
  Append(0, {"a"});
  GroupApplication& member = Join(Options(), false);
  while (member.Poll()->records.empty()) {
  }
  coordinator_->broker = kNoBroker;
  const MonoTime begun = env_.loop.Now();
  const Result<> closed = member.Close(8s);
  ASSERT_FALSE(closed);
  EXPECT_LE(env_.loop.Now() - begun, 15s);
}

TEST_F(GroupConsumerTest, UnsubscribeLeavesAndSubscribeJoinsAgain) {
  Append(0, {"a"});
  GroupApplication& member = Join(Options(), false);
  while (member.Poll()->records.empty()) {
  }
  EXPECT_TRUE(env_.Run(member.consumer->Unsubscribe()));
  EXPECT_EQ(coordinator_->members(), 0u);
  EXPECT_EQ(coordinator_->Committed("orders", 0), 1u);
  EXPECT_THAT(member.consumer->assignment(), IsEmpty());
  member.Subscribe({"orders"});
  while (member.consumer->assignment().empty()) (void)member.Poll();
  EXPECT_EQ(coordinator_->members(), 1u);
}

// Members come, go, die and dawdle while records are written and the coordinator moves.
TEST_F(GroupConsumerTest, NothingIsSkippedWhateverHappensToMembersAndCoordinator) {
  for (const uint64_t seed : {1, 2}) {
    Begin(12);
    std::mt19937_64 random(seed);
    ConsumerOptions options = Options();
    options.session_timeout = 6s;
    options.max_poll_interval = 15s;
    options.max_poll_records = 3;
    coordinator_->options.session_timeout = 6s;
    std::set<std::string> written;
    std::set<std::string> read;
    const auto collect = [&] {
      for (auto& member : members_) {
        for (const auto& one : member->given) read.insert(one.value);
      }
    };
    for (int step = 0; step < 150; ++step) {
      for (int i = 0; i < 4; ++i) {
        const auto p = static_cast<PartitionIndex>(random() % 12);
        const std::string value = fmt::format("{}-{}-{}", p, step, i);
        Append(p, {value, value + "'"});
        written.insert({value, value + "'"});
      }
      switch (random() % 12) {
        case 0:
          if (members_.size() < 6) Join(options, false).Start(std::chrono::milliseconds(random() % 300));
          break;
        case 1:
        case 2:
          if (members_.size() > 1) {
            auto& leaving = members_[random() % members_.size()];
            collect();
            random() % 2 == 0 ? leaving->Die() : (void)leaving->Close(5s);
            members_.erase(members_.begin() + (&leaving - members_.data()));
          }
          break;
        case 3:
          coordinator_->broker = static_cast<BrokerId>(random() % 3 + 1);
          break;
        case 4:
          env_.loop.StandStill(std::chrono::milliseconds(random() % 9000));
          break;
        default:
          break;
      }
      env_.RunFor(std::chrono::milliseconds(random() % 1500));
    }
    if (members_.empty()) Join(options);
    ASSERT_TRUE(Await([&] {
      collect();
      return read == written;
    })) << "seed "
        << seed << ": " << read.size() << " of " << written.size() << " records were given";
    ASSERT_TRUE(Await([&] {
      size_t held = 0, least = 12, most = 0;
      for (auto& member : members_) {
        const size_t share = member->consumer->assignment().size();
        held += share;
        least = std::min(least, share);
        most = std::max(most, share);
      }
      return held == 12 && most - least <= 1;
    })) << "seed "
        << seed;
    for (auto& member : members_) EXPECT_THAT(member->errors, IsEmpty()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace tidemark::testing
