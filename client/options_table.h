// The tables of client settings: what options.cc parses with, and what docs/configuration.md is made from.
// Immutable; any thread.
#pragma once

#include <string>
#include <vector>

#include "common/config/config_table.h"

namespace tidemark {

// Of every client, whatever it does. The two tables below begin with them.
const std::vector<ConfigDef>& CommonClientDefs();
const ConfigTable& ProducerConfigTable();
const ConfigTable& ConsumerConfigTable();

// A default that is not Kafka's.
struct ClientDifference {
  const char* name;
  const char* kafka;  // Kafka's default
  const char* why;
};
const std::vector<ClientDifference>& ClientDifferences();

// A sentence for each setting that was given and does nothing, where that can matter to whoever set it.
std::vector<std::string> SettingsWithoutEffect(const ConfigTable& table, const Properties& given);

}  // namespace tidemark
