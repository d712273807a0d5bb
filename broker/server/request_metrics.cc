#include "broker/server/request_metrics.h"

#include <algorithm>

#include "broker/server/request_errors.h"
#include "broker/server/shard.h"

namespace tidemark {
namespace {

// "refresh_metadata" of ERROR_CLASS_REFRESH_METADATA.
std::string ClassLabel(v1::ErrorCode code) {
  std::string name = v1::ErrorClass_Name(ClassOf(code)).substr(std::string_view("ERROR_CLASS_").size());
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

void AddErrors(const std::string& api, const std::array<uint64_t, ApiMetrics::kErrors>& errors,
               Exposition* out) {
  for (size_t place = 0; place < errors.size(); ++place) {
    const v1::ErrorCode code = ApiMetrics::CodeAt(place);
    // The one that ought never to happen is told from the beginning, so that the first is seen as a rise.
    if (errors[place] == 0 && place != ApiMetrics::PlaceOf(v1::UNKNOWN_SERVER_ERROR)) continue;
    out->Counter("tidemark_request_errors_total", errors[place],
                 {{"api", api}, {"error", ErrorName(code)}, {"class", ClassLabel(code)}});
  }
}

}  // namespace

size_t ApiMetrics::PlaceOf(v1::ErrorCode code) {
  const google::protobuf::EnumDescriptor* table = v1::ErrorCode_descriptor();
  const google::protobuf::EnumValueDescriptor* value = table->FindValueByNumber(code);
  if (value == nullptr || static_cast<size_t>(value->index()) >= kErrors)
    value = table->FindValueByNumber(v1::UNKNOWN_SERVER_ERROR);
  return static_cast<size_t>(value->index());
}

v1::ErrorCode ApiMetrics::CodeAt(size_t place) {
  const google::protobuf::EnumDescriptor* table = v1::ErrorCode_descriptor();
  const bool known = place < static_cast<size_t>(table->value_count());
  return known ? static_cast<v1::ErrorCode>(table->value(static_cast<int>(place))->number())
               : v1::UNKNOWN_SERVER_ERROR;
}

void ApiMetrics::CountErrors(const v1::Response& response) {
  for (const v1::ErrorCode code : ErrorsOf(response)) CountError(code);
}

std::string RequestMetrics::NameOf(size_t api) {
  const google::protobuf::FieldDescriptor* field =
      v1::Request::descriptor()->FindFieldByNumber(static_cast<int>(api));
  return field == nullptr || field->containing_oneof() == nullptr ? std::string() : field->name();
}

void AddRequestMetrics(const BrokerContext& context, Exposition* out) {
  for (size_t api = 0; api < RequestMetrics::kApis; ++api) {
    const std::string name = RequestMetrics::NameOf(api);
    uint64_t requests = 0;
    HistogramSnapshot latency;
    std::array<uint64_t, ApiMetrics::kErrors> errors{};
    for (const auto& shard : context.shards) {
      const ApiMetrics& of_shard = shard->metrics().At(api);
      requests += of_shard.requests.value();
      latency += of_shard.latency.Snapshot();
      for (size_t place = 0; place < errors.size(); ++place) errors[place] += of_shard.errors[place].value();
    }
    if (name.empty() || requests == 0) continue;
    out->Counter("tidemark_requests_total", requests, {{"api", name}});
    out->Histogram("tidemark_request_seconds", latency, {{"api", name}});
    AddErrors(name, errors, out);
  }
}

}  // namespace tidemark
