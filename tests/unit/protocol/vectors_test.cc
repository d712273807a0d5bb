// docs/vectors.json against the code: what it shows is what we encode, and what it calls bad is refused as it
// says. TIDEMARK_UPDATE=1 writes the file anew.
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/error.h"
#include "common/record/builder.h"
#include "common/record/crc32c.h"
#include "common/record/murmur2.h"
#include "common/record/reader.h"
#include "common/record/validate.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {
namespace {

using Json = nlohmann::ordered_json;

const char kPath[] = TIDEMARK_SOURCE_DIR "/docs/vectors.json";
const TopicId kTopic = *TopicId::FromBase64("AAECAwQFBgcICQoLDA0ODw");
constexpr PartitionIndex kPartition = 3;
constexpr Offset kBaseOffset = 42;
constexpr LeaderEpoch kEpoch = 7;
constexpr WallMillis kAppendTime = 1'700'000'000'123;
constexpr WallMillis kTimestamp = 1'700'000'000'000;

std::string Hex(std::string_view bytes) {
  std::string text;
  for (unsigned char c : bytes) text += fmt::format("{:02x}", c);
  return text;
}

std::string Unhex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

std::string Frame(const google::protobuf::Message& message) {
  const std::string body = message.SerializeAsString();
  const auto size = static_cast<uint32_t>(body.size());
  const char length[4] = {static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                          static_cast<char>(size >> 8), static_cast<char>(size)};
  return std::string(length, 4) + body;
}

Json ToJson(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &text, options).ok());
  return Json::parse(text);
}

FinishedBatch TwoRecords(v1::Compression codec) {
  BatchBuilder builder;
  const HeaderView headers[] = {{"source", "vector"}, {"empty", std::nullopt}};
  EXPECT_TRUE(builder.Append("key", "value", kTimestamp, headers));
  EXPECT_TRUE(builder.Append("key", std::nullopt, kTimestamp + 5));
  return *builder.Finish(codec);
}

std::vector<v1::Request> Requests() {
  std::vector<v1::Request> requests(4);
  uint64_t id = 0;
  for (v1::Request& request : requests) {
    request.mutable_header()->set_correlation_id(++id);
    request.mutable_header()->set_client_id("vectors");
    request.mutable_header()->set_protocol_version(1);
  }
  requests[0].mutable_api_versions()->set_software_name("vectors");
  requests[1].mutable_metadata()->add_topics()->set_name("orders");
  v1::ProduceRequest* produce = requests[2].mutable_produce();
  produce->set_acks(-1);
  produce->set_timeout_ms(30000);
  v1::ProduceRequest::Topic* topic = produce->add_topics();
  topic->set_id(kTopic.ToBytes());
  v1::ProduceRequest::Partition* partition = topic->add_partitions();
  partition->set_partition(kPartition);
  const FinishedBatch batch = TwoRecords(v1::COMPRESSION_NONE);
  partition->add_batches()->set_body(batch.body);
  partition->mutable_batches(0)->set_body_crc(batch.body_crc);
  v1::FetchRequest* fetch = requests[3].mutable_fetch();
  fetch->set_max_wait_ms(500);
  fetch->set_min_bytes(1);
  fetch->add_topics()->set_id(kTopic.ToBytes());
  fetch->mutable_topics(0)->add_partitions()->set_partition(kPartition);
  fetch->mutable_topics(0)->mutable_partitions(0)->set_fetch_offset(kBaseOffset);
  fetch->mutable_topics(0)->mutable_partitions(0)->set_max_bytes(1 << 20);
  return requests;
}

std::vector<v1::Response> Responses() {
  std::vector<v1::Response> responses(2);
  responses[0].mutable_header()->set_correlation_id(2);
  ToProto(Error{v1::UNSUPPORTED_VERSION, "feature 999999 is not known here"},
          responses[0].mutable_header()->mutable_error());
  responses[1].mutable_header()->set_correlation_id(3);
  v1::ProduceResponse::Topic* topic = responses[1].mutable_produce()->add_topics();
  topic->set_id(kTopic.ToBytes());
  topic->add_partitions()->set_partition(kPartition);
  ToProto(Error{v1::NOT_LEADER_OR_FOLLOWER, "broker 2 leads orders-3"},
          topic->mutable_partitions(0)->mutable_error());
  topic->mutable_partitions(0)->mutable_current_leader()->set_leader(2);
  topic->mutable_partitions(0)->mutable_current_leader()->set_leader_epoch(kEpoch);
  topic->mutable_partitions(0)->mutable_current_leader()->set_host("127.0.0.1");
  topic->mutable_partitions(0)->mutable_current_leader()->set_port(9092);
  return responses;
}

Json Frames() {
  Json frames = Json::array();
  for (const v1::Request& request : Requests()) {
    frames.push_back({{"kind", "Request"}, {"message", ToJson(request)}, {"frame", Hex(Frame(request))}});
  }
  for (const v1::Response& response : Responses()) {
    frames.push_back({{"kind", "Response"}, {"message", ToJson(response)}, {"frame", Hex(Frame(response))}});
  }
  return frames;
}

Json Batches() {
  Json batches = Json::array();
  for (int codec = 0; codec <= 4; ++codec) {
    const FinishedBatch batch = TwoRecords(static_cast<v1::Compression>(codec));
    const BatchPrefix prefix =
        StampBatch(batch.body, batch.body_crc, kBaseOffset, kEpoch, kAppendTime, kTopic, kPartition);
    batches.push_back({{"compression", CompressionName(static_cast<v1::Compression>(codec))},
                       {"records", Json::array({{{"key", "key"},
                                                 {"value", "value"},
                                                 {"timestamp", kTimestamp},
                                                 {"headers", Json::array({Json::array({"source", "vector"}),
                                                                          Json::array({"empty", nullptr})})}},
                                                {{"key", "key"},
                                                 {"value", nullptr},
                                                 {"timestamp", kTimestamp + 5},
                                                 {"headers", Json::array()}}})},
                       {"body", Hex(batch.body)},
                       {"body_crc", batch.body_crc},
                       {"topic_id", Hex(kTopic.ToBytes())},
                       {"partition", kPartition},
                       {"base_offset", kBaseOffset},
                       {"leader_epoch", kEpoch},
                       {"append_time", kAppendTime},
                       {"stored", Hex(std::string(prefix.view()) + batch.body)}});
  }
  return batches;
}

Json Partitions() {
  Json partitions = Json::array();
  for (std::string_view key :
       {"21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string",
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", "abc", "", "\xc3\xa9t\xc3\xa9"}) {
    partitions.push_back({{"key", Hex(key)},
                          {"murmur2", static_cast<int32_t>(Murmur2(key))},
                          {"partition_of_3", PartitionForKey(key, 3)},
                          {"partition_of_12", PartitionForKey(key, 12)}});
  }
  return partitions;
}

Json BadFrame(const char* what, std::string_view bytes, ErrorCode error, bool closes) {
  return {{"what", what}, {"bytes", Hex(bytes)}, {"error", ErrorName(error)}, {"closes", closes}};
}

Json BadFrames() {
  v1::Request empty, feature, cluster;
  empty.mutable_header()->set_correlation_id(1);
  feature = empty;
  feature.mutable_header()->add_required_features(999999);
  feature.mutable_metadata()->set_all_topics(true);
  cluster = empty;
  cluster.mutable_header()->set_cluster_id("another-cluster-000000");
  cluster.mutable_metadata()->set_all_topics(true);
  return Json::array({
      BadFrame("a length over the limit", std::string_view("\x7f\xff\xff\xff", 4), v1::MESSAGE_TOO_LARGE,
               true),
      BadFrame("bytes that are no message", std::string_view("\0\0\0\4\xff\xff\xff\xff", 8),
               v1::INVALID_REQUEST, true),
      BadFrame("a request without a body", Frame(empty), v1::INVALID_REQUEST, false),
      BadFrame("a required feature nobody knows", Frame(feature), v1::UNSUPPORTED_VERSION, false),
      BadFrame("another cluster's id", Frame(cluster), v1::INCONSISTENT_CLUSTER_ID, false),
  });
}

Json BadBatches() {
  Json bad = Json::array();
  auto add = [&bad](const char* what, const v1::BatchBody& body, ErrorCode error, uint32_t crc_change = 0) {
    const std::string bytes = body.SerializeAsString();
    bad.push_back({{"what", what},
                   {"body", Hex(bytes)},
                   {"body_crc", Crc32c(bytes) ^ crc_change},
                   {"error", ErrorName(error)}});
  };
  v1::BatchBody good;
  EXPECT_TRUE(good.ParseFromString(TwoRecords(v1::COMPRESSION_NONE).body));
  add("a wrong checksum", good, v1::CORRUPT_MESSAGE, 1);
  v1::BatchBody body = good;
  body.set_compression(static_cast<v1::Compression>(9));
  add("an unknown codec", body, v1::UNSUPPORTED_COMPRESSION_TYPE);
  body = good;
  body.set_record_count(3);
  body.set_last_offset_delta(2);
  add("a count that is too high", body, v1::INVALID_RECORD);
  body = good;
  body.set_control(true);
  add("a control batch from a producer", body, v1::INVALID_RECORD);
  return bad;
}

Json Document() {
  return {{"frames", Frames()},
          {"batches", Batches()},
          {"partitions", Partitions()},
          {"bad_frames", BadFrames()},
          {"bad_batches", BadBatches()}};
}

Json Stored() {
  std::ifstream file(kPath);
  std::stringstream text;
  text << file.rdbuf();
  return Json::parse(text.str(), nullptr, false);
}

TEST(Vectors, TheFileShowsWhatTheCodeDoes) {
  if (std::getenv("TIDEMARK_UPDATE") != nullptr) std::ofstream(kPath) << Document().dump(1) << "\n";
  const Json stored = Stored();
  ASSERT_FALSE(stored.is_discarded()) << kPath << " is missing or no JSON; TIDEMARK_UPDATE=1 writes it";
  const Json now = Document();
  for (const char* list : {"frames", "partitions", "bad_frames", "bad_batches"}) {
    EXPECT_EQ(stored[list], now[list]) << list << ": TIDEMARK_UPDATE=1 writes the file anew";
  }
  // What a codec writes may differ between its versions; that we write no other bytes uncompressed is fixed.
  EXPECT_EQ(stored["batches"][0], now["batches"][0]);
}

TEST(Vectors, EveryStoredBatchReadsBackAsItsRecords) {
  for (const Json& vector : Stored()["batches"]) {
    SCOPED_TRACE(vector["compression"].get<std::string>());
    const std::string stored = Unhex(vector["stored"]);
    BatchView batch;
    std::string why;
    ASSERT_EQ(ParseBatch(stored, &batch, nullptr, &why), BatchParse::kOk) << why;
    EXPECT_TRUE(VerifyBatch(batch, kTopic, kPartition).has_value());
    EXPECT_EQ(batch.body_crc, vector["body_crc"].get<uint32_t>());
    EXPECT_EQ(Hex(batch.body), vector["body"].get<std::string>());
    ScratchBuffer scratch;
    EXPECT_TRUE(ValidateProducerBatch(batch.body, batch.body_crc, {}, scratch).has_value());
    auto reader = RecordReader::Open(batch, scratch);
    ASSERT_TRUE(reader.has_value());
    RecordView record;
    for (const Json& expected : vector["records"]) {
      ASSERT_TRUE(reader->Next(&record));
      EXPECT_EQ(record.timestamp, expected["timestamp"].get<int64_t>());
      EXPECT_EQ(record.key, expected["key"].get<std::string>());
      EXPECT_EQ(record.value.has_value(), !expected["value"].is_null());
      EXPECT_EQ(record.header_count, expected["headers"].size());
    }
    EXPECT_FALSE(reader->Next(&record));
  }
}

TEST(Vectors, BadBatchesAreRefusedAsSaid) {
  for (const Json& vector : Stored()["bad_batches"]) {
    SCOPED_TRACE(vector["what"].get<std::string>());
    ScratchBuffer scratch;
    const std::string body = Unhex(vector["body"]);
    auto result = ValidateProducerBatch(body, vector["body_crc"].get<uint32_t>(), {}, scratch);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(ErrorName(result.error().code), vector["error"].get<std::string>()) << result.error().message;
    EXPECT_FALSE(result.error().message.empty());
  }
}

}  // namespace
}  // namespace tidemark
