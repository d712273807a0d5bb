// Membership, step by step: joining, giving back, taking over, fencing, static members, and lost answers.
#include <gmock/gmock.h>

#include "broker/group/group_limits.h"
#include "broker/group/group_log.h"
#include "broker/group/rebalance.h"
#include "tests/unit/group/group_bench.h"

namespace tidemark {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class Membership : public testing::Test {
 protected:
  // Heartbeats of all until nobody is told anything new.
  static void Quiet(std::vector<BenchMember*> members) {
    for (int round = 0; round < 10; ++round) {
      for (BenchMember* member : members) {
        member->LetGo();
        EXPECT_EQ(member->Beat(), v1::NONE);
      }
    }
  }
  GroupBench bench_;
};

TEST_F(Membership, TheFirstMemberGetsEverythingAtOnce) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"});
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(a.held().size(), 4u);
  EXPECT_EQ(StateOf(*bench_.group), v1::GROUP_STATE_STABLE);
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().cause(), v1::REBALANCE_CAUSE_MEMBER_JOINED);
  EXPECT_THAT(bench_.group->metadata()->last_rebalance().detail(), HasSubstr("'a'"));
}

TEST_F(Membership, APartitionIsGivenOnlyWhenItsOwnerHasSaidThatItLetGo) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a});
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_THAT(b.held(), IsEmpty());
  EXPECT_EQ(StateOf(*bench_.group), v1::GROUP_STATE_RECONCILING);
  // a is asked for two, and keeps saying that it still holds them.
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_TRUE(a.busy());
  EXPECT_EQ(a.held().size(), 2u);
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_THAT(b.held(), IsEmpty());
  a.LetGo();
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_EQ(b.held().size(), 2u);
  EXPECT_EQ(StateOf(*bench_.group), v1::GROUP_STATE_STABLE);
}

TEST_F(Membership, AHeartbeatWithoutNewsWritesNothing) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"});
  Quiet({&a});
  const size_t before = bench_.log.size();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(bench_.log.size(), before);
}

TEST_F(Membership, AMemberThatFallsSilentIsFencedAndItsShareTakenOver) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  for (int i = 0; i < 10; ++i) {
    bench_.Pass(5s);
    EXPECT_EQ(b.Beat(), v1::NONE);
    b.LetGo();
  }
  EXPECT_EQ(b.held().size(), 4u);
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().cause(), v1::REBALANCE_CAUSE_SESSION_TIMEOUT);
  EXPECT_EQ(a.Beat(), v1::UNKNOWN_MEMBER_ID);
  EXPECT_EQ(a.Beat(), v1::NONE) << "it joins again";
}

TEST_F(Membership, AMemberThatDoesNotGiveBackInTimeIsFenced) {
  bench_.AddTopic("orders", 2);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a});
  (void)b.Beat();
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(a.Beat(), v1::NONE);
    EXPECT_EQ(b.Beat(), v1::NONE);
    bench_.Pass(5s);
  }
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().cause(), v1::REBALANCE_CAUSE_REBALANCE_TIMEOUT);
  EXPECT_EQ(a.Beat(), v1::UNKNOWN_MEMBER_ID);
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_EQ(b.held().size(), 2u);
}

TEST_F(Membership, WhatIsAskedBackLaterHasTheWholeTimeAgain) {
  bench_.AddTopic("orders", 6);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"}), c(bench_, "c", {"orders"});
  Quiet({&a});
  const auto pass = [&](int seconds) {
    for (; seconds > 0; seconds -= 5) {
      bench_.Pass(5s);
      for (BenchMember* member : {&b, &c}) {
        if (member->epoch() != 0) (void)member->Beat();
      }
      v1::ConsumerGroupHeartbeatRequest alive = a.Next();
      alive.clear_owned();
      EXPECT_TRUE(bench_.Beat(alive));
    }
  };
  (void)b.Beat();
  (void)a.Beat();  // asked for three
  pass(50);
  (void)c.Beat();  // and now for one more
  a.LetGo();       // of the three
  (void)a.Beat();
  ASSERT_TRUE(a.busy()) << "asked for the fourth";
  pass(30);
  ASSERT_NE(bench_.group->Find("a"), nullptr);
  EXPECT_EQ(a.Beat(), v1::NONE) << "it has had 30 of 60 s for the last one";
  a.LetGo();
  EXPECT_EQ(a.Beat(), v1::NONE);
  pass(60);
  Quiet({&a, &b, &c});
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().cause(), v1::REBALANCE_CAUSE_MEMBER_JOINED);
}

TEST_F(Membership, WhatIsAskedBackWhileSomethingIsOverdueDoesNotProlongThat) {
  bench_.AddTopic("orders", 6);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"}), c(bench_, "c", {"orders"});
  Quiet({&a});
  (void)b.Beat();
  (void)a.Beat();
  bench_.Pass(40s);
  (void)a.Beat();
  (void)c.Beat();
  (void)a.Beat();
  bench_.Pass(19s);
  (void)a.Beat();
  EXPECT_NE(bench_.group->Find("a"), nullptr);
  bench_.Pass(1s);
  EXPECT_EQ(bench_.group->Find("a"), nullptr);
}

TEST_F(Membership, WhatWasAskedBackInAChangeThatWasUndoneIsNotDue) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a});
  (void)b.Beat();
  {
    GroupChange change(*bench_.group);  // asks a for two, but cannot be appended
    ASSERT_TRUE(Heartbeat(a.Next(), {}, bench_.Scene(), change));
    ASSERT_FALSE(bench_.group->Find("a")->revoking.empty());
    change.Rollback();
    StartGroupTimers(*bench_.group, bench_.now);
  }
  (void)b.Leave();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(a.Beat(), v1::NONE);
    bench_.Pass(5s);
  }
  EXPECT_EQ(a.held().size(), 4u) << "nothing was ever asked back";
}

TEST_F(Membership, WhatTheMembersReadFollowsTheirSubscriptionsAndTheTopics) {
  const TopicId orders = bench_.AddTopic("orders", 4), events = bench_.AddTopic("events", 2);
  using Read = std::map<TopicId, uint32_t>;
  const auto read = [&] { return TopicsRead(*bench_.group, bench_.resolver).partitions; };
  EXPECT_EQ(read(), Read());
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  EXPECT_EQ(read(), (Read{{orders, 4}}));
  auto request = a.Next();
  request.mutable_subscription()->add_topics("events");
  ASSERT_TRUE(bench_.Beat(request));
  EXPECT_EQ(read(), (Read{{orders, 4}, {events, 2}}));
  bench_.AddTopic("orders", 5);
  EXPECT_EQ(read(), (Read{{orders, 5}, {events, 2}}));
  {
    GroupChange change(*bench_.group);
    FenceMembers({"b"}, bench_.Scene(), change);
    EXPECT_EQ(read(), (Read{{events, 2}}));
    change.Rollback();
  }
  EXPECT_EQ(read(), (Read{{orders, 5}, {events, 2}}));
}

TEST_F(Membership, ALostAnswerIsToldAgain) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  EXPECT_EQ(a.Beat(/*answer_lost=*/true), v1::NONE);
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(a.held().size(), 4u);
  (void)b.Beat();
  EXPECT_EQ(a.Beat(true), v1::NONE);
  EXPECT_EQ(a.held().size(), 4u) << "it does not know yet";
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_THAT(b.held(), IsEmpty());
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(a.held().size(), 2u);
}

TEST_F(Membership, AHeartbeatFromBeforeCannotReleaseWhatWasGivenSince) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  const PartitionKeys share = a.held();
  EXPECT_EQ(b.Leave(), v1::NONE);
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(a.held().size(), 4u);
  // It has been given two more and not begun them: so it says, but this heartbeat is delayed.
  auto old = a.Next();
  old.clear_owned();
  FillPartitions(share, old.mutable_owned());
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_EQ(a.Beat(), v1::NONE);  // asked for two, which it reads by now
  EXPECT_EQ(bench_.Beat(old)->member_epoch(), a.epoch());
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_THAT(b.held(), IsEmpty()) << "a still reads them";
}

TEST_F(Membership, AnEpochThatIsNoneOfTheMembersIsFenced) {
  bench_.AddTopic("orders", 1);
  BenchMember a(bench_, "a", {"orders"});
  Quiet({&a});
  auto request = a.Next();
  const int32_t first = a.epoch();
  // It is moved twice.
  bench_.AddTopic("orders", 2);
  Quiet({&a});
  bench_.AddTopic("orders", 3);
  Quiet({&a});
  EXPECT_EQ(bench_.Beat(request).error().code, v1::FENCED_MEMBER_EPOCH) << first << " and now " << a.epoch();
  request.set_member_epoch(a.epoch() + 1);
  EXPECT_EQ(bench_.Beat(request).error().code, v1::NOT_COORDINATOR) << "only another one can have told it";
  request.set_member_id("nobody");
  EXPECT_EQ(bench_.Beat(request).error().code, v1::UNKNOWN_MEMBER_ID);
}

TEST_F(Membership, AStaticMemberKeepsItsShareOverARestart) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a1", {"orders"}, "node-1"), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  const PartitionKeys share = a.held();
  const uint32_t group_epoch = bench_.group->group_epoch();
  BenchMember again(bench_, "a2", {"orders"}, "node-1");
  EXPECT_EQ(again.Beat(), v1::UNRELEASED_INSTANCE_ID);
  EXPECT_EQ(a.Leave(kAwayEpoch), v1::NONE);
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_EQ(b.held().size(), 2u) << "kept for the one that is away";
  EXPECT_EQ(again.Beat(), v1::NONE);
  EXPECT_EQ(again.held(), share);
  EXPECT_EQ(bench_.group->group_epoch(), group_epoch) << "a restart is no rebalance";
  EXPECT_EQ(a.Beat(), v1::UNRELEASED_INSTANCE_ID);
  auto stale = again.Next();
  stale.set_member_id("a1");
  EXPECT_EQ(bench_.Beat(stale).error().code, v1::FENCED_INSTANCE_ID);
}

TEST_F(Membership, TheEpochOfAMemberThatIsAwayIsNotUsedAgain) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a1", {"orders"}, "node-1"), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  EXPECT_EQ(b.Leave(), v1::NONE);
  EXPECT_EQ(a.Beat(), v1::NONE);  // is given what b had, at the highest epoch there is
  const int32_t last = a.epoch();
  ASSERT_GT(static_cast<uint32_t>(last), bench_.group->group_epoch());
  EXPECT_EQ(a.Leave(kAwayEpoch), v1::NONE);
  (void)a.Leave(kAwayEpoch);
  EXPECT_GT(bench_.ReadBack(true)->TakeEpoch(), static_cast<uint32_t>(last));
}

TEST_F(Membership, AStaticMemberThatStaysAwayLosesItsShare) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a1", {"orders"}, "node-1"), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  EXPECT_EQ(a.Leave(kAwayEpoch), v1::NONE);
  for (int i = 0; i < 10; ++i) {
    bench_.Pass(5s);
    EXPECT_EQ(b.Beat(), v1::NONE);
  }
  EXPECT_EQ(b.held().size(), 4u);
}

TEST_F(Membership, SurplusMembersIdleAndTakeOver) {
  bench_.AddTopic("orders", 1);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  EXPECT_THAT(b.held(), IsEmpty());
  EXPECT_EQ(a.Leave(), v1::NONE);
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_EQ(b.held().size(), 1u);
}

TEST_F(Membership, NewTopicsAndPartitionsJoinByThemselves) {
  bench_.AddTopic("orders", 1);
  auto join = bench_.JoinRequest("a", {});
  join.mutable_subscription()->set_regex("ord.*");
  auto answer = bench_.Beat(join);
  ASSERT_TRUE(answer);
  auto held = [&] { return bench_.group->Find("a")->assigned.size(); };
  auto beat = [&] {
    v1::ConsumerGroupHeartbeatRequest request;
    request.set_group_id("g");
    request.set_member_id("a");
    request.set_member_epoch(bench_.group->Find("a")->epoch);
    EXPECT_TRUE(bench_.Beat(request));
  };
  EXPECT_EQ(held(), 1u);
  bench_.AddTopic("orders", 3);
  beat();
  EXPECT_EQ(held(), 3u);
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().detail(),
            "topic 'orders' has 3 partitions instead of 1");
  bench_.AddTopic("ordinals", 2);
  bench_.AddTopic("reorder", 2);
  bench_.AddTopic("__consumer_offsets", 50);
  beat();
  EXPECT_EQ(held(), 5u);
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().cause(), v1::REBALANCE_CAUSE_TOPICS_CHANGED);
  EXPECT_EQ(bench_.group->metadata()->last_rebalance().detail(),
            "topic 'ordinals' with 2 partitions is there");
  bench_.DropTopic("ordinals");
  beat();
  EXPECT_EQ(held(), 3u);
  EXPECT_THAT(bench_.group->metadata()->last_rebalance().detail(),
              testing::EndsWith(" with 2 partitions is gone"));
}

TEST_F(Membership, TheFirstAssignmentWaitsForTheOthersWhereTheBrokerIsToldSo) {
  bench_.options.initial_rebalance_delay = 3s;
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(StateOf(*bench_.group), v1::GROUP_STATE_ASSIGNING);
  EXPECT_EQ(NextGroupTime(*bench_.group), bench_.now + 3s);
  bench_.Pass(1s);
  EXPECT_EQ(b.Beat(), v1::NONE);
  bench_.Pass(2s);
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(b.Beat(), v1::NONE);
  EXPECT_EQ(a.held().size(), 2u);
  EXPECT_EQ(b.held().size(), 2u);
  EXPECT_FALSE(a.busy()) << "nothing was given to be asked back";
}

TEST_F(Membership, AnAssignmentThatWaitedIsTheRebalanceThatBeganBefore) {
  bench_.options.initial_rebalance_delay = 3s;
  bench_.AddTopic("orders", 4);
  {
    GroupChange joins(*bench_.group);
    ASSERT_TRUE(Heartbeat(bench_.JoinRequest("a", {"orders"}), {}, bench_.Scene(), joins));
    EXPECT_TRUE(joins.rebalanced());
  }
  bench_.now += 3s;
  GroupChange assigns(*bench_.group);
  OnGroupTime(bench_.Scene(), assigns);
  EXPECT_EQ(bench_.group->assignment_epoch(), bench_.group->group_epoch());
  EXPECT_FALSE(assigns.rebalanced());
}

TEST_F(Membership, TheAssignorOfTheMajorityIsUsed) {
  bench_.AddTopic("orders", 3);
  auto join = bench_.JoinRequest("a", {"orders"});
  join.set_assignor("range");
  ASSERT_TRUE(bench_.Beat(join));
  EXPECT_EQ(bench_.group->metadata()->assignor(), "range");
  for (const char* id : {"b", "c"}) {
    auto other = bench_.JoinRequest(id, {"orders"});
    other.set_assignor("roundrobin");
    ASSERT_TRUE(bench_.Beat(other));
  }
  EXPECT_EQ(bench_.group->metadata()->assignor(), "roundrobin");
}

TEST_F(Membership, AFullGroupTakesNobody) {
  bench_.options.max_size = 1;
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  EXPECT_EQ(a.Beat(), v1::NONE);
  EXPECT_EQ(b.Beat(), v1::GROUP_MAX_SIZE_REACHED);
}

TEST_F(Membership, MalformedHeartbeatsGetTheirError) {
  auto code = [&](auto change) {
    auto request = bench_.JoinRequest("a", {"orders"});
    change(request);
    const auto answer = bench_.Beat(request);
    return answer ? v1::NONE : answer.error().code;
  };
  EXPECT_EQ(code([](auto& r) { r.set_group_id(""); }), v1::INVALID_GROUP_ID);
  EXPECT_EQ(code([](auto& r) { r.set_group_id(std::string(256, 'g')); }), v1::INVALID_GROUP_ID);
  EXPECT_EQ(code([](auto& r) { r.set_member_id(""); }), v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) { r.set_member_id(std::string(256, 'm')); }), v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) { r.set_member_epoch(-3); }), v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) { r.set_member_epoch(-1); }), v1::UNKNOWN_MEMBER_ID);
  EXPECT_EQ(code([](auto& r) { r.set_member_epoch(7); }), v1::UNKNOWN_MEMBER_ID);
  EXPECT_EQ(code([](auto& r) { r.clear_subscription(); }), v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) { r.set_rebalance_timeout_ms(0); }), v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) { r.set_session_timeout_ms(5); }), v1::INVALID_SESSION_TIMEOUT);
  EXPECT_EQ(code([](auto& r) { r.set_assignor("best"); }), v1::UNSUPPORTED_ASSIGNOR);
  EXPECT_EQ(code([](auto& r) { r.mutable_owned()->add_topics()->set_topic_id("short"); }),
            v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) {
              auto* topic = r.mutable_owned()->add_topics();
              for (uint32_t i = 0; i <= 100'000; ++i) topic->add_partitions(i);
            }),
            v1::INVALID_REQUEST);
  EXPECT_EQ(code([](auto& r) { r.mutable_subscription()->add_topics("no/slash"); }),
            v1::INVALID_TOPIC_EXCEPTION);
  for (const char* regex : {"(", "(?<=a)b", "(a)\\1", "((a{1000}){1000}){1000}"}) {
    EXPECT_EQ(code([&](auto& r) { r.mutable_subscription()->set_regex(regex); }),
              v1::INVALID_REGULAR_EXPRESSION)
        << regex;
  }
  EXPECT_EQ(code([](auto& r) { r.mutable_subscription()->set_regex(std::string(1025, 'a')); }),
            v1::INVALID_REGULAR_EXPRESSION);
  EXPECT_TRUE(bench_.group->gone()) << "no refused request left anything";
}

// Else members could make records that no batch takes, so that nothing of the group could change any more.
TEST_F(Membership, OfALongClientIdOnlyTheBeginningIsKept) {
  bench_.AddTopic("orders", 1);
  std::string client = "x";
  while (client.size() < 1'000'000) client += "\xc3\xa9";  // two bytes each
  GroupChange change(*bench_.group);
  ASSERT_TRUE(Heartbeat(bench_.JoinRequest("a", {"orders"}), {client, "host"}, bench_.Scene(), change));
  bench_.Keep(change);
  EXPECT_EQ(bench_.group->Find("a")->info.client_id(), client.substr(0, 255));
  EXPECT_LT(bench_.group->metadata()->last_rebalance().detail().size(), 1000u);
  bench_.Pass(46s);
  EXPECT_EQ(bench_.group->Find("a"), nullptr);
  EXPECT_LT(bench_.group->metadata()->last_rebalance().detail().size(), 1000u);
  EXPECT_EQ(Utf8Prefix("ab\xc3\xa9", 3), "ab") << "no half character: protobuf would not write it";
  EXPECT_EQ(Utf8Prefix("ab\xc3\xa9", 4), "ab\xc3\xa9");
}

TEST_F(Membership, AMemberOfAnEarlierVersionsRecordsCanBeFenced) {
  v1::GroupMemberValue info;
  info.set_client_id(std::string((16u << 20) - 60, 'c'));
  info.set_session_timeout_ms(1000);
  {
    GroupChange change(*bench_.group);
    change.PutMember("a", info);
    change.PutCurrent("a", 1, 0, {}, {});
  }
  StartGroupTimers(*bench_.group, bench_.now);
  bench_.now += 2s;
  GroupChange change(*bench_.group);
  OnGroupTime(bench_.Scene(), change);
  EXPECT_TRUE(EncodeGroupBatches(change.records(), bench_.wall));
  EXPECT_EQ(bench_.group->Find("a"), nullptr);
}

// A change of several batches may survive in part. Whatever part: nobody is left without a reader.
TEST_F(Membership, OfEveryPartOfAChangeANewCoordinatorMakesAWholeAssignment) {
  bench_.AddTopic("orders", 12);
  bench_.AddTopic("events", 6);
  BenchMember a(bench_, "a", {"orders", "events"}), b(bench_, "b", {"orders", "events"}),
      c(bench_, "c", {"orders"});
  Quiet({&a, &b, &c});
  const auto before = bench_.log;
  size_t repaired = 0;
  for (const char* what : {"fence", "join", "subscribe", "leave"}) {
    bench_.log = before;
    bench_.Reload(false);
    if (what == std::string("fence")) {
      GroupChange change(*bench_.group);
      FenceMembers({"a", "c"}, bench_.Scene(), change);
      bench_.Keep(change);
    } else if (what == std::string("join")) {
      ASSERT_TRUE(bench_.Beat(bench_.JoinRequest("d", {"orders", "events"})));
    } else if (what == std::string("subscribe")) {
      auto request = b.Next();
      request.mutable_subscription()->add_topics("orders");
      ASSERT_TRUE(bench_.Beat(request));
    } else {
      auto request = a.Next();
      request.set_member_epoch(kLeaveEpoch);
      ASSERT_TRUE(bench_.Beat(request));
    }
    const auto after = bench_.log;
    ASSERT_GT(after.size(), before.size() + 2);
    for (size_t end = before.size(); end <= after.size(); ++end) {
      SCOPED_TRACE(
          fmt::format("{}, {} of {} records", what, end - before.size(), after.size() - before.size()));
      Group read("g");
      for (size_t i = 0; i < end; ++i) (void)read.Apply(**DecodeGroupRecord(after[i].first, after[i].second));
      GroupChange change(read);
      FenceMembers(read.FinishLoad(), bench_.Scene(), change);
      OnGroupTopics(bench_.Scene(), change);
      EXPECT_TRUE(AssignmentIsWhole(read, bench_.resolver));
      if (end == before.size() || end == after.size()) {
        EXPECT_TRUE(change.empty()) << "a whole change needs nothing";
      } else {
        repaired += read.metadata()->last_rebalance().cause() == v1::REBALANCE_CAUSE_COORDINATOR_CHANGED;
      }
    }
  }
  EXPECT_GT(repaired, 5u);
}

TEST_F(Membership, AChangeThatCouldNotBeAppendedIsRolledBackWhole) {
  bench_.AddTopic("orders", 4);
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  Quiet({&a, &b});
  const std::string before = bench_.Text(*bench_.group);
  for (const char* what : {"join", "leave", "fence"}) {
    GroupChange change(*bench_.group);
    if (what == std::string("join")) {
      ASSERT_TRUE(Heartbeat(bench_.JoinRequest("c", {"orders"}), {}, bench_.Scene(), change));
    } else if (what == std::string("leave")) {
      auto request = a.Next();
      request.set_member_epoch(-1);
      ASSERT_TRUE(Heartbeat(request, {}, bench_.Scene(), change));
    } else {
      FenceMembers({"a", "b"}, bench_.Scene(), change);
    }
    ASSERT_FALSE(change.empty());
    change.Rollback();
    EXPECT_EQ(bench_.Text(*bench_.group), before) << what;
    StartGroupTimers(*bench_.group, bench_.now);
  }
  EXPECT_EQ(a.Beat(), v1::NONE);
}

}  // namespace
}  // namespace tidemark
