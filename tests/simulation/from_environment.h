// Numbers that the programs of the simulation take from their environment, as tests/long.sh hands them in.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace tidemark {

inline uint64_t FromEnvironmentOr(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace tidemark
