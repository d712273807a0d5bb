// tidemark-console-consumer: records alone on stdout, all else on stderr.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "client/consumer.h"
#include "tools/commands.h"
#include "tools/property_flags.h"
#include "tools/record_output.h"
#include "tools/session.h"
#include "tools/topics.h"

namespace tidemark {
namespace {

// How often a wait without an end looks whether the user pressed Ctrl-C.
constexpr Duration kLook = 200ms;

std::atomic<bool> g_interrupted = false;

struct Limits {
  std::optional<int64_t> max_messages;
  std::optional<Duration> timeout;  // since the last record
};

// Reads and prints until a limit, an interrupt or an error.
class Printer {
 public:
  Printer(ToolSession& session, Consumer& consumer, RecordOutput output, Limits limits)
      : session_(session), consumer_(consumer), output_(std::move(output)), limits_(limits) {}

  int Run() {
    MonoTime last_record = session_.loop().Now();
    int status = kExitDone;
    while (!g_interrupted && !Reached()) {
      const MonoTime now = session_.loop().Now();
      if (limits_.timeout && now - last_record >= *limits_.timeout) break;
      MonoTime deadline = now + kLook;
      if (limits_.timeout) deadline = std::min(deadline, last_record + *limits_.timeout);
      auto batch = session_.Run([&] { return consumer_.Poll(deadline); });
      if (!batch) {
        status = ReportError(batch.error());
        // Other partitions go on; one damaged or vanished partition is told by the exit status.
        if (batch.error().code == v1::UNKNOWN_TOPIC_ID || batch.error().code == v1::OFFSET_OUT_OF_RANGE)
          break;
        continue;
      }
      if (batch->records.empty()) continue;
      for (const ConsumedRecord& record : batch->records) {
        if (Reached()) break;
        output_.Add(record);
        ++printed_;
      }
      if (!output_.Flush()) return kExitDone;  // the reader went away
      last_record = session_.loop().Now();
    }
    fmt::print(stderr, "Processed a total of {} messages\n", printed_);
    return status;
  }

 private:
  bool Reached() const { return limits_.max_messages && printed_ >= *limits_.max_messages; }

  ToolSession& session_;
  Consumer& consumer_;
  RecordOutput output_;
  Limits limits_;
  int64_t printed_ = 0;
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

Result<Plan> PlanOf(const Arguments& arguments) {
  Plan plan;
  if (arguments.Has("topic") == arguments.Has("include")) {
    return Fail(v1::INVALID_REQUEST, "one of --topic NAME and --include EXPRESSION is required");
  }
  plan.topic = arguments.GetOr("topic", "");
  plan.include = arguments.GetOr("include", "");
  TM_ASSIGN_OR_RETURN(plan.partition, arguments.GetInteger("partition", 0, UINT32_MAX));
  if (plan.partition && plan.topic.empty())
    return Fail(v1::INVALID_REQUEST, "--partition needs --topic NAME");
  TM_ASSIGN_OR_RETURN(plan.start, StartOf(arguments));
  TM_ASSIGN_OR_RETURN(const auto properties, arguments.GetProperties("property"));
  TM_ASSIGN_OR_RETURN(plan.output, RecordOutput::FromProperties(properties));
  TM_ASSIGN_OR_RETURN(plan.limits.max_messages, arguments.GetInteger("max-messages", 0, INT64_MAX));
  TM_ASSIGN_OR_RETURN(const auto timeout, arguments.GetInteger("timeout-ms", 0, INT32_MAX));
  if (timeout) plan.limits.timeout = std::chrono::milliseconds(*timeout);
  TM_ASSIGN_OR_RETURN(auto client, SettingsOfFlags(arguments, "consumer.config", "consumer-property"));
  if (const auto level = arguments.Get("isolation-level")) client["isolation.level"] = *level;
  TM_ASSIGN_OR_RETURN(plan.options, ConsumerOptions::FromProperties(client));
  return plan;
}

int RunConsoleConsumer(const Arguments& arguments) {
  auto plan = PlanOf(arguments);
  if (!plan) return ReportUsage(plan.error());
  auto session = ToolSession::Open(arguments, plan->options.client);
  if (!session) return ReportError(session.error());
  std::vector<std::string> topics = {plan->topic};
  if (!plan->include.empty()) {
    const auto meant = TopicsMeant(**session, plan->include, false);
    if (!meant) return ReportError(meant.error(), "topics made later are not joined by this consumer");
    topics.clear();
    for (const v1::TopicMetadata& topic : *meant) topics.push_back(topic.name());
  }
  std::signal(SIGINT, [](int) { g_interrupted = true; });
  std::signal(SIGTERM, [](int) { g_interrupted = true; });

  std::unique_ptr<Consumer> consumer;
  auto assigned = (*session)->Run([&]() -> Task<Result<>> {
    consumer = std::make_unique<Consumer>((*session)->cluster(), plan->options);
    if (plan->partition) {
      co_return co_await consumer->Assign(plan->topic, static_cast<PartitionIndex>(*plan->partition),
                                          plan->start);
    }
    for (const std::string& topic : topics)
      TM_CO_RETURN_IF_ERROR(co_await consumer->AssignAll(topic, plan->start));
    co_return Result<>();
  });
  int status = kExitDone;
  if (assigned) {
    status = Printer(**session, *consumer, plan->output, plan->limits).Run();
  } else {
    status = ReportError(assigned.error());
  }
  (*session)->Run([&]() -> Task<void> {
    co_await consumer->Close();
    consumer.reset();
  });
  return status;
}

}  // namespace

Command ConsoleConsumerCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"topic", "NAME", "What to read."},
      {.name = "include",
       .value = "EXPRESSION",
       .help = "The topics to read, as names or a regular expression, as they are at the start.",
       .aliases = {"whitelist"}},
      {"partition", "N", "Only this partition."},
      {"from-beginning", "", "Starts at the log start instead of the end."},
      {"offset", "earliest|latest|N", "Where to start; a number needs --partition."},
      {"max-messages", "N", "Ends after so many records."},
      {"timeout-ms", "MS", "Ends when no record came for so long."},
      {"property", "NAME=VALUE",
       "print.timestamp, print.partition, print.offset, print.headers, print.key, print.value (true or "
       "false), "
       "key.separator, line.separator, headers.separator, null.literal.",
       true},
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
       "--property print.key=true"},
      flags,
      {},
      RunConsoleConsumer};
}

}  // namespace tidemark
