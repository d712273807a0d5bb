// Committed offsets: who may commit, what comes back, what is deleted and what expires.
#include "broker/group/group_offsets.h"

#include <gmock/gmock.h>

#include "tests/unit/group/group_bench.h"

namespace tidemark {
namespace {

class Offsets : public testing::Test {
 protected:
  Offsets() : orders_(bench_.AddTopic("orders", 4)) {}

  v1::OffsetCommitRequest Request(const std::string& member, int32_t epoch, uint32_t partition,
                                  uint64_t offset) {
    v1::OffsetCommitRequest request;
    request.set_group_id("g");
    request.set_member_id(member);
    request.set_member_epoch(epoch);
    auto* topic = request.add_topics();
    topic->set_topic_id(orders_.ToBytes());
    auto* added = topic->add_partitions();
    added->set_partition(partition);
    added->set_offset(offset);
    return request;
  }
  ErrorCode Commit(const std::string& member, int32_t epoch, uint32_t partition, uint64_t offset) {
    const auto answer = bench_.Commit(Request(member, epoch, partition, offset));
    if (!answer) return answer.error().code;
    return answer->topics(0).partitions(0).error().code();
  }
  std::optional<uint64_t> Committed(uint32_t partition) {
    const auto found = bench_.group->offsets().find({orders_, partition});
    if (found == bench_.group->offsets().end()) return std::nullopt;
    return found->second.offset;
  }
  size_t Expire() {
    GroupChange change(*bench_.group);
    const size_t count = ExpireOffsets(bench_.Scene(), 1000, change);
    bench_.Keep(change);
    return count;
  }

  size_t Forget() {
    GroupChange change(*bench_.group);
    const size_t count = RemoveDeletedTopics(bench_.Scene(), 1000, change);
    bench_.Keep(change);
    return count;
  }
  // What an answer says, "orders-0 11".
  std::vector<std::string> Told() {
    google::protobuf::RepeatedPtrField<v1::CommittedTopic> topics;
    FillCommitted(*bench_.group, bench_.Scene(), &topics);
    std::vector<std::string> out;
    for (const auto& topic : topics) {
      for (const auto& offset : topic.partitions())
        out.push_back(fmt::format("{}-{} {}", topic.topic(), offset.partition(), offset.offset()));
    }
    return out;
  }

  GroupBench bench_;
  TopicId orders_;
};

TEST_F(Offsets, AnybodyCommitsToAGroupWithoutMembers) {
  EXPECT_EQ(Commit("", -1, 0, 5), v1::NONE);
  EXPECT_EQ(Committed(0), 5u);
  EXPECT_EQ(Commit("", -1, 0, 3), v1::NONE) << "a tool may go back";
  EXPECT_EQ(Committed(0), 3u);
  BenchMember a(bench_, "a", {"orders"});
  (void)a.Beat();
  EXPECT_EQ(Commit("", -1, 0, 9), v1::NON_EMPTY_GROUP);
  EXPECT_EQ(Commit("", 3, 0, 9), v1::UNKNOWN_MEMBER_ID);
  EXPECT_EQ(Committed(0), 3u);
}

TEST_F(Offsets, AMemberCommitsWhatItHoldsAndWhatItIsGivingBack) {
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  (void)a.Beat();
  (void)b.Beat();
  const int32_t before = a.epoch();
  (void)a.Beat();  // asked for two
  ASSERT_TRUE(a.busy());
  for (uint32_t partition = 0; partition < 4; ++partition) {
    EXPECT_EQ(Commit("a", a.epoch(), partition, 10), v1::NONE);
    EXPECT_EQ(Commit("a", before, partition, 11), v1::NONE) << "was under way when the epoch changed";
    EXPECT_EQ(Commit("b", b.epoch(), partition, 1), v1::PARTITION_NOT_OWNED);
  }
  a.LetGo();
  (void)a.Beat();
  (void)b.Beat();
  for (const PartitionKey& partition : b.held()) {
    EXPECT_EQ(Commit("a", a.epoch(), partition.partition, 99), v1::PARTITION_NOT_OWNED);
    EXPECT_EQ(Commit("b", b.epoch(), partition.partition, 12), v1::NONE);
  }
}

TEST_F(Offsets, ALateCommitOfAnEarlierTenureUndoesNothing) {
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  auto settle = [&] {
    for (int i = 0; i < 4; ++i) {
      for (BenchMember* member : {&a, &b}) {
        member->LetGo();
        (void)member->Beat();
      }
    }
  };
  (void)a.Beat();
  const int32_t first = a.epoch();
  settle();
  const uint32_t moved = b.held().begin()->partition;
  EXPECT_EQ(Commit("b", b.epoch(), moved, 100), v1::NONE);
  EXPECT_EQ(b.Leave(), v1::NONE);
  (void)a.Beat();
  ASSERT_TRUE(a.held().contains({orders_, moved}));
  EXPECT_EQ(Commit("a", first, moved, 50), v1::PARTITION_NOT_OWNED)
      << "it holds it again, but not since then";
  EXPECT_EQ(Committed(moved), 100u);
  EXPECT_EQ(Commit("a", a.epoch(), moved, 101), v1::NONE);
}

TEST_F(Offsets, ALateCommitUndoesNothingWhileNobodyHoldsThePartition) {
  BenchMember a(bench_, "a", {"orders"}), b(bench_, "b", {"orders"});
  (void)a.Beat();
  (void)b.Beat();
  (void)a.Beat();  // asked for two
  a.LetGo();
  (void)a.Beat();  // which it says that it has let go, at the epoch that it keeps
  const int32_t kept = a.epoch();
  (void)b.Beat();
  const uint32_t moved = b.held().begin()->partition;
  EXPECT_EQ(Commit("b", b.epoch(), moved, 100), v1::NONE);
  EXPECT_EQ(b.Leave(), v1::NONE);
  ASSERT_EQ(bench_.group->OwnerOf({orders_, moved}), nullptr);
  ASSERT_EQ(bench_.group->Find("a")->epoch, kept);
  EXPECT_EQ(Commit("a", kept, moved, 50), v1::PARTITION_NOT_OWNED) << "delayed since before a let go";
  EXPECT_EQ(Committed(moved), 100u);
  (void)a.Beat();
  ASSERT_TRUE(a.held().contains({orders_, moved}));
  EXPECT_EQ(Commit("a", a.epoch(), moved, 101), v1::NONE);
}

TEST_F(Offsets, ALateCommitOfAnEarlierLifeUndoesNothing) {
  for (const char* instance : {"", "node-1"}) {
    SCOPED_TRACE(instance);
    const std::string id = fmt::format("m{}", instance);
    BenchMember a(bench_, id, {"orders"}, instance);
    EXPECT_EQ(a.Beat(/*answer_lost=*/true), v1::NONE);
    const int32_t told = bench_.group->Find(id)->epoch;
    EXPECT_EQ(a.Beat(), v1::NONE);
    EXPECT_EQ(a.epoch(), told) << "a repeated join is answered as the first time";
    const int32_t former = a.epoch();
    EXPECT_EQ(Commit(id, former, 0, 10), v1::NONE);
    if (instance == std::string()) {
      a.Forget();  // it dies, and comes back under the same id
    } else {
      EXPECT_EQ(a.Leave(kAwayEpoch), v1::NONE);
    }
    EXPECT_EQ(a.Beat(), v1::NONE);
    ASSERT_EQ(a.held().size(), 4u);
    EXPECT_EQ(Commit(id, a.epoch(), 0, 20), v1::NONE);
    EXPECT_EQ(Commit(id, former, 0, 15), v1::PARTITION_NOT_OWNED);
    EXPECT_EQ(Committed(0), 20u);
    EXPECT_EQ(a.Leave(), v1::NONE);
  }
}

TEST_F(Offsets, CommitsOfStrangersAndOfUnknownEpochsAreRefused) {
  BenchMember a(bench_, "a", {"orders"});
  (void)a.Beat();
  EXPECT_EQ(Commit("nobody", 1, 0, 1), v1::UNKNOWN_MEMBER_ID);
  EXPECT_EQ(Commit("a", a.epoch() + 1, 0, 1), v1::NOT_COORDINATOR) << "only another one can have told it";
  EXPECT_EQ(Commit("a", 0, 0, 1), v1::STALE_MEMBER_EPOCH);
  EXPECT_EQ(Commit("a", a.epoch(), 4, 1), v1::UNKNOWN_TOPIC_OR_PARTITION);
  auto request = Request("a", a.epoch(), 0, 1);
  request.mutable_topics(0)->mutable_partitions(0)->set_metadata(std::string(4097, 'x'));
  EXPECT_EQ(bench_.Commit(request)->topics(0).partitions(0).error().code(), v1::OFFSET_METADATA_TOO_LARGE);
  request.mutable_topics(0)->set_topic_id(BenchTopicId(200).ToBytes());
  EXPECT_EQ(bench_.Commit(request)->topics(0).partitions(0).error().code(), v1::UNKNOWN_TOPIC_ID);
  request.mutable_topics(0)->set_topic_id("short");
  EXPECT_EQ(bench_.Commit(request)->topics(0).partitions(0).error().code(), v1::INVALID_REQUEST);
  EXPECT_TRUE(bench_.group->offsets().empty());
}

TEST_F(Offsets, OffsetsOfAnEmptyGroupExpireFromWhenItBecameEmpty) {
  BenchMember a(bench_, "a", {"orders"});
  (void)a.Beat();
  EXPECT_EQ(Commit("a", a.epoch(), 0, 5), v1::NONE);
  for (int day = 0; day < 20; ++day) {
    (void)a.Beat();
    bench_.options.session_timeout = 1800s;
    bench_.now += 24h;
    bench_.wall += 24 * 3600 * 1000;
    (void)a.Beat();
    EXPECT_EQ(Expire(), 0u) << "it has a member that reads the topic";
  }
  EXPECT_EQ(a.Leave(), v1::NONE);
  bench_.Pass(7 * 24h - 1s);
  EXPECT_EQ(Expire(), 0u);
  EXPECT_FALSE(bench_.group->gone());
  bench_.Pass(1s);
  EXPECT_EQ(Expire(), 1u);
  EXPECT_TRUE(bench_.group->gone());
}

TEST_F(Offsets, OffsetsOfATopicThatCannotBeReadAtThisMomentStay) {
  EXPECT_EQ(Commit("", -1, 0, 5), v1::NONE);
  bench_.AddTopic("events", 1);
  BenchMember a(bench_, "a", {"events", "orders"});
  (void)a.Beat();
  bench_.DropTopic("orders");
  bench_.SetIncomplete(true);
  (void)a.Beat();
  bench_.wall += 8LL * 24 * 3600 * 1000;
  EXPECT_EQ(Expire(), 0u);
  bench_.SetIncomplete(false);
  EXPECT_EQ(Expire(), 1u) << "it is known to be gone";
}

TEST_F(Offsets, OffsetsOfADeletedTopicGoWithIt) {
  EXPECT_EQ(Commit("", -1, 0, 30), v1::NONE);
  const TopicId before = orders_;
  EXPECT_EQ(Forget(), 0u);
  bench_.DropTopic("orders");
  orders_ = bench_.AddTopic("orders", 4);
  ASSERT_NE(orders_, before);
  EXPECT_EQ(Commit("", -1, 0, 11), v1::NONE);
  EXPECT_THAT(Told(), testing::ElementsAre("orders-0 11")) << "what is not removed yet is not told either";
  EXPECT_EQ(Forget(), 1u);
  EXPECT_EQ(bench_.group->offsets().size(), 1u);
  EXPECT_EQ(Committed(0), 11u);
}

TEST_F(Offsets, AGroupOfWhichADeletedTopicWasAllIsGone) {
  EXPECT_EQ(Commit("", -1, 0, 30), v1::NONE);
  BenchMember a(bench_, "a", {"orders"});
  (void)a.Beat();
  EXPECT_EQ(a.Leave(), v1::NONE);
  EXPECT_EQ(Forget(), 0u);
  EXPECT_FALSE(bench_.group->gone());
  bench_.DropTopic("orders");
  EXPECT_EQ(Forget(), 1u);
  EXPECT_TRUE(bench_.group->gone());
  EXPECT_TRUE(bench_.ReadBack(true)->gone()) << "the log says so too";
}

TEST_F(Offsets, OffsetsOfATopicWhoseDeletionNobodySawStay) {
  EXPECT_EQ(Commit("", -1, 0, 30), v1::NONE);
  // A coordinator that has just started, and is behind: it knows other topics only.
  SubscriptionResolver fresh;
  auto behind = std::make_shared<GroupTopics>();
  behind->Add("events", {BenchTopicId(77), 1});
  fresh.SetTopics(behind);
  const GroupScene scene{
      .now = bench_.now, .wall = bench_.wall, .resolver = fresh, .options = bench_.options};
  GroupChange change(*bench_.group);
  EXPECT_EQ(RemoveDeletedTopics(scene, 1000, change), 0u);
  EXPECT_EQ(Committed(0), 30u);
  // It is told of another topic of that name: whose offsets these are nobody can know from it.
  auto other = std::make_shared<GroupTopics>(*behind);
  other->Add("orders", {BenchTopicId(78), 1});
  fresh.SetTopics(other);
  EXPECT_EQ(RemoveDeletedTopics(scene, 1000, change), 0u);
  google::protobuf::RepeatedPtrField<v1::CommittedTopic> told;
  FillCommitted(*bench_.group, scene, &told);
  EXPECT_TRUE(told.empty()) << "not under the name of a topic that there is";
  // One that is being deleted when it is first heard of is deleted.
  auto deleting = std::make_shared<GroupTopics>(*behind);
  deleting->deleting.push_back(orders_);
  EXPECT_TRUE(fresh.SetTopics(deleting));
  EXPECT_EQ(RemoveDeletedTopics(scene, 1000, change), 1u);
}

TEST_F(Offsets, OffsetsOfATopicThatCannotBeReadAreKeptUntilItIsKnownToBeGone) {
  EXPECT_EQ(Commit("", -1, 0, 30), v1::NONE);
  bench_.SetIncomplete(true);
  bench_.DropTopic("orders");
  EXPECT_EQ(Forget(), 0u);
  bench_.SetIncomplete(false);
  EXPECT_EQ(Forget(), 1u);
}

TEST_F(Offsets, OfTwoTopicsOfOneNameThatAreGoneTheLastIsTold) {
  EXPECT_EQ(Commit("", -1, 0, 30), v1::NONE);
  bench_.DropTopic("orders");
  orders_ = bench_.AddTopic("orders", 4);
  bench_.Pass(1s);
  EXPECT_EQ(Commit("", -1, 1, 11), v1::NONE);
  SubscriptionResolver fresh;
  fresh.SetTopics(std::make_shared<GroupTopics>());
  google::protobuf::RepeatedPtrField<v1::CommittedTopic> told;
  FillCommitted(*bench_.group, {bench_.now, bench_.wall, fresh, bench_.options}, &told);
  ASSERT_EQ(told.size(), 1);
  EXPECT_EQ(told[0].topic_id(), orders_.ToBytes());
}

TEST_F(Offsets, AnOffsetIsNoLargerThanTheLargestThereIs) {
  EXPECT_EQ(Commit("", -1, 0, std::numeric_limits<uint64_t>::max()), v1::INVALID_REQUEST);
  EXPECT_EQ(Commit("", -1, 0, 1ull << 63), v1::INVALID_REQUEST);
  EXPECT_EQ(Committed(0), std::nullopt);
  EXPECT_EQ(Commit("", -1, 0, (1ull << 63) - 1), v1::NONE);
}

TEST_F(Offsets, OffsetsOfASimpleGroupExpireFromTheirCommit) {
  EXPECT_EQ(Commit("", -1, 0, 5), v1::NONE);
  bench_.Pass(3 * 24h);
  EXPECT_EQ(Commit("", -1, 1, 5), v1::NONE);
  bench_.Pass(4 * 24h);
  EXPECT_EQ(Expire(), 1u);
  EXPECT_EQ(Committed(1), 5u);
}

TEST_F(Offsets, OffsetsOfTopicsThatNoMemberReadsExpireAndCanBeDeleted) {
  EXPECT_EQ(Commit("", -1, 0, 5), v1::NONE);
  bench_.AddTopic("events", 1);
  BenchMember a(bench_, "a", {"events"}), b(bench_, "b", {"orders"});
  (void)a.Beat();
  (void)b.Beat();
  v1::OffsetDeleteRequest request;
  auto* topic = request.add_topics();
  topic->set_topic_id(orders_.ToBytes());
  topic->add_partitions(0);
  topic->add_partitions(3);
  auto remove = [&] {
    GroupChange change(*bench_.group);
    v1::OffsetDeleteResponse out;
    EXPECT_TRUE(DeleteOffsets(request, bench_.Scene(), change, &out));
    bench_.Keep(change);
    return out.topics(0).partitions(0).error().code();
  };
  EXPECT_EQ(remove(), v1::GROUP_SUBSCRIBED_TO_TOPIC);
  EXPECT_EQ(Committed(0), 5u);
  EXPECT_EQ(b.Leave(), v1::NONE);
  EXPECT_EQ(remove(), v1::NONE);
  EXPECT_EQ(Committed(0), std::nullopt);
}

TEST_F(Offsets, AGroupIsDeletedOnlyWithoutMembers) {
  EXPECT_EQ(Commit("", -1, 0, 5), v1::NONE);
  BenchMember a(bench_, "a", {"orders"});
  (void)a.Beat();
  {
    GroupChange change(*bench_.group);
    EXPECT_EQ(DeleteGroup(change).error().code, v1::NON_EMPTY_GROUP);
    EXPECT_TRUE(change.empty());
  }
  EXPECT_EQ(a.Leave(), v1::NONE);
  GroupChange change(*bench_.group);
  EXPECT_TRUE(DeleteGroup(change));
  bench_.Keep(change);
  EXPECT_TRUE(bench_.group->gone());
  EXPECT_TRUE(bench_.ReadBack(true)->gone());
}

TEST_F(Offsets, FetchTellsWhatIsCommittedAndWhatIsNot) {
  auto commit = Request("", -1, 2, 7);
  commit.mutable_topics(0)->mutable_partitions(0)->set_metadata("note");
  commit.mutable_topics(0)->mutable_partitions(0)->set_leader_epoch(3);
  ASSERT_TRUE(bench_.Commit(commit));
  v1::OffsetFetchRequest::Group request;
  request.set_group_id("g");
  auto* topic = request.add_topics();
  topic->set_topic_id(orders_.ToBytes());
  topic->add_partitions(2);
  topic->add_partitions(3);
  v1::OffsetFetchResponse::Group out;
  ASSERT_TRUE(FetchOffsets(request, bench_.group.get(), bench_.Scene(), &out));
  EXPECT_EQ(out.topics(0).topic(), "orders");
  EXPECT_EQ(out.topics(0).partitions(0).offset(), 7u);
  EXPECT_EQ(out.topics(0).partitions(0).leader_epoch(), 3u);
  EXPECT_EQ(out.topics(0).partitions(0).metadata(), "note");
  EXPECT_EQ(out.topics(0).partitions(0).expire_time(), bench_.wall + 7 * 24 * 3600 * 1000);
  EXPECT_FALSE(out.topics(0).partitions(1).has_offset());
  // All, of a group that is there and of one that is not.
  request.clear_topics();
  v1::OffsetFetchResponse::Group all;
  ASSERT_TRUE(FetchOffsets(request, bench_.group.get(), bench_.Scene(), &all));
  EXPECT_EQ(all.topics(0).partitions_size(), 1);
  v1::OffsetFetchResponse::Group none;
  ASSERT_TRUE(FetchOffsets(request, nullptr, bench_.Scene(), &none));
  EXPECT_EQ(none.topics_size(), 0);
  request.set_member_id("a");
  EXPECT_EQ(FetchOffsets(request, nullptr, bench_.Scene(), &none).error().code, v1::UNKNOWN_MEMBER_ID);
}

// A request of a few bytes per partition must not become kilobytes of memory and log each.
TEST_F(Offsets, ARequestNamesEachPartitionOnceAndNotTooMany) {
  auto commit = Request("", -1, 2, 7);
  auto* topic = commit.mutable_topics(0);
  *topic->add_partitions() = topic->partitions(0);
  topic->mutable_partitions(1)->set_offset(9);
  EXPECT_EQ(bench_.Commit(commit).error().code, v1::INVALID_REQUEST) << "which of the two?";
  topic->clear_partitions();
  for (uint32_t i = 0; i < 20'001; ++i) topic->add_partitions()->set_partition(i);
  EXPECT_EQ(bench_.Commit(commit).error().code, v1::INVALID_REQUEST);
  EXPECT_TRUE(bench_.group->gone());
  topic->mutable_partitions()->RemoveLast();
  EXPECT_TRUE(bench_.Commit(commit)) << "those that are not there have errors of their own";
  EXPECT_EQ(bench_.group->offsets().size(), 4u);

  const auto ask = [&](const google::protobuf::RepeatedPtrField<v1::GroupTopicPartitions>& topics) {
    v1::OffsetFetchRequest::Group fetch;
    *fetch.mutable_topics() = topics;
    v1::OffsetFetchResponse::Group fetched;
    const Result<> there = FetchOffsets(fetch, bench_.group.get(), bench_.Scene(), &fetched);
    const Result<> nowhere = FetchOffsets(fetch, nullptr, bench_.Scene(), &fetched);
    v1::OffsetDeleteRequest remove;
    *remove.mutable_topics() = topics;
    GroupChange change(*bench_.group);
    v1::OffsetDeleteResponse removed;
    const Result<> deleted = DeleteOffsets(remove, bench_.Scene(), change, &removed);
    EXPECT_EQ(there.has_value(), nowhere.has_value());
    EXPECT_EQ(there.has_value(), deleted.has_value());
    EXPECT_TRUE(there || change.empty());
    change.Rollback();
    return there ? v1::NONE : there.error().code;
  };
  google::protobuf::RepeatedPtrField<v1::GroupTopicPartitions> topics;
  topics.Add()->set_topic_id(orders_.ToBytes());
  for (uint32_t i = 0; i < 20'000; ++i) topics[0].add_partitions(i);
  EXPECT_EQ(ask(topics), v1::NONE);
  topics[0].add_partitions(20'000);
  EXPECT_EQ(ask(topics), v1::INVALID_REQUEST);
  topics[0].clear_partitions();
  topics[0].add_partitions(1);
  topics[0].add_partitions(1);
  EXPECT_EQ(ask(topics), v1::INVALID_REQUEST);
  topics.Clear();
  for (int i = 0; i < 20'001; ++i) topics.Add()->set_topic_id(orders_.ToBytes());
  EXPECT_EQ(ask(topics), v1::INVALID_REQUEST) << "topics without partitions are counted, too";
}

}  // namespace
}  // namespace tidemark
