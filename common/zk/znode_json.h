// Reading and writing the JSON of znodes: the means with which znodes.cc states each format. Internal to
// common/zk. Values live on one thread; nothing is kept between calls.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace tidemark::znode_json {

// Members keep the order in which they were put.
using Json = nlohmann::ordered_json;

// One JSON object read member by member. The first thing that is wrong is remembered, later reads give
// defaults, and Finish() tells: so a format reads as a list of its members.
class Reader {
 public:
  // `what` names the znode in messages: "topic".
  Reader(std::string_view what, std::string_view json);

  // The member, or null where it is absent or null. Marks it as known.
  const Json* Find(std::string_view member);
  // The required member, or null after remembering that it is missing.
  const Json* Need(std::string_view member);

  // Required integers within [min, max].
  int64_t Integer(std::string_view member, int64_t min, int64_t max);
  // As Integer, `absent` where the member is missing.
  int64_t IntegerOr(std::string_view member, int64_t absent, int64_t min, int64_t max);
  // Milliseconds since 1970: Kafka writes a string, a number is understood too.
  int64_t Timestamp(std::string_view member);
  std::string String(std::string_view member);
  std::string StringOr(std::string_view member, std::string_view absent);
  bool BoolOr(std::string_view member, bool absent);
  // Broker ids: an array of non-negative integers, none twice.
  std::vector<int32_t> Brokers(std::string_view member);
  std::vector<int32_t> BrokersOf(const Json& value, const std::string& name);
  // The object under `member`, null where absent or of the wrong type (then remembered).
  const Json* Object(std::string_view member);
  void Known(std::string_view member);

  // Remembers a fault: "member 'isr': broker 1 is named twice".
  void Fault(std::string_view member, std::string_view message);
  bool ok() const { return error_.empty(); }

  // The members that nobody asked for as JSON text, empty for none.
  std::string Unknown() const;
  // CORRUPT_MESSAGE with the first fault.
  Result<> Finish() const;

 private:
  int64_t IntegerOf(const Json& value, std::string_view member, int64_t min, int64_t max);

  std::string_view what_;
  Json json_;
  std::vector<std::string> known_;
  std::string error_;
};

// The text of `json` with the members of `unknown` (a JSON object or empty) that it does not have behind its
// own. Where `replaceable` names members, unknown values of that name win: constants of Kafka's that we do
// not model.
std::string Write(Json json, std::string_view unknown, const std::vector<std::string_view>& replaceable = {});

}  // namespace tidemark::znode_json
