#include "tools/dump_log_text.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "broker/log/batch_scan.h"
#include "broker/log/partition_files.h"
#include "broker/log/segment.h"
#include "broker/log/segment_index.h"
#include "broker/log/verify.h"
#include "common/record/reader.h"

namespace tidemark {
namespace {

constexpr size_t kWindowBytes = 256 << 10;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Reads one file in windows. A view lives until the next call.
class WindowReader {
 public:
  static Result<WindowReader> Open(FileSystem& files, const std::string& path) {
    TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
    TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    return WindowReader(std::move(file), size);
  }
  uint64_t size() const { return size_; }
  File& file() { return *file_; }

  // At least `bytes` from `position` on, as far as the file goes; more when they are at hand.
  Result<std::string_view> At(uint64_t position, size_t bytes) {
    const uint64_t end = std::min<uint64_t>(size_, position + bytes);
    if (position < begin_ || end > begin_ + buffer_.size()) {
      buffer_.resize(std::min<uint64_t>(size_ - position, std::max(bytes, kWindowBytes)));
      begin_ = position;
      auto read = file_->ReadAt(position, buffer_);
      if (!read) {
        buffer_.clear();
        return std::unexpected(std::move(read).error());
      }
      buffer_.resize(*read);
    }
    return std::string_view(buffer_).substr(position - begin_);
  }

 private:
  WindowReader(std::unique_ptr<File> file, uint64_t size) : file_(std::move(file)), size_(size) {}
  std::unique_ptr<File> file_;
  uint64_t size_;
  std::string buffer_;
  uint64_t begin_ = 0;
};

class LogDump {
 public:
  LogDump(WindowReader reader, std::optional<PartitionKey> key, const DumpOptions& options,
          DumpWriter& writer, const std::string& path)
      : reader_(std::move(reader)), key_(key), options_(options), writer_(writer), path_(path) {}

  Result<bool> Run();

 private:
  void DumpRecords(const BatchView& batch);
  // The batch at position_ is whole; tells it and steps over it.
  Result<> TakeBatch(const BatchView& batch);
  // Nothing like a batch stands at position_: goes to the next good header. False when there is none.
  Result<bool> Resync();

  WindowReader reader_;
  const std::optional<PartitionKey> key_;
  const DumpOptions& options_;
  DumpWriter& writer_;
  const std::string& path_;
  uint64_t position_ = 0;
  bool valid_ = true;
  ScratchBuffer scratch_;
};

void LogDump::DumpRecords(const BatchView& batch) {
  auto reader = RecordReader::Open(batch, scratch_);
  if (!reader) {
    valid_ = false;
    writer_.Finding(path_, position_,
                    fmt::format("| the records cannot be read: {}", ToString(reader.error())));
    return;
  }
  RecordView record;
  while (reader->Next(&record)) writer_.Record(record, reader->info(), record.offset - batch.base_offset);
  if (reader->error()) {
    valid_ = false;
    writer_.Finding(path_, position_,
                    fmt::format("| the records cannot be read further: {}", ToString(*reader->error())));
  }
}

Result<> LogDump::TakeBatch(const BatchView& batch) {
  const bool header_good = !key_ || VerifyHeaderCrc(batch, key_->topic, key_->partition);
  const bool body_good = VerifyBodyCrc(batch);
  const auto body = ParseBody(batch.body);
  const bool good = header_good && body_good && body.has_value();
  writer_.Batch({batch, body ? *body : BodyInfo(), position_, good});
  if (good && (options_.deep || options_.print_data)) DumpRecords(batch);
  if (!good) {
    valid_ = false;
    const std::string_view why = !header_good ? "header checksum is wrong"
                                 : !body_good ? "body checksum is wrong"
                                              : std::string_view(body.error().message);
    writer_.Finding(path_, position_, fmt::format("Batch at position {} is not valid: {}", position_, why));
  }
  // A header that is not to be trusted does not say either where the next batch begins.
  const uint64_t after = position_ + batch.total_bytes();
  if (!header_good) {
    TM_ASSIGN_OR_RETURN(const bool found, Resync());
    if (!found) position_ = reader_.size();
    return {};
  }
  position_ = after;
  return {};
}

Result<bool> LogDump::Resync() {
  if (!key_) return false;
  uint64_t from = position_ + 1;
  // Not inside of a batch whose header is good: its records may hold what looks like batches.
  TM_ASSIGN_OR_RETURN(const std::string_view here, reader_.At(position_, kMaxBatchPrefixBytes));
  BatchHeader header;
  if (ParseBatchHeader(here, &header, nullptr, nullptr) == BatchParse::kOk &&
      VerifyHeaderCrc(header, key_->topic, key_->partition)) {
    from = position_ + header.total_bytes();
  }
  while (from < reader_.size()) {
    TM_ASSIGN_OR_RETURN(const std::string_view window, reader_.At(from, kWindowBytes));
    if (const auto found = FindNextBatch(window, 0, key_->topic, key_->partition)) {
      position_ = from + *found;
      return true;
    }
    // Windows overlap, so that a header on their border is seen.
    if (from + window.size() >= reader_.size() || window.size() <= kMaxBatchPrefixBytes) break;
    from += window.size() - kMaxBatchPrefixBytes;
  }
  return false;
}

Result<bool> LogDump::Run() {
  size_t want = kMaxBatchPrefixBytes;
  const uint64_t end = std::min(reader_.size(), options_.max_bytes.value_or(reader_.size()));
  while (position_ < end) {
    if (options_.progress) options_.progress(position_);
    TM_ASSIGN_OR_RETURN(const std::string_view bytes, reader_.At(position_, want));
    BatchView batch;
    size_t needed = 0;
    std::string why;
    const BatchParse parsed = ParseBatch(bytes, &batch, &needed, &why);
    if (parsed == BatchParse::kOk) {
      TM_RETURN_IF_ERROR(TakeBatch(batch));
      want = kMaxBatchPrefixBytes;
      continue;
    }
    if (parsed == BatchParse::kPadding) {
      position_ += needed;
      want = kMaxBatchPrefixBytes;
      continue;
    }
    if (parsed == BatchParse::kNeedMore && position_ + needed <= reader_.size() && needed > want) {
      want = needed;
      continue;
    }
    const uint64_t bad = position_;
    TM_ASSIGN_OR_RETURN(const bool found, Resync());
    if (!found) {
      writer_.Finding(
          path_, bad,
          fmt::format("Found {} invalid bytes at the end of {}", reader_.size() - bad, NameOf(path_)));
      break;
    }
    valid_ = false;
    writer_.Finding(path_, bad,
                    fmt::format("Found {} invalid bytes at position {} of {}{}{}", position_ - bad, bad,
                                NameOf(path_), why.empty() ? "" : ": ", why));
    want = kMaxBatchPrefixBytes;
  }
  return valid_;
}

Result<bool> DumpLogFile(FileSystem& files, const std::string& path, Offset base, const DumpOptions& options,
                         DumpWriter& writer) {
  TM_ASSIGN_OR_RETURN(auto reader, WindowReader::Open(files, path));
  writer.StartOffset(base);
  std::optional<PartitionKey> key;
  if (auto folder = ReadPartitionFolder(files, FolderOf(path))) {
    key = folder->key;
  } else {
    writer.Finding(path, std::nullopt,
                   fmt::format("Header checksums are not verified: {}", folder.error().message));
  }
  return LogDump(std::move(reader), key, options, writer, path).Run();
}

// Where the batch that an entry names is not. Empty: it is there.
Result<std::optional<std::string>> CheckEntry(WindowReader& log, Offset offset, uint64_t position) {
  if (position >= log.size())
    return std::optional(fmt::format("Index offset: {}, log ends at {}", offset, log.size()));
  TM_ASSIGN_OR_RETURN(const std::string_view bytes, log.At(position, kMaxBatchPrefixBytes));
  BatchHeader header;
  if (ParseBatchHeader(bytes, &header, nullptr, nullptr) != BatchParse::kOk) {
    return std::optional(fmt::format("Index offset: {}, no batch at position {}", offset, position));
  }
  if (header.base_offset == offset) return std::optional<std::string>();
  return std::optional(fmt::format("Index offset: {}, log offset: {}", offset, header.base_offset));
}

// A segment's two index files and what they hold; entries of the two belong together.
struct IndexFiles {
  SegmentIndex index;
  std::optional<SegmentSeal> seal;
  // Entries that the file asked for has room for, and how many of them are good.
  size_t found = 0;
  size_t good = 0;
  bool whole_entries = true;
};

Result<IndexFiles> ReadIndexFiles(FileSystem& files, const std::string& prefix, Offset base, bool by_time) {
  TM_ASSIGN_OR_RETURN(const std::string offsets, ReadFile(files, prefix + ".index"));
  TM_ASSIGN_OR_RETURN(const std::string times, ReadFile(files, prefix + ".timeindex"));
  IndexFiles out{.index = SegmentIndex::Decode(base, offsets, times), .seal = ReadSeal(files, prefix, base)};
  const size_t bytes = by_time ? times.size() : offsets.size();
  const size_t entry = by_time ? SegmentIndex::kTimeEntryBytes : SegmentIndex::kOffsetEntryBytes;
  out.found = bytes / entry;
  out.whole_entries = bytes % entry == 0;
  out.good = out.index.size() + (out.seal ? 1 : 0);
  return out;
}

std::optional<std::string> Unsound(const IndexFiles& read) {
  if (read.found > read.good) return fmt::format("only {} of {} entries are good", read.good, read.found);
  if (!read.whole_entries) return "the last entry is cut short";
  return std::nullopt;
}

Result<bool> DumpIndexFile(FileSystem& files, const std::string& path, const std::string& prefix, Offset base,
                           const DumpOptions& options, DumpWriter& writer) {
  const bool by_time = path.ends_with(".timeindex");
  TM_ASSIGN_OR_RETURN(const IndexFiles read, ReadIndexFiles(files, prefix, base, by_time));
  const auto unsound = Unsound(read);
  if (options.index_sanity_check) {
    if (!unsound) writer.SanityPassed(path);
    if (unsound) writer.Mismatches(path, {*unsound});
    return !unsound;
  }
  TM_ASSIGN_OR_RETURN(auto log, WindowReader::Open(files, prefix + ".log"));
  std::vector<std::string> mismatches;
  for (size_t i = 0; i < read.index.size(); ++i) {
    const auto& entry = read.index.offsets()[i];
    const auto& time = read.index.times()[i];
    TM_ASSIGN_OR_RETURN(auto mismatch, CheckEntry(log, base + entry.relative_offset, entry.position));
    if (mismatch) mismatches.push_back(std::move(*mismatch));
    if (options.verify_index_only) continue;
    if (by_time) writer.TimeEntry(time.timestamp, base + time.relative_offset);
    if (!by_time) writer.OffsetEntry(base + entry.relative_offset, entry.position);
  }
  if (read.seal && !options.verify_index_only) writer.Seal(*read.seal, by_time);
  if (read.seal && read.seal->size != log.size()) {
    mismatches.push_back(fmt::format("sealed for a log of {} bytes, it has {}", read.seal->size, log.size()));
  }
  if (unsound) mismatches.push_back(*unsound);
  if (!mismatches.empty()) writer.Mismatches(path, mismatches);
  return mismatches.empty();
}

}  // namespace

Result<bool> DumpFile(FileSystem& files, const std::string& path, const DumpOptions& options,
                      const TextSink& out) {
  const std::string name = NameOf(path);
  const size_t dot = std::min(path.rfind('.'), path.size());
  for (const std::string_view suffix : {".log", ".index", ".timeindex"}) {
    const auto base = ParseSegmentName(name, suffix);
    if (!base) continue;
    TM_ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
    if (!exists) return Fail(v1::NOT_FOUND, "there is no {}", path);
    const auto writer = MakeDumpWriter(options, out);
    writer->File(path);
    if (suffix == ".log") return DumpLogFile(files, path, *base, options, *writer);
    return DumpIndexFile(files, path, path.substr(0, dot), *base, options, *writer);
  }
  return Fail(v1::INVALID_REQUEST,
              "{} is not named like a segment's file (20 digits and .log, .index or .timeindex)", path);
}

}  // namespace tidemark
