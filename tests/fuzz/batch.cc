// ParseBatch and resynchronisation on arbitrary bytes: never past the buffer, and what parses is what was
// stamped.
#include <cstdint>

#include <glog/logging.h>

#include "common/record/batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const TopicId topic(std::array<uint8_t, 16>{1, 2, 3});
  BatchView batch;
  size_t needed = 0;
  std::string why;
  switch (ParseBatch(bytes, &batch, &needed, &why)) {
    case BatchParse::kOk: {
      CHECK_LE(batch.bytes.size(), bytes.size());
      const bool valid = VerifyHeaderCrc(batch, topic, 0);
      const BatchPrefix stamp = StampBatch(batch.body, batch.body_crc, batch.base_offset, batch.leader_epoch,
                                           batch.append_time, topic, 0);
      // There is one encoding only: an equal header checksum means equal bytes.
      if (valid) CHECK(stamp.view() == batch.bytes.substr(0, batch.prefix_bytes));
      CHECK_EQ(stamp.size(), batch.prefix_bytes);
      VerifyBodyCrc(batch);
      break;
    }
    case BatchParse::kNeedMore:
      CHECK_GT(needed, bytes.size());
      CHECK_LE(needed, kMaxBatchBytes);
      break;
    case BatchParse::kCorrupt:
      CHECK(!why.empty());
      break;
    default:
      break;
  }
  if (auto found = FindNextBatch(bytes, 0, topic, 0)) {
    BatchHeader header;
    CHECK(ParseBatchHeader(bytes.substr(*found), &header, nullptr, nullptr) == BatchParse::kOk);
  }
  return 0;
}
