#include "tests/unit/client/group_fixture.h"

namespace tidemark::testing {

GroupApplication::GroupApplication(MemoryEnvironment& e, FakeBrokers& brokers, ConsumerOptions options)
    : env(e), listener(e.loop), scope_(e.loop, "application") {
  options.client.bootstrap = brokers.bootstrap();
  cluster = std::make_unique<Cluster>(env, env.loop, options.client);
  consumer = std::make_unique<GroupConsumer>(*cluster, options, &listener);
}

GroupApplication::~GroupApplication() {
  if (!closed_) (void)Close(1s);
}

void GroupApplication::Start(Duration busy) { scope_.Spawn("application", Work(busy)); }

Task<void> GroupApplication::Work(Duration busy) {
  stop_ = std::stop_source();
  const std::stop_token stop = stop_.get_token();
  while (!stop.stop_requested()) {
    auto batch = co_await consumer->Poll(env.loop.Now() + 1s, stop);
    if (!batch) {
      if (batch.error().code == v1::CANCELLED) break;
      errors.push_back(batch.error());
      co_await Sleep(env.loop, 100ms, "after an error", stop);
      continue;
    }
    for (const ConsumedRecord& record : batch->records) {
      given.push_back(
          {{batch->topic, record.partition}, record.view.offset, std::string(*record.view.value)});
    }
    if (!batch->records.empty() && busy > 0ns) co_await Sleep(env.loop, busy, "busy");
  }
}

void GroupApplication::Stop() {
  stop_.request_stop();
  env.Run(scope_.Close());
}

Result<> GroupApplication::Close(Duration limit) {
  closed_ = true;
  Stop();
  Result<> result = env.Run(consumer->Close(limit));
  env.Run(cluster->Close());
  consumer.reset();
  cluster.reset();
  return result;
}

void GroupApplication::Die() {
  closed_ = true;
  stop_.request_stop();
  // Its connections go first, so that nothing more gets out.
  env.Run(cluster->Close());
  env.Run(scope_.Close());
  (void)env.Run(consumer->Close(0s));
  consumer.reset();
  cluster.reset();
}

Result<PolledBatch> GroupApplication::Poll(Duration limit) {
  return env.Run(consumer->Poll(env.loop.Now() + limit));
}

std::vector<std::string> GroupApplication::values() const {
  std::vector<std::string> out;
  for (const Given& one : given) out.push_back(one.value);
  return out;
}

GroupConsumerTest::~GroupConsumerTest() {
  if (coordinator_) {
    coordinator_->before = nullptr;
    coordinator_->after = nullptr;
    coordinator_->answer = nullptr;
  }
  members_.clear();
}

void GroupConsumerTest::Begin(size_t partitions) {
  members_.clear();
  coordinator_.reset();
  fakes_.emplace(env_, 3);
  fakes_->AddTopic("orders", partitions);
  coordinator_.emplace(env_, *fakes_);
}

ConsumerOptions GroupConsumerTest::Options() {
  ConsumerOptions options;
  options.group_id = "g";
  options.auto_offset_reset = OffsetReset::kEarliest;
  options.auto_commit_interval = 1s;
  return options;
}

GroupApplication& GroupConsumerTest::Join(ConsumerOptions options, bool start) {
  members_.push_back(std::make_unique<GroupApplication>(env_, *fakes_, options));
  members_.back()->Subscribe({"orders"});
  if (start) members_.back()->Start();
  return *members_.back();
}

void GroupConsumerTest::Append(PartitionIndex p, const std::vector<std::string>& values,
                               const std::string& name) {
  FakeTopic& topic = fakes_->topics[name];
  FakePartition& partition = topic.partitions[p];
  BatchBuilder builder;
  for (const std::string& value : values) builder.Append("key", value, 1000);
  const FinishedBatch batch = *builder.Finish(v1::COMPRESSION_NONE);
  const BatchPrefix prefix =
      StampBatch(batch.body, batch.body_crc, partition.next, partition.epoch, 5, topic.id, p);
  partition.batches.push_back(std::string(prefix.view()) + batch.body);
  partition.bases.push_back(partition.next);
  partition.sizes.push_back(values.size());
  partition.next += values.size();
}

bool GroupConsumerTest::Await(const std::function<bool()>& condition, Duration limit) {
  const MonoTime until = env_.loop.Now() + limit;
  while (!condition()) {
    if (env_.loop.Now() >= until) return false;
    env_.RunFor(20ms);
  }
  return true;
}

std::vector<std::string> GroupConsumerTest::AllValues() const {
  std::vector<std::string> out;
  for (const auto& member : members_) {
    const auto values = member->values();
    out.insert(out.end(), values.begin(), values.end());
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace tidemark::testing
