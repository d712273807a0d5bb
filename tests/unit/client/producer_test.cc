#include "client/producer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/murmur2.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {
namespace {

class ProducerTest : public ::testing::Test {
 protected:
  void Begin(ProducerOptions options = {}, int brokers = 3, size_t partitions = 3) {
    fakes_.emplace(env_, brokers);
    fakes_->AddTopic("orders", partitions);
    options.client.bootstrap = fakes_->bootstrap();
    cluster_.emplace(env_, env_.loop, options.client);
    producer_.emplace(*cluster_, options);
  }
  void TearDown() override {
    if (!producer_) return;
    fakes_->on_produce = nullptr;  // it refers to what the test's body held
    env_.Run(producer_->Close());
    env_.Run(cluster_->Close());
    producer_.reset();
    cluster_.reset();
  }

  Result<> Send(const std::string& value, std::optional<PartitionIndex> partition = 0,
                std::optional<std::string> key = std::nullopt, const std::string& topic = "orders") {
    ProducerRecord record;
    record.topic = topic;
    record.partition = partition;
    if (key) record.key = *key;
    record.value = value;
    return env_.Run(producer_->Send(record, [this, value](const Result<RecordMetadata>& result) {
      decided_.push_back(value);
      if (result) {
        offsets_[value] = result->offset;
      } else {
        errors_[value] = result.error();
      }
    }));
  }
  void SendMany(int count, PartitionIndex partition = 0) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(Send("v" + std::to_string(i), partition).has_value());
  }
  static std::vector<std::string> Many(int count) {
    std::vector<std::string> values;
    for (int i = 0; i < count; ++i) values.push_back("v" + std::to_string(i));
    return values;
  }

  MemoryEnvironment env_;
  std::optional<FakeBrokers> fakes_;
  std::optional<Cluster> cluster_;
  std::optional<Producer> producer_;
  std::vector<std::string> decided_;
  std::map<std::string, Offset> offsets_;
  std::map<std::string, Error> errors_;
};

TEST_F(ProducerTest, RecordsArriveInOrderWithTheirOffsets) {
  Begin();
  SendMany(50);
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), Many(50));
  EXPECT_EQ(decided_, Many(50));
  EXPECT_EQ(offsets_["v49"], 49u);
  EXPECT_EQ(producer_->stats().acknowledged, 50u);
  EXPECT_EQ(producer_->stats().buffered_bytes, 0u);
}

TEST_F(ProducerTest, KeysChooseTheirPartitionByMurmur2) {
  Begin();
  for (int i = 0; i < 30; ++i) {
    const std::string key = "key" + std::to_string(i);
    ASSERT_TRUE(Send(key, std::nullopt, key).has_value());
  }
  env_.Run(producer_->Flush());
  for (PartitionIndex p = 0; p < 3; ++p) {
    for (const std::string& key : fakes_->Values("orders", p)) EXPECT_EQ(PartitionForKey(key, 3), p);
  }
  EXPECT_EQ(decided_.size(), 30u);
}

TEST_F(ProducerTest, RecordsWithoutKeyStickToABatchAndThenMoveOn) {
  ProducerOptions options;
  options.linger = 10ms;
  options.batch_size = 400;
  Begin(options);
  for (int i = 0; i < 60; ++i)
    ASSERT_TRUE(Send(std::string(20, 'x') + std::to_string(i), std::nullopt).has_value());
  env_.Run(producer_->Flush());
  size_t batches = 0;
  for (PartitionIndex p = 0; p < 3; ++p) {
    const FakePartition& partition = fakes_->topics["orders"].partitions[p];
    EXPECT_GT(partition.next, 0u) << "partition " << p << " was never chosen";
    batches += partition.batches.size();
  }
  EXPECT_LT(batches, 20u) << "records without key gather in batches";
}

TEST_F(ProducerTest, LingerGathersAndSizeSendsAtOnce) {
  ProducerOptions options;
  options.linger = 50ms;
  options.batch_size = 1000;
  Begin(options);
  SendMany(3);
  env_.RunFor(40ms);
  EXPECT_EQ(fakes_->topics["orders"].partitions[0].batches.size(), 0u) << "the batch lingers";
  env_.RunFor(30ms);
  EXPECT_EQ(fakes_->topics["orders"].partitions[0].sizes, std::vector<size_t>({3}));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Send(std::string(400, 'x')).has_value());
  env_.RunFor(10ms);
  EXPECT_EQ(fakes_->topics["orders"].partitions[0].sizes, std::vector<size_t>({3, 2}))
      << "a full batch does not linger";
}

TEST_F(ProducerTest, PartitionsOfOneBrokerRideInOneRequestAndOneBatchPerPartitionIsInFlight) {
  ProducerOptions options;
  options.linger = 5ms;
  options.batch_size = 200;
  Begin(options, 1, 4);
  fakes_->produce_delay = 20ms;
  for (int i = 0; i < 40; ++i) {
    for (PartitionIndex p = 0; p < 4; ++p) ASSERT_TRUE(Send("v" + std::to_string(i), p).has_value());
  }
  env_.Run(producer_->Flush());
  size_t largest = 0;
  for (const v1::Request& request : fakes_->requests) {
    if (!request.has_produce()) continue;
    std::set<uint32_t> partitions;
    for (const auto& topic : request.produce().topics()) {
      for (const auto& partition : topic.partitions()) partitions.insert(partition.partition());
    }
    largest = std::max(largest, partitions.size());
  }
  EXPECT_EQ(largest, 4u);
  for (PartitionIndex p = 0; p < 4; ++p) EXPECT_EQ(fakes_->Values("orders", p), Many(40));
}

TEST_F(ProducerTest, OrderIsKeptOverRetries) {
  ProducerOptions options;
  options.batch_size = 100;
  Begin(options);
  int calls = 0;
  fakes_->on_produce = [&](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    return ++calls % 3 == 1 ? Verdict{v1::NOT_ENOUGH_REPLICAS, false} : Verdict{};
  };
  SendMany(40);
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), Many(40));
  EXPECT_EQ(decided_, Many(40));
  EXPECT_GT(producer_->stats().retries, 0u);
}

TEST_F(ProducerTest, UnknownOutcomeIsSentAgainAndMayRepeat) {
  Begin();
  int calls = 0;
  fakes_->on_produce = [&](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    return Verdict{v1::NONE, true, ++calls == 1};
  };
  ASSERT_TRUE(Send("once or twice").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"once or twice", "once or twice"}));
  EXPECT_EQ(offsets_["once or twice"], 1u) << "the answer that came counts";
}

TEST_F(ProducerTest, FollowsTheLeaderByHintAndByMetadata) {
  for (const bool tells : {true, false}) {
    Begin();
    fakes_->tell_leaders = tells;
    ASSERT_TRUE(Send("a").has_value());
    env_.Run(producer_->Flush());
    fakes_->topics["orders"].partitions[0].leader = 3;
    fakes_->topics["orders"].partitions[0].epoch = 2;
    ASSERT_TRUE(Send("b").has_value());
    env_.Run(producer_->Flush());
    EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"a", "b"}));
    TearDown();
    producer_.reset();
    fakes_.reset();
  }
}

TEST_F(ProducerTest, RecordsThatWaitForALeaderAreToldOfOnceInTheirTime) {
  ProducerOptions options;
  std::vector<std::string> told;
  options.client.on_slow_call = [&](const std::optional<Error>& last, Duration left) {
    EXPECT_LE(left, 115s);
    told.push_back(last->message);
  };
  Begin(options);
  ASSERT_TRUE(Send("a").has_value());
  env_.Run(producer_->Flush());
  fakes_->topics["orders"].partitions[0].leader = kNoBroker;
  for (const char* value : {"b", "c"}) ASSERT_TRUE(Send(value).has_value());
  env_.RunFor(4s);
  EXPECT_TRUE(told.empty());
  env_.RunFor(60s);
  EXPECT_EQ(told, std::vector<std::string>({"no leader for orders-0"}));
  fakes_->topics["orders"].partitions[0].leader = 2;
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"a", "b", "c"}));
  fakes_->topics["orders"].partitions[0].leader = kNoBroker;
  ASSERT_TRUE(Send("d").has_value());
  // Others are acknowledged meanwhile.
  for (int i = 0; i < 90; ++i) {
    ASSERT_TRUE(Send("x", 1).has_value());
    env_.RunFor(1s);
  }
  EXPECT_EQ(told.size(), 2u) << "once in delivery.timeout.ms";
  fakes_->topics["orders"].partitions[0].leader = 1;
  env_.Run(producer_->Flush());
}

TEST_F(ProducerTest, ALeaderThatHangsGetsABatchOnceWhenAnotherLeadsMeanwhile) {
  Begin();
  ASSERT_TRUE(Send("a").has_value());
  env_.Run(producer_->Flush());
  fakes_->frozen.insert(1);
  fakes_->topics["orders"].partitions[0].leader = 3;
  fakes_->topics["orders"].partitions[0].epoch = 2;
  fakes_->requests.clear();
  ASSERT_TRUE(Send("b").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"a", "b"}));
  EXPECT_EQ(std::ranges::count_if(
                fakes_->requests,
                [](const v1::Request& r) { return r.has_produce() && r.header().expected_broker_id() == 1; }),
            1);
}

TEST_F(ProducerTest, ABrokerThatComesBackIsFound) {
  Begin();
  ASSERT_TRUE(Send("a").has_value());
  env_.Run(producer_->Flush());
  fakes_->Stop(1);
  ASSERT_TRUE(Send("b").has_value());
  env_.RunFor(3s);
  EXPECT_EQ(decided_.size(), 1u);
  fakes_->Start(1);
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"a", "b"}));
}

TEST_F(ProducerTest, DeliveryTimeoutFailsWithTheLastReason) {
  ProducerOptions options;
  options.delivery_timeout = 5s;
  Begin(options);
  fakes_->on_produce = [](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    return Verdict{v1::NOT_ENOUGH_REPLICAS, false};
  };
  ASSERT_TRUE(Send("late").has_value());
  const MonoTime start = env_.loop.Now();
  env_.Run(producer_->Flush());
  EXPECT_GE(env_.loop.Now() - start, 4s);
  EXPECT_LE(env_.loop.Now() - start, 7s);
  EXPECT_EQ(errors_["late"].code, v1::REQUEST_TIMED_OUT);
  EXPECT_NE(errors_["late"].message.find("NOT_ENOUGH_REPLICAS"), std::string::npos)
      << errors_["late"].message;
  EXPECT_EQ(producer_->stats().failed, 1u);
}

TEST_F(ProducerTest, RetriesAreCounted) {
  ProducerOptions options;
  options.retries = 2;
  Begin(options);
  int calls = 0;
  fakes_->on_produce = [&](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    ++calls;
    return Verdict{v1::NOT_ENOUGH_REPLICAS, false};
  };
  ASSERT_TRUE(Send("x").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(errors_["x"].code, v1::NOT_ENOUGH_REPLICAS);
}

TEST_F(ProducerTest, AnUnforeseenErrorIsTriedAgainButNotForEver) {
  Begin();
  int calls = 0;
  int bad = 3;
  fakes_->on_produce = [&](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    return ++calls <= bad ? Verdict{v1::UNKNOWN_SERVER_ERROR, false} : Verdict{};
  };
  ASSERT_TRUE(Send("passes").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(offsets_.count("passes"), 1u);
  bad = 1000;
  ASSERT_TRUE(Send("lasts").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(errors_["lasts"].code, v1::UNKNOWN_SERVER_ERROR);
  EXPECT_LT(calls, 20);
}

TEST_F(ProducerTest, ARecordTooLargeForTheClientIsRefusedAlone) {
  ProducerOptions options;
  options.max_request_size = 1000;
  Begin(options);
  auto refused = Send(std::string(2000, 'x'));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, v1::MESSAGE_TOO_LARGE);
  EXPECT_TRUE(Send("small").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(decided_, std::vector<std::string>({"small"}));
}

TEST_F(ProducerTest, ARecordTooLargeForTheBrokerFailsAlone) {
  for (v1::Compression codec : {v1::COMPRESSION_NONE, v1::COMPRESSION_ZSTD}) {
    ProducerOptions options;
    options.linger = 5ms;
    options.compression = codec;
    Begin(options);
    fakes_->max_message_bytes = 600;
    std::string big;
    for (uint32_t i = 0, x = 7; i < 2000; ++i)
      big.push_back(static_cast<char>((x = x * 1664525 + 1013904223) >> 24));
    ASSERT_TRUE(Send("a").has_value());
    ASSERT_TRUE(Send("b").has_value());
    ASSERT_TRUE(Send(big).has_value());
    ASSERT_TRUE(Send("c").has_value());
    env_.Run(producer_->Flush());
    EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"a", "b", "c"}));
    EXPECT_EQ(errors_[big].code, v1::MESSAGE_TOO_LARGE);
    EXPECT_EQ(decided_, std::vector<std::string>({"a", "b", big, "c"}));
    TearDown();
    producer_.reset();
    fakes_.reset();
    decided_.clear();
  }
}

TEST_F(ProducerTest, AFullBufferBlocksAndGoesOnInOrder) {
  ProducerOptions options;
  options.buffer_memory = 2000;
  Begin(options);
  fakes_->produce_delay = 10ms;
  SendMany(100);
  EXPECT_LE(producer_->stats().buffered_bytes, 2000u);
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), Many(100));
}

// Of many that wait for memory only the first has anything to try.
TEST_F(ProducerTest, WhoWaitsBehindOthersForMemorySleepsOn) {
  ProducerOptions options;
  options.buffer_memory = 1000;
  Begin(options);
  ASSERT_TRUE(Send("a").has_value());
  env_.Run(producer_->Flush());
  fakes_->produce_delay = 100ms;
  const std::string value(700, 'x');
  Scope scope(env_.loop, "senders");
  int sent = 0;
  for (int i = 0; i < 12; ++i) {
    auto send = [](Producer& producer, std::string_view bytes, int* count) -> Task<void> {
      *count += co_await producer.Send({.topic = "orders", .partition = 0, .value = bytes}, nullptr) ? 1 : 0;
    };
    scope.Spawn("send", send(*producer_, value, &sent));
  }
  const auto waits = [&](MonoTime since) {
    return std::ranges::count_if(env_.loop.waits().Snapshot(), [&](const auto& wait) {
      return std::string_view(wait.name) == "memory of the producer" && wait.since >= since;
    });
  };
  env_.RunFor(50ms);
  const MonoTime begun = env_.loop.Now();
  const auto waiting = waits({});
  ASSERT_GE(waiting, 9);
  env_.RunFor(350ms);
  EXPECT_LT(waits({}), waiting) << "some have gone on";
  EXPECT_GE(waits({}), 5);
  EXPECT_LE(waits(begun), 1) << "whoever was woken waits since then";
  while (sent < 12) env_.RunFor(100ms);
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0).size(), 13u);
}

TEST_F(ProducerTest, AFullBufferRefusesAfterMaxBlock) {
  ProducerOptions options;
  options.buffer_memory = 1000;
  options.max_block = 500ms;
  Begin(options);
  int silent = 0;
  fakes_->on_produce = [&](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    return Verdict{v1::NONE, true, ++silent == 1};
  };
  Result<> last;
  int accepted = 0;
  while ((last = Send(std::string(100, 'x')))) ++accepted;
  EXPECT_GT(accepted, 2);
  EXPECT_EQ(last.error().code, v1::BUFFER_EXHAUSTED);
  Result<> error;
  ProducerRecord record{.topic = "orders", .partition = 0, .value = "no room for this one"};
  const std::string large(900, 'x');
  record.value = large;
  EXPECT_FALSE(producer_->TrySend(record, nullptr, &error)) << "it would have to wait";
}

TEST_F(ProducerTest, MaxBlockZeroRefusesAtOnce) {
  ProducerOptions options;
  options.buffer_memory = 500;
  options.max_block = 0ms;
  options.linger = 1s;
  Begin(options);
  ASSERT_TRUE(Send(std::string(300, 'x')).has_value()) << "metadata is asked for all the same";
  auto refused = Send(std::string(300, 'y'));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, v1::BUFFER_EXHAUSTED);
}

TEST_F(ProducerTest, AnUnknownTopicCarriesTheBrokersHint) {
  Begin();
  auto refused = Send("x", 0, std::nullopt, "order");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_NE(refused.error().message.find("orders"), std::string::npos);
  refused = Send("x", 7);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("3 partitions, no 7"), std::string::npos);
}

TEST_F(ProducerTest, ABatchNeverMovesToARecreatedTopic) {
  Begin();
  ASSERT_TRUE(Send("a").has_value());
  env_.Run(producer_->Flush());
  bool recreated = false;
  fakes_->on_produce = [&](BrokerId, PartitionIndex, const v1::ProducerBatch&) {
    return std::exchange(recreated, true) ? Verdict{} : Verdict{v1::NOT_ENOUGH_REPLICAS, false};
  };
  ASSERT_TRUE(Send("sent to the former").has_value());
  env_.RunFor(10ms);
  ASSERT_TRUE(recreated);
  fakes_->AddTopic("orders", 3, 9);
  env_.Run(producer_->Flush());
  EXPECT_EQ(errors_["sent to the former"].code, v1::UNKNOWN_TOPIC_ID);
  ASSERT_TRUE(Send("new").has_value());
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"new"}));
}

TEST_F(ProducerTest, AcksZeroIsDecidedBySending) {
  ProducerOptions options;
  options.acks = 0;
  Begin(options);
  SendMany(5);
  env_.Run(producer_->Flush());
  env_.RunFor(10ms);
  EXPECT_EQ(fakes_->Values("orders", 0), Many(5));
  EXPECT_EQ(producer_->stats().acknowledged, 5u);
}

TEST_F(ProducerTest, ADelayIsWaitedOutAndEndsWithTheQuotaThatItIsOf) {
  Begin();
  fakes_->produce_throttle = 100s;
  ASSERT_TRUE(Send("first"));
  env_.Run(producer_->Flush());
  fakes_->produce_throttle = 0s;
  ASSERT_TRUE(Send("second"));
  env_.RunFor(60s);
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"first"}));
  fakes_->EndDelays();
  env_.RunFor(1s);
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"first", "second"}));
  EXPECT_EQ(producer_->stats().retries, 0u);
}

TEST_F(ProducerTest, ADelayThatNobodyEndsIsAsLongAsTold) {
  Begin();
  fakes_->produce_throttle = 100s;
  ASSERT_TRUE(Send("first"));
  env_.Run(producer_->Flush());
  fakes_->produce_throttle = 0s;
  ASSERT_TRUE(Send("second"));
  env_.RunFor(99s);
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"first"}));
  env_.RunFor(2s);
  EXPECT_EQ(fakes_->Values("orders", 0), std::vector<std::string>({"first", "second"}));
  EXPECT_EQ(producer_->stats().retries, 0u);
}

TEST_F(ProducerTest, SendsOneRequestAtATimeToABrokerThatDelaysIt) {
  ProducerOptions options;
  options.max_request_size = 1500;
  Begin(options, 1, 4);
  const auto send_to_all = [&] {
    for (PartitionIndex p = 0; p < 4; ++p) ASSERT_TRUE(Send(std::string(1000, 'x'), p));
  };
  fakes_->produce_delay = 100ms;
  send_to_all();
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->most_produce_in_flight, 4);
  fakes_->produce_throttle = 1s;
  ASSERT_TRUE(Send("told"));
  env_.Run(producer_->Flush());
  fakes_->most_produce_in_flight = 0;
  send_to_all();
  env_.Run(producer_->Flush());
  EXPECT_EQ(fakes_->most_produce_in_flight, 1);
}

TEST_F(ProducerTest, CallbacksMaySend) {
  Begin();
  int left = 5;
  Result<> error;
  std::function<void(const Result<RecordMetadata>&)> again = [&](const Result<RecordMetadata>&) {
    if (left-- == 0) return;
    ProducerRecord record{.topic = "orders", .partition = 1, .value = "chain"};
    EXPECT_TRUE(producer_->TrySend(record, again, &error));
  };
  ASSERT_TRUE(Send("first").has_value());
  again(RecordMetadata());
  env_.RunFor(1s);
  EXPECT_EQ(fakes_->Values("orders", 1).size(), 5u);
}

TEST_F(ProducerTest, AClosedProducerRefuses) {
  Begin();
  ASSERT_TRUE(Send("last").has_value());
  env_.Run(producer_->Close());
  EXPECT_EQ(decided_, std::vector<std::string>({"last"})) << "close waits for what was accepted";
  EXPECT_FALSE(Send("too late").has_value());
}

TEST(ProducerOptionsTest, KafkasNamesAreTypedAndUnknownOnesGetAHint) {
  auto options = ProducerOptions::FromProperties({{"bootstrap.servers", "a:9092,b:9093"},
                                                  {"acks", "1"},
                                                  {"linger.ms", "5"},
                                                  {"compression.type", "lz4"}});
  ASSERT_TRUE(options.has_value()) << options.error().message;
  EXPECT_EQ(options->client.bootstrap.size(), 2u);
  EXPECT_EQ(options->acks, 1);
  EXPECT_EQ(options->linger, 5ms);
  EXPECT_EQ(options->compression, v1::COMPRESSION_LZ4);
  EXPECT_EQ(options->batch_size, 16384u);
  auto wrong = ProducerOptions::FromProperties({{"liger.ms", "5"}});
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message.find("linger.ms"), std::string::npos) << wrong.error().message;
  EXPECT_FALSE(ProducerOptions::FromProperties({{"acks", "2"}}).has_value());
  EXPECT_FALSE(ProducerOptions::FromProperties({{"batch.size", "many"}}).has_value());
  EXPECT_FALSE(ProducerOptions::FromProperties({{"bootstrap.servers", "nohost"}}).has_value());
  EXPECT_TRUE(ConsumerOptions::FromProperties({{"auto.offset.reset", "earliest"}}).has_value());
  EXPECT_FALSE(ConsumerOptions::FromProperties({{"auto.offset.reset", "sometime"}}).has_value());
}

TEST(Options, ThatDoNothingHereAreToldToWhoSetsThem) {
  const auto told = [](const PropertyMap& properties) {
    return ProducerOptions::FromProperties(properties)->client.without_effect;
  };
  EXPECT_THAT(told({{"enable.idempotence", "true"}, {"acks", "1"}}),
              ::testing::ElementsAre(
                  "enable.idempotence=true has no effect yet: Retries never store a record twice; here one "
                  "whose acknowledgement was lost may be stored again"));
  EXPECT_THAT(told({{"enable.idempotence", "FALSE"}}), ::testing::IsEmpty()) << "that is how it is";
  EXPECT_THAT(told({{"key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer"}}),
              ::testing::IsEmpty());
  EXPECT_THAT(ConsumerOptions::FromProperties({{"heartbeat.interval.ms", "100"}})->client.without_effect,
              ::testing::ElementsAre(::testing::HasSubstr("heartbeat.interval.ms=100 has no effect: ")));
  EXPECT_THAT(ConsumerOptions::FromProperties({{"group.id", "readers"}})->client.without_effect,
              ::testing::IsEmpty());
}

}  // namespace
}  // namespace tidemark::testing
