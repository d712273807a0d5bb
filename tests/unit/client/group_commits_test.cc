// What group consumers commit, and what they tell their listener, when seeks, losses, hand-overs and commits
// that are still under way meet.
#include "tests/unit/client/group_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Kind = StartPosition::Kind;

class GroupCommitsTest : public GroupConsumerTest {
 protected:
  static ConsumerOptions ByHand() {
    ConsumerOptions options = Options();
    options.enable_auto_commit = false;
    return options;
  }
  // Refuses the first commits, as a coordinator does that loads its state.
  void RefuseCommits(int count) {
    coordinator_->before = [count](const v1::Request& request) mutable -> std::optional<Error> {
      if (!request.has_offset_commit() || count-- <= 0) return std::nullopt;
      return Error{v1::COORDINATOR_LOAD_IN_PROGRESS, "for a while"};
    };
  }
};

TEST_F(GroupCommitsTest, ASeekToABoundIsWhatIsCommittedAlsoBeforeTheNextPoll) {
  Append(0, {"a", "b", "c"});
  GroupApplication& member = Join(ByHand(), false);
  while (member.Poll()->records.empty()) {
  }
  ASSERT_TRUE(env_.Run(member.consumer->CommitSync()));
  EXPECT_EQ(coordinator_->Committed("orders", 0), 3u);
  ASSERT_TRUE(member.consumer->Seek({"orders", 0}, {Kind::kBeginning}));
  EXPECT_NE(member.consumer->Position({"orders", 0}), 3u) << "where that is, is being asked";
  env_.RunFor(1s);
  EXPECT_EQ(member.consumer->Position({"orders", 0}), 0u);
  ASSERT_TRUE(env_.Run(member.consumer->CommitSync()));
  EXPECT_EQ(coordinator_->Committed("orders", 0), 0u);
}

TEST_F(GroupCommitsTest, ATopicThatTheCoordinatorHasYetToHearOfIsCommittedWhenItHas) {
  Append(0, {"a", "b"});
  GroupApplication& member = Join(ByHand(), false);
  while (member.Poll()->records.empty()) {
  }
  // Its broker's metadata come late: commits are answered, and each partition is refused.
  int refused = 3;
  coordinator_->answer = [&](const v1::Request& request) -> std::optional<v1::Response> {
    if (!request.has_offset_commit() || refused-- <= 0) return std::nullopt;
    v1::Response response;
    for (const auto& topic : request.offset_commit().topics()) {
      auto* told = response.mutable_offset_commit()->add_topics();
      told->set_topic_id(topic.topic_id());
      for (const auto& partition : topic.partitions()) {
        told->add_partitions()->set_partition(partition.partition());
        ToProto({v1::UNKNOWN_TOPIC_ID, ""}, told->mutable_partitions()->rbegin()->mutable_error());
      }
    }
    return response;
  };
  ASSERT_TRUE(env_.Run(member.consumer->CommitSync()));
  EXPECT_EQ(coordinator_->Committed("orders", 0), 2u);
  // Where it lasts it is told in a few seconds.
  Append(0, {"c"});
  while (member.Poll()->records.empty()) {
  }
  refused = 1'000'000;
  const MonoTime begun = env_.loop.Now();
  const auto failed = env_.Run(member.consumer->CommitSync());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, v1::UNKNOWN_TOPIC_ID);
  EXPECT_LT(env_.loop.Now() - begun, 10s);
  coordinator_->answer = nullptr;
}

TEST_F(GroupCommitsTest, AFormerLeaderIsNotAskedForWhatWasCommittedInALaterEpoch) {
  Append(0, {"a", "b"});
  fakes_->former[1] = fakes_->topics;
  FakePartition& partition = fakes_->topics["orders"].partitions[0];
  partition.leader = 2;
  partition.epoch = 2;
  Append(0, {"c"});
  Append(0, {"d"});
  coordinator_->Commit("orders", 0, 3, 2);
  int behind = 2;  // answers
  fakes_->on_metadata = [&](BrokerId, v1::MetadataResponse* told) {
    if (told->topics_size() == 0 || behind-- <= 0) return;
    told->mutable_topics(0)->mutable_partitions(0)->set_leader(1);
    told->mutable_topics(0)->mutable_partitions(0)->set_leader_epoch(1);
  };
  ConsumerOptions options = ByHand();
  options.auto_offset_reset = OffsetReset::kLatest;
  GroupApplication& member = Join(options);
  EXPECT_TRUE(Await([&] { return member.values() == std::vector<std::string>{"d"}; }));
  EXPECT_LE(behind, 0);
  for (const v1::Request& request : fakes_->requests) {
    if (!request.has_fetch()) continue;
    for (const auto& asked : request.fetch().topics(0).partitions()) {
      if (asked.partition() == 0) EXPECT_EQ(asked.leader_epoch(), 2u);
    }
  }
  fakes_->on_metadata = nullptr;
  ASSERT_TRUE(member.consumer->Seek({"orders", 0}, {Kind::kOffset, 2, LeaderEpoch{1}}));
  member.Stop();
  ASSERT_TRUE(env_.Run(member.consumer->CommitSync()));
  const auto committed = env_.Run(member.consumer->Committed({{"orders", 0}}));
  EXPECT_EQ(committed->at({"orders", 0}).leader_epoch, 1u)
      << "an epoch that came with a seek goes with its commit";
}

TEST_F(GroupCommitsTest, APositionThatWasSoughtBackIsCommittedAfterAHigherOneThatIsUnderWay) {
  Append(0, {"a", "b"});
  GroupApplication& member = Join(ByHand(), false);
  while (member.Poll()->records.empty()) {
  }
  ASSERT_TRUE(env_.Run(member.consumer->CommitSync()));
  Append(0, {"c", "d"});
  while (member.Poll()->records.empty()) {
  }
  RefuseCommits(3);
  member.consumer->CommitAsync();
  env_.RunFor(1ms);
  ASSERT_TRUE(member.consumer->Seek({"orders", 0}, {Kind::kOffset, 2}));
  ASSERT_TRUE(env_.Run(member.consumer->CommitSync()));
  env_.RunFor(5s);
  EXPECT_EQ(coordinator_->Committed("orders", 0), 2u);
}

TEST_F(GroupCommitsTest, ALossIsToldBeforeAnythingIsAssignedAgain) {
  GroupApplication& first = Join();
  ASSERT_TRUE(Await([&] { return first.consumer->assignment().size() == 6; }));
  first.listener.hold = true;
  first.listener.notes.clear();
  Join();
  ASSERT_TRUE(Await([&] { return first.listener.notes.size() == 3; })) << "three are asked back";
  {
    GroupChange change(coordinator_->group());
    change.RemoveMember(first.consumer->member_id());
  }
  env_.RunFor(10s);
  first.listener.hold = false;
  first.listener.notes.clear();
  first.listener.release.NotifyAll();
  ASSERT_TRUE(Await([&] { return first.consumer->assignment().size() == 3; }));
  ASSERT_THAT(first.listener.notes, SizeIs(9));
  EXPECT_THAT(first.listener.notes.front(), StartsWith("!"));
  EXPECT_THAT(first.listener.notes.back(), StartsWith("+"));
}

TEST_F(GroupCommitsTest, WhatTheListenerCommitsInTheBackgroundIsCommittedBeforeTheRelease) {
  GroupApplication& first = Join(ByHand());
  for (PartitionIndex p = 0; p < kPartitions; ++p) Append(p, {"a"});
  ASSERT_TRUE(Await([&] { return first.given.size() == 6; }));
  std::optional<Result<>> committed;
  first.listener.on_revoked = [&](const std::vector<TopicPartition>&) {
    first.consumer->CommitAsync([&](const Result<>& result) { committed = result; });
  };
  RefuseCommits(2);
  GroupApplication& second = Join(ByHand());
  ASSERT_TRUE(Await([&] { return second.consumer->assignment().size() == 3; }));
  ASSERT_TRUE(committed);
  EXPECT_TRUE(committed->has_value()) << ToString(committed->error());
  env_.RunFor(2s);
  EXPECT_THAT(second.given, IsEmpty()) << "it begins where the first one committed";
  EXPECT_THAT(first.listener.notes, Contains(HasSubstr("-orders-")).Times(3)) << "told once";
  Append(0, {"b"});
  committed.reset();
  EXPECT_TRUE(first.Close());
  ASSERT_TRUE(committed);
  EXPECT_TRUE(committed->has_value()) << "at the close too";
}

TEST_F(GroupCommitsTest, AListenerThatHangsWithinPollCostsTheMembershipAndItsReturnBringsItBack) {
  ConsumerOptions options = Options();
  options.max_poll_interval = 20s;
  GroupApplication& first = Join(options);
  ASSERT_TRUE(Await([&] { return first.consumer->assignment().size() == 6; }));
  first.listener.hold_assigned = true;
  first.Stop();
  ASSERT_TRUE(env_.Run(first.consumer->Unsubscribe()));
  first.Subscribe({"orders"});
  first.Start();
  env_.RunFor(30s);
  EXPECT_EQ(coordinator_->members(), 0u) << "nothing was asked back, so only the member itself can tell";
  first.listener.hold_assigned = false;
  first.listener.release.NotifyAll();
  ASSERT_TRUE(Await([&] { return coordinator_->members() == 1; }));
  ASSERT_TRUE(Await([&] { return first.consumer->assignment().size() == 6; }));
  EXPECT_THAT(first.listener.notes, Contains(StartsWith("!")));
}

TEST_F(GroupCommitsTest, ACloseLeavesInItsTimeAlsoWhenTheListenerHangs) {
  GroupApplication& first = Join();
  ASSERT_TRUE(Await([&] { return first.consumer->assignment().size() == 6; }));
  GroupApplication& second = Join();
  ASSERT_TRUE(Await([&] { return second.consumer->assignment().size() == 3; }));
  first.listener.hold = true;
  first.Stop();
  std::optional<Result<>> closed;
  Scope scope(env_.loop, "closing");
  struct Closing {
    static Task<void> Run(GroupConsumer* consumer, std::optional<Result<>>* out) {
      *out = co_await consumer->Close(5s);
    }
  };
  scope.Spawn("close", Closing::Run(first.consumer.get(), &closed));
  EXPECT_TRUE(Await([&] { return second.consumer->assignment().size() == 6; }, 15s));
  EXPECT_FALSE(closed) << "the consumer outlives the calls of its listener";
  first.listener.hold = false;
  first.listener.release.NotifyAll();
  EXPECT_TRUE(Await([&] { return closed.has_value(); }));
  env_.Run(scope.Close());
}

TEST_F(GroupCommitsTest, AnApplicationThatWorksOnTheLoopBetweenShortPollsStaysAMember) {
  for (int i = 0; i < 100; ++i) Append(0, {"a" + std::to_string(i)});
  coordinator_->options.session_timeout = 6s;
  ConsumerOptions options = Options();
  options.session_timeout = 6s;
  GroupApplication& member = Join(options, false);
  while (member.Poll()->records.empty()) {
  }
  env_.RunFor(1s);
  const size_t before = coordinator_->heartbeats;
  size_t given = 1;
  struct Application {
    static Task<void> Run(GroupApplication* member, size_t* given) {
      for (int i = 0; i < 60; ++i) {
        member->env.loop.StandStill(500ms);  // it works
        const auto batch = co_await member->consumer->Poll(member->env.loop.Now() + 1s);
        if (batch) *given += batch->records.size();
      }
    }
  };
  env_.Run(Application::Run(&member, &given));
  EXPECT_GE(coordinator_->heartbeats - before, 5u);
  EXPECT_EQ(given, 61u) << "nothing is given again";
  EXPECT_THAT(member.listener.notes, Contains(HasSubstr("!")).Times(0));
}

TEST_F(GroupCommitsTest, AutomaticCommitsGoOnWhenTheCoordinatorIsBack) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 0u; }));
  RefuseCommits(1000000);
  for (int i = 0; i < 20; ++i) {
    Append(0, {"a"});
    env_.RunFor(1s);
  }
  EXPECT_EQ(member.given.size(), 20u);
  RefuseCommits(0);
  EXPECT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 20u; }));
}

TEST_F(GroupCommitsTest, AMemberThatFailsByItselfLeavesAtOnce) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  ASSERT_TRUE(member.consumer->SubscribePattern("("));
  ASSERT_TRUE(Await([&] { return !member.errors.empty(); }));
  env_.RunFor(1s);
  EXPECT_EQ(coordinator_->members(), 0u) << "its share need not wait for its session to end";
  EXPECT_EQ(member.consumer->problem()->code, v1::INVALID_REGULAR_EXPRESSION);
}

TEST_F(GroupCommitsTest, EachSendHasAHigherSerialThanAllBeforeIt) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  // Tries that fail, a coordinator that moves, and a life that ends and begins.
  int refused = 0;
  coordinator_->after = [&](const v1::Request& request) -> std::optional<Error> {
    const bool counts = request.has_offset_commit() || request.has_consumer_group_heartbeat();
    if (!counts || ++refused > 6) return std::nullopt;
    return Error{v1::REQUEST_TIMED_OUT, "its outcome is not known"};
  };
  Append(0, {"a"});
  ASSERT_TRUE(Await([&] { return refused > 6 && coordinator_->Committed("orders", 0) == 1u; }));
  coordinator_->broker = 2;
  coordinator_->epoch = 2;
  Append(0, {"b"});
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 2u; }));
  member.Stop();
  ASSERT_TRUE(env_.Run(member.consumer->Unsubscribe()));
  member.Subscribe({"orders"});
  member.Start();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  ASSERT_TRUE(member.Close());
  uint64_t last = 0, heartbeats = 0, commits = 0;
  for (const v1::Request& request : fakes_->requests) {
    if (!request.has_offset_commit() && !request.has_consumer_group_heartbeat()) continue;
    const bool commit = request.has_offset_commit();
    ++(commit ? commits : heartbeats);
    const uint64_t serial =
        commit ? request.offset_commit().serial() : request.consumer_group_heartbeat().serial();
    EXPECT_GT(serial, last);
    last = serial;
  }
  EXPECT_GE(commits, 4u);
  EXPECT_GE(heartbeats, 4u);
}

TEST_F(GroupCommitsTest, ABrokerThatCoordinatesAnewIsFoundAlsoWhenTheOthersHaveNotHeardOfIt) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 0u; }));
  coordinator_->epoch = 2;
  coordinator_->behind = {2, 3};
  coordinator_->before = [](const v1::Request& request) -> std::optional<Error> {
    const bool heartbeat = request.has_consumer_group_heartbeat();
    if (!heartbeat && !request.has_offset_commit()) return std::nullopt;
    const LeaderEpoch named = heartbeat ? request.consumer_group_heartbeat().coordinator_epoch()
                                        : request.offset_commit().coordinator_epoch();
    if (named >= 2) return std::nullopt;
    return Error{v1::NOT_COORDINATOR, "what was sent to a former one is not for this one"};
  };
  Append(0, {"a"});
  EXPECT_TRUE(Await([&] { return coordinator_->Committed("orders", 0) == 1u; }));
  EXPECT_THAT(member.listener.notes, Contains(StartsWith("!")).Times(0));
}

TEST_F(GroupCommitsTest, AMemberThatIsToldThatItWasLateGoesOn) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  int refused = 6;
  coordinator_->before = [&](const v1::Request& request) -> std::optional<Error> {
    const bool counts = request.has_offset_commit() || request.has_consumer_group_heartbeat();
    if (!counts || refused-- <= 0) return std::nullopt;
    return Error{v1::STALE_REQUEST, "a newer one came before it"};
  };
  Append(0, {"a"});
  EXPECT_TRUE(Await([&] { return refused < 0 && coordinator_->Committed("orders", 0) == 1u; }));
  EXPECT_EQ(member.consumer->assignment().size(), 6u);
  EXPECT_THAT(member.listener.notes, Contains(StartsWith("!")).Times(0));
  EXPECT_THAT(member.errors, IsEmpty());
  EXPECT_TRUE(member.Close());
}

TEST_F(GroupCommitsTest, TheProblemTellsOfIdlingOutAndIsGoneAfterAnUnsubscribe) {
  ConsumerOptions options = Options();
  options.max_poll_interval = 20s;
  GroupApplication& member = Join(options, false);
  while (member.consumer->assignment().empty()) (void)member.Poll();
  env_.RunFor(25s);
  ASSERT_TRUE(member.consumer->problem());
  EXPECT_THAT(member.consumer->problem()->message, HasSubstr("max.poll.interval.ms"));
  while (member.consumer->assignment().empty()) (void)member.Poll();
  EXPECT_FALSE(member.consumer->problem());
  coordinator_->broker = kNoBroker;
  env_.RunFor(10s);
  EXPECT_TRUE(member.consumer->problem());
  (void)env_.Run(member.consumer->Unsubscribe());
  EXPECT_FALSE(member.consumer->problem()) << "nothing is subscribed";
}

}  // namespace
}  // namespace tidemark::testing
