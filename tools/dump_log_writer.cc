#include "tools/dump_log_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "common/record/compression.h"
#include "tools/field_text.h"

namespace tidemark {
namespace {

using Json = nlohmann::ordered_json;

// "-1" for what a batch does not carry, as Kafka prints it.
template <typename T>
int64_t OrMinusOne(const std::optional<T>& value) {
  return value ? static_cast<int64_t>(*value) : -1;
}

int64_t SizeOrMinusOne(const std::optional<std::string_view>& bytes) {
  return bytes ? static_cast<int64_t>(bytes->size()) : -1;
}

std::string_view TimeWord(const BodyInfo& body) {
  return body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? "LogAppendTime" : "CreateTime";
}

WallMillis TimeOf(const DumpedBatch& dumped) {
  const bool by_broker = dumped.body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME;
  return by_broker ? dumped.batch.append_time : dumped.body.max_timestamp;
}

// Sequence numbers wrap at 2^31, as Kafka's do; -1 without one.
int64_t SequenceAt(const BodyInfo& body, uint64_t delta) {
  if (!body.base_sequence) return -1;
  return static_cast<int64_t>((*body.base_sequence + delta) & 0x7fffffff);
}

std::vector<std::string_view> HeaderKeys(const RecordView& record) {
  std::vector<std::string_view> names;
  HeaderView header;
  for (HeaderCursor cursor = record.headers(); cursor.Next(&header);) names.push_back(header.key);
  return names;
}

// What is none, or not known, is shown as the bytes it has.
std::optional<GroupRecordText> GroupTextOf(const DumpOptions& options, const RecordView& record) {
  if (!options.print_data || !options.offsets) return std::nullopt;
  auto text = DescribeGroupRecord(record.key, record.value);
  return text ? *std::move(text) : std::nullopt;
}

class TextWriter final : public DumpWriter {
 public:
  TextWriter(const DumpOptions& options, const TextSink& out) : options_(options), out_(out) {}

  void File(const std::string& path) override { out_(fmt::format("Dumping {}\n", path)); }
  void StartOffset(Offset offset) override { out_(fmt::format("Log starting offset: {}\n", offset)); }

  void Batch(const DumpedBatch& dumped) override {
    const auto& [batch, body, position, valid] = dumped;
    out_(fmt::format(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} "
        "producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {} "
        "position: {} {}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}\n",
        batch.base_offset, batch.base_offset + body.last_offset_delta, body.record_count, SequenceAt(body, 0),
        SequenceAt(body, body.last_offset_delta), OrMinusOne(body.producer_id),
        OrMinusOne(body.producer_epoch), batch.leader_epoch, body.transactional, body.control,
        body.delete_horizon ? fmt::format("OptionalLong[{}]", *body.delete_horizon) : "OptionalLong.empty",
        position, TimeWord(body), TimeOf(dumped), batch.total_bytes(), 1, CompressionName(body.compression),
        batch.body_crc, valid));
  }

  void Record(const RecordView& record, const BodyInfo& body, uint64_t delta) override {
    line_ = "|";
    if (!options_.skip_metadata) {
      fmt::format_to(std::back_inserter(line_),
                     " offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
                     record.offset, TimeWord(body), record.timestamp, SizeOrMinusOne(record.key),
                     SizeOrMinusOne(record.value), SequenceAt(body, delta),
                     fmt::join(HeaderKeys(record), ","));
    }
    if (const auto text = GroupTextOf(options_, record)) {
      line_.append(" key: ").append(text->key).append(" payload: ").append(text->value);
    } else if (options_.print_data) {
      if (record.key) line_.append(" key: ").append(*record.key);
      if (record.value) line_.append(" payload: ").append(*record.value);
    }
    line_ += '\n';
    out_(line_);
  }

  void OffsetEntry(Offset offset, uint64_t position) override {
    out_(fmt::format("offset: {} position: {}\n", offset, position));
  }
  void TimeEntry(WallMillis timestamp, Offset offset) override {
    out_(fmt::format("timestamp: {} offset: {}\n", timestamp, offset));
  }
  void Seal(const SegmentSeal& seal, bool by_time) override {
    out_(by_time
             ? fmt::format("seal: timestamp: {} offset: {}\n", seal.max_timestamp, seal.max_timestamp_offset)
             : fmt::format("seal: end offset: {} log size: {}\n", seal.end, seal.size));
  }
  void SanityPassed(const std::string& path) override {
    out_(fmt::format("{} passed sanity check.\n", path));
  }
  void Finding(const std::string& /*path*/, std::optional<uint64_t> /*position*/,
               const std::string& text) override {
    out_(text + "\n");
  }
  void Mismatches(const std::string& path, const std::vector<std::string>& mismatches) override {
    out_(fmt::format("Mismatches in :{}\n", path));
    for (const std::string& mismatch : mismatches) out_(fmt::format("  {}\n", mismatch));
  }

 private:
  const DumpOptions& options_;
  const TextSink& out_;
  std::string line_;
};

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string Base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < have ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= have ? kBase64[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::string Dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json BytesAsJson(const std::optional<std::string_view>& bytes) {
  if (!bytes) return nullptr;
  // The library's own check of UTF-8, without its exception.
  const Json text = std::string(*bytes);
  const std::string lenient = text.dump(-1, ' ', false, Json::error_handler_t::ignore);
  if (Json::parse(lenient, nullptr, false) == text) return text;
  return {{"base64", Base64(*bytes)}};
}

class JsonWriter final : public DumpWriter {
 public:
  JsonWriter(const DumpOptions& options, const TextSink& out) : options_(options), out_(out) {}

  void File(const std::string& path) override { Put({{"type", "file"}, {"path", path}}); }
  void StartOffset(Offset offset) override { Put({{"type", "log"}, {"startOffset", offset}}); }

  void Batch(const DumpedBatch& dumped) override {
    const auto& [batch, body, position, valid] = dumped;
    Json json = {{"type", "batch"},
                 {"baseOffset", batch.base_offset},
                 {"lastOffset", batch.base_offset + body.last_offset_delta},
                 {"count", body.record_count},
                 {"baseSequence", SequenceAt(body, 0)},
                 {"lastSequence", SequenceAt(body, body.last_offset_delta)},
                 {"producerId", OrMinusOne(body.producer_id)},
                 {"producerEpoch", OrMinusOne(body.producer_epoch)},
                 {"partitionLeaderEpoch", batch.leader_epoch},
                 {"isTransactional", body.transactional},
                 {"isControl", body.control},
                 {"deleteHorizonMs", nullptr},
                 {"position", position},
                 {"timestampType", TimeWord(body)},
                 {"timestamp", TimeOf(dumped)},
                 {"appendTime", batch.append_time},
                 {"size", batch.total_bytes()},
                 {"magic", 1},
                 {"compresscodec", CompressionName(body.compression)},
                 {"crc", batch.body_crc},
                 {"isvalid", valid}};
    if (body.delete_horizon) json["deleteHorizonMs"] = *body.delete_horizon;
    Put(json);
  }

  void Record(const RecordView& record, const BodyInfo& body, uint64_t delta) override {
    Json json = {{"type", "record"}};
    if (!options_.skip_metadata) {
      json["offset"] = record.offset;
      json["timestampType"] = TimeWord(body);
      json["timestamp"] = record.timestamp;
      json["keySize"] = SizeOrMinusOne(record.key);
      json["valueSize"] = SizeOrMinusOne(record.value);
      json["sequence"] = SequenceAt(body, delta);
      json["headerKeys"] = Json::array();
      for (const std::string_view key : HeaderKeys(record)) json["headerKeys"].push_back(BytesAsJson(key));
    }
    if (const auto text = GroupTextOf(options_, record)) {
      json["key"] = Json::parse(text->key, nullptr, false);
      json["payload"] = Json::parse(text->value, nullptr, false);
    } else if (options_.print_data) {
      json["key"] = BytesAsJson(record.key);
      json["payload"] = BytesAsJson(record.value);
    }
    Put(json);
  }

  void OffsetEntry(Offset offset, uint64_t position) override {
    Put({{"type", "indexEntry"}, {"offset", offset}, {"position", position}});
  }
  void TimeEntry(WallMillis timestamp, Offset offset) override {
    Put({{"type", "timeIndexEntry"}, {"timestamp", timestamp}, {"offset", offset}});
  }
  void Seal(const SegmentSeal& seal, bool by_time) override {
    if (by_time) {
      Put({{"type", "seal"}, {"timestamp", seal.max_timestamp}, {"offset", seal.max_timestamp_offset}});
    } else {
      Put({{"type", "seal"}, {"endOffset", seal.end}, {"logSize", seal.size}});
    }
  }
  void SanityPassed(const std::string& path) override {
    Put({{"type", "sanityCheck"}, {"path", path}, {"passed", true}});
  }
  void Finding(const std::string& path, std::optional<uint64_t> position, const std::string& text) override {
    Json json = {{"type", "finding"}, {"path", path}, {"position", nullptr}, {"message", text}};
    if (position) json["position"] = *position;
    Put(json);
  }
  void Mismatches(const std::string& path, const std::vector<std::string>& mismatches) override {
    for (const std::string& mismatch : mismatches) Finding(path, std::nullopt, mismatch);
  }

 private:
  void Put(const Json& json) { out_(Dumped(json) + "\n"); }

  const DumpOptions& options_;
  const TextSink& out_;
};

}  // namespace

std::unique_ptr<DumpWriter> MakeDumpWriter(const DumpOptions& options, const TextSink& out) {
  if (options.json) return std::make_unique<JsonWriter>(options, out);
  return std::make_unique<TextWriter>(options, out);
}

std::string JsonOfBytes(const std::optional<std::string_view>& bytes) { return Dumped(BytesAsJson(bytes)); }

}  // namespace tidemark
