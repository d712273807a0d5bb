// tidemark log dump, bench produce, bench consume, bench latency.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "client/consumer.h"
#include "client/list_offsets.h"
#include "client/producer.h"
#include "common/metrics/hdr_histogram.h"
#include "tools/commands.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

// Runs one of Kafka's commands with the words that mean the same.
int Delegate(const Command& command, const std::vector<std::string>& words) {
  const Result<Arguments> arguments = Arguments::Parse(words, command.flags, command.positionals);
  return arguments ? command.run(*arguments) : ReportUsage(arguments.error());
}

void AddConnection(const Arguments& arguments, std::vector<std::string>* words) {
  for (const char* flag : {"bootstrap-server", "zookeeper", "command-config"}) {
    if (const auto value = arguments.Get(flag))
      words->insert(words->end(), {std::string("--") + flag, *value});
  }
  if (arguments.Has("bootstrap-server") || arguments.Has("zookeeper")) return;
  const char* set = std::getenv("TIDEMARK_BROKERS");
  words->insert(words->end(),
                {"--bootstrap-server", set == nullptr || *set == '\0' ? "localhost:9092" : set});
}

int RunLogDump(const Arguments& arguments) {
  std::vector<std::string> words;
  if (arguments.Has("verify")) {
    if (arguments.positionals().size() != 1)
      return ReportUsage({v1::INVALID_REQUEST, "--verify takes one directory or file"});
    words = {"--verify", arguments.positionals()[0]};
  } else {
    std::string files;
    for (const std::string& file : arguments.positionals()) files += (files.empty() ? "" : ",") + file;
    words = {"--files", files};
    if (!arguments.Has("batches")) words.push_back("--print-data-log");
  }
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  if (*format == OutputFormat::kCsv)
    return ReportUsage({v1::INVALID_REQUEST, "what a log holds is no table: -o table or -o json"});
  if (*format == OutputFormat::kJson) words.push_back("--json");
  return Delegate(DumpLogCommand(), words);
}

int RunBenchProduce(const Arguments& arguments) {
  std::vector<std::string> words = {
      "--topic",       arguments.positionals()[0],      "--num-records", arguments.GetOr("count", "100000"),
      "--record-size", arguments.GetOr("size", "1024"), "--throughput",  arguments.GetOr("rate", "-1")};
  AddConnection(arguments, &words);
  words.insert(words.end(), {"--output", arguments.GetOr("output", "table")});
  for (const std::string& setting : arguments.All("property")) {
    words.insert(words.end(), {"--producer-property", setting});
  }
  return Delegate(ProducerPerfCommand(), words);
}

int RunBenchConsume(const Arguments& arguments) {
  std::vector<std::string> words = {"--topic", arguments.positionals()[0]};
  if (const auto count = arguments.Get("count")) words.insert(words.end(), {"--messages", *count});
  AddConnection(arguments, &words);
  words.insert(words.end(), {"--output", arguments.GetOr("output", "table")});
  for (const std::string& setting : arguments.All("property"))
    words.insert(words.end(), {"--consumer-property", setting});
  return Delegate(ConsumerPerfCommand(), words);
}

struct LatencyRun {
  std::string topic;
  uint64_t count = 0;
  std::string value;
  Duration patience = 30s;
};

// One record at a time: sent, acknowledged, read again. Microseconds.
struct Latencies {
  HdrHistogram acknowledged;
  HdrHistogram read;
};

uint64_t Micros(Duration d) {
  return static_cast<uint64_t>(
      std::max<int64_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count(), 0));
}

// Reads until the record at `offset` has come.
Task<Result<>> ReadUpTo(EventLoop& loop, Consumer& consumer, Offset offset, Duration patience) {
  const MonoTime deadline = loop.Now() + patience;
  while (loop.Now() < deadline) {
    TM_CO_ASSIGN_OR_RETURN(const PolledBatch batch, co_await consumer.Poll(deadline));
    if (!batch.records.empty() && batch.records.back().view.offset >= offset) co_return Result<>();
  }
  co_return Fail(v1::REQUEST_TIMED_OUT, "the record at offset {} was not read within {} ms", offset,
                 ToMillis(patience));
}

Task<Result<>> Measure(EventLoop& loop, Producer& producer, Consumer& consumer, const LatencyRun& run,
                       Progress& bar, Latencies* out) {
  for (uint64_t i = 0; i < run.count; ++i) {
    bar.Set(i);
    const MonoTime sent = loop.Now();
    std::optional<Result<RecordMetadata>> delivered;
    MonoTime acknowledged = sent;
    const ProducerRecord record{.topic = run.topic, .partition = 0, .value = run.value};
    TM_CO_RETURN_IF_ERROR(co_await producer.Send(record, [&](const Result<RecordMetadata>& result) {
      delivered = result;
      acknowledged = loop.Now();
    }));
    co_await producer.Flush();
    CHECK(delivered) << "a flush returned before its record was decided";
    if (!*delivered) co_return std::unexpected(delivered->error());
    TM_CO_RETURN_IF_ERROR(co_await ReadUpTo(loop, consumer, (*delivered)->offset, run.patience));
    out->acknowledged.Record(Micros(acknowledged - sent));
    out->read.Record(Micros(loop.Now() - sent));
  }
  co_return Result<>();
}

void AddLatency(Listing* listing, const char* what, const HdrHistogram& histogram) {
  const auto millis = [](uint64_t micros) { return static_cast<double>(micros) / 1000.0; };
  listing->Add({what, histogram.count(), millis(histogram.min()), millis(histogram.Percentile(50)),
                millis(histogram.Percentile(90)), millis(histogram.Percentile(99)),
                millis(histogram.Percentile(99.9)), millis(histogram.max())});
}

int RunBenchLatency(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto count = arguments.GetInteger("count", 1, 1'000'000'000);
  if (!count) return ReportUsage(count.error());
  const auto size = arguments.GetInteger("size", 0, 16 << 20);
  if (!size) return ReportUsage(size.error());
  const auto settings = arguments.GetProperties("property");
  if (!settings) return ReportUsage(settings.error());
  const auto options = ProducerOptions::FromProperties(*settings);
  if (!options) return ReportUsage(options.error());
  auto session = OpenSession(arguments, options->client);
  if (!session) return ReportOpening(session.error());
  const LatencyRun run{.topic = arguments.positionals()[0],
                       .count = static_cast<uint64_t>(count->value_or(1000)),
                       .value = std::string(static_cast<size_t>(size->value_or(1024)), 'x')};
  if (const auto topic = (*session)->Topic(run.topic); !topic)
    return ReportError(topic.error(), fmt::format("tidemark topic create {} creates it", run.topic));
  Latencies latencies;
  Progress bar((*session)->env().clock(), "measuring", ProgressUnit::kRecords, run.count);
  const auto measured = RunShown(**session, bar, [&]() -> Task<Result<>> {
    Producer producer((*session)->cluster(), *options);
    Consumer consumer((*session)->cluster(), ConsumerOptions{});
    // From the end as it is now; a start that is still being looked up would miss the first record.
    Result<> result;
    auto end = co_await AskOffsets((*session)->cluster(), run.topic, {0}, kLatestTimestamp,
                                   (*session)->After(kAdminTimeout), {});
    if (!end) result = std::unexpected(end.error());
    if (result && !end->front().offset) result = std::unexpected(end->front().offset.error());
    if (result) {
      const auto at = static_cast<int64_t>(end->front().offset->value_or(0));
      result = co_await consumer.Assign(run.topic, 0, {StartPosition::Kind::kOffset, at});
    }
    if (result) result = co_await Measure((*session)->loop(), producer, consumer, run, bar, &latencies);
    co_await producer.Close();
    co_await consumer.Close();
    co_return result;
  });
  bar.Clear();
  if (!measured) return ReportError(measured.error());
  Listing listing({"what", "records", "min_ms", "p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms"});
  AddLatency(&listing, "acknowledged", latencies.acknowledged);
  AddLatency(&listing, "read", latencies.read);
  return Finish(listing, *format);
}

std::vector<FlagSpec> BenchFlags(const char* count, const char* setting, bool size) {
  std::vector<FlagSpec> flags = {
      {.name = "count", .value = "N", .help = count, .aliases = {"n"}},
      {.name = "property", .value = "NAME=VALUE", .help = setting, .repeated = true, .aliases = {"X"}},
  };
  if (size)
    flags.push_back(
        {.name = "size", .value = "BYTES", .help = "Size of each value (default 1024).", .aliases = {"s"}});
  return flags;
}

}  // namespace

std::vector<Command> LogAndBenchVerbs() {
  const std::vector<PositionalSpec> topic = {{.name = "TOPIC", .required = true}};
  std::vector<FlagSpec> produce =
      BenchFlags("How many records (default 100000).", "A producer setting, such as acks=all.", true);
  produce.push_back({"rate", "RECORDS/S", "Most records per second (default: as fast as possible)."});
  std::vector<FlagSpec> latency =
      BenchFlags("How many records (default 1000).", "A producer setting, such as acks=1.", true);
  return {
      {.name = "log dump",
       .summary = "prints segment files, or verifies a log directory; needs no broker",
       .examples = {"tidemark log dump /var/lib/tidemark/orders-0/00000000000000000000.log",
                    "tidemark log dump --verify /var/lib/tidemark -o json"},
       .flags = {{"verify", "",
                  "Checks the directory or file and says what is wrong; exit status 1 if something is."},
                 {"batches", "", "Only the batches, without their records."},
                 OutputFlag()},
       .positionals = {{.name = "FILE|DIR", .required = true, .several = true}},
       .run = RunLogDump},
      {.name = "bench produce",
       .summary = "sends records as fast as told: rate and latency",
       .examples = {"tidemark bench produce load -n 1000000 -s 1024 -X acks=all",
                    "tidemark bench produce load -n 1000000 -o json"},
       .flags = ReadingFlags(std::move(produce)),
       .positionals = topic,
       .run = RunBenchProduce},
      {.name = "bench consume",
       .summary = "reads a topic from its start: rate and time per poll",
       .examples = {"tidemark bench consume load", "tidemark bench consume load -n 1000000"},
       .flags = ReadingFlags(BenchFlags("How many records (default: to the end as it is when it begins).",
                                        "A consumer setting.", false)),
       .positionals = topic,
       .run = RunBenchConsume},
      {.name = "bench latency",
       .summary = "sends one record at a time and reads it again: how long that takes",
       .examples = {"tidemark bench latency load -n 1000 -o json"},
       .flags = ReadingFlags(std::move(latency)),
       .positionals = topic,
       .run = RunBenchLatency},
  };
}

}  // namespace tidemark
