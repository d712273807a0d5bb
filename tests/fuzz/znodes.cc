// Payloads of every znode that a broker or controller reads: what the decoders take they write again alike,
// and a whole broker that finds strange payloads in a simulated ZooKeeper, also in the middle of its work,
// goes on serving.
#include <cstdint>

#include <glog/logging.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/fuzz/message_maker.h"
#include "tests/unit/server/sim_brokers.h"

namespace {

using namespace tidemark;
using fuzzing::ByteSource;
using fuzzing::ValuePool;

constexpr int kChanges = 8;

template <typename Decode, typename Encode>
void RoundTrip(std::string_view bytes, Decode decode, Encode encode) {
  const auto node = decode(bytes);
  if (!node) return;
  const auto again = decode(encode(*node));
  CHECK(again) << "what was written is not read: " << again.error().message;
  CHECK(google::protobuf::util::MessageDifferencer::Equals(*node, *again)) << node->ShortDebugString();
}

void DecodeAll(std::string_view bytes) {
  RoundTrip(bytes, DecodeController, EncodeController);
  RoundTrip(bytes, DecodeClusterId, EncodeClusterId);
  RoundTrip(bytes, DecodeBroker, EncodeBroker);
  RoundTrip(bytes, DecodeTopic, EncodeTopic);
  RoundTrip(bytes, DecodePartitionState, EncodePartitionState);
  RoundTrip(bytes, DecodeConfig, EncodeConfig);
  RoundTrip(bytes, DecodeConfigChange, EncodeConfigChange);
  RoundTrip(bytes, DecodeFeature, EncodeFeature);
  if (const auto epoch = DecodeControllerEpoch(bytes))
    CHECK_EQ(*DecodeControllerEpoch(EncodeControllerEpoch(*epoch)), *epoch);
}

template <typename Node, typename Encode>
std::string Made(ByteSource& source, const ValuePool& pool, Encode encode) {
  Node node;
  fuzzing::MakeMessage(source, pool, &node);
  return encode(node);
}

// A payload that is well formed for its place, or for another place, or anything.
std::string Payload(ByteSource& source, const ValuePool& pool, size_t place) {
  switch (source.Below(8) == 7 ? source.Below(9) : place) {
    case 0:
      return Made<v1::TopicZnode>(source, pool, [](v1::TopicZnode node) {
        std::string id = node.topic_id();
        id.resize(16, 'i');  // no other is ever encoded
        node.set_topic_id(id);
        return EncodeTopic(node);
      });
    case 1:
      return Made<v1::PartitionStateZnode>(source, pool, EncodePartitionState);
    case 2:
      return Made<v1::ConfigZnode>(source, pool, EncodeConfig);
    case 3:
      return Made<v1::ConfigChangeZnode>(source, pool, EncodeConfigChange);
    case 4:
      return Made<v1::BrokerZnode>(source, pool, EncodeBroker);
    case 5:
      return Made<v1::FeatureZnode>(source, pool, EncodeFeature);
    case 6:
      return Made<v1::ControllerZnode>(source, pool, EncodeController);
    case 7:
      return source.Bytes(source.Below(64));
    default:
      return "";
  }
}

// `number`: of the change, so that what is told of one comes after what was told before.
void Change(SimZooKeeper& zookeeper, int number, ByteSource& source, const ValuePool& pool) {
  struct Place {
    std::string path;
    size_t payload;
  };
  static const std::vector<Place> places = {
      {zkpath::Topic("orders"), 0},
      {zkpath::Topic("strange"), 0},
      {zkpath::PartitionState("orders", 0), 1},
      {zkpath::PartitionState("orders", 7), 1},
      {zkpath::PartitionState("strange", 0), 1},
      {zkpath::TopicConfig("orders"), 2},
      {zkpath::BrokerConfig(0), 2},
      {zkpath::BrokerConfig(std::nullopt), 2},
      {std::string(zkpath::kConfigChangePrefix) + "0000000041", 3},
      {zkpath::Broker(5), 4},
      {std::string(zkpath::kBrokerIds) + "/nonsense", 4},
      {std::string(zkpath::kFeature), 5},
      {zkpath::DeleteTopic("orders"), 7},
      {zkpath::DeleteTopic("unknown"), 7},
      {std::string(zkpath::kIsrChangeNotification) + "/isr_change_0000000001", 7},
      {std::string(zkpath::kLogDirEventNotification) + "/log_dir_event_0000000001", 7},
      {std::string(zkpath::kTopics) + "/bad name", 0},
  };
  static const std::vector<Place> more = {
      {fmt::format("{}/{}", zkpath::kConfig, zkpath::ClientEntity("orders")), 2},
      {fmt::format("{}/{}", zkpath::kConfig, zkpath::ClientEntity("")), 2},
      {fmt::format("{}/{}", zkpath::kConfig, zkpath::UserEntity("orders")), 2},
      {std::string(zkpath::kConfigClients) + "/%zz", 2},
  };
  // Not /controller, /controller_epoch and /cluster/id: without a controller a broker rightly waits.
  // Inputs of the corpus keep their meaning.
  constexpr size_t kOfMore = 18;
  const size_t chosen = source.Below(256);
  const Place& place = chosen < 256 - kOfMore ? places[chosen % places.size()] : more[chosen % more.size()];
  if (source.Below(8) == 7) {
    if (zookeeper.Peek(place.path)) zookeeper.PokeDelete(place.path);
    return;
  }
  zookeeper.Poke(place.path, Payload(source, pool, place.payload));
  // Configs are read when a change of them is told.
  if (place.payload != 2) return;
  v1::ConfigChangeZnode told;
  told.set_entity_path(place.path.substr(zkpath::kConfig.size() + 1));
  zookeeper.Poke(fmt::format("{}{:010}", zkpath::kConfigChangePrefix, 100 + number),
                 EncodeConfigChange(told));
}

void RunOnce(ByteSource source) {
  SimBrokers cluster(1, 1);
  cluster.StartAll();
  ValuePool pool;
  pool.String(cluster.CreateTopic("orders", 2, 1).ToBytes());
  CHECK(cluster.WaitForLeaders("orders"));
  for (const char* name : {"orders", "topics/orders", "brokers/0", "brokers/<default>", "retention.ms",
                           "cleanup.policy", "compact", "10", "host0", "log.cleaner.threads"})
    pool.String(name);
  pool.Number(cluster.broker(0)->epoch());
  for (int i = 0; i < kChanges && !source.empty(); ++i) {
    Change(cluster.world().zookeeper(), i, source, pool);
    cluster.world().RunFor(source.Below(2) == 0 ? 10ms : 3s);
  }
  if (source.Below(2) == 1) {
    // What a broker finds at its start, and a controller at the beginning of its term.
    cluster.Stop(0);
    CHECK(cluster.Start(0));
  }
  cluster.world().RunFor(5s);
  v1::Request alive;
  alive.mutable_metadata()->set_all_topics(true);
  const Result<v1::Response> answer = cluster.Call(0, alive);
  CHECK(answer) << "the broker serves no more: " << answer.error().message;
  cluster.Stop(0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  DecodeAll({reinterpret_cast<const char*>(data), size});
  RunOnce(ByteSource(data, size));
  return 0;
}
