#include "client/group_admin.h"

#include <algorithm>

#include "broker/group/group_limits.h"
#include "tests/unit/client/group_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GroupAdminTest : public GroupConsumerTest {
 protected:
  void SetUp() override {
    GroupConsumerTest::SetUp();
    ClientOptions options;
    options.bootstrap = fakes_->bootstrap();
    cluster_.emplace(env_, env_.loop, options);
    admin_.emplace(*cluster_);
  }
  void TearDown() override { env_.Run(cluster_->Close()); }
  MonoTime Soon() { return env_.loop.Now() + 30s; }

  std::optional<Cluster> cluster_;
  std::optional<GroupAdmin> admin_;
};

TEST_F(GroupAdminTest, OffsetsAreSetReadAndDeletedFromOutside) {
  const OffsetsToCommit wanted = {{{"orders", 0}, {.offset = 4, .metadata = "m"}},
                                  {{"orders", 1}, {.offset = 5}}};
  auto set = env_.Run(admin_->CommitOffsets("g", wanted, Soon()));
  ASSERT_TRUE(set);
  for (const CommitOutcome& outcome : *set) EXPECT_TRUE(outcome.result);
  auto read = env_.Run(admin_->FetchOffsets("g", Soon()));
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 1u);
  EXPECT_EQ((*read)[0].partitions(0).offset(), 4u);
  EXPECT_EQ((*read)[0].partitions(0).metadata(), "m");
  auto deleted = env_.Run(admin_->DeleteOffsets("g", {{"orders", 0}, {"orders", 3}}, Soon()));
  ASSERT_TRUE(deleted);
  ASSERT_EQ(deleted->size(), 2u);
  EXPECT_TRUE((*deleted)[0].result);
  EXPECT_EQ((*deleted)[1].result.error().code, v1::NOT_FOUND);
  EXPECT_EQ(coordinator_->Committed("orders", 0), std::nullopt);
  EXPECT_EQ(coordinator_->Committed("orders", 1), 5u);
  EXPECT_TRUE(env_.Run(admin_->Delete("g", Soon())));
  EXPECT_EQ(coordinator_->Committed("orders", 1), std::nullopt);
}

TEST_F(GroupAdminTest, AGroupWithMembersIsShownAndNotDisturbed) {
  GroupApplication& member = Join();
  ASSERT_TRUE(Await([&] { return member.consumer->assignment().size() == 6; }));
  auto described = env_.Run(admin_->Describe("g", true, Soon()));
  ASSERT_TRUE(described);
  ASSERT_EQ(described->groups(0).members_size(), 1);
  EXPECT_EQ(described->groups(0).members(0).member_id(), member.consumer->member_id());
  auto refused = env_.Run(admin_->CommitOffsets("g", {{{"orders", 0}, {.offset = 4}}}, Soon()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::NON_EMPTY_GROUP);
  EXPECT_EQ(env_.Run(admin_->Delete("g", Soon())).error().code, v1::NON_EMPTY_GROUP);
  auto listed = env_.Run(admin_->List({}, Soon()));
  ASSERT_TRUE(listed);
  // The fake lists it on the coordinator alone; the others say that they coordinate nothing.
  ASSERT_EQ(listed->groups.size(), 1u);
  EXPECT_EQ(listed->groups[0].group_id(), "g");
}

TEST_F(GroupAdminTest, PagesOfGroupsAreFollowed) {
  fakes_->on_other = [](BrokerId broker, const v1::Request& request) -> Result<v1::Response> {
    v1::Response response;
    auto& list = *response.mutable_list_groups();
    if (broker != 2) return response;
    EXPECT_TRUE(request.list_groups().has_start_after());
    std::vector<std::string> all = {"a", "b", "c", "d", "e"};
    std::erase_if(all, [&](const auto& id) { return id <= request.list_groups().start_after(); });
    list.set_more(all.size() > 2);
    for (size_t i = 0; i < std::min<size_t>(2, all.size()); ++i) list.add_groups()->set_group_id(all[i]);
    return response;
  };
  auto listed = env_.Run(admin_->List({}, Soon()));
  ASSERT_TRUE(listed);
  std::vector<std::string> ids;
  for (const auto& group : listed->groups) ids.push_back(group.group_id());
  EXPECT_THAT(ids, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(GroupAdminTest, ADeletionWhoseAnswerWasLostIsNotAnError) {
  coordinator_->Commit("orders", 0, 5);
  bool lose = true;
  coordinator_->after = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_delete_groups() || !std::exchange(lose, false)) return std::nullopt;
    return Error{v1::REQUEST_TIMED_OUT, "lost"};
  };
  coordinator_->before = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_delete_groups() || lose) return std::nullopt;
    return Error{v1::GROUP_ID_NOT_FOUND, "gone"};
  };
  EXPECT_TRUE(env_.Run(admin_->Delete("g", Soon())));
}

TEST_F(GroupAdminTest, OffsetsWhoseDeletionTookTheGroupWithItsAnswerLostAreDeleted) {
  coordinator_->Commit("orders", 0, 5);
  bool lost = false;
  coordinator_->after = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_offset_delete()) return std::nullopt;
    lost = true;
    return Error{v1::REQUEST_TIMED_OUT, "lost"};
  };
  coordinator_->before = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_offset_delete() || !lost) return std::nullopt;
    return Error{v1::GROUP_ID_NOT_FOUND, "gone"};
  };
  auto deleted = env_.Run(admin_->DeleteOffsets("g", {{"orders", 0}}, Soon()));
  ASSERT_TRUE(deleted) << ToString(deleted.error());
  ASSERT_EQ(deleted->size(), 1u);
  EXPECT_TRUE((*deleted)[0].result);
}

// More partitions than one request may name.
class ManyPartitionsTest : public GroupAdminTest {
 protected:
  static_assert(kMostPartitionsAsked <= kMaxPartitionsAsked);
  static constexpr size_t kCount = kMaxPartitionsAsked + 1;
  void SetUp() override {
    GroupAdminTest::SetUp();
    Begin(kCount);
    for (PartitionIndex p = 0; p < kCount; ++p) {
      all_.push_back({"orders", p});
      offsets_[all_.back()] = {.offset = p + 1};
    }
  }
  static size_t Done(const std::vector<CommitOutcome>& outcomes) {
    return static_cast<size_t>(
        std::ranges::count_if(outcomes, [](const auto& one) { return one.result.has_value(); }));
  }

  std::vector<TopicPartition> all_;
  OffsetsToCommit offsets_;
};

TEST_F(ManyPartitionsTest, AreCommittedAskedForAndDeleted) {
  auto set = env_.Run(admin_->CommitOffsets("g", offsets_, Soon()));
  ASSERT_TRUE(set) << ToString(set.error());
  ASSERT_EQ(set->size(), kCount);
  EXPECT_EQ(Done(*set), kCount);
  EXPECT_TRUE(std::ranges::is_sorted(*set, {}, &CommitOutcome::at));
  EXPECT_EQ(coordinator_->Committed("orders", kCount - 1), kCount);

  GroupApplication& reader = Join(Options(), false);
  auto committed = env_.Run(reader.consumer->Committed(all_));
  ASSERT_TRUE(committed) << ToString(committed.error());
  EXPECT_TRUE(*committed == offsets_);
  ASSERT_TRUE(reader.Close());

  auto deleted = env_.Run(admin_->DeleteOffsets("g", all_, Soon()));
  ASSERT_TRUE(deleted) << ToString(deleted.error());
  EXPECT_EQ(Done(*deleted), kCount);
  EXPECT_EQ(coordinator_->Committed("orders", 0), std::nullopt);
  EXPECT_EQ(coordinator_->Committed("orders", kCount - 1), std::nullopt);
}

TEST_F(ManyPartitionsTest, WhatFailsAfterOthersWereDoneIsToldPartitionByPartition) {
  size_t asked = 0;
  const auto refuse_the_second = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_offset_commit() && !request.has_offset_delete()) return std::nullopt;
    if (++asked != 2) return std::nullopt;
    return Error{v1::NON_EMPTY_GROUP, "a member came"};
  };
  const auto check = [&](const Result<std::vector<CommitOutcome>>& outcomes) {
    ASSERT_TRUE(outcomes) << ToString(outcomes.error());
    ASSERT_EQ(outcomes->size(), kCount);
    EXPECT_EQ(Done(*outcomes), kMostPartitionsAsked);
    for (size_t p = 0; p < kCount; ++p) {
      const CommitOutcome& one = (*outcomes)[p];
      EXPECT_EQ(one.at, all_[p]);
      if (p < kMostPartitionsAsked) continue;
      ASSERT_FALSE(one.result);
      EXPECT_EQ(one.result.error().code, v1::NON_EMPTY_GROUP);
      EXPECT_EQ(one.result.error().message.starts_with("not tried"), p >= 2 * kMostPartitionsAsked) << p;
    }
    EXPECT_EQ(asked, 2u) << "the rest was tried";
  };
  coordinator_->before = refuse_the_second;
  check(env_.Run(admin_->CommitOffsets("g", offsets_, Soon())));
  EXPECT_EQ(coordinator_->Committed("orders", kMostPartitionsAsked - 1), kMostPartitionsAsked);
  EXPECT_EQ(coordinator_->Committed("orders", kMostPartitionsAsked), std::nullopt);
  coordinator_->before = nullptr;
  ASSERT_TRUE(env_.Run(admin_->CommitOffsets("g", offsets_, Soon())));
  asked = 0;
  coordinator_->before = refuse_the_second;
  check(env_.Run(admin_->DeleteOffsets("g", all_, Soon())));
  EXPECT_EQ(coordinator_->Committed("orders", kMostPartitionsAsked - 1), std::nullopt);
  EXPECT_EQ(coordinator_->Committed("orders", kMostPartitionsAsked), kMostPartitionsAsked + 1);
}

TEST_F(ManyPartitionsTest, ARefusalBeforeAnythingWasDoneIsTheErrorOfTheCall) {
  coordinator_->before = [&](const v1::Request& request) -> std::optional<Error> {
    if (!request.has_offset_commit()) return std::nullopt;
    return Error{v1::NON_EMPTY_GROUP, "members"};
  };
  EXPECT_EQ(env_.Run(admin_->CommitOffsets("g", offsets_, Soon())).error().code, v1::NON_EMPTY_GROUP);
}

TEST_F(GroupAdminTest, ABrokerThatStandsStillIsMissingInTheListAndSoon) {
  coordinator_->Commit("orders", 0, 5);
  fakes_->frozen = {2};
  const MonoTime began = env_.loop.Now();
  const auto listed = env_.Run(admin_->List({}, began + 60s));
  ASSERT_TRUE(listed) << listed.error().message;
  // As in the test above, others than the coordinator are missing for another reason.
  EXPECT_THAT(listed->missing, ::testing::Contains(::testing::AllOf(
                                   ::testing::StartsWith("the groups of broker 2 are missing: "),
                                   ::testing::HasSubstr("REQUEST_TIMED_OUT"))));
  EXPECT_EQ(listed->groups.size(), 1u);
  EXPECT_LT(env_.loop.Now() - began, 15s);
}

TEST_F(GroupAdminTest, GroupsThatNobodySpeaksForAreMissingInTheList) {
  coordinator_->Commit("orders", 0, 5);
  FakeTopic& offsets = fakes_->AddTopic("__consumer_offsets", 8, 9);
  const auto missing = [&] { return env_.Run(admin_->List({}, env_.loop.Now() + 60s))->missing; };
  EXPECT_THAT(missing(), ::testing::Not(::testing::Contains(::testing::HasSubstr("have no leader"))));
  for (const PartitionIndex lost : {1, 2, 3, 4, 6, 7}) offsets.partitions[lost].leader = kNoBroker;
  EXPECT_THAT(missing(),
              ::testing::Contains("groups are missing: 6 of the 8 partitions of __consumer_offsets "
                                  "have no leader (1, 2, 3, 4, 6, ...)"));
}

TEST_F(GroupAdminTest, WhereNoCoordinatorCanBeNobodyWaitsForOneToTheEnd) {
  coordinator_->broker = kNoBroker;
  const MonoTime began = env_.loop.Now();
  const auto described = env_.Run(admin_->Describe("g", true, began + 60s));
  ASSERT_FALSE(described);
  EXPECT_EQ(described.error().code, v1::COORDINATOR_NOT_AVAILABLE);
  EXPECT_THAT(described.error().message, HasSubstr("as the test wants"));
  EXPECT_LT(env_.loop.Now() - began, 10s);
}

TEST_F(GroupAdminTest, ATopicOfTheGroupsWithoutALeaderIsWaitedFor) {
  fakes_->AddTopic(std::string(kOffsetsTopic), 1, 9);
  coordinator_->broker = kNoBroker;
  const MonoTime began = env_.loop.Now();
  const auto described = env_.Run(admin_->Describe("g", true, began + 60s));
  ASSERT_FALSE(described);
  EXPECT_EQ(described.error().code, v1::COORDINATOR_NOT_AVAILABLE);
  EXPECT_GT(env_.loop.Now() - began, 50s);
}

}  // namespace
}  // namespace tidemark::testing
