#include "broker/log/cleaner_batch.h"

#include <algorithm>

#include <glog/logging.h>

#include "common/record/crc32c.h"
#include "common/record/reader.h"
#include "common/record/record_scan.h"
#include "common/record/wire.h"

namespace tidemark {
namespace {

enum BodyField : uint32_t {
  kLastOffsetDelta = 3,
  kMaxTimestamp = 5,
  kRecordCount = 9,
  kRecordsSize = 13,
  kDeleteHorizon = 14,
  kRecords = 15,
};

// What a rewrite gives the fields that it may change.
struct BodyFields {
  uint32_t last_offset_delta = 0;
  int64_t max_timestamp = 0;
  uint32_t record_count = 0;
  uint32_t records_size = 0;
  std::optional<int64_t> delete_horizon;
  std::string_view records;
};

BodyFields FieldsOf(const BodyInfo& info) {
  return {info.last_offset_delta, info.max_timestamp,  info.record_count,
          info.records_size,      info.delete_horizon, info.records};
}

void AppendVarintField(std::string* out, uint32_t field, uint64_t value) {
  char bytes[11];
  bytes[0] = static_cast<char>(wire::Tag(field, wire::kVarint));
  out->append(bytes, static_cast<size_t>(wire::WriteVarint(bytes + 1, value) - bytes));
}

void AppendBytesField(std::string* out, uint32_t field, std::string_view value) {
  char head[11];
  head[0] = static_cast<char>(wire::Tag(field, wire::kLengthDelimited));
  out->append(head, static_cast<size_t>(wire::WriteVarint(head + 1, value.size()) - head));
  out->append(value);
}

void AppendFields(std::string* out, const BodyFields& fields) {
  // proto3 leaves defaults out.
  if (fields.last_offset_delta != 0) AppendVarintField(out, kLastOffsetDelta, fields.last_offset_delta);
  if (fields.max_timestamp != 0)
    AppendVarintField(out, kMaxTimestamp, static_cast<uint64_t>(fields.max_timestamp));
  if (fields.record_count != 0) AppendVarintField(out, kRecordCount, fields.record_count);
  if (fields.records_size != 0) AppendVarintField(out, kRecordsSize, fields.records_size);
  if (fields.delete_horizon)
    AppendVarintField(out, kDeleteHorizon, static_cast<uint64_t>(*fields.delete_horizon));
  if (!fields.records.empty()) AppendBytesField(out, kRecords, fields.records);
}

// The body with these fields; all others as they are, known or not. `body` has been parsed.
std::string RewriteBody(std::string_view body, const BodyFields& fields) {
  std::string out;
  out.reserve(64 + fields.records.size());
  const char* at = body.data();
  const char* const end = at + body.size();
  while (at < end) {
    const char* const begin = at;
    uint64_t tag = 0;
    at = wire::ReadVarint(at, end, &tag);
    CHECK(at != nullptr);
    at = wire::SkipField(at, end, tag);
    CHECK(at != nullptr);
    switch (tag >> 3) {
      case kLastOffsetDelta:
      case kMaxTimestamp:
      case kRecordCount:
      case kRecordsSize:
      case kDeleteHorizon:
      case kRecords:
        break;
      default:
        out.append(begin, static_cast<size_t>(at - begin));
    }
  }
  AppendFields(&out, fields);
  return out;
}

// What a walk over the records finds.
struct Walk {
  uint32_t kept = 0;
  bool kept_tombstone = false;
  WallMillis max_timestamp = -1;
};

bool Stays(const RecordView& record, const BodyInfo& info, const CleanTerms& terms, CleanedBatch* out) {
  if (record.offset >= terms.end) return true;
  if (!record.key) {
    ++out->dropped_without_key;
    return false;
  }
  const auto last = terms.last_offsets->Find(*record.key);
  if (last && *last > record.offset) return false;
  const bool may_drop = !record.value && info.delete_horizon && *info.delete_horizon < terms.now &&
                        record.offset < terms.keep_tombstones_from;
  if (may_drop) out->dropped_tombstones_below = record.offset + 1;
  return !may_drop;
}

Result<Walk> WalkRecords(const BatchView& batch, const BodyInfo& info, const CleanTerms& terms,
                         CleanScratch& scratch, CleanedBatch* out) {
  Walk walk;
  scratch.kept.clear();
  auto reader = RecordReader::Open(batch, scratch.records);
  if (!reader) return Fail(v1::INVALID_RECORD, "{}", reader.error().message);
  RecordView record;
  while (reader->Next(&record)) {
    if (!Stays(record, info, terms, out)) {
      ++out->dropped_records;
      continue;
    }
    ++walk.kept;
    walk.kept_tombstone = walk.kept_tombstone || !record.value;
    walk.max_timestamp = std::max(walk.max_timestamp, record.timestamp);
    AppendBytesField(&scratch.kept, 1, record.encoded);
  }
  if (reader->error()) return Fail(v1::INVALID_RECORD, "{}", reader->error()->message);
  return walk;
}

}  // namespace

Result<CleanedBatch> CleanBatch(const BatchView& batch, const BodyInfo& info, const CleanTerms& terms,
                                CleanScratch& scratch) {
  CleanedBatch out{.max_timestamp = info.max_timestamp};
  if (info.record_count == 0) {
    out.fate = CleanFate::kEmptied;
    return out;
  }
  // Markers are no records of the application's.
  if (info.control || batch.base_offset >= terms.end) return out;
  TM_ASSIGN_OR_RETURN(const Walk walk, WalkRecords(batch, info, terms, scratch, &out));
  if (walk.kept == 0) {
    out.fate = CleanFate::kEmptied;
    return out;
  }
  BodyFields fields = FieldsOf(info);
  // Only once all of the batch's tombstones have taken effect here does their time begin.
  const bool stamp =
      walk.kept_tombstone && !info.delete_horizon && batch.base_offset + info.last_offset_delta < terms.end;
  if (stamp) fields.delete_horizon = terms.delete_horizon;
  if (out.dropped_records == 0) {
    if (!stamp) return out;
    out.fate = CleanFate::kRewritten;
    out.body = RewriteBody(batch.body, fields);
    return out;
  }
  std::string compressed;
  if (info.compression == v1::COMPRESSION_NONE) {
    fields.records = scratch.kept;
  } else {
    TM_RETURN_IF_ERROR(Compress(info.compression, scratch.kept, &compressed));
    fields.records = compressed;
  }
  fields.record_count = walk.kept;
  fields.records_size = static_cast<uint32_t>(scratch.kept.size());
  if (info.timestamp_type == v1::TIMESTAMP_TYPE_CREATE_TIME) fields.max_timestamp = walk.max_timestamp;
  out.max_timestamp = fields.max_timestamp;
  out.fate = CleanFate::kRewritten;
  out.body = RewriteBody(batch.body, fields);
  if (out.body.size() > kMaxBodyBytes) {
    return Fail(v1::INVALID_RECORD, "batch {} would grow beyond {} bytes", batch.base_offset, kMaxBodyBytes);
  }
  return out;
}

bool MayExtend(const BodyInfo& info) { return !info.producer_id && !info.control && !info.transactional; }

std::string ExtendBody(std::string_view body, uint32_t last_offset_delta) {
  const auto info = ParseBody(body);
  CHECK(info) << ToString(info.error());
  BodyFields fields = FieldsOf(*info);
  CHECK_GE(last_offset_delta, fields.last_offset_delta);
  fields.last_offset_delta = last_offset_delta;
  return RewriteBody(body, fields);
}

std::string EmptyBody(uint32_t last_offset_delta) {
  std::string out;
  AppendFields(&out, {.last_offset_delta = last_offset_delta, .max_timestamp = -1, .delete_horizon = {}});
  return out;
}

Result<std::string_view> ContinueAt(std::string_view bytes, Offset end, const PartitionKey& key,
                                    std::string* storage) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    BatchView batch;
    if (ParseBatch(rest, &batch, nullptr, nullptr) != BatchParse::kOk) return bytes;
    if (batch.base_offset >= end) return bytes;
    const auto info = ParseBody(batch.body);
    if (!info) return bytes;
    rest.remove_prefix(batch.total_bytes());
    const Offset last = batch.base_offset + info->last_offset_delta;
    if (last < end) continue;
    TM_RETURN_IF_ERROR(VerifyBatch(batch, key.topic, key.partition));
    ScratchBuffer scratch;
    auto reader = RecordReader::Open(batch, scratch);
    if (!reader) return bytes;
    RecordView record;
    while (reader->Next(&record)) {
      if (record.offset >= end) return bytes;
    }
    if (reader->error()) return bytes;
    const std::string body = EmptyBody(static_cast<uint32_t>(last - end));
    const BatchPrefix prefix =
        StampBatch(body, Crc32c(body), end, batch.leader_epoch, batch.append_time, key.topic, key.partition);
    storage->assign(prefix.view());
    storage->append(body);
    storage->append(rest);
    return std::string_view(*storage);
  }
  return bytes;
}

}  // namespace tidemark
