// Requests of every type, nearly right and quite wrong, on connections of every purpose, and bare bytes, to a
// whole broker in the simulated world: each request is answered, and afterwards the broker still serves and
// stops cleanly.
#include <cstdint>

#include <glog/logging.h>

#include "common/record/builder.h"
#include "tests/fuzz/message_maker.h"
#include "tests/unit/server/sim_brokers.h"

namespace {

using namespace tidemark;
using fuzzing::ByteSource;
using fuzzing::ValuePool;

constexpr int kActions = 12;

// A batch that is right, so that some of what is produced is taken.
void LearnBatch(ValuePool& pool) {
  BatchBuilder builder;
  CHECK(builder.Append("key", "value", 1'700'000'000'000));
  const FinishedBatch batch = *builder.Finish(v1::COMPRESSION_NONE);
  pool.String(batch.body);
  pool.Number(batch.body_crc);
}

void Send(SimBrokers& cluster, ByteSource& source, ValuePool& pool) {
  constexpr v1::ConnectionPurpose kPurposes[] = {v1::CONNECTION_PURPOSE_CLIENT, v1::CONNECTION_PURPOSE_CLIENT,
                                                 v1::CONNECTION_PURPOSE_REPLICATION,
                                                 v1::CONNECTION_PURPOSE_CONTROL};
  const v1::ConnectionPurpose purpose = kPurposes[source.Below(4)];
  v1::Request request;
  fuzzing::MakeMessage(source, pool, &request);
  request.clear_header();
  const Result<v1::Response> response = cluster.Call(0, std::move(request), purpose);
  if (response) pool.Learn(*response);
}

// Bytes that no client of ours sends: a length that is right or not, and anything behind it.
void SendBytes(SimProcess& client, ByteSource& source) {
  const std::string body = source.Bytes(source.Below(200));
  const uint32_t size =
      source.Below(4) == 0 ? static_cast<uint32_t>(source.Word()) : static_cast<uint32_t>(body.size());
  std::string frame(4, '\0');
  for (int i = 0; i < 4; ++i) frame[i] = static_cast<char>(size >> (24 - 8 * i));
  frame += body;
  auto send = [](SimProcess& process, std::string bytes) -> Task<bool> {
    auto stream = co_await process.transport().Connect(process.main_loop(), Endpoint{"host0", 9092},
                                                       process.main_loop().Now() + 5s, {});
    if (!stream) co_return false;
    struct Deaf final : StreamHandler {
      std::span<char> ReadBuffer() override { return buffer; }
      void OnRead(size_t) override {}
      void OnDrained() override {}
      void OnClosed(const Error&) override {}
      char buffer[512];
    } deaf;
    (*stream)->Start(&deaf);
    (*stream)->Write(std::move(bytes));
    co_await Sleep(process.main_loop(), 50ms, "fuzz");
    (*stream)->Close();
    co_return true;
  };
  client.Await([&] { return send(client, frame); });
}

void RunOnce(ByteSource source) {
  SimBrokers cluster(1, 1,
                     {{"offsets.topic.replication.factor", "1"}, {"offsets.topic.num.partitions", "1"}});
  cluster.StartAll();
  SimProcess& stranger = cluster.world().StartProcess("stranger");
  ValuePool pool;
  const TopicId orders = cluster.CreateTopic("orders", 2, 1);
  const TopicId compacted = cluster.CreateTopic("kept", 1, 1, {{"cleanup.policy", "compact"}});
  CHECK(cluster.WaitForLeaders("orders"));
  CHECK_EQ(cluster.Produce("orders", 0, {"a", "b"}), 0u);
  for (const TopicId& id : {orders, compacted}) pool.String(id.ToBytes());
  for (const char* name :
       {"orders", "kept", "__consumer_offsets", "group", "member", "/data", "retention.ms", "10"})
    pool.String(name);
  pool.Number(cluster.broker(0)->epoch());
  LearnBatch(pool);
  for (int i = 0; i < kActions && !source.empty(); ++i) {
    if (source.Below(16) == 15) {
      SendBytes(stranger, source);
    } else {
      Send(cluster, source, pool);
    }
  }
  cluster.world().RunFor(2s);
  v1::Request alive;
  alive.mutable_api_versions();
  const Result<v1::Response> answer = cluster.Call(0, alive);
  CHECK(answer) << "the broker serves no more: " << answer.error().message;
  cluster.Stop(0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  RunOnce(ByteSource(data, size));
  return 0;
}
