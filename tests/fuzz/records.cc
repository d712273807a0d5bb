// RecordReader on arbitrary, uncompressed record sets: within bounds, and what generated code reads without
// unknown order we read with the same content.
#include <cstdint>

#include <glog/logging.h>

#include "common/record/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  BodyInfo info;
  info.last_offset_delta = UINT32_MAX;
  info.record_count = UINT32_MAX;
  RecordReader reader(bytes, info, 0, 0);
  v1::RecordSet set;
  const bool parsed = set.ParseFromArray(data, static_cast<int>(size));
  RecordView record;
  int count = 0;
  while (reader.Next(&record)) {
    if (parsed) {
      CHECK_LT(count, set.records_size());
      const v1::Record& other = set.records(count);
      CHECK_EQ(record.key.has_value(), other.has_key());
      CHECK_EQ(record.value.has_value(), other.has_value());
      if (record.key) CHECK(*record.key == other.key());
      if (record.value) CHECK(*record.value == other.value());
      CHECK_EQ(record.offset, other.offset_delta());
      CHECK_EQ(record.timestamp, other.timestamp_delta());
      CHECK_EQ(static_cast<int>(record.header_count), other.headers_size());
      HeaderView header;
      int index = 0;
      for (HeaderCursor cursor = record.headers(); cursor.Next(&header); ++index) {
        CHECK(header.key == other.headers(index).key());
        CHECK_EQ(header.value.has_value(), other.headers(index).has_value());
      }
    }
    ++count;
  }
  return 0;
}
