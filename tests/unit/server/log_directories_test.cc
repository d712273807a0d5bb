// Brokers with several log directories in the simulated world: one of them fails, is gone at the start, or
// comes back as an empty disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr uint32_t kPartitions = 4;

class LogDirectories : public testing::Test {
 protected:
  explicit LogDirectories() : cluster_(11, 3, {{"log.dirs", "/a,/b"}, {"replica.lag.time.max.ms", "3000"}}) {
    cluster_.StartAll();
    cluster_.CreateTopic("orders", kPartitions, 3);
    CHECK(cluster_.WaitForLeaders("orders"));
    for (uint32_t p = 0; p < kPartitions; ++p) cluster_.Produce("orders", p, {"first"});
  }

  SimDisk& disk(int broker) { return cluster_.world().disk("host" + std::to_string(broker)); }
  v1::PartitionMetadata Of(uint32_t partition) {
    const auto topic = cluster_.Metadata("orders");
    for (int i = 0; topic && i < topic->partitions_size(); ++i) {
      if (topic->partitions(i).partition() == partition) return topic->partitions(i);
    }
    return {};
  }
  // Partitions whose replica on the broker is in the directory.
  std::vector<uint32_t> In(int broker, const std::string& directory) {
    std::vector<uint32_t> out;
    for (uint32_t p = 0; p < kPartitions; ++p) {
      const std::string path = directory + "/orders-" + std::to_string(p) + "/partition.metadata";
      if (disk(broker).Content(path)) out.push_back(p);
    }
    return out;
  }
  // What is read, with a batch that its producer sent again taken for one: it was told that its leader had
  // gone before the batch was committed, which a follower may have had all the same.
  std::vector<std::string> ConsumeOnce(uint32_t partition) {
    std::vector<std::string> values = cluster_.Consume("orders", partition);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
  }
  bool Until(const std::function<bool()>& done) {
    const MonoTime deadline = cluster_.world().Now() + 120s;
    while (!done()) {
      if (cluster_.world().Now() >= deadline) return false;
      cluster_.world().RunFor(200ms);
    }
    return true;
  }
  bool WaitForIsr(uint32_t partition, std::vector<int> members) {
    return Until([&] {
      const v1::PartitionMetadata now = Of(partition);
      std::vector<int> isr(now.isr().begin(), now.isr().end());
      std::ranges::sort(isr);
      return isr == members && now.leader() >= 0;
    });
  }

  SimBrokers cluster_;
};

TEST_F(LogDirectories, AFailedOneMovesItsPartitionsAndTheOtherGoesOn) {
  const std::vector<uint32_t> failed = In(0, "/a");
  const std::vector<uint32_t> well = In(0, "/b");
  ASSERT_THAT(failed, Not(IsEmpty()));
  ASSERT_THAT(well, Not(IsEmpty()));
  disk(0).Fail({.op = DiskOp::kSync, .path = "/a/"});
  for (uint32_t p = 0; p < kPartitions; ++p) cluster_.Produce("orders", p, {"second"});
  for (const uint32_t p : failed) {
    ASSERT_TRUE(WaitForIsr(p, {1, 2})) << p;
    ASSERT_TRUE(Until([&] { return Of(p).offline_replicas_size() == 1; })) << p;
    EXPECT_EQ(Of(p).offline_replicas(0), 0) << "leaders and followers alike are told of";
    EXPECT_NE(Of(p).leader(), 0);
  }
  for (const uint32_t p : well) {
    EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
    EXPECT_EQ(Of(p).offline_replicas_size(), 0) << p;
  }
  EXPECT_TRUE(cluster_.broker(0)->serving());
  EXPECT_THAT(cluster_.broker(0)->NotReadyReasons(), Contains(HasSubstr("/a is offline")));
  for (uint32_t p = 0; p < kPartitions; ++p) {
    cluster_.Produce("orders", p, {"third"});
    EXPECT_THAT(ConsumeOnce(p), ElementsAre("first", "second", "third"));
  }
}

TEST_F(LogDirectories, AReplicaOnAFailedOneIsNotElectedThoughItsBrokerLives) {
  const std::vector<uint32_t> failed = In(0, "/a");
  disk(0).Fail({.op = DiskOp::kSync, .path = "/a/"});
  for (uint32_t p = 0; p < kPartitions; ++p) cluster_.Produce("orders", p, {"second"});
  for (const uint32_t p : failed) ASSERT_TRUE(WaitForIsr(p, {1, 2}));
  // Another controller has to learn of it anew.
  cluster_.Kill(1);
  cluster_.Kill(2);
  for (const uint32_t p : failed) EXPECT_TRUE(Until([&] { return Of(p).leader() == -1; })) << p;
  cluster_.world().RunFor(10s);
  for (const uint32_t p : failed) {
    EXPECT_EQ(Of(p).leader(), -1) << p;
    EXPECT_THAT(Of(p).isr(), Not(Contains(0))) << p;
  }
  ASSERT_TRUE(cluster_.Start(1));
  ASSERT_TRUE(cluster_.Start(2));
  for (const uint32_t p : failed) EXPECT_TRUE(WaitForIsr(p, {1, 2})) << p;
}

TEST_F(LogDirectories, AReplacedOneIsFilledAgainFromTheLeaders) {
  const std::vector<uint32_t> failed = In(0, "/a");
  disk(0).Fail({.op = DiskOp::kSync, .path = "/a/"});
  for (uint32_t p = 0; p < kPartitions; ++p) cluster_.Produce("orders", p, {"second"});
  for (const uint32_t p : failed) ASSERT_TRUE(WaitForIsr(p, {1, 2}));
  cluster_.Stop(0);
  disk(0).RemovePath("/a");
  disk(0).ClearFailures();
  ASSERT_TRUE(cluster_.Start(0));
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
    EXPECT_THAT(ConsumeOnce(p), ElementsAre("first", "second"));
  }
  EXPECT_THAT(cluster_.broker(0)->NotReadyReasons(), IsEmpty());
}

// The disk is replaced while the broker is down in good order, so its replicas are still in the ISR.
TEST_F(LogDirectories, AnEmptyDiskUnderAKnownIdDoesNotCountAsInSync) {
  ASSERT_TRUE(cluster_.Stop(0));
  for (const char* directory : {"/a", "/b"}) disk(0).RemovePath(directory);
  ASSERT_TRUE(cluster_.Start(0));
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
    EXPECT_THAT(cluster_.Consume("orders", p), ElementsAre("first"));
  }
  EXPECT_FALSE(disk(0).Content("/a/new-directory")) << "all is accounted for";
}

// All are back before ZooKeeper has noticed: nothing was ever decided of the partitions since they were made.
TEST_F(LogDirectories, AnEmptyDiskAfterAQuickStopOfTheWholeClusterDoesNotLead) {
  for (const int id : {0, 1, 2}) cluster_.Kill(id);
  for (const char* directory : {"/a", "/b"}) disk(0).RemovePath(directory);
  for (const int id : {0, 1, 2}) ASSERT_TRUE(cluster_.Start(id));
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
    EXPECT_TRUE(Until([&] { return !cluster_.Consume("orders", p).empty(); })) << p;
    EXPECT_THAT(cluster_.Consume("orders", p), ElementsAre("first"));
  }
}

TEST_F(LogDirectories, AnEmptyDiskThatIsBackFirstAfterAWholeStopShutsNobodyOut) {
  for (const int id : {0, 1, 2}) cluster_.Kill(id);
  for (const char* directory : {"/a", "/b"}) disk(0).RemovePath(directory);
  cluster_.world().RunFor(60s);
  ASSERT_TRUE(cluster_.Start(0));
  cluster_.world().RunFor(20s);
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_EQ(Of(p).leader(), -1);
    EXPECT_GE(Of(p).isr_size(), 2) << "those that have the records are waited for";
  }
  ASSERT_TRUE(cluster_.Start(1));
  ASSERT_TRUE(cluster_.Start(2));
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
    EXPECT_THAT(cluster_.Consume("orders", p), ElementsAre("first"));
  }
}

TEST_F(LogDirectories, TheOnlyMemberOfAnIsrWithAnEmptyDiskDoesNotLead) {
  ASSERT_TRUE(cluster_.Stop(0));
  ASSERT_TRUE(cluster_.Stop(1));
  for (uint32_t p = 0; p < kPartitions; ++p) ASSERT_TRUE(WaitForIsr(p, {2}));
  cluster_.Kill(2);
  for (const char* directory : {"/a", "/b"}) disk(2).RemovePath(directory);
  ASSERT_TRUE(cluster_.Start(2));
  ASSERT_TRUE(cluster_.Start(0));
  ASSERT_TRUE(cluster_.Start(1));
  cluster_.world().RunFor(20s);
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_EQ(Of(p).leader(), -1) << "nobody may lead: records may be gone, and a person must say so";
    EXPECT_THAT(Of(p).offline_replicas(), ElementsAre(2));
  }
  // A restart does not make it forget that its disk is a new one.
  cluster_.Kill(2);
  ASSERT_TRUE(cluster_.Start(2));
  cluster_.world().RunFor(20s);
  for (uint32_t p = 0; p < kPartitions; ++p) EXPECT_EQ(Of(p).leader(), -1);
}

// As a person does with a disk that has failed. Nothing that was on it may begin anew as a log that is in
// sync.
TEST_F(LogDirectories, OneThatIsTakenOutOfTheConfigIsMissed) {
  ASSERT_THAT(In(0, "/b"), Not(IsEmpty()));
  for (const int id : {0, 1, 2}) cluster_.Kill(id);
  cluster_.Configure("log.dirs", "/a");
  ASSERT_TRUE(cluster_.Start(0));
  cluster_.world().RunFor(20s);
  cluster_.Configure("log.dirs", "/a,/b");
  ASSERT_TRUE(cluster_.Start(1));
  ASSERT_TRUE(cluster_.Start(2));
  for (uint32_t p = 0; p < kPartitions; ++p) {
    EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
    // The leader learns from the others what is committed.
    EXPECT_TRUE(Until([&] { return !cluster_.Consume("orders", p).empty(); })) << p;
    EXPECT_THAT(cluster_.Consume("orders", p), ElementsAre("first"));
  }
  EXPECT_EQ(In(0, "/a").size(), kPartitions);
  EXPECT_TRUE(Until([&] {
    return disk(0).Content("/a/meta.properties")->find("=/b\n") == std::string::npos;
  })) << "once everything is there again, it is forgotten";
}

TEST_F(LogDirectories, ASoleCopyInOneThatIsTakenOutStaysOfflineUntilItIsBack) {
  cluster_.CreateTopic("sole", 8, 1);
  ASSERT_TRUE(cluster_.WaitForLeaders("sole"));
  for (uint32_t p = 0; p < 8; ++p) cluster_.Produce("sole", p, {"only"});
  const auto gone = [&] {
    std::vector<uint32_t> out;
    for (uint32_t p = 0; p < 8; ++p) {
      if (disk(0).Content("/b/sole-" + std::to_string(p) + "/partition.metadata")) out.push_back(p);
    }
    return out;
  }();
  ASSERT_THAT(gone, Not(IsEmpty()));
  const auto leaders = [&] {
    std::vector<uint32_t> without;
    for (const auto& partition : cluster_.Metadata("sole")->partitions()) {
      if (partition.leader() < 0) without.push_back(partition.partition());
    }
    std::ranges::sort(without);
    return without;
  };
  ASSERT_TRUE(cluster_.Stop(0));
  cluster_.Configure("log.dirs", "/a");
  // Also a second time: it is not forgotten while something is missing.
  for (int start = 0; start < 2; ++start) {
    ASSERT_TRUE(cluster_.Start(0));
    EXPECT_TRUE(Until([&] { return leaders() == gone; }));
    cluster_.world().RunFor(20s);
    EXPECT_EQ(leaders(), gone);
    EXPECT_THAT(cluster_.Http(0, {.path = "/metrics"}).body,
                HasSubstr(fmt::format("\ntidemark_partitions_offline {}\n", gone.size())));
    EXPECT_THAT(cluster_.Http(0, {.path = "/state"}).body,
                HasSubstr(fmt::format("\"sole-{}\": \"", gone.front())));
    ASSERT_TRUE(cluster_.Stop(0));
  }
  cluster_.Configure("log.dirs", "/a,/b");
  for (const uint32_t p : In(0, "/a")) disk(0).RemovePath("/b/orders-" + std::to_string(p));
  ASSERT_TRUE(cluster_.Start(0));
  EXPECT_TRUE(Until([&] { return leaders().empty(); }));
  for (const uint32_t p : gone) EXPECT_THAT(cluster_.Consume("sole", p), ElementsAre("only"));
}

TEST_F(LogDirectories, OneThatCannotBeOpenedAtTheStartLeavesTheOthersInService) {
  const std::vector<uint32_t> unread = In(0, "/a");
  const std::vector<uint32_t> well = In(0, "/b");
  ASSERT_TRUE(cluster_.Stop(0));
  disk(0).Fail({.op = DiskOp::kLock, .path = "/a/"});
  ASSERT_TRUE(cluster_.Start(0));
  for (const uint32_t p : well) EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
  for (const uint32_t p : unread) {
    EXPECT_TRUE(WaitForIsr(p, {1, 2})) << p;
    EXPECT_TRUE(Until([&] { return Of(p).offline_replicas_size() == 1; })) << p;
  }
  EXPECT_EQ(In(0, "/b"), well) << "what may be in the other directory is not made anew";
  // New topics go where there is a disk.
  cluster_.CreateTopic("fresh", 1, 3);
  ASSERT_TRUE(cluster_.WaitForLeaders("fresh"));
  cluster_.Produce("fresh", 0, {"x"});
  // The disk is back: so are its replicas.
  ASSERT_TRUE(cluster_.Stop(0));
  ASSERT_TRUE(cluster_.Start(0));
  for (uint32_t p = 0; p < kPartitions; ++p) EXPECT_TRUE(WaitForIsr(p, {0, 1, 2})) << p;
}

TEST_F(LogDirectories, ABrokerWithoutAnyDoesNotStart) {
  ASSERT_TRUE(cluster_.Stop(0));
  disk(0).Fail({.op = DiskOp::kLock, .path = "/", .times = 2});
  const Result<> started = cluster_.Start(0);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, v1::IO_ERROR);
  cluster_.Stop(0);
}

}  // namespace
}  // namespace tidemark
