#include "tests/simulation/log_property/log_model.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/record/reader.h"

namespace tidemark {
namespace {

struct StoredRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;  // empty: a tombstone
  WallMillis timestamp = 0;
  bool operator==(const StoredRecord&) const = default;
};

void AddRecords(const ModelBatch& batch, std::map<Offset, StoredRecord>* out) {
  BatchView view;
  CHECK(ParseBatch(batch.bytes, &view, nullptr, nullptr) == BatchParse::kOk);
  ScratchBuffer scratch;
  auto reader = RecordReader::Open(view, scratch);
  CHECK(reader) << ToString(reader.error());
  RecordView record;
  while (reader->Next(&record)) {
    StoredRecord& stored = (*out)[record.offset];
    stored.timestamp = record.timestamp;
    if (record.key) stored.key = std::string(*record.key);
    if (record.value) stored.value = std::string(*record.value);
  }
  CHECK(!reader->error()) << ToString(*reader->error());
}

}  // namespace

void LogModel::Append(std::shared_ptr<const ModelBatch> batch) {
  CHECK_EQ(batch->base, end);
  end = batch->next;
  batches.push_back(std::move(batch));
}

void LogModel::CutTo(Offset offset) {
  while (!batches.empty() && batches.back()->next > offset) {
    end = batches.back()->base;
    batches.pop_back();
  }
  start = std::min(start, end);
  flushed = std::min(flushed, end);
  committed = std::min(committed, end);
  durable_start = std::min(durable_start, start);
  tombstones_gone_below = std::min(tombstones_gone_below, end);
  hidden_below = std::min(hidden_below, end);
}

void LogModel::RestartAt(Offset offset) {
  batches.clear();
  refused.clear();
  start = end = flushed = durable_start = committed = offset;
  compacted_below = hidden_below = tombstones_gone_below = 0;
  restarting_at.reset();
}

size_t LogModel::IndexOf(Offset offset) const {
  const auto after = std::upper_bound(batches.begin(), batches.end(), offset,
                                      [](Offset wanted, const auto& batch) { return wanted < batch->next; });
  return static_cast<size_t>(after - batches.begin());
}

EpochTable LogModel::Epochs() const {
  EpochTable table;
  for (size_t i = IndexOf(start); i < batches.size(); ++i) {
    table.Begin(batches[i]->epoch, std::max(batches[i]->base, start));
  }
  return table;
}

std::optional<TimestampLookup> LogModel::Find(WallMillis timestamp, Offset below) const {
  for (size_t i = IndexOf(start); i < batches.size(); ++i) {
    const ModelBatch& batch = *batches[i];
    for (Offset offset = std::max(batch.base, start); offset < std::min(batch.next, below); ++offset) {
      const WallMillis at = batch.timestamps[offset - batch.base];
      if (at >= timestamp) return TimestampLookup{offset, at, batch.epoch};
    }
  }
  return std::nullopt;
}

std::optional<TimestampLookup> LogModel::FindGreatest(Offset below) const {
  std::optional<TimestampLookup> best;
  while (const auto next = Find(best ? best->timestamp + 1 : 0, below)) best = next;
  return best;
}

std::string LogModel::CheckRead(Offset from, Offset below, size_t max_bytes,
                                const Result<LogRead>& read) const {
  if (from < start || from > end) {
    if (!read && read.error().code == v1::OFFSET_OUT_OF_RANGE) return "";
    return fmt::format("read at {} of [{}, {}) is not out of range", from, start, end);
  }
  if (!read) return fmt::format("read at {} of [{}, {}): {}", from, start, end, ToString(read.error()));
  const Offset limit = std::min(below, end);
  size_t i = from < limit ? IndexOf(from) : batches.size();
  if (read->bytes.empty()) {
    if (i < batches.size() && batches[i]->next <= limit) return fmt::format("nothing at {}", from);
    return read->next_offset == from ? "" : "an empty answer that moves on";
  }
  size_t at = 0;
  Offset next = from;
  for (size_t first = i; at < read->bytes.size(); ++i) {
    if (i >= batches.size() || batches[i]->next > limit) return fmt::format("served at or above {}", limit);
    const std::string& bytes = batches[i]->bytes;
    if (read->bytes.compare(at, bytes.size(), bytes) != 0) {
      return fmt::format("batch {} is not what was appended", batches[i]->base);
    }
    at += bytes.size();
    next = batches[i]->next;
    if (i > first && at > max_bytes) return "more than was asked for";
  }
  return read->next_offset == next ? "" : fmt::format("ends at {}, says {}", next, read->next_offset);
}

void LogModel::Refuse(const LogModel& appended) {
  std::erase_if(refused, [this](const auto& batch) { return batch->base < flushed; });
  refused.insert(refused.end(), appended.batches.begin() + static_cast<ptrdiff_t>(batches.size()),
                 appended.batches.end());
}

std::shared_ptr<const ModelBatch> LogModel::Match(std::string_view found, Offset offset) const {
  const size_t i = IndexOf(offset);
  const bool known = i < batches.size() && batches[i]->base <= offset && found.starts_with(batches[i]->bytes);
  if (known) return batches[i];
  const auto ghost = std::find_if(refused.begin(), refused.end(), [&](const auto& batch) {
    return batch->base == offset && offset >= flushed && found.starts_with(batch->bytes);
  });
  return ghost == refused.end() ? MatchCompacted(found, offset) : *ghost;
}

// It begins where a batch did and ends where one did; its records are some of the first one's, as they were.
std::shared_ptr<const ModelBatch> LogModel::MatchCompacted(std::string_view found, Offset offset) const {
  BatchView view;
  if (offset >= std::max(compacted_below, hidden_below) ||
      ParseBatch(found, &view, nullptr, nullptr) != BatchParse::kOk)
    return nullptr;
  const size_t first = IndexOf(offset);
  const auto info = ParseBody(view.body);
  if (first == batches.size() || batches[first]->base != offset || view.base_offset != offset || !info) {
    return nullptr;
  }
  auto batch = std::make_shared<ModelBatch>();
  batch->base = offset;
  batch->next = offset + info->last_offset_delta + 1;
  batch->epoch = view.leader_epoch;
  batch->timestamps.assign(batch->next - offset, kCompacted);
  batch->bytes = view.bytes;
  for (size_t i = first; i == first || batches[i]->base < batch->next; ++i) {
    if (i == batches.size() || batches[i]->next > batch->next || batches[i]->epoch != batch->epoch)
      return nullptr;
    if (i + 1 == batches.size() && batches[i]->next != batch->next) return nullptr;
    if (batches[i]->next == batch->next) break;
  }
  std::map<Offset, StoredRecord> before;
  AddRecords(*batches[first], &before);
  std::map<Offset, StoredRecord> left;
  AddRecords(*batch, &left);
  for (const auto& [at, record] : left) {
    if (!before.contains(at) || !(before.at(at) == record)) return nullptr;
    batch->timestamps[at - offset] = record.timestamp;
  }
  return batch;
}

// The last value of each key stays, and a key that was deleted does not come back.
std::string LogModel::CheckCompacted(LogModel* now) const {
  std::map<Offset, StoredRecord> before, left;
  for (const auto& batch : batches) {
    if (batch->next > now->start && batch->next <= now->end) AddRecords(*batch, &before);
  }
  for (const auto& batch : now->batches) {
    if (batch->next > now->start) AddRecords(*batch, &left);
  }
  std::map<std::string, Offset> last, last_left;
  for (const auto& [at, record] : before) {
    if (record.key && at >= now->start) last[*record.key] = at;
  }
  for (const auto& [at, record] : left) {
    if (record.key && at >= now->start) last_left[*record.key] = at;
  }
  for (const auto& [key, at] : last) {
    const auto found = last_left.find(key);
    const bool there = found != last_left.end() && found->second == at;
    if (there || at < hidden_below) continue;
    if (before.at(at).value) return fmt::format("the last value of {}, at {}, is gone", key, at);
    if (found != last_left.end()) return fmt::format("{}, deleted at {}, has come back", key, at);
    now->tombstones_gone_below = std::max(now->tombstones_gone_below, at + 1);
  }
  return "";
}

std::string LogModel::Reopen(Offset found_start, Offset found_end, std::string_view found) {
  // A log that was empty at the same place before tells nothing of the restart: what is below its start may
  // still be on disk, and comes back where no checkpoint holds that start.
  const bool as_before = start == end && found_start == start && found_end == end;
  if (restarting_at && found.empty() && !as_before) {
    RestartAt(found_end);
    return "";
  }
  if (found_end < flushed) return fmt::format("ends at {}, was flushed up to {}", found_end, flushed);
  const bool start_fits = found_start >= durable_start || found_start == found_end;
  if (!start_fits || found_start > std::max(start, restarting_at.value_or(0))) {
    return fmt::format("starts at {}, not in [{}, {}]", found_start, durable_start, start);
  }
  LogModel now = *this;
  const size_t first = IndexOf(found_start);
  Offset at = first < batches.size() ? batches[first]->base : end;
  // One that compaction has made of several may begin earlier.
  BatchHeader header;
  const Offset compacted = std::max(compacted_below, hidden_below);
  if (compacted > 0 && ParseBatchHeader(found, &header, nullptr, nullptr) == BatchParse::kOk)
    at = std::min(at, header.base_offset);
  now.batches.resize(IndexOf(at));
  now.hidden_below = std::min(compacted, at);
  while (!found.empty()) {
    const auto batch = Match(found, at);
    if (!batch) return fmt::format("holds something else at {}", at);
    at = batch->next;
    found.remove_prefix(batch->bytes.size());
    now.batches.push_back(batch);
  }
  now.end = at;
  now.CutTo(found_end);
  if (now.end != found_end) return fmt::format("ends at {}, which is no end of a batch", found_end);
  now.start = found_start;
  if (compacted_below > 0) {
    if (std::string wrong = CheckCompacted(&now); !wrong.empty()) return wrong;
  }
  *this = std::move(now);
  compacted_below = 0;
  durable_start = std::min(durable_start, start);
  flushed = end;
  refused.clear();
  restarting_at.reset();
  return "";
}

std::string LogModel::EndPass(std::string_view found) {
  LogModel now = *this;
  std::string wrong = now.Reopen(start, end, found);
  batches = std::move(now.batches);
  compacted_below = 0;
  hidden_below = now.hidden_below;
  tombstones_gone_below = now.tombstones_gone_below;
  return wrong;
}

}  // namespace tidemark
