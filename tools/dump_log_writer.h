// DumpWriter: how tidemark-dump-log says what it has found in a segment's files: in Kafka's words, or as one
// JSON object a line. Owned by one dump; any thread. Whole lines go to the sink at once, in order.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/segment_index.h"
#include "common/record/batch.h"
#include "common/record/record_view.h"

namespace tidemark {

// Receives whole lines with their line ends, in order.
using TextSink = std::function<void(std::string_view)>;

struct DumpOptions {
  bool deep = false;           // the records below each batch
  bool print_data = false;     // as `deep`, with keys and values
  bool skip_metadata = false;  // with print_data: keys and values alone
  bool offsets = false;        // with print_data: as records of __consumer_offsets, where they are some
  // Of index files: nothing but what is wrong.
  bool verify_index_only = false;
  // Of index files: only whether they are sound in themselves.
  bool index_sanity_check = false;
  // Of log files: batches that begin at or above this position are left out.
  std::optional<uint64_t> max_bytes;
  bool json = false;
  // Told how far the log file has been read.
  std::function<void(uint64_t position)> progress{};
};

struct DumpedBatch {
  BatchView batch;
  BodyInfo body;
  uint64_t position = 0;
  bool valid = true;
};

class DumpWriter {
 public:
  virtual ~DumpWriter() = default;
  virtual void File(const std::string& path) = 0;
  virtual void StartOffset(Offset offset) = 0;
  virtual void Batch(const DumpedBatch& dumped) = 0;
  // The record at offset `delta` of its batch.
  virtual void Record(const RecordView& record, const BodyInfo& body, uint64_t delta) = 0;
  virtual void OffsetEntry(Offset offset, uint64_t position) = 0;
  virtual void TimeEntry(WallMillis timestamp, Offset offset) = 0;
  virtual void Seal(const SegmentSeal& seal, bool by_time) = 0;
  virtual void SanityPassed(const std::string& path) = 0;
  // Something is wrong, or worth a word: one sentence. `position` is a byte of the file.
  virtual void Finding(const std::string& path, std::optional<uint64_t> position,
                       const std::string& text) = 0;
  // What an index file says wrongly of its log.
  virtual void Mismatches(const std::string& path, const std::vector<std::string>& mismatches) = 0;
};

// `options` and `out` outlive the writer.
std::unique_ptr<DumpWriter> MakeDumpWriter(const DumpOptions& options, const TextSink& out);

// A key or value in JSON: text where the bytes are UTF-8, else {"base64": "..."}; null when absent.
std::string JsonOfBytes(const std::optional<std::string_view>& bytes);

}  // namespace tidemark
