// How tools ask for configs: of each thing the broker that knows, and what of the answer is whose. Shared by
// tidemark-configs and `tidemark config`. Main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/config_entity.h"
#include "tools/listing.h"
#include "tools/session.h"

namespace tidemark {

using DescribedConfigs = v1::DescribeConfigsResponse::Result;

// Clients and users, whose configs are quotas.
bool HasQuotas(v1::ConfigEntityType type);
// "topic orders", "user alice with client app", "all brokers".
std::string NameOfEntity(const v1::ConfigEntity& entity);
// The source of what is set for the entity itself.
v1::ConfigSource OwnSource(const v1::ConfigEntity& entity);
// As Kafka's tools write it: "DYNAMIC_TOPIC_CONFIG".
std::string_view KafkaSourceName(v1::ConfigSource source);
// As `tidemark config` writes it: "topic", "brokers" (the default of all), "file", "default".
std::string_view ShortSourceName(v1::ConfigSource source);

// `all`: with those that are not set anywhere. A broker tells all its configs itself; of one that is not live
// what ZooKeeper holds is told by any, and with `all` that is BROKER_NOT_AVAILABLE. The result's error is the
// broker's about that entity.
Result<DescribedConfigs> ReadConfigs(ToolSession& session, const v1::ConfigEntity& entity, bool all);
// Of the subject: one thing, or all of its kind that are there, in the order they are shown.
Result<std::vector<DescribedConfigs>> ReadConfigsOf(ToolSession& session, const ConfigSubject& subject,
                                                    bool all);

// An unknown topic's error with the name that is nearest; any other as it is.
Error NearestTopic(ToolSession& session, const v1::ConfigEntity& entity, Error error);

// Makes the change, or with `dry_run` asks whether it would be made. Warnings go to stderr.
Result<> SendChange(ToolSession& session, const v1::AlterConfigsRequest::Change& change, bool dry_run);
// Sends the change, and prints values as they were and as they are. The exit status.
int ChangeConfigs(ToolSession& session, const v1::AlterConfigsRequest::Change& change, OutputFormat format,
                  bool dry_run);

// All values that the config has, the one in force first: "SOURCE:name=value", sources as `name_of` says.
std::vector<std::string> SynonymTexts(const v1::DescribeConfigsResponse::Entry& entry,
                                      std::string_view (*name_of)(v1::ConfigSource));

}  // namespace tidemark
