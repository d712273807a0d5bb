// tidemark produce: each line of the files or of standard input is a record. What became of them goes to
// stderr.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>

#include "client/producer.h"
#include "common/io/input_stream.h"
#include "tools/property_flags.h"
#include "tools/record_input.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

constexpr size_t kMostLineBytes = 64u << 20;

struct Sending {
  std::string topic;
  std::optional<PartitionIndex> partition;
  std::optional<std::string> key;
  std::map<std::string, std::string> headers;
  bool empty_is_tombstone = false;
  RecordInput input;
  ProducerOptions options;
};

Result<Sending> SendingOf(const Arguments& arguments) {
  Sending out;
  out.topic = arguments.positionals()[0];
  TM_ASSIGN_OR_RETURN(const auto partition, arguments.GetInteger("partition", 0, INT32_MAX));
  if (partition) out.partition = static_cast<PartitionIndex>(*partition);
  out.key = arguments.Get("key");
  TM_ASSIGN_OR_RETURN(out.headers, arguments.GetProperties("header"));
  out.empty_is_tombstone = arguments.Has("tombstones");
  std::map<std::string, std::string> shape;
  if (const auto separator = arguments.Get("key-separator")) {
    if (out.key) return Fail(v1::INVALID_REQUEST, "--key and --key-separator exclude each other");
    shape = {{"parse.key", "true"}, {"key.separator", *separator}};
  }
  TM_ASSIGN_OR_RETURN(out.input, RecordInput::FromProperties(shape));
  // What fits lines from a pipe and from a keyboard; every --property overrides.
  PropertyMap properties = {{"linger.ms", "5"}, {"batch.size", "65536"}};
  if (const auto acks = arguments.Get("acks")) properties["acks"] = *acks;
  if (const auto codec = arguments.Get("compression")) properties["compression.type"] = *codec;
  TM_ASSIGN_OR_RETURN(const auto given, SettingsOfFlags(arguments, "producer.config", "property"));
  for (const auto& [name, value] : given) properties[name] = value;
  TM_ASSIGN_OR_RETURN(out.options, ProducerOptions::FromProperties(properties));
  return out;
}

// Feeds lines to the producer and counts what became of them. Lives on the main thread's stack; its
// coroutines run on the client's loop while the main thread waits for them. Without a producer lines are only
// checked.
class LineSender {
 public:
  LineSender(const Sending& sending, Producer* producer) : sending_(sending), producer_(producer) {
    for (const auto& [name, value] : sending.headers) headers_.push_back({name, value});
  }

  // Those that follow are of this file; empty: of standard input.
  void BeginFile(std::string path) {
    path_ = std::move(path);
    lines_before_file_ = lines_;
  }

  Task<Result<>> Send(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++lines_;
    const Result<> sent = co_await SendLine(line);
    if (sent) co_return sent;
    stopped_at_ = fmt::format("{}{}line {}", path_, path_.empty() ? "" : ", ", lines_ - lines_before_file_);
    Error error = sent.error();
    error.message = fmt::format("{}: {}", stopped_at_, error.message);
    co_return std::unexpected(std::move(error));
  }

  // What an error leaves to say of the lines.
  std::string WhatOfTheLines() const {
    if (!stopped_at_.empty())
      return AfterBadLine(stopped_at_, lines_,
                          producer_ == nullptr ? std::nullopt : std::optional(acknowledged_));
    if (producer_ == nullptr) return {};
    return fmt::format("{} of {} lines were not acknowledged", lost(), lines_);
  }

  uint64_t lines() const { return lines_; }
  uint64_t lost() const { return lines_ - acknowledged_; }
  const std::optional<Error>& first_error() const { return first_error_; }
  // "orders-0: offsets 5 to 9", a line per partition.
  std::string Report() const {
    std::string out;
    for (const auto& [partition, span] : offsets_) {
      out += fmt::format("{}-{}: {}, offsets {} to {}\n", sending_.topic, partition,
                         Counted(span.count, "record"), span.first, span.last);
    }
    return out;
  }

 private:
  struct Span {
    uint64_t count = 0;
    Offset first = 0;
    Offset last = 0;
  };
  Task<Result<>> SendLine(std::string_view line) {
    TM_CO_ASSIGN_OR_RETURN(const RecordInput::Parsed parsed, sending_.input.Parse(line));
    if (producer_ == nullptr) co_return {};
    ProducerRecord record{.topic = sending_.topic,
                          .partition = sending_.partition,
                          .key = parsed.key,
                          .value = parsed.value,
                          .headers = headers_};
    if (sending_.key) record.key = *sending_.key;
    if (sending_.empty_is_tombstone && parsed.value && parsed.value->empty()) record.value.reset();
    Result<> sent = co_await producer_->Send(record, [this](const auto& result) { Delivered(result); });
    if (!sent && !first_error_) first_error_ = sent.error();
    co_return sent;
  }
  void Delivered(const Result<RecordMetadata>& result) {
    if (!result) {
      if (!first_error_) first_error_ = result.error();
      return;
    }
    ++acknowledged_;
    Span& span = offsets_[result->partition];
    if (span.count++ == 0) span.first = result->offset;
    span.last = result->offset;
  }

  const Sending& sending_;
  Producer* producer_;
  std::vector<HeaderView> headers_;
  std::string path_;
  std::string stopped_at_;  // "line 3": the one whose error ended it
  uint64_t lines_before_file_ = 0;
  uint64_t lines_ = 0;
  uint64_t acknowledged_ = 0;
  std::optional<Error> first_error_;
  std::map<PartitionIndex, Span> offsets_;
};

Result<> SendText(ToolSession& session, LineSender& sender, Progress& bar, std::string_view text) {
  return RunShown(session, bar, [&sender, &bar, text]() -> Task<Result<>> {
    for (std::string_view rest = text; !rest.empty();) {
      const size_t end = rest.find('\n');
      TM_CO_RETURN_IF_ERROR(co_await sender.Send(rest.substr(0, end)));
      const size_t whole = end == std::string_view::npos ? rest.size() : end + 1;
      rest.remove_prefix(whole);
      bar.Add(whole);
    }
    co_return Result<>();
  });
}

// What is read of it, as it comes, to its end; a last line without its line end is a record too. `read` fills
// the buffer that it is given: how many bytes came; 0: the end.
template <typename Read>
Result<> SendLines(ToolSession& session, LineSender& sender, Progress& bar, Read read) {
  std::string kept;
  std::vector<char> buffer(64 << 10);
  for (;;) {
    TM_ASSIGN_OR_RETURN(const size_t n, read(std::span<char>(buffer)));
    if (n == 0) return SendText(session, sender, bar, kept);
    kept.append(buffer.data(), n);
    const size_t end = kept.rfind('\n');
    if (end == std::string::npos) {
      if (kept.size() > kMostLineBytes)
        return Fail(v1::INVALID_REQUEST, "a line is longer than {} bytes", kMostLineBytes);
      continue;
    }
    TM_RETURN_IF_ERROR(SendText(session, sender, bar, std::string_view(kept).substr(0, end + 1)));
    kept.erase(0, end + 1);
  }
}

Result<size_t> ReadStdin(std::span<char> buffer) {
  const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
  if (n < 0) return Fail(v1::IO_ERROR, "standard input cannot be read");
  return static_cast<size_t>(n);
}

// `all`: 0 where it is not known, of what comes when it comes.
Progress BarOf(ToolSession& session, uint64_t all) {
  return Progress(session.env().clock(), "sending", ProgressUnit::kBytes, all,
                  all == 0 ? nullptr : TerminalAtStderr());
}

// 0 where one is no regular file. Without opening any: whoever writes into a named pipe would take that for
// its reader.
uint64_t BytesOf(const std::vector<std::string>& paths) {
  uint64_t all = 0;
  for (const std::string& path : paths) {
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(path, error);
    if (error) return 0;
    all += size;
  }
  return all;
}

Result<> SendAllOf(ToolSession& session, const Arguments& arguments, LineSender& sender) {
  const std::vector<std::string>& words = arguments.positionals();
  if (words.size() == 1) {
    Progress bar = BarOf(session, BytesLeftInStdin());
    return SendLines(session, sender, bar, ReadStdin);
  }
  Progress bar = BarOf(session, BytesOf({words.begin() + 1, words.end()}));
  for (size_t i = 1; i < words.size(); ++i) {
    TM_ASSIGN_OR_RETURN(InputStream file, InputStream::Open(words[i]));
    sender.BeginFile(words[i]);
    TM_RETURN_IF_ERROR(
        SendLines(session, sender, bar, [&](std::span<char> buffer) { return file.Read(buffer); }));
  }
  return {};
}

// Before anything is sent: all can be read, as far as that shows without opening them (a named pipe).
Result<> CheckFiles(const std::vector<std::string>& words) {
  for (size_t i = 1; i < words.size(); ++i) {
    std::error_code unknown;
    if (std::filesystem::is_directory(words[i], unknown))
      return Fail(v1::INVALID_REQUEST, "{} is a directory; nothing was sent", words[i]);
    if (::access(words[i].c_str(), R_OK) == 0) continue;
    return Fail(v1::INVALID_REQUEST, "{} cannot be read: {}; nothing was sent", words[i],
                std::strerror(errno));
  }
  return {};
}

int RunProduce(const Arguments& arguments) {
  const auto sending = SendingOf(arguments);
  if (!sending) return ReportUsage(sending.error());
  if (const auto files = CheckFiles(arguments.positionals()); !files) return ReportUsage(files.error());
  auto session = OpenSession(arguments, sending->options.client);
  if (!session) return ReportOpening(session.error());
  if (const auto topic = (*session)->Topic(sending->topic); !topic) {
    return ReportError(topic.error(), fmt::format("tidemark topic create {} creates it", sending->topic));
  }
  std::unique_ptr<Producer> producer;
  const bool dry = arguments.Has("dry-run");
  if (!dry) {
    (*session)->Run([&]() -> Task<void> {
      producer = std::make_unique<Producer>((*session)->cluster(), sending->options);
      co_return;
    });
  }
  LineSender sender(*sending, producer.get());
  const Result<> sent = SendAllOf(**session, arguments, sender);
  if (producer) {
    (*session)->Run([&]() -> Task<void> {
      co_await producer->Close();
      producer.reset();
    });
  }
  if (dry) {
    if (!sent) return ReportError(sent.error(), sender.WhatOfTheLines());
    Say("{} would be sent to {}", Counted(sender.lines(), "record"), sending->topic);
    return kExitDone;
  }
  if (!arguments.Has("quiet")) fmt::print(stderr, "{}", sender.Report());
  if (sent && sender.lost() == 0) return kExitDone;
  const Error error =
      !sent ? sent.error() : sender.first_error().value_or(Error{v1::UNKNOWN_SERVER_ERROR, "no answer"});
  return ReportError(error, sender.WhatOfTheLines());
}

}  // namespace

std::vector<Command> ProduceVerbs() {
  std::vector<FlagSpec> flags = {
      {.name = "key",
       .value = "KEY",
       .help = "The key of all records.",
       .aliases = {"k"},
       .keeps_blanks = true},
      {.name = "key-separator",
       .value = "TEXT",
       .help = "Each line is a key, this, and a value (\\t: a tab).",
       .aliases = {"K"},
       .keeps_blanks = true},
      {.name = "header",
       .value = "NAME=VALUE",
       .help = "A header of all records.",
       .repeated = true,
       .aliases = {"H"}},
      {.name = "partition", .value = "N", .help = "Only to this partition.", .aliases = {"p"}},
      {.name = "compression", .value = "CODEC", .help = "none, gzip, snappy, lz4 or zstd.", .aliases = {"z"}},
      {.name = "acks",
       .value = "0|1|all",
       .help = "Who must have a record before it counts (default: all).",
       .aliases = {"a"}},
      {.name = "tombstones", .value = "", .help = "An empty value is none at all.", .aliases = {"Z"}},
      {.name = "property",
       .value = "NAME=VALUE",
       .help = "A producer setting, such as linger.ms=50.",
       .repeated = true,
       .aliases = {"X"}},
      {"producer.config", "FILE", "Properties file with producer settings."},
      {.name = "quiet", .value = "", .help = "Says nothing of what was sent.", .aliases = {"q"}},
      DryRunFlag(),
  };
  for (FlagSpec& flag : VerbConnectionFlags()) flags.push_back(std::move(flag));
  return {{.name = "produce",
           .summary = "sends each line of files or standard input as a record",
           .examples = {"echo hello | tidemark produce orders -k greeting",
                        "tidemark produce orders -K , -z zstd orders.csv"},
           .flags = std::move(flags),
           .positionals = {{.name = "TOPIC", .required = true}, {.name = "FILE", .several = true}},
           .run = RunProduce}};
}

}  // namespace tidemark
