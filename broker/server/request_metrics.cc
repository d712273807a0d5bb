#include "broker/server/request_metrics.h"

namespace tidemark {

std::string RequestMetrics::NameOf(size_t api) {
  const google::protobuf::FieldDescriptor* field =
      v1::Request::descriptor()->FindFieldByNumber(static_cast<int>(api));
  return field == nullptr || field->containing_oneof() == nullptr ? std::string() : field->name();
}

}  // namespace tidemark
