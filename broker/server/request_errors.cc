#include "broker/server/request_errors.h"

#include <algorithm>
#include <map>
#include <memory>

namespace tidemark {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The way from a message to its errors: fields that hold one, and fields whose messages lead on to some.
struct Way {
  struct Step {
    const FieldDescriptor* field = nullptr;
    std::unique_ptr<Way> onward;
  };
  const FieldDescriptor* error = nullptr;
  std::vector<Step> steps;
  bool leads_nowhere() const { return error == nullptr && steps.empty(); }
};

// `above` are the messages on the way here: one that holds itself is not followed for ever.
std::unique_ptr<Way> WayFrom(const Descriptor* message, std::vector<const Descriptor*> above) {
  auto way = std::make_unique<Way>();
  above.push_back(message);
  for (int i = 0; i < message->field_count(); ++i) {
    const FieldDescriptor* field = message->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (field->message_type() == v1::Error::descriptor()) {
      // Other fields of that type describe something, as why a replica is offline; the request went well.
      if (field->name() == "error" && !field->is_repeated()) way->error = field;
      continue;
    }
    if (std::ranges::find(above, field->message_type()) != above.end()) continue;
    std::unique_ptr<Way> onward = WayFrom(field->message_type(), above);
    if (!onward->leads_nowhere()) way->steps.push_back({field, std::move(onward)});
  }
  return way;
}

void Note(v1::ErrorCode code, std::vector<v1::ErrorCode>* out) {
  if (code != v1::NONE && std::ranges::find(*out, code) == out->end()) out->push_back(code);
}

void Follow(const Way& way, const Message& message, std::vector<v1::ErrorCode>* out) {
  const Reflection& reflection = *message.GetReflection();
  if (way.error != nullptr && reflection.HasField(message, way.error))
    Note(static_cast<const v1::Error&>(reflection.GetMessage(message, way.error)).code(), out);
  for (const Way::Step& step : way.steps) {
    if (!step.field->is_repeated()) {
      if (reflection.HasField(message, step.field))
        Follow(*step.onward, reflection.GetMessage(message, step.field), out);
      continue;
    }
    const int parts = reflection.FieldSize(message, step.field);
    for (int i = 0; i < parts; ++i)
      Follow(*step.onward, reflection.GetRepeatedMessage(message, step.field, i), out);
  }
}

// By the body's field number.
std::map<int, Way::Step> WaysOfBodies() {
  std::map<int, Way::Step> out;
  const google::protobuf::OneofDescriptor* bodies = v1::Response::descriptor()->FindOneofByName("body");
  for (int i = 0; i < bodies->field_count(); ++i) {
    const FieldDescriptor* body = bodies->field(i);
    out[body->number()] = {body, WayFrom(body->message_type(), {})};
  }
  return out;
}

}  // namespace

std::vector<v1::ErrorCode> ErrorsOf(const v1::Response& response) {
  static const std::map<int, Way::Step> ways = WaysOfBodies();
  std::vector<v1::ErrorCode> out;
  if (response.header().has_error()) Note(response.header().error().code(), &out);
  const auto body = ways.find(response.body_case());
  if (body != ways.end() && !body->second.onward->leads_nowhere()) {
    Follow(*body->second.onward, response.GetReflection()->GetMessage(response, body->second.field), &out);
  }
  return out;
}

}  // namespace tidemark
