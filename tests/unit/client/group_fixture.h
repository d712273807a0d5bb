// What the tests of group consumers share: members as applications that poll in the background and note what
// they were given, over fake brokers with a fake coordinator.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/group_consumer.h"
#include "common/record/builder.h"
#include "tests/unit/client/fake_coordinator.h"

namespace tidemark::testing {

// Notes calls; may hold one up.
class NotingListener final : public RebalanceListener {
 public:
  explicit NotingListener(EventLoop& loop) : release(loop) {}
  Task<void> OnAssigned(std::vector<TopicPartition> partitions) override {
    for (const auto& at : partitions) notes.push_back("+" + ToString(at));
    if (on_assigned) on_assigned(partitions);
    while (hold_assigned) co_await release.Wait("the test");
  }
  Task<void> OnRevoked(std::vector<TopicPartition> partitions) override {
    for (const auto& at : partitions) notes.push_back("-" + ToString(at));
    if (on_revoked) on_revoked(partitions);
    while (hold) co_await release.Wait("the test");
  }
  Task<void> OnLost(std::vector<TopicPartition> partitions, Error why) override {
    for (const auto& at : partitions) notes.push_back("!" + ToString(at));
    last_loss = why;
    co_return;
  }
  std::vector<std::string> notes;
  std::function<void(const std::vector<TopicPartition>&)> on_assigned, on_revoked;
  Error last_loss{v1::NONE, ""};
  bool hold = false;           // revocations
  bool hold_assigned = false;  // assignments
  Notifier release;
};

// One application: a cluster, a group consumer, and a loop that polls.
class GroupApplication {
 public:
  GroupApplication(MemoryEnvironment& env, FakeBrokers& brokers, ConsumerOptions options);
  ~GroupApplication();

  void Subscribe(std::vector<std::string> topics) { ASSERT_TRUE(consumer->Subscribe(std::move(topics))); }
  // Polls in the background until Stop; each batch takes `busy` to process.
  void Start(Duration busy = 0ns);
  void Stop();
  Result<> Close(Duration limit = 30s);
  // The process dies: nothing is committed or told.
  void Die();
  // One poll from here.
  Result<PolledBatch> Poll(Duration limit = 1s);

  struct Given {
    TopicPartition at;
    Offset offset;
    std::string value;
  };
  std::vector<std::string> values() const;

  MemoryEnvironment& env;
  NotingListener listener;
  std::unique_ptr<Cluster> cluster;
  std::unique_ptr<GroupConsumer> consumer;
  std::vector<Given> given;
  std::vector<Error> errors;

 private:
  Task<void> Work(Duration busy);
  Scope scope_;
  std::stop_source stop_;
  bool closed_ = false;
};

class GroupConsumerTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kPartitions = 6;
  void SetUp() override { Begin(); }
  void Begin(size_t partitions = kPartitions);
  ~GroupConsumerTest() override;

  static ConsumerOptions Options();
  GroupApplication& Join(ConsumerOptions options = Options(), bool start = true);
  void Append(PartitionIndex partition, const std::vector<std::string>& values,
              const std::string& topic = "orders");
  // Runs until the condition holds, in steps of virtual time.
  bool Await(const std::function<bool()>& condition, Duration limit = 60s);
  std::vector<std::string> AllValues() const;

  MemoryEnvironment env_;
  std::optional<FakeBrokers> fakes_;
  std::optional<FakeCoordinator> coordinator_;
  std::vector<std::unique_ptr<GroupApplication>> members_;
};

}  // namespace tidemark::testing
