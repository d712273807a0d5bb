// Assignors: every partition with a reader has one owner that reads it; sticky is even and moves no more than
// it must.
#include "broker/group/assignor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tidemark {
namespace {

using testing::ElementsAre;

TopicId Topic(uint8_t number) {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes[0] = number;
  return TopicId(bytes);
}

AssignableMember Member(const std::string& id, std::vector<TopicId> topics,
                        std::vector<PartitionKey> current = {}) {
  return {.order = id, .id = id, .topics = std::move(topics), .current = std::move(current)};
}

size_t Moved(const AssignmentPlan& before, const AssignmentPlan& after) {
  std::map<PartitionKey, std::string> owner;
  for (const auto& [id, list] : before) {
    for (const PartitionKey& partition : list) owner[partition] = id;
  }
  size_t moved = 0;
  for (const auto& [id, list] : after) {
    for (const PartitionKey& partition : list) moved += owner.contains(partition) && owner[partition] != id;
  }
  return moved;
}

TEST(RangeAssignor, GivesNeighboursPerTopicAndTheRestToTheFirst) {
  const AssignmentPlan plan =
      Assign(AssignorKind::kRange, {Member("b", {Topic(1)}), Member("a", {Topic(1)})}, {{Topic(1), 3}});
  EXPECT_THAT(plan.at("a"), ElementsAre(PartitionKey{Topic(1), 0}, PartitionKey{Topic(1), 1}));
  EXPECT_THAT(plan.at("b"), ElementsAre(PartitionKey{Topic(1), 2}));
}

TEST(RangeAssignor, PutsEqualPartitionsOfEqualTopicsTogether) {
  const std::vector<TopicId> both = {Topic(1), Topic(2)};
  const AssignmentPlan plan =
      Assign(AssignorKind::kRange, {Member("a", both), Member("b", both)}, {{Topic(1), 2}, {Topic(2), 2}});
  EXPECT_THAT(plan.at("a"), ElementsAre(PartitionKey{Topic(1), 0}, PartitionKey{Topic(2), 0}));
}

TEST(RoundRobinAssignor, DealsInTurn) {
  const AssignmentPlan plan =
      Assign(AssignorKind::kRoundRobin, {Member("a", {Topic(1)}), Member("b", {Topic(1)})}, {{Topic(1), 3}});
  EXPECT_THAT(plan.at("a"), ElementsAre(PartitionKey{Topic(1), 0}, PartitionKey{Topic(1), 2}));
  EXPECT_THAT(plan.at("b"), ElementsAre(PartitionKey{Topic(1), 1}));
}

// As if each partition went round all members until one reads its topic.
TEST(RoundRobinAssignor, PassesOverWhoDoesNotReadATopic) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<AssignableMember> members;
    for (unsigned i = 0; i < 1 + random() % 6; ++i) {
      std::vector<TopicId> topics;
      for (uint8_t t = 0; t < 4; ++t) {
        if (random() % 2 == 0) topics.push_back(Topic(t));
      }
      members.push_back(Member(std::string(1, static_cast<char>('a' + i)), topics));
    }
    std::map<TopicId, uint32_t> partitions;
    AssignmentPlan wanted;
    for (const AssignableMember& member : members) {
      wanted[member.id];
      for (const TopicId& topic : member.topics) partitions.emplace(topic, random() % 8);
    }
    size_t turn = 0;
    for (const auto& [topic, count] : partitions) {
      for (uint32_t partition = 0; partition < count; ++partition) {
        while (std::ranges::find(members[turn].topics, topic) == members[turn].topics.end())
          turn = (turn + 1) % members.size();
        wanted[members[turn].id].push_back({topic, partition});
        turn = (turn + 1) % members.size();
      }
    }
    ASSERT_EQ(Assign(AssignorKind::kRoundRobin, members, partitions), wanted) << "round " << round;
  }
}

// Each of many members that do not read a large topic is not asked again for each of its partitions.
TEST(RoundRobinAssignor, ALargeTopicOfOneReaderAmongManyIsDealtAtOnce) {
  std::vector<AssignableMember> members;
  for (int i = 0; i < 10'000; ++i) members.push_back(Member("m" + std::to_string(i), {}));
  members.push_back(Member("reader", {Topic(1)}));
  const AssignmentPlan plan = Assign(AssignorKind::kRoundRobin, std::move(members), {{Topic(1), 100'000}});
  EXPECT_EQ(plan.at("reader").size(), 100'000u);
}

TEST(Assignors, NamesAreUnderstoodAlsoAsKafkaWritesThem) {
  EXPECT_EQ(AssignorFromName("range"), AssignorKind::kRange);
  EXPECT_EQ(AssignorFromName("org.apache.kafka.clients.consumer.RoundRobinAssignor"),
            AssignorKind::kRoundRobin);
  EXPECT_EQ(AssignorFromName("cooperative-sticky"), AssignorKind::kSticky);
  EXPECT_EQ(AssignorFromName("best"), std::nullopt);
}

TEST(Assignors, MoreMembersThanPartitionsLeavesTheSurplusIdle) {
  for (const AssignorKind kind : {AssignorKind::kRange, AssignorKind::kRoundRobin, AssignorKind::kSticky}) {
    const AssignmentPlan plan =
        Assign(kind, {Member("a", {Topic(1)}), Member("b", {Topic(1)}), Member("c", {})}, {{Topic(1), 1}});
    EXPECT_EQ(plan.at("a").size() + plan.at("b").size(), 1u);
    EXPECT_TRUE(plan.at("c").empty());
  }
}

TEST(StickyAssignor, ANewMemberTakesItsShareAndNothingElseMoves) {
  AssignmentPlan plan =
      Assign(AssignorKind::kSticky, {Member("a", {Topic(1)}), Member("b", {Topic(1)})}, {{Topic(1), 48}});
  const AssignmentPlan next = Assign(
      AssignorKind::kSticky,
      {Member("a", {Topic(1)}, plan["a"]), Member("b", {Topic(1)}, plan["b"]), Member("c", {Topic(1)})},
      {{Topic(1), 48}});
  EXPECT_EQ(next.at("c").size(), 16u);
  EXPECT_EQ(Moved(plan, next), 16u);
}

TEST(StickyAssignor, BalancesWhereSubscriptionsDiffer) {
  // Only b reads topic 2: it gives its part of topic 1 away for it.
  AssignmentPlan plan =
      Assign(AssignorKind::kSticky, {Member("a", {Topic(1)}), Member("b", {Topic(1)})}, {{Topic(1), 4}});
  plan = Assign(AssignorKind::kSticky,
                {Member("a", {Topic(1)}, plan["a"]), Member("b", {Topic(1), Topic(2)}, plan["b"])},
                {{Topic(1), 4}, {Topic(2), 4}});
  EXPECT_EQ(plan.at("a").size(), 4u);
  EXPECT_EQ(plan.at("b").size(), 4u);
}

TEST(Assignors, RandomGroupsAreAssignedWholeAndStickyIsEven) {
  std::mt19937 random(7);
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 300; ++round) {
    std::map<TopicId, uint32_t> partitions;
    const size_t topics = 1 + below(5);
    for (size_t t = 0; t < topics; ++t)
      partitions[Topic(static_cast<uint8_t>(t))] = static_cast<uint32_t>(below(12));
    std::vector<AssignableMember> members;
    std::set<TopicId> read;
    const bool alike = below(2) == 0;
    for (size_t m = 0; m < 1 + below(8); ++m) {
      std::vector<TopicId> wants;
      for (const auto& [topic, count] : partitions) {
        if (alike || below(3) > 0) wants.push_back(topic);
      }
      // Claims of partitions that are gone, not read, or claimed twice.
      std::vector<PartitionKey> current;
      for (size_t i = 0; i < below(10); ++i)
        current.push_back({Topic(static_cast<uint8_t>(below(6))), static_cast<uint32_t>(below(14))});
      read.insert(wants.begin(), wants.end());
      members.push_back(Member(fmt::format("m{}", m), wants, current));
    }
    for (const AssignorKind kind : {AssignorKind::kRange, AssignorKind::kRoundRobin, AssignorKind::kSticky}) {
      const AssignmentPlan plan = Assign(kind, members, partitions);
      ASSERT_EQ(plan, Assign(kind, members, partitions)) << "not deterministic";
      ASSERT_EQ(plan.size(), members.size());
      std::set<PartitionKey> given;
      for (const AssignableMember& member : members) {
        for (const PartitionKey& partition : plan.at(member.id)) {
          ASSERT_TRUE(given.insert(partition).second) << "given twice";
          ASSERT_TRUE(std::ranges::binary_search(member.topics, partition.topic)) << "not read";
          ASSERT_LT(partition.partition, partitions[partition.topic]);
        }
      }
      size_t all = 0;
      for (const TopicId& topic : read) all += partitions[topic];
      ASSERT_EQ(given.size(), all) << NameOf(kind) << " left some without owner";
      if (kind != AssignorKind::kSticky) continue;
      for (const AssignableMember& a : members) {
        for (const AssignableMember& b : members) {
          if (a.topics == b.topics) {
            ASSERT_LE(plan.at(a.id).size(), plan.at(b.id).size() + 1);
          }
        }
      }
    }
  }
}

// Thousands of topics and of members: this must not take time that grows with their product.
TEST(StickyAssignor, ManyTopicsAndMembersAreAssignedAtOnce) {
  std::map<TopicId, uint32_t> partitions;
  std::vector<TopicId> topics, some;
  for (uint32_t t = 0; t < 1000; ++t) {
    std::array<uint8_t, TopicId::kSize> bytes{};
    bytes[0] = static_cast<uint8_t>(t >> 8);
    bytes[1] = static_cast<uint8_t>(t);
    topics.emplace_back(bytes);
    if (t % 2 == 0) some.push_back(topics.back());
    partitions[topics.back()] = 3;
  }
  partitions[topics[7]] = 2'000;
  AssignmentPlan plan;
  const auto assign = [&](size_t members) {
    std::vector<AssignableMember> now;
    for (size_t m = 0; m < members; ++m) {
      const std::string id = fmt::format("m{:03}", m);
      now.push_back(Member(id, m % 10 == 9 ? some : topics, plan[id]));
    }
    const AssignmentPlan before = std::exchange(plan, {});
    plan = Assign(AssignorKind::kSticky, std::move(now), partitions);
    return Moved(before, plan);
  };
  constexpr size_t kAll = 999 * 3 + 2'000;
  EXPECT_EQ(assign(1), 0u);
  EXPECT_EQ(plan["m000"].size(), kAll);
  EXPECT_EQ(assign(2), kAll / 2);
  (void)assign(50);
  std::set<size_t> loads;
  size_t all = 0;
  for (const auto& [id, list] : plan) {
    if (!id.ends_with("9")) loads.insert(list.size());
    all += list.size();
  }
  EXPECT_LE(*loads.rbegin() - *loads.begin(), 1u);
  EXPECT_EQ(all, kAll);
  EXPECT_EQ(assign(50), 0u);
}

TEST(StickyAssignor, MovesOnlyWhatBalanceRequiresWhenMembersComeAndGo) {
  std::mt19937 random(11);
  constexpr uint32_t kPartitions = 48;
  std::set<std::string> members = {"m0"};
  AssignmentPlan plan = Assign(AssignorKind::kSticky, {Member("m0", {Topic(1)})}, {{Topic(1), kPartitions}});
  for (int round = 1; round < 200; ++round) {
    const bool join = members.size() == 1 || random() % 2 == 0;
    if (join) {
      members.insert(fmt::format("m{}", round));
    } else {
      members.erase(std::next(members.begin(), static_cast<long>(random() % members.size())));
    }
    std::vector<AssignableMember> now;
    std::vector<size_t> had;
    for (const std::string& id : members)
      now.push_back(Member(id, {Topic(1)}, plan.contains(id) ? plan[id] : std::vector<PartitionKey>{}));
    // The least that has to leave those that stay: what each has above its share, where the larger shares go
    // to those that have most.
    for (const AssignableMember& member : now) had.push_back(member.current.size());
    std::ranges::sort(had, std::greater<>());
    size_t required = 0;
    for (size_t i = 0; i < had.size(); ++i) {
      const size_t share = kPartitions / had.size() + (i < kPartitions % had.size() ? 1 : 0);
      required += had[i] > share ? had[i] - share : 0;
    }
    const AssignmentPlan next = Assign(AssignorKind::kSticky, now, {{Topic(1), kPartitions}});
    std::erase_if(plan, [&](const auto& p) { return !members.contains(p.first); });
    ASSERT_EQ(Moved(plan, next), required) << "round " << round;
    plan = next;
  }
}

}  // namespace
}  // namespace tidemark
