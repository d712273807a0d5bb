// Where each znode lives: Kafka's tree, under the chroot of the connect string. Pure functions, any thread.
// Names of topics are checked before they come here (ValidateTopicName), so that no name can leave its
// folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace tidemark::zkpath {

inline constexpr std::string_view kController = "/controller";
inline constexpr std::string_view kControllerEpoch = "/controller_epoch";
inline constexpr std::string_view kCluster = "/cluster";
inline constexpr std::string_view kClusterId = "/cluster/id";
inline constexpr std::string_view kBrokers = "/brokers";
inline constexpr std::string_view kBrokerIds = "/brokers/ids";
inline constexpr std::string_view kBrokerSeqId = "/brokers/seqid";
inline constexpr std::string_view kTopics = "/brokers/topics";
inline constexpr std::string_view kConfig = "/config";
inline constexpr std::string_view kConfigTopics = "/config/topics";
inline constexpr std::string_view kConfigBrokers = "/config/brokers";
inline constexpr std::string_view kConfigClients = "/config/clients";
inline constexpr std::string_view kConfigUsers = "/config/users";
// The znode of the default of all brokers, clients or users.
inline constexpr std::string_view kDefaultEntity = "<default>";
inline constexpr std::string_view kConfigChanges = "/config/changes";
// Prefix of the sequential change notifications; ZooKeeper appends ten digits.
inline constexpr std::string_view kConfigChangePrefix = "/config/changes/config_change_";
inline constexpr std::string_view kAdmin = "/admin";
inline constexpr std::string_view kDeleteTopics = "/admin/delete_topics";
inline constexpr std::string_view kFeature = "/feature";
inline constexpr std::string_view kIsrChangeNotification = "/isr_change_notification";
inline constexpr std::string_view kLogDirEventNotification = "/log_dir_event_notification";
inline constexpr std::string_view kLatestProducerIdBlock = "/latest_producer_id_block";

std::string Broker(BrokerId id);
std::string Topic(std::string_view topic);
std::string Partitions(std::string_view topic);
std::string Partition(std::string_view topic, PartitionIndex partition);
std::string PartitionState(std::string_view topic, PartitionIndex partition);
std::string TopicConfig(std::string_view topic);
// Config of one broker; without an id the default of all brokers ("<default>").
std::string BrokerConfig(std::optional<BrokerId> id);
std::string DeleteTopic(std::string_view topic);

// Values of config change notifications (ConfigChangeZnode.entity_path) and back.
std::string TopicEntity(std::string_view topic);       // "topics/foo"
std::string BrokerEntity(std::optional<BrokerId> id);  // "brokers/1", "brokers/<default>"
// "clients/my%20app", "users/alice"; an empty name is the default of all.
std::string ClientEntity(std::string_view client_id);
std::string UserEntity(std::string_view user);
std::string ConfigOfEntity(std::string_view entity_path);  // "/config/topics/foo"

// Names of clients and users as znode names, as Kafka writes them: what is not a letter, a digit or one of
// "._-" as %XX. And back; nothing for what is not so written.
std::string Sanitized(std::string_view name);
std::optional<std::string> Unsanitized(std::string_view child);

// The last component: "/a/b/c" -> "c".
std::string_view BaseName(std::string_view path);
// "/a/b/c" -> "/a/b", "/a" -> "/".
std::string_view Parent(std::string_view path);
// The broker id that names a child of /brokers/ids; nothing for anything but a canonical decimal number.
std::optional<BrokerId> ParseBrokerId(std::string_view child);
// The partition number that names a child of a topic's partitions folder.
std::optional<PartitionIndex> ParsePartition(std::string_view child);
// The number that ZooKeeper appended to a sequential znode's name.
std::optional<uint64_t> ParseSequence(std::string_view child);

// Persistent paths that every broker creates at start where they are missing; parents come before children.
const std::vector<std::string>& Persistent();

}  // namespace tidemark::zkpath
