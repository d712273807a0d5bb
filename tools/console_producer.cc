// tidemark-console-producer: one record per line of stdin. Exit status 0 only when every line was
// acknowledged.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "client/producer.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/property_flags.h"
#include "tools/record_input.h"
#include "tools/session.h"
#include "tools/shown_work.h"

namespace tidemark {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kMaxLineBytes = 64u << 20;
// How often a wait for input looks whether it is to end.
constexpr int kLookMillis = 200;

// The signal that ends the run; 0: none yet.
std::atomic<int> g_signal = 0;

// The first one ends the reading: what was read and lingers is sent. The second ends the process.
void EndOnSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int signal) { g_signal = signal; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)::sigaction(signal, &action, nullptr);
}

// False when a signal came first.
bool AwaitInput() {
  while (g_signal == 0) {
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&input, 1, kLookMillis);
    // What is wrong with it the read tells.
    if (ready > 0 || (ready < 0 && errno != EINTR)) return g_signal == 0;
  }
  return false;
}

// Feeds lines to the producer and counts what became of them. Lives on the main thread's stack; its
// coroutines run on the client's loop while the main thread waits for them.
class Feeder {
 public:
  // Without a producer lines are read and checked, and nothing is sent.
  Feeder(Producer* producer, std::string topic, RecordInput input)
      : producer_(producer), topic_(std::move(topic)), input_(std::move(input)) {}

  // Sends the whole lines of `text`. An error ends the run: the input itself is wrong.
  Task<Result<>> Feed(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      TM_CO_RETURN_IF_ERROR(co_await FeedLine(line));
    }
    co_return {};
  }

  uint64_t lines() const { return lines_; }
  uint64_t lost() const { return lines_ - acknowledged_; }
  const std::optional<Error>& first_error() const { return first_error_; }
  // After a failed Feed: what its error leaves to say.
  std::string WhatOfTheLines() const {
    if (bad_line_) {
      return AfterBadLine(fmt::format("line {}", *bad_line_), *bad_line_,
                          producer_ == nullptr ? std::nullopt : std::optional(acknowledged_));
    }
    if (lines_ == 0 || producer_ == nullptr) return {};
    return fmt::format("{} of {} lines were not acknowledged", lost(), lines_);
  }

 private:
  Task<Result<>> FeedLine(std::string_view line) {
    ++lines_;
    const auto parsed_line = input_.Parse(line);
    if (!parsed_line) {
      bad_line_ = lines_;
      co_return Fail(parsed_line.error().code, "line {}: {}", lines_, parsed_line.error().message);
    }
    const RecordInput::Parsed& parsed = *parsed_line;
    if (producer_ == nullptr) co_return {};
    const ProducerRecord record{
        .topic = topic_, .key = parsed.key, .value = parsed.value, .headers = parsed.headers};
    auto delivered = [this](const Result<RecordMetadata>& result) {
      if (result) {
        ++acknowledged_;
      } else if (!first_error_) {
        first_error_ = result.error();
      }
    };
    Result<> error;
    if (producer_->TrySend(record, delivered, &error)) {
      if (!error && !first_error_) first_error_ = error.error();
      co_return {};
    }
    Result<> sent = co_await producer_->Send(record, delivered);
    if (!sent && !first_error_) first_error_ = sent.error();
    // Without the topic no line can be sent: stop here instead of waiting max.block.ms for each.
    if (!sent && acknowledged_ == 0 && ClassOf(sent.error().code) != v1::ERROR_CLASS_RETRY) {
      co_return std::unexpected(sent.error());
    }
    co_return {};
  }

  Producer* producer_;
  std::string topic_;
  RecordInput input_;
  uint64_t lines_ = 0;
  uint64_t acknowledged_ = 0;
  std::optional<uint64_t> bad_line_;  // at which the input was wrong
  std::optional<Error> first_error_;
};

// Reads stdin to its end, or to a signal, and feeds it. A last line without its newline is a record too, but
// not one that a signal found half typed.
Result<> FeedStdin(ToolSession& session, Feeder& feeder, bool prompt) {
  // Of a file; what else is at stdin comes when it comes.
  const uint64_t all = BytesLeftInStdin();
  Progress bar(session.env().clock(), "sending", ProgressUnit::kBytes, all,
               all == 0 ? nullptr : TerminalAtStderr());
  std::string buffer;
  for (;;) {
    if (prompt) fmt::print(stderr, ">");
    if (!AwaitInput()) return {};
    const size_t kept = buffer.size();
    buffer.resize(kept + kReadBytes);
    ssize_t n;
    do {
      n = ::read(STDIN_FILENO, buffer.data() + kept, kReadBytes);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return Fail(v1::IO_ERROR, "reading standard input: {}", std::strerror(errno));
    buffer.resize(kept + static_cast<size_t>(n));
    const size_t newline = n == 0 ? buffer.size() : buffer.rfind('\n');
    if (newline == std::string::npos) {
      if (buffer.size() > kMaxLineBytes)
        return Fail(v1::INVALID_REQUEST, "a line is longer than {} bytes", kMaxLineBytes);
      continue;
    }
    const size_t whole = n == 0 ? buffer.size() : newline + 1;
    const std::string_view text(buffer.data(), whole);
    TM_RETURN_IF_ERROR(RunShown(session, bar, [&] { return feeder.Feed(text); }));
    buffer.erase(0, whole);
    bar.Add(whole);
    if (n == 0) return {};
  }
}

Result<ProducerOptions> OptionsOf(const Arguments& arguments) {
  // What fits lines from a pipe and from a keyboard; every --producer-property overrides.
  PropertyMap properties = {{"linger.ms", "5"}, {"batch.size", "65536"}};
  if (const auto acks = arguments.Get("request-required-acks")) properties["acks"] = *acks;
  // Without a value it is gzip, as Kafka's.
  if (const auto codec = arguments.Get("compression-codec"))
    properties["compression.type"] = codec->empty() ? "gzip" : *codec;
  if (const auto size = arguments.Get("batch-size")) properties["batch.size"] = *size;
  if (const auto linger = arguments.Get("timeout")) properties["linger.ms"] = *linger;
  TM_ASSIGN_OR_RETURN(const auto given, SettingsOfFlags(arguments, "producer.config", "producer-property"));
  for (const auto& [name, value] : given) properties[name] = value;
  if (const auto servers = arguments.Get("bootstrap-server")) properties["bootstrap.servers"] = *servers;
  return ProducerOptions::FromProperties(properties);
}

int CheckStdin(ToolSession& session, Feeder feeder, bool prompt) {
  if (const Result<> fed = FeedStdin(session, feeder, prompt); !fed)
    return ReportError(fed.error(), feeder.WhatOfTheLines());
  Say("{} would be sent", Counted(feeder.lines(), "record"));
  return g_signal == 0 ? kExitDone : 128 + g_signal;
}

int RunConsoleProducer(const Arguments& arguments) {
  auto topic = arguments.Require("topic");
  if (!topic) return ReportUsage(topic.error());
  // By Kafka's old and new name of it.
  const std::string reader = arguments.GetOr("line-reader", "LineMessageReader");
  if (!reader.ends_with("LineMessageReader"))
    return ReportUsage({v1::INVALID_REQUEST, fmt::format("--line-reader '{}' is not known; there is "
                                                         "LineMessageReader, the default",
                                                         reader)});
  auto properties = SettingsOfFlags(arguments, "reader-config", "property");
  if (!properties) return ReportUsage(properties.error());
  auto input = RecordInput::FromProperties(*properties);
  if (!input) return ReportUsage(input.error());
  auto options = OptionsOf(arguments);
  if (!options) return ReportUsage(options.error());
  auto session = ToolSession::Open(arguments, options->client);
  if (!session) return ReportOpening(session.error());
  if (auto known = (*session)->Topic(*topic); !known) {
    const bool missing = known.error().code == v1::UNKNOWN_TOPIC_OR_PARTITION;
    return ReportError(known.error(),
                       missing ? fmt::format("tidemark-topics --create --topic {} creates it", *topic) : "");
  }

  EndOnSignals();
  const bool prompt = ::isatty(STDIN_FILENO) == 1;
  if (arguments.Has("dry-run")) return CheckStdin(**session, {nullptr, *topic, *std::move(input)}, prompt);
  std::unique_ptr<Producer> producer;
  (*session)->Run([&]() -> Task<void> {
    producer = std::make_unique<Producer>((*session)->cluster(), *options);
    co_return;
  });
  Feeder feeder(producer.get(), *topic, *std::move(input));
  const Result<> fed = FeedStdin(**session, feeder, prompt);
  (*session)->Run([&]() -> Task<void> {
    co_await producer->Close();
    producer.reset();
  });
  // With acks=0 nobody answers; what was sent is all there is to know.
  if (!fed) return ReportError(fed.error(), feeder.WhatOfTheLines());
  // As a shell tells of one that a signal ended.
  if (feeder.lost() == 0) return g_signal == 0 ? kExitDone : 128 + g_signal;
  Say("error: {} of {} lines were not acknowledged: {}", feeder.lost(), feeder.lines(),
      feeder.first_error() ? ToString(*feeder.first_error()) : "no answer");
  return kExitFailed;
}

}  // namespace

Command ConsoleProducerCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"topic", "NAME", "Where the records go."},
      {"property", "NAME=VALUE",
       "parse.key=true, key.separator=X (default: tab), parse.headers=true, headers.delimiter, "
       "headers.separator, "
       "headers.key.separator, null.marker=X, ignore.error=true.",
       true},
      {"producer-property", "NAME=VALUE", "A producer setting, such as acks=all or linger.ms=50.", true},
      {"producer.config", "FILE", "Properties file with producer settings.", false, {}},
      {"request-required-acks", "0|1|-1", "Short for --producer-property acks=."},
      {.name = "compression-codec",
       .value = "CODEC",
       .help = "none, gzip (also without a value), snappy, lz4 or zstd.",
       .value_optional = true},
      {"line-reader", "CLASS", "How lines become records; there is Kafka's LineMessageReader, the default."},
      {"reader-config", "FILE", "Properties file with what --property says; --property counts before it."},
      {"batch-size", "BYTES", "Short for --producer-property batch.size=."},
      {"timeout", "MS", "Short for --producer-property linger.ms=."},
      {"dry-run", "", "Reads and checks the lines and sends nothing."},
      {"sync", "", "Accepted for compatibility: the order of lines is kept in any case."},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {
      "console-producer",
      "sends each line of standard input as a record",
      {"tidemark-console-producer --bootstrap-server localhost:9092 --topic orders < orders.txt",
       "tidemark-console-producer --bootstrap-server localhost:9092 --topic orders --property parse.key=true "
       "--property key.separator=,"},
      flags,
      {},
      RunConsoleProducer};
}

}  // namespace tidemark
