// What groups take of memory is counted and bounded, and so is what is told of them.
#include <gmock/gmock.h>

#include "broker/group/group_limits.h"
#include "tests/unit/group/coordinator_bench.h"
#include "tests/unit/group/group_bench.h"

namespace tidemark {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

v1::GroupMemberValue Wanting(size_t topics, size_t name_bytes) {
  v1::GroupMemberValue info;
  for (size_t i = 0; i < topics; ++i) {
    std::string name = std::to_string(i);
    name.resize(name_bytes, 'x');
    info.mutable_subscription()->add_topics(name);
  }
  return info;
}

TEST(GroupMemory, FollowsWhatIsStoredAndGoesBackWithIt) {
  Group group("g");
  const size_t empty = group.bytes();
  const PartitionKey key{BenchTopicId(1), 0};
  GroupChange change(group);
  change.PutMember("a", Wanting(100, 200));
  EXPECT_GT(group.bytes(), empty + 20'000);
  const size_t joined = group.bytes();
  change.PutTarget("a", {key});
  change.PutCurrent("a", 1, 0, {{key, 1}}, {});
  EXPECT_GT(group.bytes(), joined);
  const size_t assigned = group.bytes();
  change.PutMember("a", Wanting(1, 200));
  EXPECT_LT(group.bytes(), assigned - 18'000);
  GroupRecord offset{.kind = GroupRecordKind::kOffset, .group = "g", .partition = key};
  offset.value.emplace<v1::OffsetCommitValue>().set_metadata(std::string(3000, 'm'));
  const size_t before = group.bytes();
  change.Put(offset);
  change.Put(offset);
  EXPECT_GT(group.bytes(), before + 3000);
  EXPECT_LT(group.bytes(), before + 6000) << "stored once";
  change.RemoveOffset(key);
  EXPECT_EQ(group.bytes(), before);
  change.RemoveMember("a");
  EXPECT_EQ(group.bytes(), empty);
  change.Rollback();
  EXPECT_EQ(group.bytes(), empty);
}

// One coordinator that may hold 100 kB.
class GroupBudget : public testing::Test {
 protected:
  static GroupCoordinatorOptions Options() {
    GroupCoordinatorOptions options;
    options.groups.max_bytes = 100'000;
    return options;
  }
  GroupBudget() : bench_(Options()) { bench_.Lead(); }

  Result<v1::ConsumerGroupHeartbeatResponse> Join(int number, size_t topics = 1) {
    auto request = CoordinatorBench::JoinRequest("m" + std::to_string(number));
    request.set_group_id("group" + std::to_string(number));
    *request.mutable_subscription() = Wanting(topics, 100).subscription();
    return bench_.Beat(request);
  }
  Result<> Commit(const std::string& group, uint32_t partition, const std::string& metadata = {}) {
    v1::OffsetCommitRequest commit;
    commit.set_group_id(group);
    commit.set_member_epoch(-1);
    commit.add_topics()->set_topic_id(bench_.orders().ToBytes());
    commit.mutable_topics(0)->add_partitions()->set_partition(partition);
    commit.mutable_topics(0)->mutable_partitions(0)->set_metadata(metadata);
    auto answer = bench_.loop().Run(bench_.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline));
    if (!answer) return std::unexpected(answer.error());
    return {};
  }

  CoordinatorBench bench_;
};

TEST_F(GroupBudget, WhoJoinsWithoutEndIsRefusedInTheEnd) {
  int joined = 0;
  Result<v1::ConsumerGroupHeartbeatResponse> refused;
  while (joined < 1000) {
    refused = Join(joined);
    if (!refused) break;
    ++joined;
  }
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::GROUP_MAX_SIZE_REACHED);
  EXPECT_THAT(refused.error().message, HasSubstr("group.max.memory.bytes (100000)"));
  EXPECT_GT(joined, 10);
  GroupGauges gauges = bench_.groups().Gauges();
  EXPECT_LE(gauges.bytes, 90'000u);
  EXPECT_EQ(gauges.members, static_cast<size_t>(joined));
  EXPECT_EQ(bench_.groups().counters().refused_for_memory, 1u);
  // Those that are there go on, and may say something else that is not more.
  EXPECT_TRUE(Join(0));
  EXPECT_EQ(Join(0, 200).error().code, v1::GROUP_MAX_SIZE_REACHED);
  EXPECT_EQ(bench_.groups().Gauges().bytes, gauges.bytes);
  // What they have to commit finds room.
  EXPECT_TRUE(Commit("offsets", 0));
  // When some have left there is room again.
  bench_.loop().Advance(11s);
  EXPECT_TRUE(Join(joined));
}

TEST_F(GroupBudget, CommitsOfNewPartitionsEndAtTheLimitAndThoseOfKnownOnesGoOn) {
  const std::string note(4000, 'n');
  int groups = 0;
  Result<> refused;
  while (groups < 1000 && refused) {
    refused = Commit("g" + std::to_string(groups), 0, note);
    if (refused) ++groups;
  }
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::GROUP_MAX_SIZE_REACHED);
  EXPECT_LE(bench_.groups().Gauges().bytes, 100'000u);
  EXPECT_TRUE(Commit("g0", 0, note));
  EXPECT_TRUE(Commit("g0", 0, "shorter"));
  EXPECT_TRUE(Commit("g" + std::to_string(groups), 0, "a short one of a new group finds the room"));
  // Another coordinator counts the same.
  const size_t bytes = bench_.groups().Gauges().bytes;
  bench_.Lead();
  bench_.loop().Advance(1s);
  EXPECT_EQ(bench_.groups().Gauges().bytes, bytes);
  EXPECT_TRUE(bench_.loop().Run(bench_.groups().Delete(CoordinatorBench::kKey, "g1", kNoDeadline)));
  EXPECT_LT(bench_.groups().Gauges().bytes, bytes - 4000);
}

TEST(GroupDescription, LeavesOutWhatAnAnswerHasNoRoomFor) {
  GroupBench bench;
  GroupChange change(*bench.group);
  constexpr size_t kThird = kGroupAnswerBytes / 3;
  for (const char* id : {"a", "b", "c", "d"}) change.PutMember(id, Wanting(kThird / 1000, 995));
  for (uint8_t topic = 1; topic <= 3; ++topic) {
    for (uint32_t partition = 0; partition < 3; ++partition) {
      GroupRecord offset{.kind = GroupRecordKind::kOffset, .group = "g"};
      offset.partition = {BenchTopicId(topic), partition};
      auto& value = offset.value.emplace<v1::OffsetCommitValue>();
      value.set_metadata(std::string(kThird / 3, 'm'));
      value.set_topic(fmt::format("topic{}", topic));
      change.Put(offset);
    }
  }
  v1::DescribeGroupsResponse::Group told;
  DescribeGroup(*bench.group, false, bench.Scene(), &told);
  EXPECT_LE(told.ByteSizeLong(), kGroupAnswerBytes);
  EXPECT_THAT(told.members(), SizeIs(3));
  EXPECT_EQ(told.members_left_out(), 1u);
  // Offsets after them.
  change.RemoveMember("d");
  change.RemoveMember("c");
  change.RemoveMember("b");
  told.Clear();
  DescribeGroup(*bench.group, true, bench.Scene(), &told);
  EXPECT_LE(told.ByteSizeLong(), kGroupAnswerBytes);
  EXPECT_EQ(told.members_left_out(), 0u);
  EXPECT_EQ(told.offsets_size() * 3 + static_cast<int>(told.offsets_left_out()), 9);
  EXPECT_GT(told.offsets_left_out(), 0u);
  EXPECT_GT(told.offsets_size(), 0);
  change.Rollback();
}

// Others are served meanwhile: what is to be written is written in many goes.
TEST(ManyOffsets, AreForgottenALittleAtATime) {
  constexpr uint32_t kPartitions = 5000;
  CoordinatorBench bench;
  bench.SetTopics(kPartitions);
  bench.Lead();
  v1::OffsetCommitRequest commit;
  commit.set_group_id("g");
  commit.set_member_epoch(-1);
  commit.add_topics()->set_topic_id(bench.orders().ToBytes());
  for (uint32_t p = 0; p < kPartitions; ++p) commit.mutable_topics(0)->add_partitions()->set_partition(p);
  ASSERT_TRUE(bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline)));
  ASSERT_EQ(bench.Describe().offsets(0).partitions_size(), static_cast<int>(kPartitions));
  bench.loop().Advance(60s);
  bench.DropTopics();
  size_t goes = 0;
  size_t batches = bench.log().batches();
  for (int i = 0; i < 1000; ++i) {
    if (i == 0) bench.loop().Settle();
    if (i > 0) bench.loop().Advance(Duration(1));
    goes += bench.log().batches() > batches ? 1 : 0;
    batches = bench.log().batches();
  }
  EXPECT_GE(goes, 5u);
  EXPECT_EQ(bench.Describe().error().code(), v1::GROUP_ID_NOT_FOUND) << "nothing is left of it";
}

TEST(ManyOffsets, WhoseGroupIsUnloadedMeanwhileAreForgottenByTheNextCoordinator) {
  constexpr uint32_t kPartitions = 5000;
  CoordinatorBench bench;
  bench.SetTopics(kPartitions);
  bench.Lead();
  v1::OffsetCommitRequest commit;
  commit.set_group_id("g");
  commit.set_member_epoch(-1);
  commit.add_topics()->set_topic_id(bench.orders().ToBytes());
  for (uint32_t p = 0; p < kPartitions; ++p) commit.mutable_topics(0)->add_partitions()->set_partition(p);
  ASSERT_TRUE(bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline)));
  bench.loop().Advance(60s);
  bench.DropTopics();
  bench.loop().Settle();
  bench.Lead();  // in a new epoch: what was known is dropped
  bench.loop().Advance(60s);
  EXPECT_EQ(bench.Describe().error().code(), v1::GROUP_ID_NOT_FOUND);
}

TEST(GroupPages, AreTheFirstByIdThatAreAskedFor) {
  CoordinatorBench bench;
  bench.Lead();
  for (size_t i = 0; i < kGroupsPerPage + 2; ++i) {
    v1::OffsetCommitRequest commit;
    commit.set_group_id(fmt::format("g{:06}", (i * 7919) % 100'000));
    commit.set_member_epoch(-1);
    commit.add_topics()->set_topic_id(bench.orders().ToBytes());
    commit.mutable_topics(0)->add_partitions();
    ASSERT_TRUE(bench.loop().Run(bench.groups().Commit(CoordinatorBench::kKey, commit, kNoDeadline)));
  }
  v1::ListGroupsRequest request;
  EXPECT_THAT(*bench.groups().List(ListedGroups(request)), SizeIs(kGroupsPerPage + 2))
      << "all, where no page is asked for";
  const auto sorted = [&] {
    auto groups = *bench.groups().List(ListedGroups(request));
    std::vector<std::string> ids;
    for (const auto& group : groups) ids.push_back(group.group_id());
    std::ranges::sort(ids);
    return ids;
  };
  const std::vector<std::string> all = sorted();
  request.set_start_after("");
  auto page = sorted();
  EXPECT_EQ(page, std::vector<std::string>(all.begin(), all.end() - 1)) << "one more than is told";
  request.set_start_after(all[kGroupsPerPage - 1]);
  EXPECT_EQ(sorted(), std::vector<std::string>(all.end() - 2, all.end()));
  request.add_states(v1::GROUP_STATE_STABLE);
  EXPECT_THAT(sorted(), SizeIs(0));
  // States that only newer brokers know are those of no group.
  for (const int state : {-1, 1000, 0x7fffffff}) request.add_states(static_cast<v1::GroupState>(state));
  EXPECT_THAT(sorted(), SizeIs(0));
  for (int i = 0; i < 2; ++i) request.add_states(v1::GROUP_STATE_EMPTY);
  EXPECT_EQ(sorted(), std::vector<std::string>(all.end() - 2, all.end()));
}

}  // namespace
}  // namespace tidemark
