// A disk that does not answer, and no error either: the broker leaves ZooKeeper, others lead, and it is back
// when the disk is.
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

class HungDisk : public testing::Test {
 protected:
  HungDisk() : cluster_(21, 3, {{"watchdog.stuck.ms", "2000"}, {"replica.lag.time.max.ms", "8000"}}) {
    cluster_.StartAll();
    topic_ = cluster_.CreateTopic("orders", 1, 3);
    CHECK(cluster_.WaitForLeaders("orders"));
    cluster_.Produce("orders", 0, {"first"});
  }
  bool Until(const std::function<bool()>& done) {
    const MonoTime deadline = cluster_.world().Now() + 120s;
    while (!done()) {
      if (cluster_.world().Now() >= deadline) return false;
      cluster_.world().RunFor(200ms);
    }
    return true;
  }
  size_t IsrSize() {
    const auto topic = cluster_.Metadata("orders");
    return topic ? static_cast<size_t>(topic->partitions(0).isr_size()) : 0;
  }

  SimBrokers cluster_;
  TopicId topic_;
};

TEST_F(HungDisk, OthersLeadUntilItAnswersAgain) {
  const int leader = cluster_.LeaderOf("orders", 0);
  const BrokerEpoch epoch = cluster_.broker(leader)->epoch();
  cluster_.process(leader).pool().SetHung(true);
  // Appended and never flushed: nobody hears of it as acknowledged.
  const auto lost = cluster_.ProduceOnce(leader, topic_, 0, {"unflushed"}, -1);
  EXPECT_NE(lost.error().code(), v1::NONE);
  ASSERT_TRUE(Until([&] { return cluster_.broker(leader)->epoch() == kNoBrokerEpoch; }));
  EXPECT_THAT(cluster_.broker(leader)->NotReadyReasons(), Contains(HasSubstr("has not answered")));
  // Its shards answer, and it hears of nothing any more: it would tell of itself as leader until its disk is
  // back.
  v1::Request ask;
  ask.mutable_metadata()->add_topics()->set_name("orders");
  const auto told = cluster_.Call(leader, ask);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, v1::BROKER_NOT_READY);
  cluster_.Produce("orders", 0, {"second"});
  EXPECT_NE(cluster_.LeaderOf("orders", 0), leader);

  cluster_.process(leader).pool().SetHung(false);
  ASSERT_TRUE(Until([&] { return cluster_.broker(leader)->epoch() > epoch; })) << "registered afresh";
  ASSERT_TRUE(Until([&] { return IsrSize() == 3; }));
  EXPECT_THAT(cluster_.broker(leader)->NotReadyReasons(), IsEmpty());
  const auto values = cluster_.Consume("orders", 0);
  EXPECT_THAT(values, Contains("first"));
  EXPECT_THAT(values, Contains("second"));
}

TEST_F(HungDisk, IsSeenWhereItIsOnlyReadToo) {
  const int leader = cluster_.LeaderOf("orders", 0);
  cluster_.world().RunFor(20s);  // nothing is left to be flushed or checkpointed
  cluster_.process(leader).pool().SetHung(true);
  cluster_.world().disk("host" + std::to_string(leader)).SetColdReadChance(1);
  cluster_.world().RunFor(20s);
  ASSERT_NE(cluster_.broker(leader)->epoch(), kNoBrokerEpoch) << "nobody asks anything of the disk";
  (void)cluster_.FetchOnce(leader, topic_, 0, 0);
  EXPECT_TRUE(Until([&] { return cluster_.broker(leader)->epoch() == kNoBrokerEpoch; }));
  EXPECT_THAT(cluster_.broker(leader)->NotReadyReasons(), Contains(HasSubstr("has not answered")));
  EXPECT_TRUE(Until([&] { return cluster_.LeaderOf("orders", 0) != leader; }));
  cluster_.world().disk("host" + std::to_string(leader)).SetColdReadChance(0);
  cluster_.process(leader).pool().SetHung(false);
  EXPECT_TRUE(Until([&] { return IsrSize() == 3; }));
}

TEST_F(HungDisk, AFollowersBrokerLeavesTooAndTheIsrGoesOnWithoutIt) {
  const int leader = cluster_.LeaderOf("orders", 0);
  const int follower = (leader + 1) % 3;
  cluster_.process(follower).pool().SetHung(true);
  cluster_.Produce("orders", 0, {"second"});
  EXPECT_TRUE(Until([&] { return cluster_.broker(follower)->epoch() == kNoBrokerEpoch; }));
  EXPECT_EQ(IsrSize(), 2u);
  cluster_.process(follower).pool().SetHung(false);
  EXPECT_TRUE(Until([&] { return IsrSize() == 3; }));
  EXPECT_THAT(cluster_.Consume("orders", 0), ElementsAre("first", "second"));
}

TEST_F(HungDisk, AShortStallIsNoReasonToLeave) {
  const int leader = cluster_.LeaderOf("orders", 0);
  const BrokerEpoch epoch = cluster_.broker(leader)->epoch();
  for (int i = 0; i < 5; ++i) {
    cluster_.process(leader).pool().SetHung(true);
    cluster_.world().RunFor(1s);
    cluster_.process(leader).pool().SetHung(false);
    cluster_.Produce("orders", 0, {"x"});
  }
  EXPECT_EQ(cluster_.broker(leader)->epoch(), epoch);
}

TEST_F(HungDisk, AnIdleBrokerWithAHungDiskHarmsNobody) {
  const int leader = cluster_.LeaderOf("orders", 0);
  cluster_.process(leader).pool().SetHung(true);
  cluster_.world().RunFor(20s);
  cluster_.process(leader).pool().SetHung(false);
  cluster_.Produce("orders", 0, {"second"});
  EXPECT_THAT(cluster_.Consume("orders", 0), ElementsAre("first", "second"));
}

}  // namespace
}  // namespace tidemark
