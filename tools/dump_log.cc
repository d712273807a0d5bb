// tidemark-dump-log: prints segment files batch by batch, and verifies logs offline. Kafka's flags and
// output.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fmt/format.h>

#include "common/config/properties.h"
#include "common/env/real_environment.h"
#include "common/io/posix_file_system.h"
#include "tools/commands.h"
#include "tools/dump_log_text.h"
#include "tools/dump_log_verify.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace tidemark {
namespace {

constexpr size_t kFlushAbove = 64 << 10;

// Collects text for stdout. After a failed write the rest is dropped. `bar` makes room for what is printed.
class Output {
 public:
  explicit Output(Progress& bar) : bar_(bar) {}
  ~Output() { Flush(); }
  void Add(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= kFlushAbove) Flush();
  }
  void Flush() {
    if (buffer_.empty()) return;
    bar_.Clear();
    size_t done = 0;
    while (done < buffer_.size() && !failed_) {
      const ssize_t n = ::write(STDOUT_FILENO, buffer_.data() + done, buffer_.size() - done);
      if (n > 0) done += static_cast<size_t>(n);
      failed_ = n < 0 && errno != EINTR;
      if (failed_) NoteOutputError(errno);
    }
    buffer_.clear();
  }
  // The exit status of a command that would end with `status`: a reader that went away has seen enough. Of
  // what else may have failed the caller of commands hears.
  int StatusOf(int status) const { return failed_ ? static_cast<int>(kExitDone) : status; }

 private:
  Progress& bar_;
  std::string buffer_;
  bool failed_ = false;
};

// The topic and partition are in the name of a file's folder, so "." and the like are written out.
std::string Resolve(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

int Verify(FileSystem& files, const std::string& path, bool json) {
  const SystemClock clock;
  Progress bar(clock, "verifying", ProgressUnit::kBytes, 0);
  Output output(bar);
  auto summary =
      VerifyPath(files, Resolve(path), [&](std::string_view text) { output.Add(text); }, json, &bar);
  output.Flush();
  bar.Clear();
  if (!summary) {
    return ReportError(
        summary.error(),
        "name a log directory (as in log.dirs), a folder such as orders-0 in it, or a .log file");
  }
  return output.StatusOf(summary->damage == 0 ? kExitDone : kExitFailed);
}

// What will be read of the files, for the bar; what cannot be is told when its turn comes.
uint64_t SizeOf(FileSystem& files, const std::vector<std::string>& paths) {
  uint64_t out = 0;
  for (const std::string& path : paths) {
    const auto file = files.Open(path, OpenMode::kRead);
    if (!file || !path.ends_with(".log")) continue;
    out += (*file)->Size().value_or(0);
  }
  return out;
}

int Dump(FileSystem& files, const std::vector<std::string>& paths, DumpOptions options) {
  const SystemClock clock;
  // On a terminal what is dumped goes by, and is progress enough.
  Progress bar(clock, "dumping", ProgressUnit::kBytes, 0,
               ::isatty(STDOUT_FILENO) == 1 ? nullptr : TerminalAtStderr());
  if (bar.shown()) bar.SetTotal(SizeOf(files, paths));
  uint64_t before = 0;
  if (bar.shown()) options.progress = [&](uint64_t position) { bar.Set(before + position); };
  Output output(bar);
  size_t invalid = 0;
  int status = kExitDone;
  for (const std::string& path : paths) {
    auto valid = DumpFile(files, Resolve(path), options, [&](std::string_view text) { output.Add(text); });
    output.Flush();
    before += bar.shown() ? SizeOf(files, {path}) : 0;
    bar.Clear();
    if (!valid) {
      status = ReportError(
          valid.error(),
          "name the .log, .index and .timeindex files of a partition's folder, separated by commas");
    } else if (!*valid) {
      ++invalid;
    }
  }
  if (invalid > 0) {
    fmt::print(
        stderr,
        "error: {} of {} files hold what is not valid\nhint: tidemark-dump-log --verify FOLDER says what\n",
        invalid, paths.size());
    status = kExitFailed;
  }
  return output.StatusOf(status);
}

int RunDumpLog(const Arguments& arguments) {
  const std::unique_ptr<FileSystem> files = MakePosixFileSystem();
  const auto verify = arguments.Get("verify");
  const auto list = arguments.Get("files");
  if (verify.has_value() == list.has_value()) {
    return ReportUsage(
        Error{v1::INVALID_REQUEST, "exactly one of --files a.log,b.log and --verify DIR is required"});
  }
  const bool json = arguments.Has("json");
  if (verify) return Verify(*files, *verify, json);
  const std::vector<std::string> paths = CommaList(*list);
  if (paths.empty()) return ReportUsage(Error{v1::INVALID_REQUEST, "--files names no file"});
  const auto max_bytes = arguments.GetInteger("max-bytes", 1, INT64_MAX);
  if (!max_bytes) return ReportUsage(max_bytes.error());
  for (const char* decoder : {"key-decoder-class", "value-decoder-class", "transaction-log-decoder"}) {
    if (arguments.Has(decoder)) {
      Say("warning: --{} has no effect: bytes are shown as they are", decoder);
    }
  }
  DumpOptions options{.deep = arguments.Has("deep-iteration"),
                      .print_data = arguments.Has("print-data-log") || arguments.Has("offsets-decoder") ||
                                    arguments.Has("transaction-log-decoder"),
                      .skip_metadata = arguments.Has("skip-record-metadata"),
                      .offsets = arguments.Has("offsets-decoder"),
                      .verify_index_only = arguments.Has("verify-index-only"),
                      .index_sanity_check = arguments.Has("index-sanity-check"),
                      .json = json};
  if (*max_bytes) options.max_bytes = static_cast<uint64_t>(**max_bytes);
  return Dump(*files, paths, options);
}

}  // namespace

Command DumpLogCommand() {
  const std::vector<FlagSpec> flags = {
      {"files", "FILE,FILE", "Segment files to print: .log, .index, .timeindex."},
      {"print-data-log", "", "Prints the records below each batch, with keys and values."},
      {"deep-iteration", "", "Prints the records below each batch, without keys and values."},
      {"skip-record-metadata", "", "With --print-data-log: keys and values alone."},
      {"offsets-decoder", "", "Prints keys and values as records of __consumer_offsets, in JSON."},
      {"transaction-log-decoder", "", "Taken for Kafka's sake: as --print-data-log."},
      {"verify-index-only", "", "Of index files: only what they say wrongly of their log."},
      {"index-sanity-check", "", "Of index files: only whether they are sound in themselves."},
      {"json", "", "One JSON object a line, of --files as of --verify."},
      {"max-bytes", "BYTES", "Of log files: only batches that begin below this position."},
      {"key-decoder-class", "CLASS", "Taken for Kafka's sake; bytes are shown as they are."},
      {"value-decoder-class", "CLASS", "Taken for Kafka's sake; bytes are shown as they are."},
      {"verify", "DIR",
       "Checks a log directory, a partition's folder or a file, changing nothing; says what is wrong and "
       "where."},
      {"max-message-size", "BYTES", "Taken for Kafka's sake; batches of every legal size are read."},
  };
  return {"dump-log",
          "prints segment files, and verifies logs offline",
          {"tidemark-dump-log --files /var/lib/tidemark/orders-0/00000000000000000000.log --print-data-log",
           "tidemark-dump-log --verify /var/lib/tidemark"},
          flags,
          {},
          RunDumpLog};
}

}  // namespace tidemark
