// A compacted log in a simulated world, and what its user knows of it: every record ever appended, and so the
// last value of each key. Shared by the tests of this folder.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/log/cleaner_batch.h"
#include "common/record/reader.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {

struct KeyedRecord {
  std::string key;
  std::optional<std::string> value;  // empty: a tombstone
  bool operator==(const KeyedRecord&) const = default;
};

inline FinishedBatch MakeKeyed(const std::vector<KeyedRecord>& records, WallMillis timestamp = 1000,
                               v1::Compression codec = v1::COMPRESSION_NONE) {
  BatchBuilder builder;
  const std::vector<HeaderView> headers = {{"h", "v"}};
  for (const KeyedRecord& record : records) {
    CHECK(builder.Append(
        record.key, record.value, timestamp++,
        record.key.size() % 2 == 0 ? std::span<const HeaderView>(headers) : std::span<const HeaderView>()));
  }
  return std::move(*builder.Finish(codec));
}

// What the batches of a log hold, with the contiguity of the batches checked.
struct LogContent {
  std::map<Offset, KeyedRecord> records;
  std::map<std::string, Offset> last;
  size_t batches = 0;
  size_t empty_batches = 0;
};

inline void AddBatches(std::string_view bytes, const PartitionKey& key, Offset* expected, LogContent* out) {
  ScratchBuffer scratch;
  while (!bytes.empty()) {
    BatchView batch;
    CHECK(ParseBatch(bytes, &batch, nullptr, nullptr) == BatchParse::kOk);
    CHECK(VerifyBatch(batch, key.topic, key.partition));
    // The batch that holds the log start comes whole.
    if (out->batches == 0) *expected = std::min(*expected, batch.base_offset);
    CHECK_EQ(batch.base_offset, *expected) << "the batches are not contiguous";
    auto reader = RecordReader::Open(batch, scratch);
    CHECK(reader) << ToString(reader.error());
    RecordView record;
    while (reader->Next(&record)) {
      KeyedRecord kept{std::string(*record.key), std::nullopt};
      if (record.value) kept.value = std::string(*record.value);
      out->last[kept.key] = record.offset;
      out->records[record.offset] = std::move(kept);
    }
    CHECK(!reader->error()) << ToString(*reader->error());
    *expected = batch.base_offset + reader->info().last_offset_delta + 1;
    ++out->batches;
    out->empty_batches += reader->info().record_count == 0;
    bytes.remove_prefix(batch.total_bytes());
  }
}

inline Task<LogContent> ReadContent(Log* log) {
  LogContent out;
  Offset expected = log->start_offset();
  for (Offset at = log->start_offset(); at < log->end_offset();) {
    const auto read = co_await log->Read(at, ~0ull, 8192);
    CHECK(read) << ToString(read.error());
    CHECK_GT(read->next_offset, at) << "nothing at " << at << " below " << log->end_offset();
    AddBatches(read->bytes, log->key(), &expected, &out);
    at = read->next_offset;
  }
  CHECK_EQ(expected, log->end_offset());
  co_return out;
}

class KeyedModel {
 public:
  void Add(Offset offset, KeyedRecord record) {
    last_[record.key] = offset;
    records_[offset] = std::move(record);
  }
  void CutTo(Offset end) {
    records_.erase(records_.lower_bound(end), records_.end());
    last_.clear();
    for (const auto& [offset, record] : records_) last_[record.key] = offset;
  }
  bool IsLast(const std::string& key, Offset offset) const {
    const auto found = last_.find(key);
    return found != last_.end() && found->second == offset;
  }
  Offset end() const { return records_.empty() ? 0 : records_.rbegin()->first + 1; }

  // The promise of compaction: what the log holds was appended as it is, the last value of each key is there,
  // no deleted key comes back. `has_gone`: tombstones may be gone.
  void Check(const LogContent& content) const {
    for (const auto& [offset, record] : content.records) {
      const auto known = records_.find(offset);
      CHECK(known != records_.end()) << "offset " << offset << " was never appended";
      CHECK(known->second == record) << "offset " << offset << " holds something else";
    }
    for (const auto& [key, offset] : last_) {
      const auto found = content.last.find(key);
      if (records_.at(offset).value) {
        CHECK(found != content.last.end()) << "key " << key << " is lost";
        CHECK_EQ(found->second, offset) << "key " << key << " has an old value";
      } else if (found != content.last.end()) {
        CHECK_EQ(found->second, offset) << "deleted key " << key << " has come back";
      }
    }
  }

 private:
  std::map<Offset, KeyedRecord> records_;
  std::map<std::string, Offset> last_;
};

}  // namespace tidemark
