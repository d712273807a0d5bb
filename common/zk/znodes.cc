#include "common/zk/znodes.h"

#include <fmt/format.h>
#include <glog/logging.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "common/zk/zk_paths.h"
#include "common/zk/znode_json.h"

namespace tidemark {
namespace {

using znode_json::Json;
using znode_json::Reader;
using znode_json::Write;

constexpr int64_t kMaxInt = INT32_MAX;

template <typename Node>
Result<Node> Finish(const Reader& reader, Node node) {
  TM_RETURN_IF_ERROR(reader.Finish());
  node.set_unknown_members(reader.Unknown());
  return node;
}

// protobuf's maps have no order; znodes are written with names in order so that equal values give equal
// bytes.
template <typename Map>
auto Sorted(const Map& map) {
  return std::map<typename Map::key_type, typename Map::mapped_type>(map.begin(), map.end());
}

using ReplicaMap = google::protobuf::Map<uint32_t, v1::ReplicaList>;

Json ReplicasToJson(const ReplicaMap& partitions) {
  Json object = Json::object();
  for (const auto& [partition, list] : Sorted(partitions)) {
    Json replicas = Json::array();
    for (const int32_t replica : list.replicas()) replicas.push_back(replica);
    object[std::to_string(partition)] = std::move(replicas);
  }
  return object;
}

void ReplicasFromJson(Reader& reader, std::string_view member, bool required, ReplicaMap* out) {
  const Json* object = reader.Object(member);
  if (object == nullptr) {
    if (required) reader.Fault(member, "missing");
    return;
  }
  for (const auto& [name, value] : object->items()) {
    const std::string full_name = fmt::format("{}.{}", member, name);
    const auto partition = zkpath::ParsePartition(name);
    if (!partition) return reader.Fault(full_name, "not a partition number");
    const std::vector<int32_t> replicas = reader.BrokersOf(value, full_name);
    if (!reader.ok()) return;
    if (required && replicas.empty()) return reader.Fault(full_name, "a partition without replicas");
    (*out)[*partition].mutable_replicas()->Assign(replicas.begin(), replicas.end());
  }
}

void StringsFromJson(Reader& reader, std::string_view member,
                     google::protobuf::Map<std::string, std::string>* out) {
  const Json* object = reader.Object(member);
  if (object == nullptr) return;
  for (const auto& [name, value] : object->items()) {
    if (!value.is_string()) return reader.Fault(fmt::format("{}.{}", member, name), "not a string");
    (*out)[name] = value.get<std::string>();
  }
}

// {"name": {"<level>": n, ...}}
void LevelsFromJson(Reader& reader, std::string_view member, const char* level,
                    google::protobuf::Map<std::string, uint32_t>* out) {
  const Json* object = reader.Object(member);
  if (object == nullptr) return;
  for (const auto& [name, value] : object->items()) {
    const bool fine = value.is_object() && value.contains(level) && value[level].is_number_unsigned() &&
                      value[level].get<uint64_t>() <= static_cast<uint64_t>(kMaxInt);
    if (!fine)
      return reader.Fault(fmt::format("{}.{}", member, name), fmt::format("without a number '{}'", level));
    (*out)[name] = value[level].get<uint32_t>();
  }
}

template <typename Repeated>
Json ArrayOf(const Repeated& values) {
  Json array = Json::array();
  for (const auto& value : values) array.push_back(value);
  return array;
}

}  // namespace

// --- /controller
// --------------------------------------------------------------------------------------------------

std::string EncodeController(const v1::ControllerZnode& node) {
  Json json;
  json["version"] = 2;
  json["brokerid"] = node.broker_id();
  json["timestamp"] = std::to_string(node.timestamp());
  json["kraftControllerEpoch"] = -1;
  return Write(std::move(json), node.unknown_members(), {"kraftControllerEpoch"});
}

Result<v1::ControllerZnode> DecodeController(std::string_view json) {
  Reader reader("controller", json);
  v1::ControllerZnode node;
  node.set_broker_id(static_cast<int32_t>(reader.Integer("brokerid", 0, kMaxInt)));
  node.set_timestamp(reader.Timestamp("timestamp"));
  return Finish(reader, std::move(node));
}

std::string EncodeControllerEpoch(ControllerEpoch epoch) { return std::to_string(epoch); }

Result<ControllerEpoch> DecodeControllerEpoch(std::string_view text) {
  ControllerEpoch epoch = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epoch);
  if (error != std::errc() || end != text.data() + text.size() || epoch > static_cast<uint32_t>(kMaxInt)) {
    return Fail(v1::CORRUPT_MESSAGE, "controller_epoch znode: '{}' is not an epoch", text.substr(0, 40));
  }
  return epoch;
}

// --- /cluster/id
// --------------------------------------------------------------------------------------------------

std::string EncodeClusterId(const v1::ClusterIdZnode& node) {
  Json json;
  json["version"] = "1";  // a string, as Kafka has it
  json["id"] = node.id();
  return Write(std::move(json), node.unknown_members());
}

Result<v1::ClusterIdZnode> DecodeClusterId(std::string_view json) {
  Reader reader("cluster id", json);
  v1::ClusterIdZnode node;
  node.set_id(reader.String("id"));
  if (reader.ok() && node.id().empty()) reader.Fault("id", "empty");
  return Finish(reader, std::move(node));
}

// --- /brokers/ids/<id>
// --------------------------------------------------------------------------------------------

std::string EncodeBroker(const v1::BrokerZnode& node) {
  Json json;
  Json features = Json::object();
  for (const auto& [name, level] : Sorted(node.features())) {
    Json range;
    range["min_version"] = 1;
    range["max_version"] = level;
    features[name] = std::move(range);
  }
  json["features"] = std::move(features);
  Json protocols = Json::object();
  for (const auto& [name, protocol] : Sorted(node.listener_security_protocol_map()))
    protocols[name] = protocol;
  json["listener_security_protocol_map"] = std::move(protocols);
  json["endpoints"] = ArrayOf(node.endpoints());
  if (node.has_rack()) json["rack"] = node.rack();
  json["jmx_port"] = -1;
  json["port"] = node.port();
  json["host"] = node.host().empty() ? Json(nullptr) : Json(node.host());
  json["version"] = 5;
  json["timestamp"] = std::to_string(node.timestamp());
  // Ours; Kafka's readers pass over what they do not know.
  if (!node.directory_id().empty()) json["directory_id"] = node.directory_id();
  if (node.clean_shutdown()) json["clean_shutdown"] = true;
  if (node.new_log_dirs()) json["new_log_dirs"] = true;
  if (!node.admin_address().empty()) json["admin_address"] = node.admin_address();
  if (!node.inter_broker_listener().empty()) json["inter_broker_listener"] = node.inter_broker_listener();
  return Write(std::move(json), node.unknown_members(), {"jmx_port"});
}

Result<v1::BrokerZnode> DecodeBroker(std::string_view json) {
  Reader reader("broker", json);
  v1::BrokerZnode node;
  node.set_host(reader.StringOr("host", ""));
  node.set_port(static_cast<int32_t>(reader.IntegerOr("port", -1, -1, 65535)));
  node.set_timestamp(reader.Timestamp("timestamp"));
  if (const Json* endpoints = reader.Find("endpoints"); endpoints != nullptr) {
    if (!endpoints->is_array()) reader.Fault("endpoints", "not an array");
    for (const Json& endpoint : *endpoints) {
      if (!endpoint.is_string()) {
        reader.Fault("endpoints", "an endpoint that is not a string");
        break;
      }
      node.add_endpoints(endpoint.get<std::string>());
    }
  }
  StringsFromJson(reader, "listener_security_protocol_map", node.mutable_listener_security_protocol_map());
  if (reader.Find("rack") != nullptr) node.set_rack(reader.String("rack"));
  LevelsFromJson(reader, "features", "max_version", node.mutable_features());
  node.set_directory_id(reader.StringOr("directory_id", ""));
  node.set_clean_shutdown(reader.BoolOr("clean_shutdown", false));
  node.set_new_log_dirs(reader.BoolOr("new_log_dirs", false));
  node.set_admin_address(reader.StringOr("admin_address", ""));
  node.set_inter_broker_listener(reader.StringOr("inter_broker_listener", ""));
  if (node.endpoints().empty() && node.host().empty())
    reader.Fault("endpoints", "neither endpoints nor a host");
  return Finish(reader, std::move(node));
}

// --- /brokers/topics/<topic>
// --------------------------------------------------------------------------------------

std::string EncodeTopic(const v1::TopicZnode& node) {
  const Result<TopicId> id = TopicId::FromBytes(node.topic_id());
  CHECK(id.has_value()) << "a topic znode is written with its 16 bytes of id, not " << node.topic_id().size();
  Json json;
  json["removing_replicas"] = ReplicasToJson(node.removing_replicas());
  json["partitions"] = ReplicasToJson(node.partitions());
  json["topic_id"] = id->ToBase64();
  json["adding_replicas"] = ReplicasToJson(node.adding_replicas());
  json["version"] = 3;
  return Write(std::move(json), node.unknown_members());
}

Result<v1::TopicZnode> DecodeTopic(std::string_view json) {
  Reader reader("topic", json);
  v1::TopicZnode node;
  if (const std::string text = reader.StringOr("topic_id", ""); !text.empty()) {
    const Result<TopicId> id = TopicId::FromBase64(text);
    if (id) {
      node.set_topic_id(id->ToBytes());
    } else {
      reader.Fault("topic_id", id.error().message);
    }
  }
  ReplicasFromJson(reader, "partitions", true, node.mutable_partitions());
  ReplicasFromJson(reader, "adding_replicas", false, node.mutable_adding_replicas());
  ReplicasFromJson(reader, "removing_replicas", false, node.mutable_removing_replicas());
  return Finish(reader, std::move(node));
}

// --- /brokers/topics/<topic>/partitions/<n>/state
// -----------------------------------------------------------------

std::string EncodePartitionState(const v1::PartitionStateZnode& node) {
  Json json;
  json["controller_epoch"] = node.controller_epoch();
  json["leader"] = node.leader();
  json["version"] = 1;
  json["leader_epoch"] = node.leader_epoch();
  json["isr"] = ArrayOf(node.isr());
  if (node.leader_recovery_state() != 0) json["leader_recovery_state"] = node.leader_recovery_state();
  if (!node.eligible_leader_replicas().empty()) {
    json["eligible_leader_replicas"] = ArrayOf(node.eligible_leader_replicas());
  }
  return Write(std::move(json), node.unknown_members());
}

Result<v1::PartitionStateZnode> DecodePartitionState(std::string_view json) {
  Reader reader("partition state", json);
  v1::PartitionStateZnode node;
  node.set_leader(static_cast<int32_t>(reader.Integer("leader", -1, kMaxInt)));
  node.set_leader_epoch(static_cast<uint32_t>(reader.Integer("leader_epoch", 0, kMaxInt)));
  node.set_controller_epoch(static_cast<uint32_t>(reader.Integer("controller_epoch", 0, kMaxInt)));
  const std::vector<int32_t> isr = reader.Brokers("isr");
  node.mutable_isr()->Assign(isr.begin(), isr.end());
  node.set_leader_recovery_state(static_cast<uint32_t>(reader.IntegerOr("leader_recovery_state", 0, 0, 1)));
  if (const Json* eligible = reader.Find("eligible_leader_replicas"); eligible != nullptr) {
    const std::vector<int32_t> brokers = reader.BrokersOf(*eligible, "eligible_leader_replicas");
    node.mutable_eligible_leader_replicas()->Assign(brokers.begin(), brokers.end());
  }
  return Finish(reader, std::move(node));
}

// --- /config/<type>/<entity> and /config/changes
// ------------------------------------------------------------------

std::string EncodeConfig(const v1::ConfigZnode& node) {
  Json json;
  json["version"] = 1;
  Json config = Json::object();
  for (const auto& [name, value] : Sorted(node.config())) config[name] = value;
  json["config"] = std::move(config);
  return Write(std::move(json), node.unknown_members());
}

Result<v1::ConfigZnode> DecodeConfig(std::string_view json) {
  if (json.empty()) return v1::ConfigZnode();  // as Kafka reads it
  Reader reader("config", json);
  v1::ConfigZnode node;
  if (reader.ok() && reader.Need("config") != nullptr)
    StringsFromJson(reader, "config", node.mutable_config());
  return Finish(reader, std::move(node));
}

std::string EncodeConfigChange(const v1::ConfigChangeZnode& node) {
  Json json;
  json["version"] = 2;
  json["entity_path"] = node.entity_path();
  return Write(std::move(json), node.unknown_members());
}

Result<v1::ConfigChangeZnode> DecodeConfigChange(std::string_view json) {
  Reader reader("config change", json);
  v1::ConfigChangeZnode node;
  node.set_entity_path(reader.String("entity_path"));
  return Finish(reader, std::move(node));
}

// --- /feature
// -----------------------------------------------------------------------------------------------------

std::string EncodeFeature(const v1::FeatureZnode& node) {
  Json features = Json::object();
  for (const auto& [name, level] : Sorted(node.features())) {
    Json levels;
    levels["max_version_level"] = level;
    features[name] = std::move(levels);
  }
  Json json;
  json["features"] = std::move(features);
  json["version"] = 2;
  json["status"] = node.status();
  return Write(std::move(json), node.unknown_members());
}

Result<v1::FeatureZnode> DecodeFeature(std::string_view json) {
  Reader reader("feature", json);
  v1::FeatureZnode node;
  node.set_status(static_cast<uint32_t>(reader.Integer("status", 0, 1)));
  LevelsFromJson(reader, "features", "max_version_level", node.mutable_features());
  return Finish(reader, std::move(node));
}

}  // namespace tidemark
