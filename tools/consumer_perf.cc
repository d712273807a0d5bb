// tidemark-consumer-perf-test: reads a topic from its start and reports throughput and the time between
// batches.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>

#include "client/consumer.h"
#include "client/group_consumer.h"
#include "client/list_offsets.h"
#include "common/metrics/hdr_histogram.h"
#include "tools/commands.h"
#include "tools/kafka_rows.h"
#include "tools/progress.h"
#include "tools/property_flags.h"
#include "tools/session.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;

struct Totals {
  uint64_t records = 0;
  uint64_t bytes = 0;
  Duration elapsed{};
  HdrHistogram wait;  // microseconds from one batch to the next
  bool reached = false;
  std::optional<Error> problem;  // why it is not in its group
};

// What there is to read as it begins.
struct LogSpan {
  uint64_t offsets = 0;                     // the records are as many at most: compaction removes some
  std::map<PartitionIndex, Offset> ends{};  // of the partitions that hold any
};

struct ReadGoal {
  std::string topic;
  std::optional<uint64_t> records{};  // empty: to the ends in `span`
  Duration timeout{};
  Duration report_every{};  // zero: at the end only
  LogSpan span{};

  uint64_t most() const { return records.value_or(span.offsets); }
};

Task<Result<LogSpan>> SpanOf(Cluster& cluster, std::string topic, MonoTime deadline) {
  TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(cluster, topic, deadline, {}));
  std::vector<PartitionIndex> partitions(cluster.Find(topic)->partitions.size());
  for (PartitionIndex i = 0; i < partitions.size(); ++i) partitions[i] = i;
  TM_CO_ASSIGN_OR_RETURN(const auto starts,
                         co_await AskOffsets(cluster, topic, partitions, kEarliestTimestamp, deadline, {}));
  TM_CO_ASSIGN_OR_RETURN(const auto ends,
                         co_await AskOffsets(cluster, topic, partitions, kLatestTimestamp, deadline, {}));
  LogSpan out;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (!starts[i].offset) co_return std::unexpected(starts[i].offset.error());
    if (!ends[i].offset) co_return std::unexpected(ends[i].offset.error());
    const Offset start = starts[i].offset->value_or(0);
    const Offset end = ends[i].offset->value_or(0);
    if (end <= start) continue;
    out.offsets += end - start;
    out.ends[partitions[i]] = end;
  }
  co_return out;
}

// Who reads: alone, or as a member of a group. Of a group's member only records are counted: others may hold
// the rest of the topic.
struct Reader {
  std::function<Task<Result<PolledBatch>>(MonoTime deadline)> poll;
  std::function<std::optional<Offset>(PartitionIndex)> position;
};

bool IsReached(const ReadGoal& goal, const Reader& reader, const Totals& totals) {
  if (goal.records) return totals.records >= *goal.records;
  return std::ranges::all_of(goal.span.ends, [&](const auto& end) {
    const auto at = reader.position(end.first);
    return at && *at >= end.second;
  });
}

std::string Rates(uint64_t records, uint64_t bytes, Duration elapsed) {
  const double seconds = std::max(std::chrono::duration<double>(elapsed).count(), 1e-9);
  return fmt::format("{} records consumed, {:.1f} records/sec ({:.2f} MB/sec)", records,
                     static_cast<double>(records) / seconds,
                     static_cast<double>(bytes) / kMebibyte / seconds);
}

// A line for each interval that has passed, as the producer's test prints.
class Reports {
 public:
  Reports(Duration every, MonoTime now, Progress& bar) : every_(every), begun_(now), bar_(bar) {}
  void Look(MonoTime now, const Totals& totals) {
    if (every_ == Duration::zero() || now - begun_ < every_) return;
    bar_.Clear();
    (void)Print(Rates(totals.records - records_, totals.bytes - bytes_, now - begun_) + ".\n");
    begun_ = now;
    records_ = totals.records;
    bytes_ = totals.bytes;
  }

 private:
  const Duration every_;
  MonoTime begun_;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  Progress& bar_;
};

Task<Result<>> ReadAll(EventLoop& loop, Reader reader, const ReadGoal& goal, Progress& bar, Totals& totals) {
  // A log whose last records were compacted away has its end reached without a record.
  constexpr Duration kLookForEnd = 100ms;
  const MonoTime started = loop.Now();
  MonoTime last = started;
  MonoTime before = started;
  Reports reports(goal.report_every, started, bar);
  while (!IsReached(goal, reader, totals) && loop.Now() - last < goal.timeout) {
    auto batch = co_await reader.poll(std::min(last + goal.timeout, loop.Now() + kLookForEnd));
    if (!batch) co_return std::unexpected(batch.error());
    reports.Look(loop.Now(), totals);
    if (batch->records.empty()) continue;
    last = loop.Now();
    totals.wait.Record(
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(last - before).count()));
    totals.records += batch->records.size();
    bar.Set(totals.records);
    for (const ConsumedRecord& record : batch->records) {
      totals.bytes += record.view.key.value_or("").size() + record.view.value.value_or("").size();
    }
    before = loop.Now();
  }
  totals.elapsed = last - started;
  totals.reached = IsReached(goal, reader, totals);
  co_return {};
}

Task<Result<>> ReadAlone(ToolSession& session, const ConsumerOptions& options, const ReadGoal& goal,
                         Progress& bar, Totals& totals) {
  Consumer consumer(session.cluster(), options);
  Reader reader{[&](MonoTime deadline) { return consumer.Poll(deadline); },
                [&](PartitionIndex partition) { return consumer.Position(goal.topic, partition); }};
  Result<> result = co_await consumer.AssignAll(goal.topic, {StartPosition::Kind::kBeginning});
  if (result) result = co_await ReadAll(session.loop(), std::move(reader), goal, bar, totals);
  co_await consumer.Close();
  co_return result;
}

// What it has read is committed as it closes (enable.auto.commit).
Task<Result<>> ReadInGroup(ToolSession& session, const ConsumerOptions& options, const ReadGoal& goal,
                           Progress& bar, Totals& totals) {
  GroupConsumer consumer(session.cluster(), options);
  Reader reader{[&](MonoTime deadline) { return consumer.Poll(deadline); }, {}};
  Result<> result = consumer.Subscribe({goal.topic});
  if (result) result = co_await ReadAll(session.loop(), std::move(reader), goal, bar, totals);
  totals.problem = consumer.problem();
  const Result<> closed = co_await consumer.Close(kAdminTimeout);
  co_return result ? closed : result;
}

double Seconds(const Totals& totals) {
  return std::max(std::chrono::duration<double>(totals.elapsed).count(), 1e-9);
}

double Millis(uint64_t micros) { return static_cast<double>(micros) / 1000.0; }

void PrintText(const Totals& totals) {
  fmt::print("{}, {:.2f} MB in {:.3f} s", Rates(totals.records, totals.bytes, totals.elapsed),
             static_cast<double>(totals.bytes) / kMebibyte, Seconds(totals));
  for (const double percent : {50.0, 95.0, 99.0, 99.9}) {
    fmt::print(", {:.2f} ms {:g}th", Millis(totals.wait.Percentile(percent)), percent);
  }
  fmt::print(" poll time.\n");
}

Listing ListingOf(const Totals& totals) {
  Listing out({"records", "bytes", "seconds", "records_per_second", "bytes_per_second", "polls",
               "poll_p50_ms", "poll_p95_ms", "poll_p99_ms", "poll_p99_9_ms", "poll_max_ms"});
  const double seconds = Seconds(totals);
  const auto percentile = [&](double percent) { return Millis(totals.wait.Percentile(percent)); };
  out.Add({totals.records, totals.bytes, Rounded(seconds, 3),
           Rounded(static_cast<double>(totals.records) / seconds, 1),
           Rounded(static_cast<double>(totals.bytes) / seconds, 1), totals.wait.count(), percentile(50),
           percentile(95), percentile(99), percentile(99.9), Millis(totals.wait.max())});
  return out;
}

Result<ReadGoal> GoalOf(const Arguments& arguments, const ConsumerOptions& options) {
  ReadGoal goal;
  TM_ASSIGN_OR_RETURN(goal.topic, arguments.Require("topic"));
  TM_ASSIGN_OR_RETURN(const auto messages, arguments.GetInteger("messages", 1, INT64_MAX));
  TM_ASSIGN_OR_RETURN(const auto timeout, arguments.GetInteger("timeout", 1, INT32_MAX));
  TM_ASSIGN_OR_RETURN(const auto interval, arguments.GetInteger("reporting-interval", 1, INT32_MAX));
  if (messages) goal.records = static_cast<uint64_t>(*messages);
  goal.timeout = std::chrono::milliseconds(timeout.value_or(10000));
  if (arguments.Has("show-detailed-stats")) {
    goal.report_every = std::chrono::milliseconds(interval.value_or(5000));
  } else if (interval) {
    return Fail(v1::INVALID_REQUEST, "--reporting-interval goes with --show-detailed-stats");
  }
  if (arguments.Has("show-detailed-stats") && arguments.Has("output")) {
    return Fail(v1::INVALID_REQUEST, "--show-detailed-stats prints lines for people: leave -o out");
  }
  if (!options.group_id.empty() && !goal.records) {
    return Fail(v1::INVALID_REQUEST,
                "a number of records (--messages, -n of bench consume) is required with a group: its other "
                "members read a part of the topic");
  }
  return goal;
}

// --group and --fetch-size are names for settings.
Result<ConsumerOptions> ReaderOptionsOf(const Arguments& arguments) {
  TM_ASSIGN_OR_RETURN(auto properties, SettingsOfFlags(arguments, "consumer.config", "consumer-property"));
  TM_ASSIGN_OR_RETURN(const auto fetch, arguments.GetInteger("fetch-size", 1, 1 << 30));
  if (const auto group = arguments.Get("group")) {
    if (group->empty()) return Fail(v1::INVALID_REQUEST, "--group: the name is empty");
    properties["group.id"] = *group;
  }
  // A measurement is of what is there.
  properties.try_emplace("auto.offset.reset", "earliest");
  if (fetch) properties["max.partition.fetch.bytes"] = std::to_string(*fetch);
  return ConsumerOptions::FromProperties(properties);
}

int RunConsumerPerf(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto options = ReaderOptionsOf(arguments);
  if (!options) return ReportUsage(options.error());
  auto wanted = GoalOf(arguments, *options);
  if (!wanted) return ReportUsage(wanted.error());
  auto session = ToolSession::Open(arguments, options->client);
  if (!session) return ReportOpening(session.error());

  ReadGoal goal = *std::move(wanted);
  auto span = (*session)->Run(
      [&] { return SpanOf((*session)->cluster(), goal.topic, (*session)->After(kAdminTimeout)); });
  if (!span) return ReportError(span.error());
  goal.span = *std::move(span);
  // Of a group it is what lies behind its offsets.
  if (options->group_id.empty() && goal.span.offsets < goal.most()) {
    Say("warning: {} holds {} records now, fewer than {}; each further one is waited for, up to {} ms",
        goal.topic, goal.span.offsets, goal.most(), ToMillis(goal.timeout));
  }
  Totals totals;
  auto read = [&] {
    Progress bar((*session)->env().clock(), "reading", ProgressUnit::kRecords, goal.most());
    return RunShown(**session, bar, [&]() -> Task<Result<>> {
      return options->group_id.empty() ? ReadAlone(**session, *options, goal, bar, totals)
                                       : ReadInGroup(**session, *options, goal, bar, totals);
    });
  }();
  if (!read) return ReportError(read.error());
  if (!arguments.Has("output")) {
    PrintText(totals);
  } else if (!Print(ListingOf(totals).Text(*format))) {
    return kExitDone;
  }
  if (totals.reached) return kExitDone;
  Say("error: only {} of {} records came before the time-out{}", totals.records, goal.most(),
      totals.problem ? fmt::format("; not in group {}: {}", options->group_id, ToString(*totals.problem))
                     : "");
  return kExitUnreachable;
}

}  // namespace

Command ConsumerPerfCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"topic", "NAME", "What to read, from its start (without a group)."},
      {"messages", "N", "How many records to read (default: to the end as it is when it begins)."},
      {"fetch-size", "BYTES", "Most bytes per partition and fetch."},
      {"timeout", "MS", "Gives up when no record came for so long (default 10000)."},
      {.name = "group",
       .value = "ID",
       .help = "Reads as a member of this group, from its offsets on, and commits what was read.",
       .group_id = true},
      {"show-detailed-stats", "", "Prints a line with each interval's rates, too."},
      {"reporting-interval", "MS", "The interval (default 5000)."},
      {"consumer.config", "FILE", "Properties file with consumer settings."},
      {"consumer-property", "NAME=VALUE", "A consumer setting.", true},
      RowsFlag(),
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {"consumer-perf-test",
          "measures consuming: records/s, MB/s, time per poll",
          {"tidemark-consumer-perf-test --bootstrap-server localhost:9092 --topic load --messages 1000000"},
          flags,
          {},
          RunConsumerPerf};
}

}  // namespace tidemark
