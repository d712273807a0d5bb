// Payloads of the znodes: one encode/decode pair each, between Kafka's JSON and the messages of
// proto/tidemark/v1/znode.proto. Pure functions, any thread.
//
// Decoding trusts nothing: what is not the JSON it should be gives CORRUPT_MESSAGE with a message that names
// the member; nothing throws. Members not known here are kept in `unknown_members` and written back, after
// the known ones. Encoding writes members in Kafka's order and with Kafka's types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark {

// /controller
std::string EncodeController(const v1::ControllerZnode& node);
Result<v1::ControllerZnode> DecodeController(std::string_view json);

// /controller_epoch: plain decimal text; its znode version is the fence of every controller write.
std::string EncodeControllerEpoch(ControllerEpoch epoch);
Result<ControllerEpoch> DecodeControllerEpoch(std::string_view text);

// /cluster/id
std::string EncodeClusterId(const v1::ClusterIdZnode& node);
Result<v1::ClusterIdZnode> DecodeClusterId(std::string_view json);

// /brokers/ids/<id>, version 5
std::string EncodeBroker(const v1::BrokerZnode& node);
Result<v1::BrokerZnode> DecodeBroker(std::string_view json);

// /brokers/topics/<topic>, version 3. topic_id is empty where an old version had none. Written with the 16
// bytes of topic_id (CHECKed).
std::string EncodeTopic(const v1::TopicZnode& node);
Result<v1::TopicZnode> DecodeTopic(std::string_view json);

// /brokers/topics/<topic>/partitions/<n>/state
std::string EncodePartitionState(const v1::PartitionStateZnode& node);
Result<v1::PartitionStateZnode> DecodePartitionState(std::string_view json);

// /config/<type>/<entity>
std::string EncodeConfig(const v1::ConfigZnode& node);
Result<v1::ConfigZnode> DecodeConfig(std::string_view json);

// /config/changes/config_change_N, version 2
std::string EncodeConfigChange(const v1::ConfigChangeZnode& node);
Result<v1::ConfigChangeZnode> DecodeConfigChange(std::string_view json);

// /feature, version 2
std::string EncodeFeature(const v1::FeatureZnode& node);
Result<v1::FeatureZnode> DecodeFeature(std::string_view json);

}  // namespace tidemark
