// Validation of arbitrary bodies with a fitting checksum: what passes is read to its end by our reader and by
// generated code, with the same records. Bodies that validation refuses are read, too: with an error, but
// within bounds.
#include <cstdint>

#include <glog/logging.h>

#include "common/record/crc32c.h"
#include "common/record/reader.h"
#include "common/record/validate.h"

namespace {

using namespace tidemark;

size_t ReadAll(std::string_view records, const BodyInfo& info, bool* failed) {
  RecordReader reader(records, info, 0, 0);
  RecordView record;
  size_t count = 0;
  while (reader.Next(&record)) {
    HeaderView header;
    uint32_t headers = 0;
    for (HeaderCursor cursor = record.headers(); cursor.Next(&header);) ++headers;
    CHECK_EQ(headers, record.header_count);
    ++count;
  }
  *failed = reader.error().has_value();
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  static ScratchBuffer scratch;
  const auto valid = ValidateProducerBatch(body, Crc32c(body), {kMaxBatchBytes}, scratch);
  const auto info = ParseBody(body);
  if (!info) {
    CHECK(!valid);
    return 0;
  }
  if (info->records_size > 1 << 20) return 0;
  const auto records = Decompress(info->compression, info->records, info->records_size, scratch);
  if (!records) {
    CHECK(!valid);
    return 0;
  }
  bool failed = false;
  const size_t count = ReadAll(*records, *info, &failed);
  if (valid) {
    CHECK(!failed);
    CHECK_EQ(count, info->record_count);
    v1::RecordSet set;
    CHECK(set.ParseFromArray(records->data(), static_cast<int>(records->size())))
        << "a batch that others cannot read";
    CHECK_EQ(static_cast<size_t>(set.records_size()), count);
  }
  return 0;
}
