// BatchBuilder: the producer's side. Appends records to a growing buffer in wire format and finishes with the
// encoded BatchBody and its checksum. Owner: a producer's accumulator, loop-affine. No allocation per record.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/record/batch.h"
#include "common/record/record_view.h"
#include "common/result.h"

namespace tidemark {

// A body ready to be sent.
struct FinishedBatch {
  std::string body;
  uint32_t body_crc = 0;
  uint32_t record_count = 0;
  int64_t max_timestamp = -1;
};

class BatchBuilder {
 public:
  // Most bytes of the fields around the records.
  static constexpr size_t kBodyOverheadBytes = 96;

  explicit BatchBuilder(size_t size_hint = 0);

  // Adds a record; its offset delta is its place. `timestamp` in milliseconds since 1970, or -1 for none.
  // False (nothing was added) when the batch would pass kMaxRecordsBytes.
  bool Append(std::optional<std::string_view> key, std::optional<std::string_view> value,
              WallMillis timestamp, std::span<const HeaderView> headers = {});

  uint32_t record_count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Bytes of the body if it were finished now without compression (an upper bound).
  size_t EstimatedBodyBytes() const { return buffer_.size(); }
  // Most bytes that a record adds.
  static size_t MaxRecordBytes(std::optional<std::string_view> key, std::optional<std::string_view> value,
                               std::span<const HeaderView> headers = {});

  // The batch of what was appended (at least one record); the builder is empty afterwards. The codec is kept
  // even where it gains nothing, as Kafka's producers do.
  Result<FinishedBatch> Finish(v1::Compression codec);

 private:
  std::string buffer_;  // a gap of kBodyOverheadBytes for the fields, then the encoded RecordSet
  uint32_t count_ = 0;
  int64_t base_timestamp_ = -1;
  int64_t max_timestamp_ = -1;
};

}  // namespace tidemark
