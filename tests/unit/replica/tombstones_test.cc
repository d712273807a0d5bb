// Followers of a leader whose compaction has dropped tombstones: who holds a value and can no longer learn of
// its deletion begins anew, nobody else does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/replica/cluster.h"

namespace tidemark {
namespace {

using testing::ElementsAre;

void Produce(Cluster& cluster, const std::string& bodies, BrokerId leader = 1) {
  for (const char body : bodies) ASSERT_TRUE(cluster.Produce(leader, std::string(1, body)));
  cluster.Run();
}

void Leave(Cluster& cluster, BrokerId broker, BrokerId leader = 1) {
  cluster[broker].Kill();
  cluster.Elect(leader);
}

void Return(Cluster& cluster, BrokerId broker) {
  cluster[broker].Start();
  cluster.Send({broker});
  cluster.Run(3s);
}

uint64_t Restarts(Cluster& cluster, BrokerId broker) { return cluster[broker].table->counters().restarts; }

// Compaction drops a value and the tombstone after it.
void Drop(Cluster& cluster, Offset value, Offset tombstone, BrokerId leader = 1) {
  cluster[leader].log().Drop(value, false);
  cluster[leader].log().Drop(tombstone, true);
}

TEST(Tombstones, AFollowerBehindOneThatHasGoneBeginsAnew) {
  Cluster cluster(2, {.min_insync_replicas = 1});
  Produce(cluster, "v");
  Leave(cluster, 2);
  Produce(cluster, "tx");
  Drop(cluster, 0, 1);
  Return(cluster, 2);
  EXPECT_EQ(cluster[2].log().Bodies(), "__x") << "a deleted key has come back";
  EXPECT_EQ(Restarts(cluster, 2), 1u);
  EXPECT_EQ(cluster[2].log().tombstone_drops().below(), 2u) << "it lacks them as well";
  EXPECT_EQ(cluster[2].replica().high_watermark(), 3u);
  EXPECT_THAT(cluster.Isr(), ElementsAre(1, 2));
}

TEST(Tombstones, AFollowerThatHasThemAllGoesOn) {
  Cluster cluster(2, {.min_insync_replicas = 1});
  Produce(cluster, "vt");
  Leave(cluster, 2);
  Produce(cluster, "x");
  Drop(cluster, 0, 1);
  Return(cluster, 2);
  EXPECT_EQ(cluster[2].log().Bodies(), "vtx");
  EXPECT_EQ(Restarts(cluster, 2), 0u);
}

TEST(Tombstones, AMemberOfTheIsrIsNeverToldToBeginAnew) {
  Cluster cluster(2, {.min_insync_replicas = 1});
  Produce(cluster, "vtx");
  Drop(cluster, 0, 1);
  // In a new epoch nothing is known of what it had fetched.
  cluster.Elect(1);
  Produce(cluster, "y");
  EXPECT_EQ(Restarts(cluster, 2), 0u);
  EXPECT_EQ(cluster[2].log().Bodies(), "vtxy");
}

// A follower that copies a log of nine records, one with each fetch, and is held up when it asks for `at`.
class Copying : public testing::Test {
 protected:
  void HoldUpAt(Offset at) {
    cluster_.options.fetch_partition_bytes = 1;
    Produce(cluster_, "abcdefghi");
    cluster_[2].Kill(true, /*lost_disk=*/true);
    cluster_.Elect(1);
    cluster_.on_fetch = [this, at](BrokerId, const v1::FetchRequest& request) {
      for (const auto& topic : request.topics()) {
        if (!released_ && topic.partitions(0).fetch_offset() == at) cluster_.Hold(Hop::kFetch, 2, 1);
      }
    };
    Return(cluster_, 2);
    ASSERT_EQ(cluster_[2].replica().log_end(), at);
  }
  void Release() {
    released_ = true;
    cluster_.Release(Hop::kFetch, 2, 1);
    cluster_.Run(5s);
  }

  Cluster cluster_{2, {.min_insync_replicas = 1}};
  bool released_ = false;
};

TEST_F(Copying, GoesOnWhenWhatWentIsWhatItHasAlready) {
  HoldUpAt(4);
  Drop(cluster_, 0, 2);
  Release();
  EXPECT_EQ(cluster_[2].log().Bodies(), "abcdefghi");
  EXPECT_EQ(Restarts(cluster_, 2), 0u);
}

TEST_F(Copying, BeginsAgainWhenTheTombstoneOfWhatItHasGoes) {
  HoldUpAt(4);
  Drop(cluster_, 0, 6);
  Release();
  EXPECT_EQ(cluster_[2].log().Bodies(), "_bcdef_hi");
  EXPECT_EQ(Restarts(cluster_, 2), 1u);
  EXPECT_EQ(cluster_[2].log().tombstone_drops().below(), 7u);
}

TEST_F(Copying, MakesCompactionKeepWhatItHasYetToFetch) {
  EXPECT_EQ(cluster_[1].replica().TombstonesWantedFrom(), ~Offset{0});
  HoldUpAt(4);
  EXPECT_EQ(cluster_[1].replica().TombstonesWantedFrom(), 3u) << "as of the last fetch that arrived";
  Release();
  EXPECT_EQ(cluster_[1].replica().TombstonesWantedFrom(), ~Offset{0}) << "a member of the ISR has them";
}

TEST_F(Copying, ThatHasFallenSilentHoldsNothingUp) {
  HoldUpAt(4);
  cluster_.Run(cluster_.options.replica_lag_time_max + 1s);
  EXPECT_EQ(cluster_[1].replica().TombstonesWantedFrom(), ~Offset{0});
}

TEST(Tombstones, WhoCopiedALogWithoutThemAndLeadsThenKnowsOfIt) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  Produce(cluster, "v");
  Leave(cluster, 3);
  Produce(cluster, "tx");
  Drop(cluster, 0, 1);
  cluster[2].Kill(true, /*lost_disk=*/true);
  cluster.Elect(1);
  Return(cluster, 2);
  ASSERT_EQ(cluster[2].log().Bodies(), "__x");
  ASSERT_THAT(cluster.Isr(), ElementsAre(1, 2));
  Leave(cluster, 1, 2);
  Return(cluster, 3);
  EXPECT_EQ(cluster[3].log().Bodies(), "__x");
  EXPECT_EQ(Restarts(cluster, 3), 1u);
}

}  // namespace
}  // namespace tidemark
