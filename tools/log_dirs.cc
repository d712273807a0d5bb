// tidemark-log-dirs: the log directories of brokers with their replicas, as Kafka's JSON; and moves of
// replicas between directories of one broker.
#include <fmt/format.h>

#include <cstdio>
#include <set>

#include <nlohmann/json.hpp>

#include "common/config/properties.h"
#include "tools/action_flags.h"
#include "tools/commands.h"
#include "tools/session.h"

namespace tidemark {
namespace {

using Json = nlohmann::ordered_json;

Result<BrokerId> ParseBroker(const std::string& text) {
  char* rest = nullptr;
  const long value = std::strtol(text.c_str(), &rest, 10);
  if (text.empty() || *rest != '\0' || value < 0 || value > INT32_MAX)
    return Fail(v1::INVALID_REQUEST, "'{}' is not a broker id", text);
  return static_cast<BrokerId>(value);
}

Json DirectoryJson(const v1::DescribeLogDirsResponse::LogDir& directory) {
  Json partitions = Json::array();
  for (const auto& replica : directory.replicas()) {
    partitions.push_back({{"partition", fmt::format("{}-{}", replica.topic(), replica.partition())},
                          {"size", replica.size_bytes()},
                          {"offsetLag", replica.offset_lag()},
                          {"isFuture", replica.is_future()}});
  }
  Json out = {{"logDir", directory.path()}, {"error", nullptr}, {"partitions", std::move(partitions)}};
  if (directory.has_error()) out["error"] = ToString(FromProto(directory.error()));
  out["usableBytes"] = directory.usable_bytes();
  return out;
}

int Describe(ToolSession& session, const Arguments& arguments) {
  const std::vector<std::string> wanted = CommaList(arguments.GetOr("topic-list", ""));
  auto metadata = session.Metadata(wanted, wanted.empty());
  if (!metadata) return ReportError(metadata.error());
  std::vector<std::string> topics;
  for (const v1::TopicMetadata& topic : metadata->topics()) {
    if (wanted.empty()) break;
    if (topic.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION) return ReportError(FromProto(topic.error()));
    topics.push_back(topic.id());
  }
  std::set<BrokerId> brokers;
  for (const std::string& text : CommaList(arguments.GetOr("broker-list", ""))) {
    auto id = ParseBroker(text);
    if (!id) return ReportUsage(id.error());
    brokers.insert(*id);
  }
  if (brokers.empty()) {
    for (const v1::BrokerEndpoint& broker : metadata->brokers()) brokers.insert(broker.id());
  }
  fmt::print(stderr, "Querying brokers for log directories information\n");
  Json out = {{"version", 1}, {"brokers", Json::array()}};
  int status = kExitDone;
  for (const BrokerId broker : brokers) {
    auto response = session.Run(
        [&] { return session.admin().DescribeLogDirs(broker, topics, session.After(kAdminTimeout)); });
    if (!response) {
      status = ReportError(response.error(), fmt::format("broker {}", broker));
      continue;
    }
    Json directories = Json::array();
    for (const auto& directory : response->log_dirs()) directories.push_back(DirectoryJson(directory));
    out["brokers"].push_back({{"broker", broker}, {"logDirs", std::move(directories)}});
  }
  fmt::print("{}\n", out.dump(-1, ' ', false, Json::error_handler_t::replace));
  return status != kExitDone && brokers.size() > 1 ? kExitPartly : status;
}

// "orders-3".
Result<v1::AlterReplicaLogDirsRequest> MoveRequest(ToolSession& session, const std::string& text,
                                                   const std::string& to) {
  const size_t dash = text.rfind('-');
  char* rest = nullptr;
  const std::string number = dash == std::string::npos ? "" : text.substr(dash + 1);
  const unsigned long partition = std::strtoul(number.c_str(), &rest, 10);
  if (number.empty() || *rest != '\0' || partition > UINT32_MAX)
    return Fail(v1::INVALID_REQUEST, "--move '{}' is not of the form TOPIC-PARTITION", text);
  TM_ASSIGN_OR_RETURN(const v1::TopicMetadata topic, session.Topic(text.substr(0, dash)));
  v1::AlterReplicaLogDirsRequest request;
  auto* move = request.add_moves();
  move->set_topic_id(topic.id());
  move->set_partition(static_cast<uint32_t>(partition));
  move->set_log_dir(to);
  return request;
}

int Move(ToolSession& session, const Arguments& arguments) {
  auto broker_text = arguments.Require("broker");
  if (!broker_text) return ReportError(broker_text.error());
  auto to = arguments.Require("to");
  if (!to) return ReportError(to.error());
  auto broker = ParseBroker(*broker_text);
  if (!broker) return ReportUsage(broker.error());
  auto request = MoveRequest(session, arguments.GetOr("move", ""), *to);
  if (!request) return ReportError(request.error());
  auto metadata = session.Metadata({}, true);  // so that the broker is known
  if (!metadata) return ReportError(metadata.error());
  auto response = session.Run(
      [&] { return session.admin().AlterReplicaLogDirs(*broker, *request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const auto& result = response->results(0);
  if (result.has_error()) return ReportError(FromProto(result.error()));
  fmt::print("Moving {} on broker {} to {}; --describe shows how far it is (isFuture).\n",
             arguments.GetOr("move", ""), *broker, *to);
  return kExitDone;
}

int RunLogDirs(const Arguments& arguments) {
  const auto action =
      ActionOf(arguments, {{"describe", {"broker-list", "topic-list"}}, {"move", {"broker", "to"}}});
  if (!action) return ReportUsage(action.error());
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  return *action == "describe" ? Describe(**session, arguments) : Move(**session, arguments);
}

}  // namespace

Command LogDirsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"describe", "", "Shows log directories and their replicas as one line of JSON."},
      {"broker-list", "0,1",
       "With --describe: only these brokers. (Elsewhere Kafka's old name of "
       "--bootstrap-server; here, as in Kafka, broker ids.)"},
      {"topic-list", "A,B", "With --describe: only replicas of these topics."},
      {"move", "TOPIC-PARTITION",
       "Moves the replica to another log directory of the broker while it serves."},
      {"broker", "ID", "With --move: the broker that has the replica."},
      {"to", "DIR", "With --move: the directory, as in log.dirs; the one it is in cancels a move."},
  };
  // Here --broker-list means broker ids.
  flags.front().aliases.clear();
  flags.insert(flags.end(), own.begin(), own.end());
  return {"log-dirs",
          "shows the log directories of brokers and moves replicas between them",
          {"tidemark-log-dirs --bootstrap-server localhost:9092 --describe --topic-list orders",
           "tidemark-log-dirs --bootstrap-server localhost:9092 --move orders-3 --broker 1 --to /data2"},
          flags,
          {},
          RunLogDirs};
}

}  // namespace tidemark
