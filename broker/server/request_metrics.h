// RequestMetrics: counts and latencies of one shard's requests by API. Written by the shard's loop, read by
// anybody.
#pragma once

#include <array>
#include <string>

#include "common/metrics/metrics.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

struct ApiMetrics {
  Counter requests;
  LatencyHistogram latency;
};

class RequestMetrics {
 public:
  // Bodies' field numbers are small (envelope.proto).
  static constexpr size_t kApis = 64;
  ApiMetrics& Of(v1::Request::BodyCase api) { return by_api_[static_cast<size_t>(api) % kApis]; }
  const ApiMetrics& At(size_t api) const { return by_api_[api]; }
  // "produce", "fetch", ...; empty for a number without API.
  static std::string NameOf(size_t api);

 private:
  std::array<ApiMetrics, kApis> by_api_;
};

}  // namespace tidemark
