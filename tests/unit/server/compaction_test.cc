// Brokers that compact their logs, in the simulated world: what is left on every replica's disk, and
// followers that come back after a tombstone has gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/builder.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Not;
using testing::UnorderedElementsAre;

// By key, in the order of the log; an absent value is a tombstone.
using Values = std::map<std::string, std::vector<std::optional<std::string>>>;

class Compaction : public testing::Test {
 protected:
  explicit Compaction(Properties more = {}, std::map<std::string, std::string> topic = {})
      : cluster_(11, 3, With(std::move(more))) {
    cluster_.StartAll();
    topic.insert({{"cleanup.policy", "compact"},
                  {"segment.bytes", "2000"},
                  {"min.cleanable.dirty.ratio", "0.01"},
                  {"delete.retention.ms", "1000"}});
    id_ = cluster_.CreateTopic("orders", 1, 3, std::move(topic));
    CHECK(cluster_.WaitForLeaders("orders"));
  }
  static Properties With(Properties more) {
    more.insert({"log.cleaner.backoff.ms", "500"});
    more.insert({"log.dirs", "/a"});
    more.insert({"replica.lag.time.max.ms", "3000"});
    return more;
  }

  v1::ProduceResponse::Partition PutOnce(int leader, std::optional<std::string_view> key,
                                         std::optional<std::string_view> value) {
    BatchBuilder builder;
    CHECK(builder.Append(key, value, cluster_.world().WallNow() + ahead_));
    const FinishedBatch batch = *builder.Finish(v1::COMPRESSION_NONE);
    v1::Request request;
    request.mutable_produce()->set_acks(-1);
    request.mutable_produce()->set_timeout_ms(10000);
    auto* topic = request.mutable_produce()->add_topics();
    topic->set_id(id_.ToBytes());
    topic->add_partitions()->add_batches()->set_body(batch.body);
    topic->mutable_partitions(0)->mutable_batches(0)->set_body_crc(batch.body_crc);
    const Result<v1::Response> response = cluster_.Call(leader, request);
    v1::ProduceResponse::Partition failed;
    if (response) return response->produce().topics(0).partitions(0);
    ToProto(response.error(), failed.mutable_error());
    return failed;
  }
  void Put(std::string_view key, std::optional<std::string_view> value) {
    CHECK(Until([&] {
      const int leader = cluster_.LeaderOf("orders", 0);
      return leader >= 0 && PutOnce(leader, key, value).error().code() == v1::NONE;
    })) << "nobody took the record";
  }
  void Fill(int records) {
    for (int i = 0; i < records; ++i)
      Put(fmt::format("filler{}", i % 3), fmt::format("{} {}", ++filled_, std::string(100, 'x')));
  }
  // What a broker's disk holds of the partition.
  Values On(int broker) {
    SimDisk& disk = cluster_.world().disk("host" + std::to_string(broker));
    Values out;
    for (const std::string& path : disk.Paths()) {  // in their order, which is that of the base offsets
      if (!path.starts_with("/a/orders-0/") || !path.ends_with(".log")) continue;
      v1::LogSegment segment;
      CHECK(segment.ParseFromString(*disk.Content(path))) << path;
      for (const v1::RecordBatch& batch : segment.batches()) {
        v1::BatchBody body;
        v1::RecordSet records;
        CHECK(body.ParseFromString(batch.body()) && records.ParseFromString(body.records()));
        for (const v1::Record& record : records.records()) {
          out[record.key()].push_back(record.has_value() ? std::optional(record.value()) : std::nullopt);
        }
      }
    }
    return out;
  }
  size_t CountOn(int broker) {
    size_t count = 0;
    for (const auto& [key, values] : On(broker)) count += values.size();
    return count;
  }
  bool Until(const std::function<bool()>& done) {
    const MonoTime deadline = cluster_.world().Now() + 300s;
    while (!done()) {
      if (cluster_.world().Now() >= deadline) return false;
      cluster_.world().RunFor(100ms);
    }
    return true;
  }
  bool WaitForIsr(std::vector<int> members) {
    return Until([&] {
      const auto topic = cluster_.Metadata("orders");
      if (!topic) return false;
      std::vector<int> isr(topic->partitions(0).isr().begin(), topic->partitions(0).isr().end());
      std::ranges::sort(isr);
      return isr == members && cluster_.LeaderOf("orders", 0) >= 0;
    });
  }
  int Follower() { return (cluster_.LeaderOf("orders", 0) + 1) % 3; }
  int Other() { return (cluster_.LeaderOf("orders", 0) + 2) % 3; }

  SimBrokers cluster_;
  TopicId id_;
  int filled_ = 0;
  WallMillis ahead_ = 0;  // of the clock: the timestamps of what is put
};

TEST_F(Compaction, EveryReplicaKeepsTheLastValueOfEachKey) {
  Put("a", "old");
  Put("b", "gone");
  Fill(100);
  Put("a", "new");
  Put("b", std::nullopt);
  Fill(100);
  for (const int broker : {0, 1, 2}) {
    EXPECT_TRUE(Until([&] { return CountOn(broker) < 40; })) << CountOn(broker);
    const Values values = On(broker);
    EXPECT_EQ(values.at("a"), std::vector<std::optional<std::string>>{"new"}) << broker;
    EXPECT_TRUE(values.at("filler0").back());
  }
  // Its time begins when it was first compacted.
  Fill(100);
  for (const int broker : {0, 1, 2}) {
    EXPECT_TRUE(Until([&] { return !On(broker).contains("b"); })) << "broker " << broker;
    EXPECT_EQ(On(broker).at("a"), std::vector<std::optional<std::string>>{"new"}) << broker;
  }
  EXPECT_TRUE(WaitForIsr({0, 1, 2}));
}

TEST_F(Compaction, ARecordWithoutAKeyIsRefused) {
  const int leader = cluster_.LeaderOf("orders", 0);
  const auto refused = PutOnce(leader, std::nullopt, "x");
  EXPECT_EQ(refused.error().code(), v1::INVALID_RECORD);
  EXPECT_THAT(refused.error().message(), HasSubstr("no key, which a compacted topic requires"));
  EXPECT_EQ(PutOnce(leader, "", "x").error().code(), v1::NONE) << "an empty key is one";
}

TEST_F(Compaction, AFollowerThatWasAwayWhenATombstoneWentDoesNotBringTheKeyBack) {
  Put("a", "stays");
  Put("b", "deleted");
  ASSERT_TRUE(WaitForIsr({0, 1, 2}));
  const int leader = cluster_.LeaderOf("orders", 0);
  const int away = Follower();
  cluster_.Kill(away);
  Put("b", std::nullopt);
  ASSERT_TRUE(Until([&] {
    Fill(20);
    return !On(leader).contains("b");
  }));
  ASSERT_THAT(On(away), Contains(Key("b")));
  ASSERT_TRUE(cluster_.Start(away));
  ASSERT_TRUE(WaitForIsr({0, 1, 2}));
  EXPECT_THAT(On(away), Not(Contains(Key("b"))));
  EXPECT_THAT(On(away), Contains(Key("a")));
  // It may lead now.
  const int third = 3 - leader - away;
  cluster_.Kill(leader);
  cluster_.Kill(third);
  ASSERT_TRUE(cluster_.Start(third));
  ASSERT_TRUE(cluster_.WaitForLeaders("orders"));
  Fill(3);
  for (const int broker : {away, third}) EXPECT_THAT(On(broker), Not(Contains(Key("b")))) << broker;
}

TEST_F(Compaction, AnEmptyReplicaCopiesACompactedLogOnce) {
  Put("a", "v");
  Put("b", "v");
  Put("b", std::nullopt);
  const int leader = cluster_.LeaderOf("orders", 0);
  ASSERT_TRUE(Until([&] {
    Fill(20);
    return !On(leader).contains("b");
  }));
  const int away = Follower();
  cluster_.Kill(away);
  cluster_.world().disk("host" + std::to_string(away)).RemovePath("/a");
  ASSERT_TRUE(cluster_.Start(away));
  // The controller may not have heard yet that it lost its log: the ISR alone says nothing at first.
  ASSERT_TRUE(Until([&] { return On(away).contains("a"); }));
  ASSERT_TRUE(WaitForIsr({0, 1, 2}));
  EXPECT_THAT(On(away), Not(Contains(Key("b"))));
}

class LateCompaction : public Compaction {
 protected:
  LateCompaction() : Compaction({}, {{"min.compaction.lag.ms", "60000"}}) {}
};

TEST_F(LateCompaction, RecordsOfTheFutureDoNotStopItForEverAlsoAfterARestart) {
  ahead_ = ToMillis(std::chrono::hours(24 * 365));
  Fill(100);
  cluster_.world().RunFor(10s);
  for (const int broker : {0, 1, 2}) EXPECT_EQ(CountOn(broker), 100u) << "they are young";
  cluster_.Kill(0);
  ASSERT_TRUE(cluster_.Start(0));
  for (const int broker : {0, 1, 2}) EXPECT_TRUE(Until([&] { return CountOn(broker) < 40; })) << broker;
}

class SlowCompaction : public Compaction {
 protected:
  SlowCompaction() : Compaction({{"log.cleaner.io.max.bytes.per.second", "2000"}}) {}
};

TEST_F(SlowCompaction, AStopDoesNotWaitForIt) {
  Fill(200);
  cluster_.world().RunFor(3s);
  const MonoTime before = cluster_.world().Now();
  EXPECT_TRUE(cluster_.Stop(Follower()));
  EXPECT_LT(cluster_.world().Now() - before, 10s) << "a pass takes half a minute";
}

}  // namespace
}  // namespace tidemark
