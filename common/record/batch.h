// Batches as they lie in a segment file and travel in a fetch answer: one encoded `LogSegment.batches`
// element.
//
//   0x0a  varint(length)  | 38 bytes: RecordBatch fields 1-6 |  0x3a varint(body length)  body
//
// Views only: nothing here owns or copies bytes. What comes from disk or network is untrusted, so parsing
// checks every length, insists on the one canonical encoding, and never looks past the buffer. A batch is
// good when it parses, its header checksum matches its topic and partition, and its body checksum matches.
// Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/time.h"
#include "common/types.h"
#include "tidemark/v1/record.pb.h"

namespace tidemark {

inline constexpr uint32_t kBatchMagic = 0x544d4b31;  // "TMK1"
// The encoded fields 1 to 6 of a RecordBatch.
inline constexpr size_t kBatchHeaderBytes = 5 + 5 + 9 + 5 + 9 + 5;
static_assert(kBatchHeaderBytes == 38);
// Most bytes before the body: tag and length of the element, the header, tag and length of the body.
inline constexpr size_t kMaxBatchPrefixBytes = 1 + 5 + kBatchHeaderBytes + 1 + 5;
// Most bytes of an encoded RecordSet before compression.
inline constexpr uint32_t kMaxRecordsBytes = 16u << 20;
// No body is larger, so no damaged length makes anyone wait for or allocate more.
inline constexpr uint32_t kMaxBodyBytes = kMaxRecordsBytes + (1u << 20);
inline constexpr size_t kMaxBatchBytes = kMaxBatchPrefixBytes + kMaxBodyBytes;

// What stands before the body.
struct BatchHeader {
  uint32_t header_crc = 0;
  Offset base_offset = 0;
  LeaderEpoch leader_epoch = 0;
  WallMillis append_time = 0;
  uint32_t body_crc = 0;
  uint32_t prefix_bytes = 0;  // position of the body in the element
  uint32_t body_bytes = 0;
  size_t total_bytes() const { return static_cast<size_t>(prefix_bytes) + body_bytes; }
};

// A whole batch in somebody's buffer.
struct BatchView : BatchHeader {
  std::string_view bytes;  // the whole element: what is stored and sent
  std::string_view body;   // the encoded BatchBody
};

enum class BatchParse {
  kOk,
  kNeedMore,  // cut short; `*needed` bytes from the start tell more (all of the batch once its lengths are
              // known)
  kCorrupt,   // not a batch; `*why` says what is wrong
  kPadding,   // the padding field of a preallocated tail; `*needed` is its whole size
  kZeros,     // a zero byte where a batch would begin: a preallocated tail without its padding field
  kEnd,       // the buffer is empty
};

// Parses the batch at the start of `at`. Checksums are not verified. `needed` and `why` may be null.
BatchParse ParseBatch(std::string_view at, BatchView* out, size_t* needed, std::string* why);
// As ParseBatch, of what stands before the body: needs no more than kMaxBatchPrefixBytes.
BatchParse ParseBatchHeader(std::string_view at, BatchHeader* out, size_t* needed, std::string* why);

// The checksum that ties a header to its place.
uint32_t ComputeHeaderCrc(const BatchHeader& header, const TopicId& topic, PartitionIndex partition);
bool VerifyHeaderCrc(const BatchHeader& header, const TopicId& topic, PartitionIndex partition);
bool VerifyBodyCrc(const BatchView& batch);
// Both; CORRUPT_MESSAGE names the base offset and which one is wrong.
Result<> VerifyBatch(const BatchView& batch, const TopicId& topic, PartitionIndex partition);

// What is written before a body, so that an append is writev(prefix, body) without a copy.
class BatchPrefix {
 public:
  std::string_view view() const { return {bytes_.data(), size_}; }
  size_t size() const { return size_; }

 private:
  friend BatchPrefix StampBatch(std::string_view, uint32_t, Offset, LeaderEpoch, WallMillis, const TopicId&,
                                PartitionIndex);
  std::array<char, kMaxBatchPrefixBytes> bytes_;
  size_t size_ = 0;
};

// The leader's stamp: gives a producer's body its place in the log. `body` has at most kMaxBodyBytes.
BatchPrefix StampBatch(std::string_view body, uint32_t body_crc, Offset base_offset, LeaderEpoch leader_epoch,
                       WallMillis append_time, const TopicId& topic, PartitionIndex partition);

// Bytes before a body of this size.
size_t BatchPrefixBytes(size_t body_bytes);

// Resynchronisation: the position, at or after `from`, of the next batch of this partition by its magic and a
// valid header checksum; none if there is none. Its body may go past the buffer. Windows of a file must
// overlap by kMaxBatchPrefixBytes so that a header on their border is seen.
std::optional<size_t> FindNextBatch(std::string_view buffer, size_t from, const TopicId& topic,
                                    PartitionIndex partition);

// The fields of a BatchBody; `records` is still compressed.
struct BodyInfo {
  v1::Compression compression = v1::COMPRESSION_NONE;
  v1::TimestampType timestamp_type = v1::TIMESTAMP_TYPE_CREATE_TIME;
  uint32_t last_offset_delta = 0;
  int64_t base_timestamp = 0;
  int64_t max_timestamp = 0;
  std::optional<uint64_t> producer_id;
  std::optional<uint32_t> producer_epoch;
  std::optional<uint32_t> base_sequence;
  uint32_t record_count = 0;
  bool transactional = false;
  bool control = false;
  v1::PayloadEncoding payload_encoding = v1::PAYLOAD_ENCODING_OPAQUE;
  uint32_t records_size = 0;
  std::optional<int64_t> delete_horizon;
  std::string_view records;
  std::optional<std::string_view> key_id;
};

// Scans an encoded BatchBody without building objects; unknown fields are skipped. CORRUPT_MESSAGE names the
// field. A batch's last offset is base_offset + last_offset_delta.
Result<BodyInfo> ParseBody(std::string_view body);

}  // namespace tidemark
