// What a fetcher's session holds on the leader while partitions come and go between two fetches.
#include "broker/replica/fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/replica/memory_log.h"
#include "tests/unit/replica/test_loop.h"

namespace tidemark {
namespace {

using testing::ElementsAre;

constexpr BrokerId kSelf = 2, kLeader = 1;

class World final : public BrokerDirectory,
                    public IsrChannel,
                    public LogStore,
                    public ReplicationChannelFactory,
                    public FollowSink,
                    public Clock {
 public:
  BrokerId self() const override { return kSelf; }
  BrokerEpoch self_epoch() const override { return 7; }
  std::optional<Endpoint> InterBrokerEndpoint(BrokerId) const override { return Endpoint{"leader", 1}; }
  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition) override {
    co_return Fail(v1::NOT_CONTROLLER);
  }
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition, v1::ResignReason) override { co_return {}; }
  Task<Result<ReplicaLog*>> OpenOrCreate(PartitionKey, std::string, LogConfig, LogExpected) override {
    co_return Fail(v1::NOT_FOUND);
  }
  Task<Result<>> Delete(PartitionKey, std::string) override { co_return {}; }
  Task<Result<>> SetAside(PartitionKey, std::string) override { co_return {}; }
  void StartFollowing(Partition&) override {}
  void StopFollowing(Partition&) override {}
  void FollowerFlushed(Partition&) override {}
  WallMillis WallNow() const override { return 1'700'000'000'000; }

  // The leader's side: what the session holds, as the requests say.
  class Channel final : public ReplicationChannel {
   public:
    explicit Channel(World& world) : world_(world) {}
    Task<Result<v1::FetchResponse>> Fetch(v1::FetchRequest request, Duration timeout,
                                          std::stop_token stop) override {
      if (request.session_epoch() == 1) world_.session.clear();
      for (const auto& topic : request.topics())
        for (const auto& partition : topic.partitions()) world_.session.insert(partition.partition());
      for (const auto& topic : request.forgotten())
        for (const auto& partition : topic.partitions()) world_.session.erase(partition.partition());
      world_.epochs.push_back(request.session_epoch());
      OneShot<v1::FetchResponse> answer(world_.loop);
      world_.parked = answer;
      co_return co_await answer.Wait("answer", world_.loop.Now() + timeout, stop);
    }
    void Progress(v1::ReplicaProgressRequest) override {}
    Task<void> Close() override { co_return; }

   private:
    World& world_;
  };
  std::unique_ptr<ReplicationChannel> Connect(BrokerId, const Endpoint&) override {
    return std::make_unique<Channel>(*this);
  }

  TestLoop loop;
  std::set<PartitionIndex> session;
  std::vector<uint64_t> epochs;
  std::optional<OneShot<v1::FetchResponse>> parked;
};

class FetcherTest : public testing::Test {
 protected:
  FetcherTest() {
    context_.follow = &world_;
    for (PartitionIndex i = 0; i < 2; ++i) {
      logs_.push_back(std::make_unique<MemoryLog>("orders"));
      partitions_.push_back(std::make_unique<Partition>(context_, PartitionKey{TopicId({1}), i}, "orders",
                                                        logs_.back().get(), TopicSettings{}));
      v1::PartitionState state;
      state.set_partition(i);
      state.set_leader(kLeader);
      for (const BrokerId broker : {kLeader, kSelf}) {
        state.add_replicas(broker);
        state.add_isr(broker);
      }
      CHECK(world_.loop.Run(partitions_.back()->ApplyLeaderAndIsr(state)));
    }
    fetcher_.emplace(context_, world_, kLeader);
    fetcher_->Add(A());
    fetcher_->Add(B());
    world_.loop.Settle();
    // A fetch that is parked is cut by Add, at most once in a while; the session begins anew then.
    Answer();
    fetcher_->Add(B());
    world_.loop.Settle();
    Answer();
    CHECK(world_.session == (std::set<PartitionIndex>{0, 1}));
    CHECK_EQ(world_.epochs.back(), 2u);
  }
  ~FetcherTest() override {
    world_.loop.Run(fetcher_->Close());
    fetcher_.reset();
    for (auto& partition : partitions_) world_.loop.Run(partition->Close());
  }
  Partition& A() { return *partitions_[0]; }
  Partition& B() { return *partitions_[1]; }
  // Answers the fetch under way, with nothing new; the next one is under way then.
  void Answer() {
    CHECK(world_.parked);
    std::exchange(world_.parked, std::nullopt)->Set({});
    world_.loop.Advance(20ms);
  }

  World world_;
  ReplicaContext context_{world_.loop, world_, world_, world_, world_, {}, {}};
  std::vector<std::unique_ptr<MemoryLog>> logs_;
  std::vector<std::unique_ptr<Partition>> partitions_;
  std::optional<Fetcher> fetcher_;
};

TEST_F(FetcherTest, ForgetsWhatWasRemoved) {
  fetcher_->Remove(A().key());
  Answer();
  EXPECT_THAT(world_.session, ElementsAre(1u));
}

TEST_F(FetcherTest, ForgetsWhatWasRemovedAndAddedAndRemovedAgainBetweenTwoFetches) {
  fetcher_->Remove(A().key());
  fetcher_->Add(A());
  fetcher_->Remove(A().key());
  Answer();
  EXPECT_THAT(world_.session, ElementsAre(1u));
  EXPECT_EQ(world_.epochs.back(), 3u) << "in the same session";
}

TEST_F(FetcherTest, ForgetsWhatWasAddedInANewEpochAndRemovedBetweenTwoFetches) {
  fetcher_->Add(A());
  fetcher_->Remove(A().key());
  Answer();
  EXPECT_THAT(world_.session, ElementsAre(1u));
  EXPECT_EQ(world_.epochs.back(), 3u);
}

TEST_F(FetcherTest, KeepsWhatWasRemovedAndIsBack) {
  fetcher_->Remove(A().key());
  fetcher_->Add(A());
  Answer();
  EXPECT_THAT(world_.session, ElementsAre(0u, 1u));
  EXPECT_EQ(world_.epochs.back(), 3u);
}

}  // namespace
}  // namespace tidemark
