// Consumers across unclean elections, on whole brokers in the simulated world: whatever an application was
// given stands in the log, in this order, or it was told that it does not any more.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/group_consumer.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Values = std::vector<std::string>;
using Kind = StartPosition::Kind;

constexpr int kBrokers = 3;
const char kTopic[] = "orders";

ConsumerOptions ReaderOptions(const std::string& group = "") {
  ConsumerOptions options;
  for (int id = 0; id < kBrokers; ++id) options.client.bootstrap.push_back({fmt::format("host{}", id), 9092});
  options.client.request_timeout = 5s;
  options.auto_offset_reset = OffsetReset::kEarliest;
  options.enable_auto_commit = false;
  options.group_id = group;
  return options;
}

// A consumer (of partition 0) or a member of a group, in a process of its own, and all that it was given.
template <typename C>
class ReaderOf {
 public:
  ReaderOf(SimWorld& world, const std::string& host, ConsumerOptions options)
      : process_(world.StartProcess(host)) {
    process_.Await([this, options]() -> Task<void> {
      cluster_ = std::make_unique<Cluster>(process_, process_.main_loop(), options.client);
      consumer_ = std::make_unique<C>(*cluster_, options);
      co_return;
    });
  }
  ~ReaderOf() {
    process_.Await([this]() -> Task<void> {
      (void)co_await consumer_->Close();
      co_await cluster_->Close();
      consumer_.reset();
      cluster_.reset();
    });
  }

  C* operator->() { return consumer_.get(); }
  template <typename F>
  auto Await(F body) {
    return process_.Await(std::move(body));
  }
  Result<> Subscribe() {
    return Await([this]() -> Task<Result<>> { co_return consumer_->Subscribe({kTopic}); });
  }
  std::optional<Offset> Position() {
    if constexpr (std::is_same_v<C, Consumer>) {
      return consumer_->Position(kTopic, 0);
    } else {
      return consumer_->Position({kTopic, 0});
    }
  }
  // Polls until nothing comes for `quiet`, or for an error. What was given, as of now: without what it was
  // told is gone.
  std::optional<Error> Read(Duration quiet = 20s) {
    while (true) {
      std::vector<std::pair<Offset, std::string>> got;
      const auto polled = Await([&]() -> Task<Result<>> {
        const auto batch = co_await consumer_->Poll(process_.main_loop().Now() + quiet);
        if (!batch) co_return std::unexpected(batch.error());
        for (const ConsumedRecord& record : batch->records)
          got.emplace_back(record.view.offset, std::string(*record.view.value));
        co_return Result<>();
      });
      if (!polled) {
        if (polled.error().code == v1::LOG_TRUNCATED)
          given_.resize(std::min<size_t>(given_.size(), *Position()));
        return polled.error();
      }
      if (got.empty()) return std::nullopt;
      for (auto& [offset, value] : got) {
        EXPECT_EQ(offset, given_.size()) << value << " comes twice, or after something that is not given";
        given_.push_back(std::move(value));
      }
    }
  }
  Values& given() { return given_; }

 private:
  SimProcess& process_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<C> consumer_;
  Values given_;
};
using Reader = ReaderOf<Consumer>;
using Member = ReaderOf<GroupConsumer>;

class UncleanElection : public testing::Test {
 protected:
  explicit UncleanElection(uint64_t seed = 31)
      : cluster_(seed, kBrokers,
                 {{"min.insync.replicas", "1"},
                  {"replica.lag.time.max.ms", "4000"},
                  {"offsets.topic.num.partitions", "1"},
                  {"offsets.topic.replication.factor", "3"}}) {}
  void Create(uint32_t replicas) {
    cluster_.StartAll();
    cluster_.CreateTopic(kTopic, 1, replicas, {{"unclean.leader.election.enable", "true"}});
    ASSERT_TRUE(cluster_.WaitForLeaders(kTopic));
    // The topic of the groups is made while all brokers are there.
    v1::Request find;
    find.mutable_find_coordinator()->add_group_ids("group");
    ASSERT_TRUE(Until([&] {
      const auto found = cluster_.Call(0, find);
      return found && found->find_coordinator().coordinators(0).error().code() == v1::NONE;
    }));
  }
  std::vector<int> Isr() {
    const auto topic = cluster_.Metadata(kTopic);
    if (!topic) return {};
    return {topic->partitions(0).isr().begin(), topic->partitions(0).isr().end()};
  }
  bool Until(const std::function<bool()>& done) {
    for (int i = 0; i < 1200 && !done(); ++i) cluster_.world().RunFor(100ms);
    return done();
  }
  // One of two replicas is gone while "d" to "f" are written and read, leads without the other, and other
  // records are written where those stood.
  void BeginWithFollowerGone() {
    Create(2);
    for (const char* value : {"a", "b", "c"}) cluster_.Produce(kTopic, 0, {value});
    leader_ = cluster_.LeaderOf(kTopic, 0);
    const auto topic = cluster_.Metadata(kTopic);
    for (const int id : topic->partitions(0).replicas()) {
      if (id != leader_) follower_ = id;
    }
    cluster_.Kill(follower_);
    ASSERT_TRUE(Until([this] { return Isr() == std::vector<int>{leader_}; }));
    for (const char* value : {"d", "e", "f"}) cluster_.Produce(kTopic, 0, {value});
  }
  void LeadWithoutThem() {
    cluster_.Kill(leader_);
    ASSERT_TRUE(cluster_.Start(follower_));
    ASSERT_TRUE(Until([this] { return cluster_.LeaderOf(kTopic, 0) == follower_; }));
    for (const char* value : {"D", "E", "F", "G"}) cluster_.Produce(kTopic, 0, {value});
  }

  SimBrokers cluster_;
  int leader_ = -1;
  int follower_ = -1;
};

TEST_F(UncleanElection, AConsumerIsToldAndReadsWhatStandsThereNow) {
  BeginWithFollowerGone();
  Reader reader(cluster_.world(), "reader", ReaderOptions());
  ASSERT_TRUE(reader.Await([&] { return reader->Assign(kTopic, 0, {Kind::kBeginning}); }));
  EXPECT_FALSE(reader.Read());
  ASSERT_THAT(reader.given(), ElementsAre("a", "b", "c", "d", "e", "f"));
  LeadWithoutThem();
  const auto told = reader.Read();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->code, v1::LOG_TRUNCATED) << ToString(*told);
  EXPECT_THAT(told->message, HasSubstr("orders-0: what was read from offset 3 to 5"));
  EXPECT_FALSE(reader.Read());
  EXPECT_THAT(reader.given(), ElementsAre("a", "b", "c", "D", "E", "F", "G"));
}

TEST_F(UncleanElection, AGroupIsToldAndItsCommitsGoBack) {
  BeginWithFollowerGone();
  const TopicPartition at{kTopic, 0};
  const auto committed = [&](Member& member) {
    const auto offsets = member.Await([&] { return member->Committed({at}); });
    return offsets && offsets->contains(at) ? std::optional(offsets->at(at).offset) : std::nullopt;
  };
  {
    Member early(cluster_.world(), "early", ReaderOptions("early"));
    ASSERT_TRUE(early.Subscribe());
    EXPECT_FALSE(early.Read());
    ASSERT_TRUE(early.Await([&] { return early->CommitSync(); }));
  }
  Member member(cluster_.world(), "member", ReaderOptions("group"));
  ASSERT_TRUE(member.Subscribe());
  EXPECT_FALSE(member.Read());
  ASSERT_TRUE(member.Await([&] { return member->CommitSync(); }));
  EXPECT_EQ(committed(member), 6u);
  LeadWithoutThem();
  auto told = member.Read(60s);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->code, v1::LOG_TRUNCATED) << ToString(*told);
  ASSERT_TRUE(member.Await([&] { return member->CommitSync(); }));
  EXPECT_EQ(committed(member), 3u);
  EXPECT_FALSE(member.Read());
  EXPECT_THAT(member.given(), ElementsAre("a", "b", "c", "D", "E", "F", "G"));

  // Who comes after the election knows only what was committed before it.
  Member late(cluster_.world(), "late", ReaderOptions("early"));
  ASSERT_TRUE(late.Subscribe());
  told = late.Read(60s);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->code, v1::LOG_TRUNCATED) << ToString(*told);
  EXPECT_EQ(late.Position(), 3u);
}

class UncleanElections : public UncleanElection, public testing::WithParamInterface<uint64_t> {
 protected:
  UncleanElections() : UncleanElection(GetParam()), random_(GetParam()) {}
  std::vector<int> Up() {
    std::vector<int> up;
    for (int id = 0; id < kBrokers; ++id) {
      if (cluster_.broker(id) != nullptr) up.push_back(id);
    }
    return up;
  }
  // To whoever leads, without waiting for others: what is lost was acknowledged by one replica.
  void ProduceSome() {
    const int leader = cluster_.LeaderOf(kTopic, 0);
    if (leader < 0) return;
    for (uint64_t left = random_.Below(4) + 1; left > 0; --left)
      cluster_.ProduceOnce(leader, topic_, 0, {fmt::format("value {}", ++values_)}, 1);
  }
  void StartSome() {
    int id = static_cast<int>(random_.Below(kBrokers));
    while (cluster_.broker(id) != nullptr) id = (id + 1) % kBrokers;
    ASSERT_TRUE(cluster_.Start(id));
  }
  void KillOrStart() {
    const std::vector<int> up = Up();
    if (up.size() > 1 && random_.Chance(0.4)) {
      cluster_.Kill(up[random_.Below(up.size())], random_.Chance(0.3));
    } else if (up.size() < kBrokers && random_.Chance(0.6)) {
      StartSome();
    }
  }
  // The leader is left alone, and then others lead without what it took meanwhile.
  void ReplaceTheLeader() {
    const int leader = cluster_.LeaderOf(kTopic, 0);
    if (leader < 0) return;
    for (const int id : Up()) {
      if (id != leader) cluster_.Kill(id);
    }
    cluster_.world().RunFor(random_.Between(6s, 12s));
    for (int i = 0; i < 3; ++i) ProduceSome();
    if (random_.Chance(0.8)) Read(random_.Between(10ms, 3s));
    cluster_.Kill(leader, random_.Chance(0.3));
    StartSome();
    if (random_.Chance(0.5)) StartSome();
  }
  void Step() {
    if (random_.Chance(0.3)) {
      ReplaceTheLeader();
    } else {
      KillOrStart();
    }
    cluster_.world().RunFor(random_.Between(0s, 12s));
    ProduceSome();
    if (random_.Chance(0.7)) Read(random_.Between(10ms, 3s));
  }
  void Read(Duration quiet) {
    while (const auto error = reader_->Read(quiet)) {
      ASSERT_EQ(error->code, v1::LOG_TRUNCATED) << ToString(*error);
      ++told_;
    }
  }

  SimRandom random_;
  TopicId topic_;
  std::optional<Reader> reader_;
  int values_ = 0;
  int told_ = 0;
};

TEST_P(UncleanElections, WhatWasGivenStandsInTheLogOrItWasTold) {
  Create(3);
  topic_ = *TopicId::FromBytes(cluster_.Metadata(kTopic)->id());
  reader_.emplace(cluster_.world(), "reader", ReaderOptions());
  ASSERT_TRUE(reader_->Await([&] { return (*reader_)->Assign(kTopic, 0, {Kind::kBeginning}); }));
  for (int step = 0; step < 40; ++step) Step();
  while (Up().size() < kBrokers) StartSome();
  ASSERT_TRUE(cluster_.WaitForLeaders(kTopic));
  cluster_.Produce(kTopic, 0, {"last"});
  Read(40s);
  EXPECT_EQ(reader_->given(), cluster_.Consume(kTopic, 0));
  EXPECT_GT(told_, 0) << "nothing was lost";
  reader_.reset();
}

INSTANTIATE_TEST_SUITE_P(Seeds, UncleanElections, testing::Values(1, 2, 3, 4, 5, 6, 46, 107, 327, 1085));

}  // namespace
}  // namespace tidemark
