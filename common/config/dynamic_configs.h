// Configs that change at run time: which broker configs do, what /config/brokers may hold, and which of
// several values is in force. Pure; any thread.
//
// Precedence, strongest first: the topic (/config/topics/<name>), the broker (/config/brokers/<id>), the
// default of all brokers (/config/brokers/<default>), the broker's properties file, the built-in default.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_table.h"
#include "common/config/properties.h"
#include "common/result.h"
#include "tidemark/v1/admin_api.pb.h"

namespace tidemark {

struct DynamicConfigName {
  const char* name;
  ConfigScope scope;
};
// The broker configs that take effect without a restart. Of names with the same meaning (log.retention.ms,
// .minutes, .hours) only the strongest is among them, so that a change is never hidden by the file.
std::span<const DynamicConfigName> DynamicBrokerConfigNames();

// The broker configs of one broker by where they come from; each checked.
struct BrokerLayers {
  Properties file;
  Properties cluster;  // /config/brokers/<default>
  Properties broker;   // /config/brokers/<id>
  // The strongest value of each name.
  Properties Merged() const;
};

// Whether /config/brokers may hold it, for one broker or for all: INVALID_CONFIG as ConfigTable::Check, or
// that the config is read-only or one broker's own.
Result<> CheckBrokerOverride(std::string_view name, std::string_view value, bool one_broker);

// What must be so between the configs of one broker whatever changes; each is checked already.
Result<> CheckTogether(const Properties& broker);
// The dynamic configs that CheckTogether looks at.
inline constexpr std::array kBoundTogether = {"message.max.bytes"};

using CheckConfig = std::function<Result<>(std::string_view name, std::string_view value)>;
// What counts of values that came from ZooKeeper, by whoever wrote them: one that `check` refuses is passed
// over, and what was in force of it before stays. `complaints` gets a sentence for each.
Properties TakeGood(const Properties& read, const Properties& before, const CheckConfig& check,
                    std::vector<std::string>* complaints);

// What stands in for values that cannot be used and were never known (a start with a damaged znode): nothing
// is deleted, nothing promised falsely, until somebody has mended them.
const Properties& CautiousBrokerConfigs();
const Properties& CautiousTopicConfigs();
// `known`, and of `cautious` what it lacks: the last good values for TakeGood.
Properties WithCaution(Properties known, const Properties& cautious);

// A value that a config has somewhere, and under which name.
struct ConfigSynonym {
  v1::ConfigSource source = v1::CONFIG_SOURCE_UNSPECIFIED;
  std::string name;
  std::string value;
};

// A config with all its values, strongest first; the first is in force, the last is the built-in default.
struct ConfigInForce {
  const ConfigDef* def = nullptr;
  std::vector<ConfigSynonym> synonyms;
  const std::string& value() const { return synonyms.front().value; }
  v1::ConfigSource source() const { return synonyms.front().source; }
};

// By name.
std::vector<ConfigInForce> DescribeBrokerConfigs(const BrokerLayers& layers);

}  // namespace tidemark
