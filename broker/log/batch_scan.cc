#include "broker/log/batch_scan.h"

#include <algorithm>

namespace tidemark {
namespace {

constexpr size_t kWindowBytes = 256 << 10;

}  // namespace

std::optional<WallMillis> FirstAppendTime(File& file, const PartitionKey& key, uint64_t size) {
  std::string bytes(std::min<uint64_t>(kMaxBatchPrefixBytes, size), '\0');
  const auto read = file.ReadAt(0, bytes);
  BatchHeader header;
  if (!read || ParseBatchHeader(std::string_view(bytes).substr(0, *read), &header, nullptr, nullptr) !=
                   BatchParse::kOk) {
    return std::nullopt;
  }
  if (!VerifyHeaderCrc(header, key.topic, key.partition)) return std::nullopt;
  return header.append_time;
}

BatchScanner::BatchScanner(File& file, const PartitionKey& key, uint64_t position, uint64_t size)
    : file_(file), key_(key), size_(size), position_(position), next_(position) {}

bool BatchScanner::Load(uint64_t position, size_t bytes) {
  const uint64_t end = std::min(size_, position + bytes);
  if (position >= buffer_position_ && end <= buffer_position_ + buffer_.size()) return true;
  const size_t want = std::min<uint64_t>(size_ - position, std::max(bytes, kWindowBytes));
  buffer_.resize(want);
  buffer_position_ = position;
  auto read = file_.ReadAt(position, buffer_);
  if (!read) {
    buffer_.clear();
    error_ = std::move(read).error();
    return false;
  }
  buffer_.resize(*read);
  return true;
}

std::string_view BatchScanner::At(uint64_t position) const {
  if (position < buffer_position_ || position >= buffer_position_ + buffer_.size()) return {};
  return std::string_view(buffer_).substr(position - buffer_position_);
}

BatchScanner::Step BatchScanner::Bad(std::string message) {
  error_ = Error{v1::CORRUPT_MESSAGE, std::move(message)};
  return Step::kBad;
}

BatchScanner::Step BatchScanner::Next(BatchView* batch, BodyInfo* info) {
  position_ = next_;
  size_t want = kMaxBatchPrefixBytes;
  while (position_ < size_) {
    if (!Load(position_, want)) return Step::kIoError;
    size_t needed = 0;
    std::string why;
    switch (ParseBatch(At(position_), batch, &needed, &why)) {
      case BatchParse::kOk: {
        if (auto verified = VerifyBatch(*batch, key_.topic, key_.partition); !verified) {
          return Bad(std::move(verified).error().message);
        }
        auto body = ParseBody(batch->body);
        if (!body) return Bad(std::move(body).error().message);
        if (info != nullptr) *info = *body;
        next_ = position_ + batch->total_bytes();
        return Step::kBatch;
      }
      case BatchParse::kNeedMore:
        // Asked for already: the file is shorter than its size said.
        if (position_ + needed > size_ || At(position_).size() >= needed || want >= needed) {
          return Bad(
              fmt::format("a batch of {} bytes or more is cut short after {}", needed, size_ - position_));
        }
        want = needed;
        break;
      case BatchParse::kPadding:
        position_ += needed;
        next_ = position_;
        want = kMaxBatchPrefixBytes;
        break;
      case BatchParse::kCorrupt:
        return Bad(std::move(why));
      case BatchParse::kZeros:
        return Bad("zero bytes where a batch should begin");
      case BatchParse::kEnd:
        return Bad("the file is shorter than its size said");
    }
  }
  return Step::kEnd;
}

std::optional<BatchHeader> BatchScanner::header() const {
  BatchHeader header;
  if (ParseBatchHeader(At(position_), &header, nullptr, nullptr) != BatchParse::kOk) return std::nullopt;
  if (!VerifyHeaderCrc(header, key_.topic, key_.partition)) return std::nullopt;
  return header;
}

uint64_t BatchScanner::BytesToSkip(Offset from) const {
  const auto at = header();
  return at && at->base_offset >= from ? at->total_bytes() : 1;
}

bool BatchScanner::Resync(uint64_t skip) {
  uint64_t from = position_ + skip;
  while (from < size_) {
    buffer_.clear();
    if (!Load(from, kWindowBytes)) return false;
    if (const auto found = FindNextBatch(At(from), 0, key_.topic, key_.partition)) {
      next_ = from + *found;
      return true;
    }
    // Windows overlap, so that a header on their border is seen.
    if (buffer_.size() <= kMaxBatchPrefixBytes || from + buffer_.size() >= size_) return false;
    from += buffer_.size() - kMaxBatchPrefixBytes;
  }
  return false;
}

}  // namespace tidemark
