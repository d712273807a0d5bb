#include "tools/dump_log_text.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

// "-1" for what a batch does not carry, as Kafka prints it.
template <typename T>
int64_t OrMinusOne(const std::optional<T>& value) {
  return value ? static_cast<int64_t>(*value) : -1;
}

std::string_view TimeWord(const BodyInfo& body) {
  return body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? "LogAppendTime" : "CreateTime";
}

// Sequence numbers wrap at 2^31, as Kafka's do; -1 without one.
int64_t SequenceAt(const BodyInfo& body, uint64_t delta) {
  if (!body.base_sequence) return -1;
  return static_cast<int64_t>((*body.base_sequence + delta) & 0x7fffffff);
}

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
          const TextSink& out)
      : reader_(std::move(reader)), key_(key), options_(options), out_(out) {}

  Result<bool> Run(const std::string& path);

 private:
  void PrintBatch(const BatchView& batch, const BodyInfo& body, bool valid);
  void PrintRecords(const BatchView& batch);
  void PrintRecord(const RecordView& record, const BatchView& batch, const BodyInfo& body);
  // The batch at position_ is whole; prints it and steps over it.
  Result<> TakeBatch(const BatchView& batch);
  // Nothing like a batch stands at position_: goes to the next good header. False when there is none.
  Result<bool> Resync();

  WindowReader reader_;
  const std::optional<PartitionKey> key_;
  const DumpOptions& options_;
  const TextSink& out_;
  uint64_t position_ = 0;
  bool valid_ = true;
  ScratchBuffer scratch_;
  std::string line_;
};

void LogDump::PrintBatch(const BatchView& batch, const BodyInfo& body, bool valid) {
  const bool by_broker = body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME;
  line_ = fmt::format(
      "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} "
      "producerEpoch: {} "
      "partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {} position: {} {}: {} "
      "size: {} "
      "magic: {} compresscodec: {} crc: {} isvalid: {}\n",
      batch.base_offset, batch.base_offset + body.last_offset_delta, body.record_count, SequenceAt(body, 0),
      SequenceAt(body, body.last_offset_delta), OrMinusOne(body.producer_id), OrMinusOne(body.producer_epoch),
      batch.leader_epoch, body.transactional, body.control,
      body.delete_horizon ? fmt::format("OptionalLong[{}]", *body.delete_horizon) : "OptionalLong.empty",
      position_, TimeWord(body), by_broker ? batch.append_time : body.max_timestamp, batch.total_bytes(), 1,
      CompressionName(body.compression), batch.body_crc, valid);
  out_(line_);
}

void LogDump::PrintRecord(const RecordView& record, const BatchView& batch, const BodyInfo& body) {
  line_ = "|";
  auto out = std::back_inserter(line_);
  if (!options_.skip_metadata) {
    fmt::format_to(out, " offset: {} {}: {} keySize: {} valueSize: {}", record.offset, TimeWord(body),
                   record.timestamp, record.key ? static_cast<int64_t>(record.key->size()) : -1,
                   record.value ? static_cast<int64_t>(record.value->size()) : -1);
    std::vector<std::string_view> names;
    HeaderView header;
    for (HeaderCursor cursor = record.headers(); cursor.Next(&header);) names.push_back(header.key);
    fmt::format_to(out, " sequence: {} headerKeys: [{}]", SequenceAt(body, record.offset - batch.base_offset),
                   fmt::join(names, ","));
  }
  if (options_.print_data) {
    if (record.key) line_.append(" key: ").append(*record.key);
    if (record.value) line_.append(" payload: ").append(*record.value);
  }
  line_ += '\n';
  out_(line_);
}

void LogDump::PrintRecords(const BatchView& batch) {
  auto reader = RecordReader::Open(batch, scratch_);
  if (!reader) {
    valid_ = false;
    out_(fmt::format("| the records cannot be read: {}\n", ToString(reader.error())));
    return;
  }
  RecordView record;
  while (reader->Next(&record)) PrintRecord(record, batch, reader->info());
  if (reader->error()) {
    valid_ = false;
    out_(fmt::format("| the records cannot be read further: {}\n", ToString(*reader->error())));
  }
}

Result<> LogDump::TakeBatch(const BatchView& batch) {
  const bool header_good = !key_ || VerifyHeaderCrc(batch, key_->topic, key_->partition);
  const bool body_good = VerifyBodyCrc(batch);
  const auto body = ParseBody(batch.body);
  const bool good = header_good && body_good && body.has_value();
  PrintBatch(batch, body ? *body : BodyInfo(), good);
  if (good && (options_.deep || options_.print_data)) PrintRecords(batch);
  if (!good) {
    valid_ = false;
    const std::string_view why = !header_good ? "header checksum is wrong"
                                 : !body_good ? "body checksum is wrong"
                                              : std::string_view(body.error().message);
    out_(fmt::format("Batch at position {} is not valid: {}\n", position_, why));
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

Result<bool> LogDump::Run(const std::string& path) {
  size_t want = kMaxBatchPrefixBytes;
  while (position_ < reader_.size()) {
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
      out_(fmt::format("Found {} invalid bytes at the end of {}\n", reader_.size() - bad, NameOf(path)));
      break;
    }
    valid_ = false;
    out_(fmt::format("Found {} invalid bytes at position {} of {}{}{}\n", position_ - bad, bad, NameOf(path),
                     why.empty() ? "" : ": ", why));
    want = kMaxBatchPrefixBytes;
  }
  return valid_;
}

Result<bool> DumpLogFile(FileSystem& files, const std::string& path, Offset base, const DumpOptions& options,
                         const TextSink& out) {
  TM_ASSIGN_OR_RETURN(auto reader, WindowReader::Open(files, path));
  out(fmt::format("Log starting offset: {}\n", base));
  std::optional<PartitionKey> key;
  if (auto folder = ReadPartitionFolder(files, FolderOf(path))) {
    key = folder->key;
  } else {
    out(fmt::format("Header checksums are not verified: {}\n", folder.error().message));
  }
  return LogDump(std::move(reader), key, options, out).Run(path);
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

// Both index files are read for either: entries of the two belong together.
Result<bool> DumpIndexFile(FileSystem& files, const std::string& path, const std::string& prefix, Offset base,
                           const DumpOptions& options, const TextSink& out) {
  const bool by_time = path.ends_with(".timeindex");
  TM_ASSIGN_OR_RETURN(const std::string offsets, ReadFile(files, prefix + ".index"));
  TM_ASSIGN_OR_RETURN(const std::string times, ReadFile(files, prefix + ".timeindex"));
  TM_ASSIGN_OR_RETURN(auto log, WindowReader::Open(files, prefix + ".log"));
  const SegmentIndex index = SegmentIndex::Decode(base, offsets, times);
  const auto seal = ReadSeal(files, prefix, base);
  std::vector<std::string> mismatches;
  for (size_t i = 0; i < index.size(); ++i) {
    const auto& entry = index.offsets()[i];
    const auto& time = index.times()[i];
    TM_ASSIGN_OR_RETURN(auto mismatch, CheckEntry(log, base + entry.relative_offset, entry.position));
    if (mismatch) mismatches.push_back(std::move(*mismatch));
    if (options.verify_index_only) continue;
    out(by_time ? fmt::format("timestamp: {} offset: {}\n", time.timestamp, base + time.relative_offset)
                : fmt::format("offset: {} position: {}\n", base + entry.relative_offset, entry.position));
  }
  if (seal && !options.verify_index_only) {
    out(by_time
            ? fmt::format("seal: timestamp: {} offset: {}\n", seal->max_timestamp, seal->max_timestamp_offset)
            : fmt::format("seal: end offset: {} log size: {}\n", seal->end, seal->size));
  }
  if (seal && seal->size != log.size()) {
    mismatches.push_back(fmt::format("sealed for a log of {} bytes, it has {}", seal->size, log.size()));
  }
  const size_t expected = index.size() + (seal ? 1 : 0);
  const size_t found = by_time ? times.size() / SegmentIndex::kTimeEntryBytes
                               : offsets.size() / SegmentIndex::kOffsetEntryBytes;
  if (found > expected) mismatches.push_back(fmt::format("only {} of {} entries are good", expected, found));
  if (!mismatches.empty()) out(fmt::format("Mismatches in :{}\n", path));
  for (const std::string& mismatch : mismatches) out(fmt::format("  {}\n", mismatch));
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
    out(fmt::format("Dumping {}\n", path));
    if (suffix == ".log") return DumpLogFile(files, path, *base, options, out);
    return DumpIndexFile(files, path, path.substr(0, dot), *base, options, out);
  }
  return Fail(v1::INVALID_REQUEST,
              "{} is not named like a segment's file (20 digits and .log, .index or .timeindex)", path);
}

}  // namespace tidemark
