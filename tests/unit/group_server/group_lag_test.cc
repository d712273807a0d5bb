// The lag of groups on whole brokers in the simulated world: found out by the coordinator, also of what
// others lead, and told at /metrics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

class GroupLagTold : public testing::Test {
 protected:
  GroupLagTold()
      : cluster_(7, 3,
                 {{"offsets.topic.num.partitions", "1"},
                  {"offsets.topic.replication.factor", "3"},
                  {"group.lag.interval.ms", "1000"}}) {
    cluster_.StartAll();
    topic_ = cluster_.CreateTopic("orders", 3, 1);
    CHECK(cluster_.WaitForLeaders("orders"));
    for (uint32_t partition = 0; partition < 3; ++partition)
      cluster_.Produce("orders", partition, {"a", "b", "c", "d"});
  }

  bool Until(const std::function<bool()>& done) {
    const MonoTime deadline = cluster_.world().Now() + 60s;
    while (!done() && cluster_.world().Now() < deadline) cluster_.world().RunFor(200ms);
    return done();
  }
  std::optional<int> Coordinator() {
    for (int id = 0; id < 3; ++id) {
      if (cluster_.broker(id) == nullptr) continue;
      v1::Request request;
      request.mutable_find_coordinator()->add_group_ids("readers");
      const auto answer = cluster_.Call(id, request);
      if (answer && answer->find_coordinator().coordinators(0).error().code() == v1::NONE)
        return answer->find_coordinator().coordinators(0).broker_id();
    }
    return std::nullopt;
  }
  bool Commit(uint64_t offset) {
    const std::optional<int> coordinator = Coordinator();
    if (!coordinator) return false;
    v1::Request request;
    auto* commit = request.mutable_offset_commit();
    commit->set_group_id("readers");
    commit->set_member_epoch(-1);
    auto* topic = commit->add_topics();
    topic->set_topic_id(topic_.ToBytes());
    for (uint32_t partition = 0; partition < 3; ++partition) {
      topic->add_partitions()->set_partition(partition);
      topic->mutable_partitions(static_cast<int>(partition))->set_offset(offset);
    }
    const auto answer = cluster_.Call(*coordinator, request);
    return answer && answer->offset_commit().topics_size() == 1 &&
           answer->offset_commit().topics(0).partitions(0).error().code() == v1::NONE;
  }
  // Labels in any order.
  std::optional<double> Told(int broker, const char* unit, int partition) {
    const std::string body = cluster_.Http(broker, {.path = "/metrics"}).body;
    for (size_t at = 0;
         (at = body.find(fmt::format("tidemark_group_lag_{}{{", unit), at)) != std::string::npos;) {
      const std::string line = body.substr(at, body.find('\n', at) - at);
      at += line.size();
      const bool same = line.find("group=\"readers\"") != std::string::npos &&
                        line.find("topic=\"orders\"") != std::string::npos &&
                        line.find(fmt::format("partition=\"{}\"", partition)) != std::string::npos;
      if (same) return std::stod(line.substr(line.rfind(' ')));
    }
    return std::nullopt;
  }
  bool AllTold(int broker, double records) {
    for (int partition = 0; partition < 3; ++partition) {
      if (Told(broker, "records", partition) != records) return false;
    }
    return true;
  }

  SimBrokers cluster_;
  TopicId topic_;
};

TEST_F(GroupLagTold, IsThatOfPartitionsWhoeverLeadsThem) {
  ASSERT_TRUE(Until([&] { return Commit(1); }));
  const int coordinator = *Coordinator();
  std::set<int> leaders;
  for (uint32_t partition = 0; partition < 3; ++partition)
    leaders.insert(cluster_.LeaderOf("orders", partition));
  ASSERT_EQ(leaders.size(), 3u) << "one here, two elsewhere";
  ASSERT_TRUE(Until([&] { return AllTold(coordinator, 3); }));
  const double waited = *Told(coordinator, "seconds", 1);
  EXPECT_GT(waited, 0);
  ASSERT_TRUE(Until([&] { return Told(coordinator, "seconds", 1) > waited + 3; })) << "the record waits on";
  ASSERT_TRUE(Until([&] { return Commit(4); }));
  ASSERT_TRUE(Until([&] { return AllTold(coordinator, 0); }));
  EXPECT_EQ(Told(coordinator, "seconds", 2), 0);
  for (int other = 0; other < 3; ++other) {
    if (other != coordinator)
      EXPECT_EQ(Told(other, "records", 0), std::nullopt) << "only the coordinator tells";
  }
}

TEST_F(GroupLagTold, IsAbsentWhileNobodyLeadsAndBackWithTheLeader) {
  ASSERT_TRUE(Until([&] { return Commit(1); }));
  const int coordinator = *Coordinator();
  ASSERT_TRUE(Until([&] { return AllTold(coordinator, 3); }));
  int partition = 0;
  while (cluster_.LeaderOf("orders", static_cast<uint32_t>(partition)) == coordinator) ++partition;
  const int leader = cluster_.LeaderOf("orders", static_cast<uint32_t>(partition));
  cluster_.Kill(leader);
  ASSERT_TRUE(Until([&] { return !Told(coordinator, "records", partition); }));
  EXPECT_EQ(Told(coordinator, "seconds", partition), std::nullopt);
  EXPECT_THAT(cluster_.Http(coordinator, {.path = "/metrics"}).body,
              HasSubstr("tidemark_group_lag_unknown 1\n"));
  ASSERT_TRUE(cluster_.Start(leader));
  ASSERT_TRUE(Until([&] { return Told(coordinator, "records", partition) == 3; }));
}

TEST_F(GroupLagTold, MovesWithTheCoordinator) {
  ASSERT_TRUE(Until([&] { return Commit(2); }));
  const int former = *Coordinator();
  ASSERT_TRUE(Until([&] { return AllTold(former, 2); }));
  cluster_.Kill(former);
  ASSERT_TRUE(Until([&] { return Coordinator().value_or(former) != former; }));
  const int next = *Coordinator();
  ASSERT_TRUE(cluster_.Start(former));
  ASSERT_TRUE(Until([&] { return AllTold(next, 2); }));
  EXPECT_EQ(Told(former, "records", 0), std::nullopt);
}

}  // namespace
}  // namespace tidemark
