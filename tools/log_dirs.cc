// tidemark-log-dirs: the log directories of brokers with their replicas, as Kafka's JSON; and moves of
// replicas between directories of one broker.
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/config/properties.h"
#include "tools/action_flags.h"
#include "tools/commands.h"
#include "tools/kafka_rows.h"
#include "tools/log_dir_moves.h"
#include "tools/session.h"
#include "tools/shown_work.h"

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

// A row per replica; a directory without any has one row with nulls.
void AddDirectory(BrokerId broker, const v1::DescribeLogDirsResponse::LogDir& directory, Listing* rows) {
  const Json error = directory.has_error() ? Json(ToString(FromProto(directory.error()))) : Json();
  const auto add = [&](Json topic, Json partition, Json size, Json lag, Json future) {
    rows->Add({broker, directory.path(), error, directory.usable_bytes(), std::move(topic),
               std::move(partition), std::move(size), std::move(lag), std::move(future)});
  };
  for (const auto& replica : directory.replicas())
    add(replica.topic(), replica.partition(), replica.size_bytes(), replica.offset_lag(),
        replica.is_future());
  if (directory.replicas().empty()) add({}, {}, {}, {}, {});
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
  const auto format = *RowFormatOf(arguments);
  Listing rows({"broker", "log_dir", "error", "usable_bytes", "topic", "partition", "size_bytes",
                "offset_lag", "is_future"});
  fmt::print(stderr, "Querying brokers for log directories information\n");
  Json out = {{"version", 1}, {"brokers", Json::array()}};
  int status = kExitDone;
  for (const BrokerId broker : brokers) {
    auto response = session.Run(
        [&] { return session.admin().DescribeLogDirs(broker, topics, session.After(kAdminTimeout)); });
    if (!response) {
      Error error = response.error();
      error.message = fmt::format("broker {}: {}", broker, error.message);
      status = ReportError(error);
      continue;
    }
    Json directories = Json::array();
    for (const auto& directory : response->log_dirs()) {
      directories.push_back(DirectoryJson(directory));
      AddDirectory(broker, directory, &rows);
    }
    out["brokers"].push_back({{"broker", broker}, {"logDirs", std::move(directories)}});
  }
  if (format) {
    (void)Print(rows.Text(*format));
    return status != kExitDone && brokers.size() > 1 ? kExitPartly : status;
  }
  fmt::print("{}\n", out.dump(-1, ' ', false, Json::error_handler_t::replace));
  return status != kExitDone && brokers.size() > 1 ? kExitPartly : status;
}

Result<v1::AlterReplicaLogDirsRequest> MoveRequest(ToolSession& session, const std::string& text,
                                                   const std::string& to) {
  TM_ASSIGN_OR_RETURN(const auto replica, ParseReplica(text));
  const auto& [name, partition] = replica;
  TM_ASSIGN_OR_RETURN(const v1::TopicMetadata topic, session.Topic(name));
  v1::AlterReplicaLogDirsRequest request;
  auto* move = request.add_moves();
  move->set_topic_id(topic.id());
  move->set_partition(partition);
  move->set_log_dir(to);
  return request;
}

// Until the replica is where it is to be; also while the broker starts again, after which the move goes on.
// Whoever does not want to wait any longer interrupts; the move goes on.
Result<> AwaitMove(ToolSession& session, BrokerId broker, const v1::AlterReplicaLogDirsRequest::Move& move) {
  constexpr Duration kBetweenLooks = 500ms;
  Progress bar(session.env().clock(), "moving", ProgressUnit::kBytes, 0);
  MoveWatch watch(broker, move.log_dir());
  bool said = false;
  while (true) {
    auto directories = RunShown(session, bar, [&] {
      return session.admin().DescribeLogDirs(broker, {move.topic_id()}, session.After(kAdminTimeout));
    });
    std::optional<Result<>> outcome;
    if (directories) {
      const LogDirMove now = JudgeMove(*directories, move.topic_id(), move.partition(), move.log_dir());
      outcome = watch.Saw(now);
      if (now.state == LogDirMove::State::kCopying) bar.SetTotal(now.all_bytes);
      if (now.state == LogDirMove::State::kCopying) bar.Set(now.copied_bytes);
    } else {
      outcome = watch.Missed(directories.error());
      if (!outcome && !std::exchange(said, true)) {
        Say("broker {} does not answer ({}); waiting for it, as the move goes on when it is "
            "back",
            broker, ToString(directories.error()));
      }
      // It may come back elsewhere.
      if (!outcome) (void)session.Metadata({}, true);
    }
    if (outcome) return std::move(*outcome);
    RunShown(session, bar, [&]() -> Task<WaitOutcome> {
      co_return co_await Sleep(session.loop(), kBetweenLooks, "move between log directories");
    });
  }
}

// What a move would do, as far as the broker's directories tell.
int ShowMove(ToolSession& session, BrokerId broker, const v1::AlterReplicaLogDirsRequest::Move& move) {
  const auto directories = session.Run([&] {
    return session.admin().DescribeLogDirs(broker, {move.topic_id()}, session.After(kAdminTimeout));
  });
  if (!directories) return ReportError(directories.error());
  bool known = false;
  std::string paths;
  for (const auto& directory : directories->log_dirs()) {
    known = known || directory.path() == move.log_dir();
    paths += (paths.empty() ? "" : ", ") + directory.path();
  }
  if (!known) {
    return ReportError(
        {v1::LOG_DIR_NOT_FOUND, fmt::format("broker {} has no log directory '{}'", broker, move.log_dir())},
        "it has " + paths);
  }
  const LogDirMove now = JudgeMove(*directories, move.topic_id(), move.partition(), move.log_dir());
  if (now.state == LogDirMove::State::kOffline)
    return ReportError(
        {v1::KAFKA_STORAGE_ERROR, fmt::format("{} is out of service: {}", move.log_dir(), now.why)});
  if (now.state == LogDirMove::State::kGone)
    return ReportError({v1::NOT_FOUND, fmt::format("broker {} has no such replica", broker)});
  if (now.state == LogDirMove::State::kArrived) {
    fmt::print("{} {}.\n",
               now.leaving ? "Would call off the move to another directory: it stays in" : "It is already in",
               move.log_dir());
  } else {
    fmt::print("Would move {} bytes on broker {} to {}.\n", now.all_bytes, broker, move.log_dir());
  }
  return kExitDone;
}

int Move(ToolSession& session, const Arguments& arguments) {
  auto broker_text = arguments.Require("broker");
  if (!broker_text) return ReportUsage(broker_text.error());
  auto to = arguments.Require("to");
  if (!to) return ReportUsage(to.error());
  auto broker = ParseBroker(*broker_text);
  if (!broker) return ReportUsage(broker.error());
  auto request = MoveRequest(session, arguments.GetOr("move", ""), *to);
  if (!request) return ReportError(request.error());
  auto metadata = session.Metadata({}, true);  // so that the broker is known
  if (!metadata) return ReportError(metadata.error());
  if (arguments.Has("dry-run")) return ShowMove(session, *broker, request->moves(0));
  const auto& move = request->moves(0);
  const auto directories = session.Run([&] {
    return session.admin().DescribeLogDirs(*broker, {move.topic_id()}, session.After(kAdminTimeout));
  });
  if (!directories) return ReportError(directories.error());
  const LogDirMove before = JudgeMove(*directories, move.topic_id(), move.partition(), *to);
  auto response = session.Run(
      [&] { return session.admin().AlterReplicaLogDirs(*broker, *request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const auto& result = response->results(0);
  if (result.has_error()) return ReportError(FromProto(result.error()));
  if (arguments.Has("wait") && before.state != LogDirMove::State::kArrived) {
    if (const auto moved = AwaitMove(session, *broker, request->moves(0)); !moved)
      return ReportError(moved.error());
    fmt::print("Moved {} on broker {} to {}.\n", arguments.GetOr("move", ""), *broker, *to);
    return kExitDone;
  }
  fmt::print("{}\n", MoveText(before, arguments.GetOr("move", ""), *broker, *to));
  return kExitDone;
}

int RunLogDirs(const Arguments& arguments) {
  const auto action = ActionOf(arguments, {{"describe", {"broker-list", "topic-list", "output"}},
                                           {"move", {"broker", "to", "dry-run", "wait"}}});
  if (!action) return ReportUsage(action.error());
  if (const auto format = RowFormatOf(arguments); !format) return ReportUsage(format.error());
  if (*action == "move") {
    if (const auto replica = ParseReplica(arguments.GetOr("move", "")); !replica)
      return ReportUsage(replica.error());
  }
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
      DryRunFlag(),
      {"wait", "", "With --move: returns when the replica is there; an interrupt leaves the move going on."},
      RowsFlag(),
  };
  // Here --broker-list means broker ids.
  flags.front().aliases.clear();
  flags.insert(flags.end(), own.begin(), own.end());
  return {"log-dirs",
          "shows the log directories of brokers and moves replicas between them",
          {"tidemark-log-dirs --bootstrap-server localhost:9092 --describe --topic-list orders",
           "tidemark-log-dirs --bootstrap-server localhost:9092 --move orders-3 --broker 1 --to /data2 "
           "--wait"},
          flags,
          {},
          RunLogDirs};
}

}  // namespace tidemark
