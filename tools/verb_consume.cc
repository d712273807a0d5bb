// tidemark consume: records on stdout in the format wanted, all else on stderr.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>

#include "client/consumer.h"
#include "client/list_offsets.h"
#include "tools/moments.h"
#include "tools/property_flags.h"
#include "tools/record_format.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

// How often a wait without an end looks whether the user pressed Ctrl-C.
constexpr Duration kLookForInterrupt = 200ms;

std::atomic<bool> g_stopped = false;

struct Reading {
  std::vector<std::string> topics;
  std::vector<PartitionIndex> partitions;  // empty: all
  LogPlace from;
  std::optional<int64_t> most;
  bool to_end = false;
  bool own_reset = false;  // what to do with an offset that is not there was said
  RecordFormat format;
  ConsumerOptions options;
};

Result<Reading> ReadingOf(const Arguments& arguments, WallMillis now) {
  Reading out;
  out.topics = arguments.positionals();
  TM_ASSIGN_OR_RETURN(out.partitions, ParsePartitions(arguments.GetOr("partitions", "")));
  TM_ASSIGN_OR_RETURN(out.from, ParseLogPlace(arguments.GetOr("offset", "start"), now));
  TM_ASSIGN_OR_RETURN(out.most, arguments.GetInteger("count", 0, INT64_MAX));
  out.to_end = arguments.Has("exit");
  TM_ASSIGN_OR_RETURN(out.format, RecordFormat::Of(arguments.GetOr("format", "%v\\n")));
  TM_ASSIGN_OR_RETURN(auto settings, SettingsOfFlags(arguments, "consumer.config", "property"));
  // Whoever dumps a log wants what is there of it.
  out.own_reset = !settings.try_emplace("auto.offset.reset", "earliest").second;
  TM_ASSIGN_OR_RETURN(out.options, ConsumerOptions::FromProperties(settings));
  if (!out.options.group_id.empty())
    Say("warning: group.id has no effect here; tidemark-console-consumer --group NAME reads as a group");
  out.options.on_reset = [](const PositionReset& reset) { Say("warning: {}", ToString(reset)); };
  return out;
}

using Place = std::pair<std::string, PartitionIndex>;

// Where each partition is read from and, at the start, ended.
struct Span {
  StartPosition start;
  Offset end = 0;
};

Task<Result<std::vector<Offset>>> Bounds(Cluster& cluster, std::string topic,
                                         std::vector<PartitionIndex> partitions, int64_t time,
                                         MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(const auto answers, co_await AskOffsets(cluster, std::move(topic),
                                                                 std::move(partitions), time, deadline, {}));
  std::vector<Offset> out;
  for (const OffsetOfPartition& answer : answers) {
    if (!answer.offset) co_return std::unexpected(answer.offset.error());
    out.push_back(answer.offset->value_or(0));
  }
  co_return out;
}

// An offset that is not there, and where to begin instead.
int64_t WhereThereIsSomething(const std::string& topic, PartitionIndex partition, int64_t offset,
                              Offset start, Offset end) {
  const auto nearest = static_cast<int64_t>(std::clamp(static_cast<Offset>(offset), start, end));
  if (nearest > offset) {
    Say("warning: {}-{}: offset {} is gone, the log begins at {}", topic, partition, offset, start);
  } else if (nearest < offset) {
    Say("warning: {}-{}: there is no offset {} yet, the log ends at {}", topic, partition, offset, end);
  }
  return nearest;
}

StartPosition StartAt(const LogPlace& from, Offset start, Offset end) {
  using Kind = StartPosition::Kind;
  switch (from.kind) {
    case LogPlace::Kind::kStart:
      return {Kind::kOffset, static_cast<int64_t>(start)};
    case LogPlace::Kind::kEnd:
      return {Kind::kOffset, static_cast<int64_t>(end)};
    case LogPlace::Kind::kOffset:
      return {Kind::kOffset, from.value};
    case LogPlace::Kind::kTimestamp:
      return {Kind::kTimestamp, from.value};
    case LogPlace::Kind::kFromEnd:
      break;
  }
  const auto back = std::min<uint64_t>(end - std::min(start, end), static_cast<uint64_t>(from.value));
  return {Kind::kOffset, static_cast<int64_t>(end - back)};
}

Result<std::map<Place, Span>> SpansOf(ToolSession& session, const Reading& reading) {
  std::map<Place, Span> out;
  for (const std::string& name : reading.topics) {
    TM_ASSIGN_OR_RETURN(const auto topic, session.Topic(name));
    std::vector<PartitionIndex> partitions = reading.partitions;
    const auto count = static_cast<PartitionIndex>(topic.partitions_size());
    for (PartitionIndex p = 0; reading.partitions.empty() && p < count; ++p) partitions.push_back(p);
    for (const PartitionIndex p : partitions) {
      if (p >= count)
        return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "{} has {}, not {}", name, Counted(count, "partition"),
                    p);
    }
    const MonoTime deadline = session.After(kAdminTimeout);
    TM_RETURN_IF_ERROR(session.Run([&] { return EnsureTopic(session.cluster(), name, deadline, {}); }));
    TM_ASSIGN_OR_RETURN(const auto starts, session.Run([&] {
      return Bounds(session.cluster(), name, partitions, kEarliestTimestamp, deadline);
    }));
    TM_ASSIGN_OR_RETURN(const auto ends, session.Run([&] {
      return Bounds(session.cluster(), name, partitions, kLatestTimestamp, deadline);
    }));
    for (size_t i = 0; i < partitions.size(); ++i) {
      StartPosition at = StartAt(reading.from, starts[i], ends[i]);
      if (at.kind == StartPosition::Kind::kOffset && !reading.own_reset)
        at.value = WhereThereIsSomething(name, partitions[i], at.value, starts[i], ends[i]);
      out[{name, partitions[i]}] = {at, ends[i]};
    }
  }
  return out;
}

class Reader {
 public:
  Reader(ToolSession& session, Consumer& consumer, const Reading& reading, const std::map<Place, Span>& spans)
      : session_(session), consumer_(consumer), reading_(reading), spans_(spans) {}

  int Run() {
    int status = kExitDone;
    std::string text;
    // On a terminal the records go by, and are progress enough.
    Progress bar(session_.env().clock(), "reading", ProgressUnit::kRecords, Wanted(),
                 ::isatty(STDOUT_FILENO) == 1 || Wanted() == 0 ? nullptr : TerminalAtStderr());
    while (!g_stopped && !ReaderIsGone() && !Enough() && !(reading_.to_end && AtEnd())) {
      const MonoTime deadline = session_.loop().Now() + kLookForInterrupt;
      auto batch = RunShown(session_, bar, [&] { return consumer_.Poll(deadline); });
      // To the end as it was at the start: that may be gone, too.
      if (!batch && batch.error().code == v1::LOG_TRUNCATED && !reading_.to_end) {
        bar.Clear();
        Say("warning: {}", ToString(batch.error()));
        continue;
      }
      if (!batch) {
        bar.Clear();
        status = ReportError(batch.error());
        // That partition is read no further; without a way to tell when the others have ended, stop.
        if (reading_.to_end || batch.error().code == v1::UNKNOWN_TOPIC_ID) return status;
        continue;
      }
      text.clear();
      const auto span = spans_.find({batch->topic, batch->partition});
      for (const ConsumedRecord& record : batch->records) {
        const bool beyond = reading_.to_end && span != spans_.end() && record.view.offset >= span->second.end;
        if (Enough() || beyond) break;
        reading_.format.Append(batch->topic, record, &text);
        ++printed_;
      }
      bar.Set(static_cast<uint64_t>(printed_));
      if (!text.empty() && !Print(text)) return kExitDone;  // the reader went away
    }
    return status;
  }

 private:
  // How many records it will be at most; 0: there is no end.
  uint64_t Wanted() const {
    uint64_t to_end = 0;
    for (const auto& [place, span] : spans_) {
      if (span.start.kind != StartPosition::Kind::kOffset) return 0;
      to_end += span.end - std::min(span.end, static_cast<Offset>(span.start.value));
    }
    if (!reading_.to_end) return static_cast<uint64_t>(reading_.most.value_or(0));
    return std::min(to_end, static_cast<uint64_t>(reading_.most.value_or(INT64_MAX)));
  }
  bool Enough() const { return reading_.most && printed_ >= *reading_.most; }
  bool AtEnd() const {
    return std::ranges::all_of(spans_, [this](const auto& span) {
      const auto at = consumer_.Position(span.first.first, span.first.second);
      return at && *at >= span.second.end;
    });
  }

  ToolSession& session_;
  Consumer& consumer_;
  const Reading& reading_;
  const std::map<Place, Span>& spans_;
  int64_t printed_ = 0;
};

int RunConsume(const Arguments& arguments) {
  RealEnvironment clock_source;
  const auto reading = ReadingOf(arguments, clock_source.clock().WallNow());
  if (!reading) return ReportUsage(reading.error());
  auto session = OpenSession(arguments, reading->options.client);
  if (!session) return ReportOpening(session.error());
  const auto spans = SpansOf(**session, *reading);
  if (!spans) return ReportError(spans.error());
  std::signal(SIGINT, [](int) { g_stopped = true; });
  std::signal(SIGTERM, [](int) { g_stopped = true; });
  std::signal(SIGHUP, [](int) { g_stopped = true; });
  std::unique_ptr<Consumer> consumer;
  const auto assigned = (*session)->Run([&]() -> Task<Result<>> {
    consumer = std::make_unique<Consumer>((*session)->cluster(), reading->options);
    for (const auto& [place, span] : *spans)
      TM_CO_RETURN_IF_ERROR(co_await consumer->Assign(place.first, place.second, span.start));
    co_return Result<>();
  });
  const int status =
      assigned ? Reader(**session, *consumer, *reading, *spans).Run() : ReportError(assigned.error());
  (*session)->Run([&]() -> Task<void> {
    co_await consumer->Close();
    consumer.reset();
  });
  return status;
}

}  // namespace

std::vector<Command> ConsumeVerbs() {
  std::vector<FlagSpec> flags = {
      {.name = "offset",
       .value = "PLACE",
       .help = "Where to begin: start (default), end, N, -N (the last N of each partition), @TIME "
               "(@2026-01-02T03:04 in UTC, @-2h).",
       .aliases = {"o"}},
      {.name = "partitions", .value = "0,2,5-7", .help = "Only these.", .aliases = {"p"}},
      {.name = "count", .value = "N", .help = "Ends after so many records.", .aliases = {"n"}},
      {.name = "exit", .value = "", .help = "Ends at what was the end when it began.", .aliases = {"e"}},
      {.name = "format",
       .value = "FORMAT",
       .help = RecordFormat::Tokens(),
       .aliases = {"f"},
       .keeps_blanks = true},
      {.name = "property",
       .value = "NAME=VALUE",
       .help = "A consumer setting, such as fetch.min.bytes=1000.",
       .repeated = true,
       .aliases = {"X"}},
      {"consumer.config", "FILE", "Properties file with consumer settings."},
  };
  for (FlagSpec& flag : VerbConnectionFlags()) flags.push_back(std::move(flag));
  return {{.name = "consume",
           .summary = "prints the records of topics",
           .examples = {"tidemark consume orders", "tidemark consume orders -o -10 -f '%k %v\\n'",
                        "tidemark consume orders -o @-2h -e -f json"},
           .flags = std::move(flags),
           .positionals = {{.name = "TOPIC", .required = true, .several = true}},
           .run = RunConsume}};
}

}  // namespace tidemark
