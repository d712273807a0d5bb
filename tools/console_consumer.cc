// tidemark-console-consumer: records alone on stdout, all else on stderr.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "common/config/properties.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/property_flags.h"
#include "tools/record_output.h"
#include "tools/record_source.h"
#include "tools/session.h"
#include "tools/topic_match.h"
#include "tools/topics.h"

namespace tidemark {
namespace {

// How often a wait without an end looks whether the user pressed Ctrl-C, or the reader went away.
constexpr Duration kLook = 200ms;

std::atomic<bool> g_interrupted = false;

struct Limits {
  std::optional<int64_t> max_messages;
  std::optional<Duration> timeout;  // since the last record
  bool skip_on_error = false;
};

// Reads and prints until a limit, an interrupt or an error.
class Printer {
 public:
  Printer(ToolSession& session, RecordSource& source, RecordOutput output, Limits limits)
      : session_(session), source_(source), output_(std::move(output)), limits_(limits) {}

  int Run() {
    MonoTime last_record = session_.loop().Now();
    int status = kExitDone;
    while (!g_interrupted && !Reached() && !ReaderIsGone()) {
      const MonoTime now = session_.loop().Now();
      if (limits_.timeout && now - last_record >= *limits_.timeout) {
        status = TellRefused(status);
        break;
      }
      MonoTime deadline = now + kLook;
      if (limits_.timeout) deadline = std::min(deadline, last_record + *limits_.timeout);
      auto batch = source_.Poll(deadline);
      // What stands there now follows.
      if (!batch && batch.error().code == v1::LOG_TRUNCATED) {
        Say("warning: {}", ToString(batch.error()));
        continue;
      }
      if (!batch) {
        status = ReportError(batch.error());
        if (source_.EndsWith(batch.error())) break;
        continue;
      }
      if (batch->records.empty()) continue;
      if (!Print(*batch)) {
        // Or the reader went away.
        return failed_ ? ReportError(*failed_, "--skip-message-on-error goes on behind it") : status;
      }
      last_record = session_.loop().Now();
    }
    // As quietly as where a write finds out that nobody reads any more.
    if (!ReaderIsGone()) Say("Processed a total of {} messages", printed_);
    return status;
  }

 private:
  // The end of a timeout looks like the end of the topic, but of these partitions there may be more. Damage
  // is an error, as it is where one waits for its end (a minute); trouble that passes is not, as with
  // Kafka's.
  int TellRefused(int status) {
    for (const auto& [partition, error] : source_.Refused()) {
      const bool damaged = error.code == v1::CORRUPT_MESSAGE;
      Say("{}: {} was not read to its end: {}", damaged ? "error" : "warning", ToString(partition),
          ToString(error));
      if (damaged) status = kExitFailed;
    }
    return status;
  }
  bool Reached() const { return limits_.max_messages && printed_ >= *limits_.max_messages; }

  // False when nobody reads any more.
  bool Print(const PolledBatch& batch) {
    size_t count = batch.records.size();
    if (limits_.max_messages)
      count = static_cast<size_t>(
          std::min<int64_t>(static_cast<int64_t>(count), *limits_.max_messages - printed_));
    Result<> added;
    for (size_t i = 0; i < count; ++i) {
      added = output_.Add(batch.records[i]);
      if (added) continue;
      added.error().message = fmt::format("{}, {}", batch.topic, added.error().message);
      if (limits_.skip_on_error) {
        Say("skipped: {}", added.error().message);
        continue;
      }
      count = i;
      failed_ = added.error();
    }
    const bool reads = output_.Flush();
    if (!reads) count = 0;
    if (count < batch.records.size()) source_.Unread(batch, count);
    printed_ += static_cast<int64_t>(count);
    return reads && !failed_;
  }

  ToolSession& session_;
  RecordSource& source_;
  RecordOutput output_;
  Limits limits_;
  int64_t printed_ = 0;
  std::optional<Error> failed_;  // a record that is not what the flags say
};

Result<StartPosition> StartOf(const Arguments& arguments) {
  if (arguments.Has("from-beginning")) {
    if (arguments.Has("offset"))
      return Fail(v1::INVALID_REQUEST, "--from-beginning and --offset exclude each other");
    return StartPosition{StartPosition::Kind::kBeginning};
  }
  const std::string text = arguments.GetOr("offset", "latest");
  if (text == "earliest") return StartPosition{StartPosition::Kind::kBeginning};
  if (text == "latest") return StartPosition{StartPosition::Kind::kEnd};
  if (!arguments.Has("partition")) return Fail(v1::INVALID_REQUEST, "--offset {} needs --partition", text);
  int64_t offset = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (code != std::errc() || end != text.data() + text.size() || offset < 0) {
    return Fail(v1::INVALID_REQUEST, "--offset '{}' is not earliest, latest or an offset from 0", text);
  }
  return StartPosition{StartPosition::Kind::kOffset, offset};
}

struct Plan {
  std::string topic;
  std::string include;  // instead of `topic`
  std::optional<int64_t> partition;
  StartPosition start;
  RecordOutput output;
  Limits limits;
  ConsumerOptions options;
};

// The settings of the client: those of the file and of single properties, and what flags say of the group.
Result<ConsumerOptions> ClientOptionsOf(const Arguments& arguments) {
  TM_ASSIGN_OR_RETURN(auto client, SettingsOfFlags(arguments, "consumer.config", "consumer-property"));
  if (const auto level = arguments.Get("isolation-level")) client["isolation.level"] = *level;
  if (const auto group = arguments.Get("group")) {
    if (client.contains("group.id") && client["group.id"] != *group) {
      return Fail(v1::INVALID_REQUEST, "--group {} and group.id={} are two groups; name one", *group,
                  client["group.id"]);
    }
    if (group->empty()) return Fail(v1::INVALID_REQUEST, "--group: the name is empty");
    client["group.id"] = *group;
  }
  const auto reset = client.find("auto.offset.reset");
  if (arguments.Has("from-beginning") && reset != client.end() && reset->second != "earliest") {
    return Fail(v1::INVALID_REQUEST, "--from-beginning and auto.offset.reset={} exclude each other",
                reset->second);
  }
  if (client["group.id"].empty()) {
    client.erase("group.id");
  } else if (arguments.Has("partition") || arguments.Has("offset")) {
    return Fail(
        v1::INVALID_REQUEST,
        "--partition and --offset choose what the group '{}' is to assign; leave out them or the group",
        client["group.id"]);
  } else if (arguments.Has("from-beginning")) {
    // Where the group has committed nothing yet.
    client.emplace("auto.offset.reset", "earliest");
  }
  return ConsumerOptions::FromProperties(client);
}

Result<Plan> PlanOf(const Arguments& arguments) {
  Plan plan;
  if (arguments.Has("topic") == arguments.Has("include")) {
    return Fail(v1::INVALID_REQUEST, "one of --topic NAME and --include EXPRESSION is required");
  }
  plan.topic = arguments.GetOr("topic", "");
  plan.include = arguments.GetOr("include", "");
  if (plan.topic.empty() && plan.include.empty())
    return Fail(v1::INVALID_REQUEST, "--{}: the name is empty", arguments.Has("topic") ? "topic" : "include");
  TM_ASSIGN_OR_RETURN(plan.partition, arguments.GetInteger("partition", 0, UINT32_MAX));
  if (plan.partition && plan.topic.empty())
    return Fail(v1::INVALID_REQUEST, "--partition needs --topic NAME");
  TM_ASSIGN_OR_RETURN(plan.start, StartOf(arguments));
  TM_ASSIGN_OR_RETURN(const auto properties, arguments.GetProperties("property"));
  TM_ASSIGN_OR_RETURN(plan.output, RecordOutput::FromProperties(properties));
  if (const auto formatter = arguments.Get("formatter"))
    TM_RETURN_IF_ERROR(plan.output.SetFormatter(*formatter));
  TM_ASSIGN_OR_RETURN(const FieldType key,
                      FieldTypeOf(arguments.GetOr("key-deserializer", "StringDeserializer")));
  TM_ASSIGN_OR_RETURN(const FieldType value,
                      FieldTypeOf(arguments.GetOr("value-deserializer", "StringDeserializer")));
  plan.output.SetTypes(key, value);
  plan.limits.skip_on_error = arguments.Has("skip-message-on-error");
  // -1: no limit, as Kafka's.
  TM_ASSIGN_OR_RETURN(plan.limits.max_messages, arguments.GetInteger("max-messages", -1, INT64_MAX));
  if (plan.limits.max_messages && *plan.limits.max_messages < 0) plan.limits.max_messages.reset();
  TM_ASSIGN_OR_RETURN(const auto timeout, arguments.GetInteger("timeout-ms", -1, INT32_MAX));
  if (timeout && *timeout >= 0) plan.limits.timeout = std::chrono::milliseconds(*timeout);
  TM_ASSIGN_OR_RETURN(plan.options, ClientOptionsOf(arguments));
  if (plan.limits.timeout) plan.options.start_patience = *plan.limits.timeout;
  // Of a group the coordinator reads the expression.
  if (plan.options.group_id.empty()) TM_RETURN_IF_ERROR(TopicMatch::OfExpressions(plan.include));
  return plan;
}

// The expression that a group subscribes to. Kafka's --include takes names and expressions, with commas.
std::string GroupPattern(const std::string& include) {
  std::string pattern;
  for (const std::string& part : CommaList(include)) pattern += (pattern.empty() ? "" : "|") + part;
  return pattern;
}

Result<std::unique_ptr<RecordSource>> SourceOf(ToolSession& session, const Plan& plan) {
  std::vector<std::string> topics;
  if (!plan.topic.empty()) topics = {plan.topic};
  if (!plan.options.group_id.empty())
    return MakeGroupSource(session, plan.options, std::move(topics), GroupPattern(plan.include));
  if (!plan.include.empty()) {
    TM_ASSIGN_OR_RETURN(const auto meant,
                        TopicsMeant(session, plan.include, false, TopicWords::kExpressions));
    for (const v1::TopicMetadata& topic : meant) topics.push_back(topic.name());
  }
  AssignedPartitions what{.topics = std::move(topics), .partition = {}, .start = plan.start};
  if (plan.partition) what.partition = static_cast<PartitionIndex>(*plan.partition);
  return MakeAssignedSource(session, plan.options, std::move(what));
}

int RunConsoleConsumer(const Arguments& arguments) {
  auto plan = PlanOf(arguments);
  if (!plan) return ReportUsage(plan.error());
  auto session = ToolSession::Open(arguments, plan->options.client);
  if (!session) return ReportOpening(session.error());
  auto source = SourceOf(**session, *plan);
  if (!source)
    return ReportError(source.error(), "only a consumer with --group joins topics that are made later");
  std::signal(SIGINT, [](int) { g_interrupted = true; });
  std::signal(SIGTERM, [](int) { g_interrupted = true; });
  // The terminal went away: what was printed is committed, and the group not left to wait for the session's
  // end.
  std::signal(SIGHUP, [](int) { g_interrupted = true; });
  const auto opened = (*source)->Open();
  int status =
      opened ? Printer(**session, **source, plan->output, plan->limits).Run() : ReportError(opened.error());
  if (const auto closed = (*source)->Close(); !closed) {
    fmt::print(stderr, "what was printed last is not committed and will be read again by the group\n");
    status = ReportError(closed.error());
  }
  return status;
}

}  // namespace

Command ConsoleConsumerCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"topic", "NAME", "What to read."},
      {.name = "include",
       .value = "EXPRESSION",
       .help = "The topics to read, as regular expressions of whole names, as they are at the start.",
       .aliases = {"whitelist"}},
      {"partition", "N", "Only this partition."},
      {"from-beginning", "",
       "Starts at the log start instead of the end; with a group: where it has committed nothing."},
      {.name = "group",
       .value = "NAME",
       .help = "Reads as a member of this group: shares the partitions with its other members, goes on where "
               "the group was, commits what was printed.",
       .group_id = true},
      {"offset", "earliest|latest|N", "Where to start; a number needs --partition."},
      {"max-messages", "N", "Ends after so many records."},
      {"timeout-ms", "MS", "Ends when no record came for so long."},
      {"property", "NAME=VALUE",
       "print.timestamp, print.partition, print.offset, print.headers, print.key, print.value (true or "
       "false), "
       "key.separator, line.separator, headers.separator, null.literal.",
       true},
      {"formatter", "CLASS",
       "DefaultMessageFormatter; NoOpMessageFormatter prints nothing; for __consumer_offsets "
       "OffsetsMessageFormatter and "
       "GroupMetadataMessageFormatter print JSON."},
      {"key-deserializer", "CLASS",
       "What keys are: StringDeserializer, or Short, Integer, Long, Float, Double, Boolean, ByteArray."},
      {"value-deserializer", "CLASS", "What values are, likewise."},
      {"skip-message-on-error", "",
       "A record that is not of these types is left out instead of ending the tool."},
      {"consumer-property", "NAME=VALUE", "A consumer setting, such as fetch.min.bytes=1000.", true},
      {"consumer.config", "FILE", "Properties file with consumer settings."},
      {"isolation-level", "LEVEL", "Short for --consumer-property isolation.level=."},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {
      "console-consumer",
      "prints the records of a topic",
      {"tidemark-console-consumer --bootstrap-server localhost:9092 --topic orders --from-beginning",
       "tidemark-console-consumer --bootstrap-server localhost:9092 --topic orders --partition 0 --offset 42 "
       "--property print.key=true",
       "tidemark-console-consumer --bootstrap-server localhost:9092 --topic orders --group readers"},
      flags,
      {},
      RunConsoleConsumer};
}

}  // namespace tidemark
