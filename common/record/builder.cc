#include "common/record/builder.h"

#include <algorithm>
#include <cstring>

#include <glog/logging.h>

#include "common/record/compression.h"
#include "common/record/crc32c.h"
#include "common/record/record_scan.h"
#include "common/record/wire.h"

namespace tidemark {

namespace {

using internal::kHeaderKeyTag;
using internal::kHeaderTag;
using internal::kHeaderValueTag;
using internal::kKeyTag;
using internal::kOffsetDeltaTag;
using internal::kRecordTag;
using internal::kTimestampDeltaTag;
using internal::kValueTag;

size_t BytesFieldSize(std::string_view bytes) { return 1 + wire::VarintSize(bytes.size()) + bytes.size(); }

size_t HeaderSize(const HeaderView& header) {
  return BytesFieldSize(header.key) + (header.value ? BytesFieldSize(*header.value) : 0);
}

char* WriteBytesField(char* out, char tag, std::string_view bytes) {
  *out++ = tag;
  out = wire::WriteVarint(out, bytes.size());
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

char* WriteVarintField(char* out, uint32_t field, uint64_t value) {
  if (value == 0) return out;  // proto3 leaves defaults out
  *out++ = static_cast<char>(wire::Tag(field, wire::kVarint));
  return wire::WriteVarint(out, value);
}

}  // namespace

BatchBuilder::BatchBuilder(size_t size_hint) {
  buffer_.reserve(kBodyOverheadBytes + size_hint);
  buffer_.resize(kBodyOverheadBytes);
}

size_t BatchBuilder::MaxRecordBytes(std::optional<std::string_view> key,
                                    std::optional<std::string_view> value,
                                    std::span<const HeaderView> headers) {
  size_t size = 1 + 5 + 11 + 6;  // tag and length, timestamp delta, offset delta
  if (key) size += BytesFieldSize(*key);
  if (value) size += BytesFieldSize(*value);
  for (const HeaderView& header : headers) {
    const size_t inner = HeaderSize(header);
    size += 1 + wire::VarintSize(inner) + inner;
  }
  return size;
}

bool BatchBuilder::Append(std::optional<std::string_view> key, std::optional<std::string_view> value,
                          WallMillis timestamp, std::span<const HeaderView> headers) {
  const size_t most = MaxRecordBytes(key, value, headers);
  if (buffer_.size() - kBodyOverheadBytes + most > kMaxRecordsBytes) return false;
  if (count_ == 0) base_timestamp_ = timestamp;
  const uint64_t timestamp_delta = wire::ZigZag(timestamp - base_timestamp_);
  size_t size = 0;
  if (key) size += BytesFieldSize(*key);
  if (value) size += BytesFieldSize(*value);
  if (timestamp_delta != 0) size += 1 + wire::VarintSize(timestamp_delta);
  if (count_ != 0) size += 1 + wire::VarintSize(count_);
  for (const HeaderView& header : headers) {
    const size_t inner = HeaderSize(header);
    size += 1 + wire::VarintSize(inner) + inner;
  }
  const size_t total = 1 + wire::VarintSize(size) + size;
  const size_t old_size = buffer_.size();
  if (buffer_.capacity() < old_size + total)
    buffer_.reserve(std::max(buffer_.capacity() * 2, old_size + total));
  buffer_.resize_and_overwrite(old_size + total, [](char*, size_t n) { return n; });
  char* at = buffer_.data() + old_size;
  *at++ = kRecordTag;
  at = wire::WriteVarint(at, size);
  if (key) at = WriteBytesField(at, kKeyTag, *key);
  if (value) at = WriteBytesField(at, kValueTag, *value);
  if (timestamp_delta != 0) {
    *at++ = kTimestampDeltaTag;
    at = wire::WriteVarint(at, timestamp_delta);
  }
  if (count_ != 0) {
    *at++ = kOffsetDeltaTag;
    at = wire::WriteVarint(at, count_);
  }
  for (const HeaderView& header : headers) {
    *at++ = kHeaderTag;
    at = wire::WriteVarint(at, HeaderSize(header));
    at = WriteBytesField(at, kHeaderKeyTag, header.key);
    if (header.value) at = WriteBytesField(at, kHeaderValueTag, *header.value);
  }
  CHECK(at == buffer_.data() + buffer_.size()) << "a record's size was computed wrong";
  max_timestamp_ = count_ == 0 ? timestamp : std::max(max_timestamp_, timestamp);
  ++count_;
  return true;
}

Result<FinishedBatch> BatchBuilder::Finish(v1::Compression codec) {
  CHECK_GT(count_, 0u) << "a batch without records";
  std::string_view records = std::string_view(buffer_).substr(kBodyOverheadBytes);
  const size_t records_size = records.size();
  std::string compressed;
  if (codec != v1::COMPRESSION_NONE) {
    compressed.resize(kBodyOverheadBytes);
    TM_RETURN_IF_ERROR(Compress(codec, records, &compressed));
  }
  FinishedBatch batch;
  batch.body = codec == v1::COMPRESSION_NONE ? std::move(buffer_) : std::move(compressed);
  batch.record_count = count_;
  batch.max_timestamp = max_timestamp_;

  char fields[kBodyOverheadBytes];
  char* at = fields;
  at = WriteVarintField(at, 1, static_cast<uint64_t>(codec));
  at = WriteVarintField(at, 3, count_ - 1);
  at = WriteVarintField(at, 4, static_cast<uint64_t>(base_timestamp_));
  at = WriteVarintField(at, 5, static_cast<uint64_t>(max_timestamp_));
  at = WriteVarintField(at, 9, count_);
  at = WriteVarintField(at, 13, records_size);
  *at++ = static_cast<char>(wire::Tag(15, wire::kLengthDelimited));
  at = wire::WriteVarint(at, batch.body.size() - kBodyOverheadBytes);
  // The fields go right before the records, into the gap left for them; the rest of the gap is cut off.
  const auto fields_size = static_cast<size_t>(at - fields);
  CHECK_LE(fields_size, kBodyOverheadBytes);
  std::memcpy(batch.body.data() + kBodyOverheadBytes - fields_size, fields, fields_size);
  batch.body.erase(0, kBodyOverheadBytes - fields_size);
  batch.body_crc = Crc32c(batch.body);

  buffer_.clear();
  buffer_.resize(kBodyOverheadBytes);
  count_ = 0;
  base_timestamp_ = max_timestamp_ = -1;
  return batch;
}

}  // namespace tidemark
