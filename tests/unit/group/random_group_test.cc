// Random members over a group: they join, leave, fall silent, lose answers, repeat old heartbeats, while
// topics grow, appends fail and coordinators change. No partition ever has two owners whose epoch is good;
// when it is quiet all is owned and even; commits of one never undo another's.
#include <gmock/gmock.h>

#include <random>

#include "tests/unit/group/group_bench.h"

namespace tidemark {
namespace {

class RandomGroup {
 public:
  explicit RandomGroup(uint32_t seed) : random_(seed) {
    bench_.AddTopic("orders", 48);
    bench_.AddTopic("events", 5);
    for (int i = 0; i < 10; ++i) Replace(static_cast<size_t>(i));
  }

  void Step() {
    const size_t m = Below(members_.size());
    BenchMember& member = *members_[m];
    switch (Below(16)) {
      case 0:
        (void)member.Leave(Below(2) == 0 ? kLeaveEpoch : kAwayEpoch);
        if (Below(2) == 0) Replace(m);
        break;
      case 1:
        Replace(m);  // dies without a word, and another one comes
        break;
      case 2:
        bench_.Pass(std::chrono::seconds(1 + Below(10)));
        break;
      case 3:
        if (!past_.empty()) (void)bench_.Beat(past_[Below(past_.size())]);
        break;
      case 4:
        bench_.Reload(Below(2) == 0);
        break;
      case 5:
        if (Below(10) == 0) bench_.AddTopic("orders", static_cast<uint32_t>(48 + Below(10)));
        break;
      case 6:
        FailAppend(member);
        break;
      case 7:
        member.LetGo();
        break;
      case 8:
        member.Begin();
        break;
      default:
        Remember(member.Next());
        (void)member.Beat(/*answer_lost=*/Below(6) == 0);
    }
    CheckOwners();
  }

  // A change whose append fails leaves no trace.
  void FailAppend(BenchMember& member) {
    const std::string before = bench_.Text(*bench_.group);
    GroupChange change(*bench_.group);
    if (!Heartbeat(member.Next(), {"client", "host"}, bench_.Scene(), change)) return;
    change.Rollback();
    StartGroupTimers(*bench_.group, bench_.now);
    ASSERT_EQ(bench_.Text(*bench_.group), before);
  }

  // Who may still be reading what, of those whom the coordinator would hear.
  void CheckOwners() {
    std::map<PartitionKey, std::string> readers;
    for (const auto& member : members_) {
      const GroupMember* known = bench_.group->Find(member->id());
      if (known == nullptr || member->epoch() == 0) continue;
      if (member->epoch() != known->epoch && member->epoch() != known->previous_epoch) continue;
      for (const PartitionKey& partition : member->Reads()) {
        const auto [other, only] = readers.try_emplace(partition, member->id());
        ASSERT_TRUE(only) << "partition " << partition.partition << " is read by " << other->second << " and "
                          << member->id();
      }
    }
  }

  void Quiet() {
    for (int round = 0; round < 40; ++round) {
      bench_.Pass(5s);
      for (auto& member : members_) {
        member->LetGo();
        member->Begin();
        (void)member->Beat();
      }
      CheckOwners();
    }
    ASSERT_EQ(StateOf(*bench_.group), v1::GROUP_STATE_STABLE) << bench_.Text(*bench_.group);
    size_t least = 1000, most = 0, all = 0;
    for (const auto& member : members_) {
      ASSERT_NE(member->epoch(), 0) << member->id();
      least = std::min(least, member->held().size());
      most = std::max(most, member->held().size());
      all += member->held().size();
      const HeldPartitions& assigned = bench_.group->Find(member->id())->assigned;
      ASSERT_TRUE(std::ranges::equal(member->held(), assigned, {}, {}, [](auto& p) { return p.first; }));
    }
    ASSERT_LE(most - least, 1u);
    size_t there = 0;
    for (const auto& [name, topic] : bench_.resolver.topics().by_name) there += topic.partitions;
    ASSERT_EQ(all, there) << "some partition has no owner";
  }

  void CheckReadBack() {
    for (const bool compacted : {false, true}) {
      ASSERT_EQ(bench_.Text(*bench_.ReadBack(compacted)), bench_.Text(*bench_.group));
    }
  }

 private:
  size_t Below(size_t n) { return static_cast<size_t>(random_() % n); }
  void Remember(v1::ConsumerGroupHeartbeatRequest request) {
    // An old goodbye is a goodbye; an old heartbeat must do nothing.
    if (past_.size() < 50) {
      past_.push_back(std::move(request));
    } else {
      past_[Below(past_.size())] = std::move(request);
    }
  }
  void Replace(size_t place) {
    members_.resize(std::max(members_.size(), place + 1));
    const std::string instance = Below(3) == 0 ? fmt::format("node-{}", place) : "";
    members_[place] = std::make_unique<BenchMember>(bench_, fmt::format("m{}", ++last_),
                                                    std::vector<std::string>{"orders", "events"}, instance);
  }

  std::mt19937 random_;
  GroupBench bench_;
  std::vector<std::unique_ptr<BenchMember>> members_;
  std::vector<v1::ConsumerGroupHeartbeatRequest> past_;
  int last_ = 0;
};

TEST(RandomGroups, HaveOneOwnerPerPartitionAndSettleEvenly) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomGroup group(seed);
    for (int round = 0; round < 3; ++round) {
      for (int step = 0; step < 150; ++step) {
        group.Step();
        if (testing::Test::HasFatalFailure()) return;
      }
      group.CheckReadBack();
      group.Quiet();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(GrowingGroup, OthersKeepReadingWhatDoesNotMove) {
  GroupBench bench;
  bench.AddTopic("orders", 48);
  std::vector<std::unique_ptr<BenchMember>> members;
  auto settle = [&] {
    for (int round = 0; round < 6; ++round) {
      for (auto& member : members) {
        member->LetGo();
        ASSERT_EQ(member->Beat(), v1::NONE);
      }
    }
  };
  for (int n = 1; n <= 10; ++n) {
    std::map<std::string, PartitionKeys> before;
    for (auto& member : members) before[member->id()] = member->held();
    members.push_back(
        std::make_unique<BenchMember>(bench, fmt::format("m{}", n), std::vector<std::string>{"orders"}));
    settle();
    size_t moved = 0;
    for (auto& member : members) {
      if (!before.contains(member->id())) continue;
      for (const PartitionKey& partition : member->held()) {
        ASSERT_TRUE(before[member->id()].contains(partition))
            << "one that stays was given something of another";
      }
      moved += before[member->id()].size() - member->held().size();
    }
    EXPECT_EQ(moved, n == 1 ? 0u : 48u / static_cast<size_t>(n)) << n;
  }
}

}  // namespace
}  // namespace tidemark
