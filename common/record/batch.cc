#include "common/record/batch.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/record/crc32c.h"
#include "common/record/wire.h"

namespace tidemark {

namespace {

constexpr char kElementTag = 0x0a;  // LogSegment.batches
constexpr char kPaddingTag = 0x7a;  // LogSegment.padding
constexpr char kBodyTag = 0x3a;     // RecordBatch.body
constexpr char kMagicTag = wire::Tag(1, wire::kFixed32);
constexpr char kHeaderCrcTag = wire::Tag(2, wire::kFixed32);
constexpr char kBaseOffsetTag = wire::Tag(3, wire::kFixed64);
constexpr char kLeaderEpochTag = wire::Tag(4, wire::kFixed32);
constexpr char kAppendTimeTag = wire::Tag(5, wire::kFixed64);
constexpr char kBodyCrcTag = wire::Tag(6, wire::kFixed32);

constexpr size_t kElementLimit = kBatchHeaderBytes + 6 + kMaxBodyBytes;

template <typename T>
char* WriteField(char* out, char tag, T value) {
  *out++ = tag;
  return wire::WriteFixed(out, value);
}

// The 33 bytes of fields 1 and 3 to 6.
char* WritePlacedFields(char* out, const BatchHeader& header) {
  out = WriteField(out, kMagicTag, kBatchMagic);
  out = WriteField(out, kBaseOffsetTag, header.base_offset);
  out = WriteField(out, kLeaderEpochTag, header.leader_epoch);
  out = WriteField(out, kAppendTimeTag, header.append_time);
  return WriteField(out, kBodyCrcTag, header.body_crc);
}

enum class VarintParse { kOk, kCut, kBad };

// A length in its shortest form, at most 5 bytes.
VarintParse ReadLength(std::string_view bytes, uint64_t* value, size_t* size) {
  uint64_t result = 0;
  for (size_t i = 0; i < 5; ++i) {
    if (i == bytes.size()) return VarintParse::kCut;
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = result;
      *size = i + 1;
      return *size == wire::VarintSize(result) ? VarintParse::kOk : VarintParse::kBad;
    }
  }
  return VarintParse::kBad;
}

// Collects the outcomes of a parse, with its optional explanations.
struct Outcome {
  size_t* needed;
  std::string* why;

  BatchParse NeedMore(size_t bytes) const {
    if (needed != nullptr) *needed = bytes;
    return BatchParse::kNeedMore;
  }
  template <typename... Args>
  BatchParse Corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    if (why != nullptr) *why = fmt::format(format, std::forward<Args>(args)...);
    return BatchParse::kCorrupt;
  }
};

BatchParse ParsePadding(std::string_view at, const Outcome& outcome) {
  uint64_t length = 0;
  size_t size = 0;
  // The tail's length may be written in a padded form, so any varint is taken.
  const char* after = wire::ReadVarint(at.data() + 1, at.data() + at.size(), &length);
  if (after == nullptr) {
    if (at.size() < 1 + 10) return outcome.NeedMore(1 + 10);
    return outcome.Corrupt("the length of the padding is malformed");
  }
  size = static_cast<size_t>(after - at.data());
  if (length > (1ULL << 40)) return outcome.Corrupt("a padding of {} bytes", length);
  if (outcome.needed != nullptr) *outcome.needed = size + length;
  return BatchParse::kPadding;
}

// Fields 1 to 6; all of their bytes are there.
BatchParse ParseFixedFields(const char* at, BatchHeader* out, const Outcome& outcome) {
  struct Field {
    size_t position;
    char tag;
    const char* name;
  };
  static constexpr Field kFields[] = {{0, kMagicTag, "magic"},
                                      {5, kHeaderCrcTag, "header_crc"},
                                      {10, kBaseOffsetTag, "base_offset"},
                                      {19, kLeaderEpochTag, "leader_epoch"},
                                      {24, kAppendTimeTag, "append_time"},
                                      {33, kBodyCrcTag, "body_crc"}};
  for (const Field& field : kFields) {
    if (at[field.position] != field.tag) {
      return outcome.Corrupt("byte {:#04x} where field {} belongs", static_cast<uint8_t>(at[field.position]),
                             field.name);
    }
  }
  const uint32_t magic = wire::ReadFixed<uint32_t>(at + 1);
  if (magic != kBatchMagic) return outcome.Corrupt("magic {:#010x}, not {:#010x}", magic, kBatchMagic);
  out->header_crc = wire::ReadFixed<uint32_t>(at + 6);
  out->base_offset = wire::ReadFixed<uint64_t>(at + 11);
  out->leader_epoch = wire::ReadFixed<uint32_t>(at + 20);
  out->append_time = wire::ReadFixed<int64_t>(at + 25);
  out->body_crc = wire::ReadFixed<uint32_t>(at + 34);
  return BatchParse::kOk;
}

}  // namespace

BatchParse ParseBatchHeader(std::string_view at, BatchHeader* out, size_t* needed, std::string* why) {
  const Outcome outcome{needed, why};
  if (at.empty()) return BatchParse::kEnd;
  if (at[0] == 0) return BatchParse::kZeros;
  if (at[0] == kPaddingTag) return ParsePadding(at, outcome);
  if (at[0] != kElementTag)
    return outcome.Corrupt("byte {:#04x} where a batch begins", static_cast<uint8_t>(at[0]));

  uint64_t element_length = 0;
  size_t length_size = 0;
  switch (ReadLength(at.substr(1), &element_length, &length_size)) {
    case VarintParse::kCut:
      return outcome.NeedMore(kMaxBatchPrefixBytes);
    case VarintParse::kBad:
      return outcome.Corrupt("the length of the batch is malformed");
    case VarintParse::kOk:
      break;
  }
  if (element_length < kBatchHeaderBytes + 2 || element_length > kElementLimit) {
    return outcome.Corrupt("a batch of {} bytes; legal are {} to {}", element_length, kBatchHeaderBytes + 2,
                           kElementLimit);
  }
  const size_t start = 1 + length_size;
  const size_t total = start + element_length;
  const size_t body_tag = start + kBatchHeaderBytes;
  if (at.size() <= body_tag) return outcome.NeedMore(total);
  if (BatchParse fields = ParseFixedFields(at.data() + start, out, outcome); fields != BatchParse::kOk)
    return fields;
  if (at[body_tag] != kBodyTag) {
    return outcome.Corrupt("byte {:#04x} where field body belongs", static_cast<uint8_t>(at[body_tag]));
  }
  uint64_t body_length = 0;
  switch (ReadLength(at.substr(body_tag + 1), &body_length, &length_size)) {
    case VarintParse::kCut:
      return outcome.NeedMore(total);
    case VarintParse::kBad:
      return outcome.Corrupt("the length of the body is malformed");
    case VarintParse::kOk:
      break;
  }
  const size_t prefix = body_tag + 1 + length_size;
  if (body_length > kMaxBodyBytes || prefix + body_length != total) {
    return outcome.Corrupt("a body of {} bytes in a batch of {}", body_length, element_length);
  }
  out->prefix_bytes = static_cast<uint32_t>(prefix);
  out->body_bytes = static_cast<uint32_t>(body_length);
  return BatchParse::kOk;
}

BatchParse ParseBatch(std::string_view at, BatchView* out, size_t* needed, std::string* why) {
  const BatchParse header = ParseBatchHeader(at, out, needed, why);
  if (header != BatchParse::kOk) return header;
  if (at.size() < out->total_bytes()) return Outcome{needed, why}.NeedMore(out->total_bytes());
  out->bytes = at.substr(0, out->total_bytes());
  out->body = out->bytes.substr(out->prefix_bytes);
  return BatchParse::kOk;
}

uint32_t ComputeHeaderCrc(const BatchHeader& header, const TopicId& topic, PartitionIndex partition) {
  std::array<char, TopicId::kSize + 4 + 33 + 4> bytes;
  char* at = bytes.data();
  std::memcpy(at, topic.bytes().data(), TopicId::kSize);
  at = wire::WriteFixed<uint32_t>(at + TopicId::kSize, partition);
  at = WritePlacedFields(at, header);
  at = wire::WriteFixed<uint32_t>(at, header.body_bytes);
  CHECK(at == bytes.data() + bytes.size());
  return Crc32c({bytes.data(), bytes.size()});
}

bool VerifyHeaderCrc(const BatchHeader& header, const TopicId& topic, PartitionIndex partition) {
  return ComputeHeaderCrc(header, topic, partition) == header.header_crc;
}

bool VerifyBodyCrc(const BatchView& batch) { return Crc32c(batch.body) == batch.body_crc; }

Result<> VerifyBatch(const BatchView& batch, const TopicId& topic, PartitionIndex partition) {
  if (const uint32_t crc = ComputeHeaderCrc(batch, topic, partition); crc != batch.header_crc) {
    return Fail(v1::CORRUPT_MESSAGE, "header_crc of the batch at offset {} is {:#010x}, computed {:#010x}",
                batch.base_offset, batch.header_crc, crc);
  }
  if (const uint32_t crc = Crc32c(batch.body); crc != batch.body_crc) {
    return Fail(v1::CORRUPT_MESSAGE, "body_crc of the batch at offset {} is {:#010x}, computed {:#010x}",
                batch.base_offset, batch.body_crc, crc);
  }
  return {};
}

size_t BatchPrefixBytes(size_t body_bytes) {
  const size_t inner = kBatchHeaderBytes + 1 + wire::VarintSize(body_bytes);
  return 1 + wire::VarintSize(inner + body_bytes) + inner;
}

BatchPrefix StampBatch(std::string_view body, uint32_t body_crc, Offset base_offset, LeaderEpoch leader_epoch,
                       WallMillis append_time, const TopicId& topic, PartitionIndex partition) {
  CHECK_LE(body.size(), kMaxBodyBytes) << "a body that ValidateProducerBatch would have refused";
  BatchHeader header;
  header.base_offset = base_offset;
  header.leader_epoch = leader_epoch;
  header.append_time = append_time;
  header.body_crc = body_crc;
  header.body_bytes = static_cast<uint32_t>(body.size());
  BatchPrefix prefix;
  char* const start = prefix.bytes_.data();
  char* at = start;
  *at++ = kElementTag;
  at = wire::WriteVarint(at, kBatchHeaderBytes + 1 + wire::VarintSize(body.size()) + body.size());
  at = WriteField(at, kMagicTag, kBatchMagic);
  at = WriteField(at, kHeaderCrcTag, ComputeHeaderCrc(header, topic, partition));
  at = WriteField(at, kBaseOffsetTag, base_offset);
  at = WriteField(at, kLeaderEpochTag, leader_epoch);
  at = WriteField(at, kAppendTimeTag, append_time);
  at = WriteField(at, kBodyCrcTag, body_crc);
  *at++ = kBodyTag;
  at = wire::WriteVarint(at, body.size());
  prefix.size_ = static_cast<size_t>(at - start);
  return prefix;
}

std::optional<size_t> FindNextBatch(std::string_view buffer, size_t from, const TopicId& topic,
                                    PartitionIndex partition) {
  std::array<char, 5> needle;
  WriteField(needle.data(), kMagicTag, kBatchMagic);
  const std::string_view magic(needle.data(), needle.size());
  for (size_t found = buffer.find(magic, from); found != std::string_view::npos;
       found = buffer.find(magic, found + 1)) {
    // The element's tag is 2 to 6 bytes before, by the length of its length.
    for (size_t back = 2; back <= 6 && back <= found; ++back) {
      const size_t start = found - back;
      if (start < from || buffer[start] != kElementTag) continue;
      BatchHeader header;
      if (ParseBatchHeader(buffer.substr(start), &header, nullptr, nullptr) == BatchParse::kOk &&
          VerifyHeaderCrc(header, topic, partition)) {
        return start;
      }
    }
  }
  return std::nullopt;
}

}  // namespace tidemark
