// What a leader checks of a producer's batch before it appends it: one scan of the wire format, no objects,
// no allocation per record. A batch that passes can be read by every consumer: its compressed records were
// decompressed and scanned as well. Owner: the partition's loop, with its scratch buffer.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/record/batch.h"
#include "common/record/compression.h"
#include "common/result.h"

namespace tidemark {

struct ValidationLimits {
  // The topic's max.message.bytes: most bytes of the batch as stored (BatchPrefixBytes + body).
  size_t max_message_bytes = 1048588;
  // Compacted topics: a record without a key is refused (INVALID_RECORD names it).
  bool require_keys = false;
};

// Checks body_crc (CORRUPT_MESSAGE), size (MESSAGE_TOO_LARGE), codec (UNSUPPORTED_COMPRESSION_TYPE),
// timestamps (INVALID_TIMESTAMP), and (INVALID_RECORD, CORRUPT_MESSAGE) counts, deltas, sizes and every
// record. Each message names the field and its value. Refuses what is reserved: transactional, control,
// delete_horizon, key_id, encodings. The returned `records` view is into `body`.
Result<BodyInfo> ValidateProducerBatch(std::string_view body, uint32_t body_crc,
                                       const ValidationLimits& limits, ScratchBuffer& scratch);

// The records alone, not compressed: count, deltas, timestamps and structure against `info`.
Result<> ValidateRecordSet(std::string_view records, const BodyInfo& info, bool require_keys = false);

}  // namespace tidemark
