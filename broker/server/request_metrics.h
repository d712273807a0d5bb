// RequestMetrics: counts, latencies and errors of one shard's requests by API. Written by the shard's loop,
// read by anybody.
#pragma once

#include <array>
#include <string>

#include "common/metrics/exposition.h"
#include "common/metrics/metrics.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

struct BrokerContext;

struct ApiMetrics {
  // Codes of the protocol's table have a place each; a test fails when it has grown beyond.
  static constexpr size_t kErrors = 128;

  Counter requests;
  LatencyHistogram latency;
  // Requests answered with an error, by the code's place in the table (PlaceOf).
  std::array<Counter, kErrors> errors;

  // A code that the table does not have counts as UNKNOWN_SERVER_ERROR.
  static size_t PlaceOf(v1::ErrorCode code);
  static v1::ErrorCode CodeAt(size_t place);
  void CountError(v1::ErrorCode code) { errors[PlaceOf(code)].Add(); }
  // Each error of the response once.
  void CountErrors(const v1::Response& response);
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

// All shards together, APIs that were asked for.
void AddRequestMetrics(const BrokerContext& context, Exposition* out);

}  // namespace tidemark
