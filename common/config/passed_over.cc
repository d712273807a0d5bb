#include "common/config/passed_over.h"

namespace tidemark {

void PassOver(v1::ConfigSource source, const CheckConfig& check, const Properties& in_force, Properties* read,
              std::vector<PassedOverConfig>* out) {
  for (auto it = read->begin(); it != read->end();) {
    const Result<> legal = check(it->first, it->second);
    if (legal) {
      ++it;
      continue;
    }
    out->push_back(
        {.source = source, .name = it->first, .value = it->second, .reason = legal.error().message});
    const auto last_good = in_force.find(it->first);
    if (last_good == in_force.end()) {
      it = read->erase(it);
    } else {
      out->back().reason += fmt::format("; {} stays in force", last_good->second);
      (it++)->second = last_good->second;
    }
  }
}

}  // namespace tidemark
