// A consumer over fake brokers, for its tests.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "client/consumer.h"
#include "common/record/builder.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {

using Kind = StartPosition::Kind;

class ConsumerTest : public ::testing::Test {
 protected:
  void Begin(ConsumerOptions options = {}, size_t partitions = 3) {
    fakes_.emplace(env_, 3);
    fakes_->AddTopic("orders", partitions);
    options.client.bootstrap = fakes_->bootstrap();
    cluster_.emplace(env_, env_.loop, options.client);
    consumer_.emplace(*cluster_, options);
  }
  void TearDown() override {
    fakes_->on_fetch = nullptr;  // it refers to what the test's body held
    env_.Run(consumer_->Close());
    env_.Run(cluster_->Close());
    consumer_.reset();
    cluster_.reset();
  }

  // Appends a batch with these values, past all producers.
  void Append(PartitionIndex p, const std::vector<std::string>& values,
              v1::Compression codec = v1::COMPRESSION_NONE) {
    FakeTopic& topic = fakes_->topics["orders"];
    FakePartition& partition = topic.partitions[p];
    BatchBuilder builder;
    for (const std::string& value : values) builder.Append("key", value, 1000);
    const FinishedBatch batch = *builder.Finish(codec);
    const BatchPrefix prefix =
        StampBatch(batch.body, batch.body_crc, partition.next, partition.epoch, 5, topic.id, p);
    partition.batches.push_back(std::string(prefix.view()) + batch.body);
    partition.bases.push_back(partition.next);
    partition.sizes.push_back(values.size());
    partition.next += values.size();
  }
  // Polls until nothing comes any more; values in order, or the first error at the end.
  std::vector<std::string> Drain() {
    std::vector<std::string> values;
    while (true) {
      auto batch = env_.Run(consumer_->Poll(env_.loop.Now() + 2s));
      if (!batch) {
        error_ = batch.error();
        return values;
      }
      if (batch->records.empty()) return values;
      for (const ConsumedRecord& record : batch->records) values.emplace_back(*record.view.value);
    }
  }
  Result<> Assign(PartitionIndex partition, StartPosition start) {
    return env_.Run(consumer_->Assign("orders", partition, start));
  }
  using Values = std::vector<std::string>;

  MemoryEnvironment env_;
  std::optional<FakeBrokers> fakes_;
  std::optional<Cluster> cluster_;
  std::optional<Consumer> consumer_;
  Error error_{v1::NONE, ""};
};

}  // namespace tidemark::testing
