// What /metrics says of requests: which failed and with what, and how many records producers have appended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/server/request_errors.h"
#include "broker/server/request_metrics.h"
#include "common/error.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(RequestErrors, AreThoseOfTheHeaderAndOfEachPartOnceEach) {
  v1::Response response;
  auto* topic = response.mutable_produce()->add_topics();
  topic->add_partitions()->set_base_offset(7);
  EXPECT_THAT(ErrorsOf(response), IsEmpty());
  for (const v1::ErrorCode code :
       {v1::NOT_LEADER_OR_FOLLOWER, v1::DISK_FULL, v1::NOT_LEADER_OR_FOLLOWER, v1::NONE})
    topic->add_partitions()->mutable_error()->set_code(code);
  EXPECT_THAT(ErrorsOf(response), ElementsAre(v1::NOT_LEADER_OR_FOLLOWER, v1::DISK_FULL));
  response.mutable_header()->mutable_error()->set_code(v1::INVALID_REQUEST);
  EXPECT_THAT(ErrorsOf(response),
              ElementsAre(v1::INVALID_REQUEST, v1::NOT_LEADER_OR_FOLLOWER, v1::DISK_FULL));
}

TEST(RequestErrors, AreNotWhatAnAnswerDescribes) {
  v1::Response response;
  response.mutable_describe_replicas()->add_replicas()->mutable_offline()->set_code(v1::KAFKA_STORAGE_ERROR);
  EXPECT_THAT(ErrorsOf(response), IsEmpty()) << "a replica is offline; the request to describe it went well";
}

TEST(RequestErrors, HaveAPlaceForEachCodeOfTheTable) {
  const google::protobuf::EnumDescriptor* table = v1::ErrorCode_descriptor();
  ASSERT_LE(static_cast<size_t>(table->value_count()), ApiMetrics::kErrors) << "raise kErrors";
  for (int i = 0; i < table->value_count(); ++i) {
    const auto code = static_cast<v1::ErrorCode>(table->value(i)->number());
    EXPECT_EQ(ApiMetrics::CodeAt(ApiMetrics::PlaceOf(code)), code);
  }
  EXPECT_EQ(ApiMetrics::CodeAt(ApiMetrics::PlaceOf(static_cast<v1::ErrorCode>(31999))),
            v1::UNKNOWN_SERVER_ERROR);
}

class RequestCounts : public testing::Test {
 protected:
  RequestCounts() : cluster_(11, 1, {{"offsets.topic.replication.factor", "1"}}) {
    cluster_.StartAll();
    topic_ = cluster_.CreateTopic("orders", 1, 1);
    CHECK(cluster_.WaitForLeaders("orders"));
  }
  std::string Metrics() { return cluster_.Http(0, {.path = "/metrics"}).body; }
  static std::string Errors(const std::string& api, const std::string& error, const std::string& of_class,
                            int count) {
    return fmt::format("tidemark_request_errors_total{{api=\"{}\",error=\"{}\",class=\"{}\"}} {}\n", api,
                       error, of_class, count);
  }

  SimBrokers cluster_;
  TopicId topic_;
};

TEST_F(RequestCounts, TellHowManyRecordsProducersHaveAppended) {
  cluster_.Produce("orders", 0, {"one", "two", "three"});
  cluster_.Produce("orders", 0, {"four"});
  EXPECT_THAT(Metrics(), HasSubstr("\ntidemark_produced_records_total 4\n"));
}

TEST_F(RequestCounts, DoNotTakeCommittedOffsetsForTrafficOfProducers) {
  cluster_.Produce("orders", 0, {"one"});
  v1::Request request;
  v1::OffsetCommitRequest* commit = request.mutable_offset_commit();
  commit->set_group_id("readers");
  commit->set_member_epoch(-1);
  auto* topic = commit->add_topics();
  topic->set_topic_id(topic_.ToBytes());
  topic->add_partitions()->set_offset(1);
  v1::Request find;
  find.mutable_find_coordinator()->add_group_ids("readers");
  bool committed = false;
  for (int tries = 0; tries < 100 && !committed; ++tries) {
    (void)cluster_.Call(0, find);
    const Result<v1::Response> answer = cluster_.Call(0, request);
    committed =
        answer && answer->has_offset_commit() && !answer->offset_commit().topics(0).partitions(0).has_error();
    cluster_.world().RunFor(500ms);
  }
  ASSERT_TRUE(committed);
  EXPECT_THAT(Metrics(), HasSubstr("\ntidemark_produced_records_total 1\n"));
}

TEST_F(RequestCounts, TellFailuresByApiAndErrorWhateverTheClientWasTold) {
  cluster_.Produce("orders", 0, {"one"});
  EXPECT_THAT(Metrics(), HasSubstr(Errors("produce", "UNKNOWN_SERVER_ERROR", "fatal", 0)));
  EXPECT_THAT(Metrics(), Not(HasSubstr("error=\"UNKNOWN_TOPIC_OR_PARTITION\"")));
  EXPECT_TRUE(cluster_.ProduceOnce(0, topic_, 9, {"nowhere"}).has_error());
  EXPECT_THAT(Metrics(), HasSubstr(Errors("produce", "UNKNOWN_TOPIC_OR_PARTITION", "refresh_metadata", 1)));
  // Who does not wait for an answer never hears of it; the operator does.
  (void)cluster_.ProduceOnce(0, topic_, 9, {"nowhere"}, 0);
  EXPECT_THAT(Metrics(), HasSubstr(Errors("produce", "UNKNOWN_TOPIC_OR_PARTITION", "refresh_metadata", 2)));
  // The whole request.
  EXPECT_FALSE([&] {
    v1::Request request;
    request.mutable_produce()->set_acks(5);
    return cluster_.Call(0, request);
  }());
  EXPECT_THAT(Metrics(), HasSubstr(Errors("produce", "INVALID_REQUIRED_ACKS", "fix_request", 1)));
}

}  // namespace
}  // namespace tidemark
