// RecordReader: walks the records of one batch as views, without allocating. The bytes are untrusted; every
// length is checked, and the walk ends with an error at the first thing that is wrong. Any thread.
//
//   ScratchBuffer scratch;
//   auto reader = RecordReader::Open(batch, scratch);
//   RecordView record;
//   while (reader->Next(&record)) ...
//   if (reader->error()) ...
#pragma once

#include <optional>
#include <string_view>

#include "common/record/batch.h"
#include "common/record/compression.h"
#include "common/record/record_view.h"
#include "common/result.h"

namespace tidemark {

class RecordReader {
 public:
  // Over an encoded RecordSet that is not compressed.
  RecordReader(std::string_view record_set, const BodyInfo& info, Offset base_offset, WallMillis append_time);

  // Parses and decompresses (into `scratch`, which must stay untouched while the reader or its views are
  // used).
  static Result<RecordReader> Open(const BatchView& batch, ScratchBuffer& scratch);

  // False at the end or at an error.
  bool Next(RecordView* out);
  const std::optional<Error>& error() const { return error_; }
  const BodyInfo& info() const { return info_; }

 private:
  bool Refuse(std::string_view what);

  BodyInfo info_;
  Offset base_offset_;
  WallMillis append_time_;
  const char* begin_;
  const char* at_;
  const char* end_;
  uint32_t seen_ = 0;
  int64_t last_delta_ = -1;
  std::optional<Error> error_;
};

}  // namespace tidemark
