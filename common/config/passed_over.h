// Configs that ZooKeeper holds and that are not in force, for those who ask what is. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "common/config/dynamic_configs.h"

namespace tidemark {

// An empty name: all that a znode holds.
struct PassedOverConfig {
  v1::ConfigSource source = v1::CONFIG_SOURCE_UNSPECIFIED;
  std::string name;
  std::string value;
  std::string reason;
};
// Takes out of `read` what `check` refuses, puts what is in force of it in its place (`in_force`; nothing
// where it is not known), and tells of it in `out`.
void PassOver(v1::ConfigSource source, const CheckConfig& check, const Properties& in_force, Properties* read,
              std::vector<PassedOverConfig>* out);

}  // namespace tidemark
