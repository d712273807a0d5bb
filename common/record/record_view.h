// One record as a view into somebody's buffer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/time.h"
#include "common/types.h"

namespace tidemark {

struct HeaderView {
  std::string_view key;
  std::optional<std::string_view> value;  // absent and empty differ
};

// Headers are walked when asked for: `for (HeaderCursor c = record.headers(); c.Next(&header);)`.
class HeaderCursor {
 public:
  // `record` is an encoded Record that has passed RecordReader.
  explicit HeaderCursor(std::string_view record) : at_(record.data()), end_(record.data() + record.size()) {}
  bool Next(HeaderView* out);

 private:
  const char* at_;
  const char* end_;
};

struct RecordView {
  Offset offset = 0;
  WallMillis timestamp = -1;  // -1: none
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;  // absent: a tombstone
  uint32_t header_count = 0;
  std::string_view encoded;  // the Record message itself
  HeaderCursor headers() const { return HeaderCursor(header_count == 0 ? std::string_view() : encoded); }
};

}  // namespace tidemark
