// tidemark-producer-perf-test: sends records as fast as told and reports throughput and latency.
#include <fmt/format.h>

#include <cstdio>

#include "client/producer.h"
#include "common/io/input_stream.h"
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
constexpr Duration kReportEvery = 5s;

struct Load {
  std::string topic;
  uint64_t records = 0;
  size_t record_bytes = 0;
  int64_t per_second = -1;  // -1: as fast as possible
  std::vector<std::string> payloads;
};

// Latencies in microseconds since the start or the last report. Loop-affine.
struct Measured {
  HdrHistogram all;
  HdrHistogram window;
  uint64_t failed = 0;
  std::optional<Error> first_error;
  Duration elapsed{};
  ProducerStats stats;
};

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

std::string Rates(uint64_t records, size_t record_bytes, Duration elapsed, const HdrHistogram& latency) {
  const double seconds = std::max(Seconds(elapsed), 1e-9);
  const double per_second = static_cast<double>(records) / seconds;
  return fmt::format(
      "{} records sent, {:.1f} records/sec ({:.2f} MB/sec), {:.2f} ms avg latency, {:.2f} ms max latency",
      records, per_second, per_second * static_cast<double>(record_bytes) / kMebibyte,
      latency.mean() / 1000.0, static_cast<double>(latency.max()) / 1000.0);
}

// Sends the whole load from the loop, yielding when the buffer is full or the rate is reached.
// `windows`: a line every few seconds to stdout, as Kafka's.
Task<Result<>> SendAll(EventLoop& loop, Producer& producer, const Load& load, bool windows, Progress& bar,
                       Measured& measured) {
  const std::string filler(load.record_bytes, 'x');
  const MonoTime started = loop.Now();
  MonoTime window = started;
  uint64_t in_window = 0;
  for (uint64_t i = 0; i < load.records; ++i) {
    const MonoTime now = loop.Now();
    const std::string_view value =
        load.payloads.empty() ? std::string_view(filler) : load.payloads[i % load.payloads.size()];
    auto delivered = [&measured, &loop, now](const Result<RecordMetadata>& result) {
      if (!result) {
        ++measured.failed;
        if (!measured.first_error) measured.first_error = result.error();
        return;
      }
      const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(loop.Now() - now).count();
      measured.all.Record(static_cast<uint64_t>(std::max<int64_t>(micros, 0)));
      measured.window.Record(static_cast<uint64_t>(std::max<int64_t>(micros, 0)));
    };
    const ProducerRecord record{.topic = load.topic, .value = value};
    Result<> refused;
    if (!producer.TrySend(record, delivered, &refused)) {
      refused = co_await producer.Send(record, delivered);
    }
    if (!refused) co_return refused;
    ++in_window;
    bar.Set(measured.all.count());
    if (windows && now - window >= kReportEvery) {
      bar.Clear();
      (void)Print(Rates(in_window, load.record_bytes, now - window, measured.window) + ".\n");
      measured.window.Reset();
      window = now;
      in_window = 0;
    }
    if (load.per_second > 0) {
      const Duration due = std::chrono::nanoseconds(
          static_cast<int64_t>(1e9 * static_cast<double>(i + 1) / static_cast<double>(load.per_second)));
      if (started + due > loop.Now()) co_await Sleep(loop, started + due - loop.Now(), "producer rate");
    }
  }
  co_await producer.Flush();
  co_return {};
}

Result<Load> LoadOf(const Arguments& arguments) {
  Load load;
  TM_ASSIGN_OR_RETURN(load.topic, arguments.Require("topic"));
  TM_ASSIGN_OR_RETURN(const auto records, arguments.GetInteger("num-records", 1, INT64_MAX));
  TM_ASSIGN_OR_RETURN(const auto size, arguments.GetInteger("record-size", 1, 64 << 20));
  TM_ASSIGN_OR_RETURN(const auto rate, arguments.GetInteger("throughput", -1, INT64_MAX));
  if (!records) return Fail(v1::INVALID_REQUEST, "--num-records N is required");
  if (size.has_value() == arguments.Has("payload-file")) {
    return Fail(v1::INVALID_REQUEST,
                "exactly one of --record-size BYTES and --payload-file FILE is required");
  }
  load.records = static_cast<uint64_t>(*records);
  load.record_bytes = static_cast<size_t>(size.value_or(0));
  load.per_second = rate.value_or(-1);
  if (const auto file = arguments.Get("payload-file")) {
    TM_ASSIGN_OR_RETURN(const std::string text, ReadToEnd(*file, 1u << 30));
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      load.payloads.push_back(text.substr(begin, end - begin));
      load.record_bytes += end - begin;
      begin = end + 1;
    }
    if (load.payloads.empty()) return Fail(v1::INVALID_REQUEST, "--payload-file {} has no line", *file);
    load.record_bytes /= load.payloads.size();
  }
  return load;
}

// Kafka's line.
void PrintText(const Load& load, const Measured& measured) {
  fmt::print("{}", Rates(measured.all.count(), load.record_bytes, measured.elapsed, measured.all));
  for (const double percent : {50.0, 95.0, 99.0, 99.9}) {
    fmt::print(", {:.2f} ms {:g}th", static_cast<double>(measured.all.Percentile(percent)) / 1000.0, percent);
  }
  if (measured.stats.throttled > Duration::zero())
    fmt::print(", {} ms throttled by a quota", ToMillis(measured.stats.throttled));
  fmt::print(".\n");
}

// What the producer counted.
Listing MetricsOf(const ProducerStats& stats) {
  Listing out({"metric", "value"});
  const double batches = static_cast<double>(std::max<uint64_t>(stats.batches, 1));
  out.Add({"records accepted", stats.records});
  out.Add({"records acknowledged", stats.acknowledged});
  out.Add({"records failed", stats.failed});
  out.Add({"batches", stats.batches});
  out.Add({"records per batch", Rounded(static_cast<double>(stats.acknowledged) / batches, 1)});
  out.Add({"retries", stats.retries});
  out.Add({"throttled ms", ToMillis(stats.throttled)});
  return out;
}

Listing ListingOf(const Load& load, const Measured& measured) {
  Listing out({"records", "failed", "seconds", "records_per_second", "bytes_per_second", "mean_ms", "p50_ms",
               "p95_ms", "p99_ms", "p99_9_ms", "max_ms", "throttled_ms", "batches", "retries"});
  const HdrHistogram& all = measured.all;
  const auto millis = [](double micros) { return Rounded(micros / 1000.0, 3); };
  const auto percentile = [&](double percent) {
    return millis(static_cast<double>(all.Percentile(percent)));
  };
  const double rate = static_cast<double>(all.count()) / std::max(Seconds(measured.elapsed), 1e-9);
  out.Add({all.count(), measured.failed, Rounded(Seconds(measured.elapsed), 3), Rounded(rate, 1),
           Rounded(rate * static_cast<double>(load.record_bytes), 1), millis(all.mean()), percentile(50),
           percentile(95), percentile(99), percentile(99.9), millis(static_cast<double>(all.max())),
           ToMillis(measured.stats.throttled), measured.stats.batches, measured.stats.retries});
  return out;
}

Result<Measured> MeasureProducing(ToolSession& session, const ProducerOptions& options, const Load& load,
                                  bool windows) {
  Measured measured;
  Progress bar(session.env().clock(), "sending", ProgressUnit::kRecords, load.records);
  const Result<> sent = RunShown(session, bar, [&]() -> Task<Result<>> {
    EventLoop& loop = session.loop();
    Producer producer(session.cluster(), options);
    const MonoTime started = loop.Now();
    Result<> result = co_await SendAll(loop, producer, load, windows, bar, measured);
    measured.elapsed = loop.Now() - started;
    measured.stats = producer.stats();
    co_await producer.Close();
    co_return result;
  });
  if (!sent) return std::unexpected(sent.error());
  return measured;
}

int RunProducerPerf(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto properties = SettingsOfFlags(arguments, "producer.config", "producer-props");
  if (!properties) return ReportUsage(properties.error());
  auto options = ProducerOptions::FromProperties(*properties);
  if (!options) return ReportUsage(options.error());
  auto session = ToolSession::Open(arguments, options->client);
  if (!session) return ReportOpening(session.error());
  auto load = LoadOf(arguments);
  if (!load) return ReportUsage(load.error());
  if (auto topic = (*session)->Topic(load->topic); !topic) return ReportError(topic.error());
  const bool as_text = !arguments.Has("output");
  if (!as_text && arguments.Has("print-metrics")) {
    return ReportUsage({v1::INVALID_REQUEST, "-o has the metrics in its columns: leave --print-metrics out"});
  }
  const auto measured = MeasureProducing(**session, *options, *load, as_text);
  if (!measured) return ReportError(measured.error());
  if (as_text) {
    PrintText(*load, *measured);
    if (arguments.Has("print-metrics")) (void)Print(MetricsOf(measured->stats).Text(OutputFormat::kTable));
  } else if (!Print(ListingOf(*load, *measured).Text(*format))) {
    return kExitDone;
  }
  if (measured->failed == 0) return kExitDone;
  Say("error: {} records were not acknowledged: {}", measured->failed, ToString(*measured->first_error));
  return kExitFailed;
}

}  // namespace

Command ProducerPerfCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"topic", "NAME", "Where the records go."},
      {"num-records", "N", "How many records to send."},
      {"record-size", "BYTES", "Size of each value."},
      {"payload-file", "FILE", "Values to send instead, one per line, over and over."},
      {"throughput", "RECORDS/S", "Most records per second; -1: as fast as possible."},
      {"print-metrics", "", "Prints what the producer counted, too."},
      {"producer.config", "FILE", "Properties file with producer settings."},
      {"producer-props",
       "NAME=VALUE ...",
       "Producer settings, bootstrap.servers among them.",
       true,
       {"producer-property"},
       true},
      RowsFlag(),
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {
      "producer-perf-test",
      "measures producing: records/s, MB/s, latency",
      {"tidemark-producer-perf-test --topic load --num-records 1000000 --record-size 1024 --throughput -1 "
       "--producer-props bootstrap.servers=localhost:9092 acks=all batch.size=65536"},
      flags,
      {},
      RunProducerPerf};
}

}  // namespace tidemark
