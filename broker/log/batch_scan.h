// BatchScanner: walks the batches of a segment file in large reads (pool thread). Used by recovery, by
// truncation, by searches and by the offline verifier. Bodies are verified as well: their bytes were read
// anyway.
#pragma once

#include <optional>
#include <string>

#include "common/io/file_system.h"
#include "common/record/batch.h"
#include "common/types.h"

namespace tidemark {

// When the first batch of a segment file was appended; empty where none can be read.
std::optional<WallMillis> FirstAppendTime(File& file, const PartitionKey& key, uint64_t size);

class BatchScanner {
 public:
  enum class Step {
    kBatch,
    kEnd,      // nothing after the last batch
    kBad,      // error() says what stands at position() instead of a good batch
    kIoError,  // error(): the file cannot be read
  };

  // From `position`, where a batch begins, up to `size` bytes of the file.
  BatchScanner(File& file, const PartitionKey& key, uint64_t position, uint64_t size);

  // The view is valid until the next call. `info` may be null.
  Step Next(BatchView* batch, BodyInfo* info);
  // Of what the last Next returned.
  uint64_t position() const { return position_; }
  // One past it.
  uint64_t next_position() const { return next_; }
  const Error& error() const { return error_; }

  // The header at position(), if it is whole and of this partition: what is bad then is the body, and its end
  // is known.
  std::optional<BatchHeader> header() const;
  // For Resync: how far behind position() another batch may begin, where the next one is to be at `from` or
  // above. Not inside of one whose header is good: its records may hold what looks like batches, and a search
  // through them takes long.
  uint64_t BytesToSkip(Offset from) const;
  // After kBad: goes to the next batch with a valid header `skip` bytes or more after position(); false when
  // there is none.
  bool Resync(uint64_t skip = 1);

 private:
  // Makes `bytes` from `position` on available, as far as the file goes; false on an I/O error.
  bool Load(uint64_t position, size_t bytes);
  std::string_view At(uint64_t position) const;
  Step Bad(std::string message);

  File& file_;
  const PartitionKey key_;
  const uint64_t size_;
  uint64_t position_;
  uint64_t next_;
  std::string buffer_;
  uint64_t buffer_position_ = 0;
  Error error_;
};

}  // namespace tidemark
