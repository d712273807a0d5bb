// Admin calls that ask for more than one request may: they are split, and the answers come together in the
// order asked.
#include "client/admin.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/request_limits.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {
namespace {

class AdminSplitsTest : public ::testing::Test {
 protected:
  AdminSplitsTest() : fakes_(env_, 1) {
    fakes_.AddTopic("orders", kMaxPartitionsListed + 1);
    fakes_.on_other = [this](BrokerId, const v1::Request& request) { return Serve(request); };
    cluster_.emplace(env_, env_.loop, ClientOptions{.bootstrap = fakes_.bootstrap()});
    admin_.emplace(*cluster_);
  }
  ~AdminSplitsTest() override { env_.Run(cluster_->Close()); }

  // Tells what was asked.
  Result<v1::Response> Serve(const v1::Request& request) {
    v1::Response response;
    size_t asked = 0;
    if (request.has_describe_configs()) {
      asked = request.describe_configs().entities_size();
      auto& out = *response.mutable_describe_configs();
      for (const auto& entity : request.describe_configs().entities())
        *out.add_results()->mutable_entity() = entity;
      for (const int type : request.describe_configs().all_of())
        out.add_results()->mutable_entity()->set_type(static_cast<v1::ConfigEntityType>(type));
    } else if (request.has_describe_topics()) {
      asked = request.describe_topics().names_size();
      for (const auto& name : request.describe_topics().names())
        response.mutable_describe_topics()->add_topics()->set_name(name);
    } else if (request.has_delete_records()) {
      for (const auto& topic : request.delete_records().topics()) {
        auto& out = *response.mutable_delete_records()->add_topics();
        asked += topic.partitions_size();
        for (const auto& partition : topic.partitions())
          out.add_partitions()->set_low_watermark(static_cast<uint64_t>(partition.offset()));
      }
    }
    asked_.push_back(asked);
    return response;
  }

  MonoTime Deadline() { return env_.loop.Now() + 30s; }

  MemoryEnvironment env_;
  FakeBrokers fakes_;
  std::optional<Cluster> cluster_;
  std::optional<Admin> admin_;
  std::vector<size_t> asked_;  // per request
};

TEST_F(AdminSplitsTest, ConfigsOfManyAreAskedInSeveralRequests) {
  v1::DescribeConfigsRequest request;
  for (size_t i = 0; i < 2 * kMaxEntitiesAsked + 1; ++i) request.add_entities()->set_name(std::to_string(i));
  request.add_all_of(v1::CONFIG_ENTITY_TYPE_CLIENT);
  const auto answer = env_.Run(admin_->DescribeConfigs(request, Deadline()));
  ASSERT_TRUE(answer);
  EXPECT_EQ(asked_, (std::vector<size_t>{kMaxEntitiesAsked, kMaxEntitiesAsked, 1}));
  ASSERT_EQ(answer->results_size(), request.entities_size() + 1);
  for (int i = 0; i < request.entities_size(); ++i)
    EXPECT_EQ(answer->results(i).entity().name(), request.entities(i).name());
  EXPECT_EQ(answer->results().rbegin()->entity().type(), v1::CONFIG_ENTITY_TYPE_CLIENT);
}

TEST_F(AdminSplitsTest, ConfigsOfAllNeedNoEntity) {
  v1::DescribeConfigsRequest request;
  request.add_all_of(v1::CONFIG_ENTITY_TYPE_BROKER);
  const auto answer = env_.Run(admin_->DescribeConfigs(request, Deadline()));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->results_size(), 1);
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(AdminSplitsTest, ManyTopicsAreAskedInSeveralRequests) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kMaxTopicsAsked + 1; ++i) names.push_back(std::to_string(i));
  const auto answer = env_.Run(admin_->DescribeTopics(names, Deadline()));
  ASSERT_TRUE(answer);
  EXPECT_EQ(asked_, (std::vector<size_t>{kMaxTopicsAsked, 1}));
  ASSERT_EQ(answer->topics_size(), static_cast<int>(names.size()));
  EXPECT_EQ(answer->topics().rbegin()->name(), names.back());
}

TEST_F(AdminSplitsTest, RecordsOfManyPartitionsAreDeletedInSeveralRequests) {
  std::vector<RecordDeletion> deletions;
  for (size_t i = 0; i < kMaxPartitionsListed + 1; ++i)
    deletions.push_back({.topic = "orders", .partition = static_cast<PartitionIndex>(i), .before = i});
  const auto outcomes = env_.Run(admin_->DeleteRecords(deletions, Deadline()));
  EXPECT_EQ(asked_, (std::vector<size_t>{kMaxPartitionsListed, 1}));
  ASSERT_EQ(outcomes.size(), deletions.size());
  for (size_t i = 0; i < outcomes.size(); ++i) EXPECT_EQ(outcomes[i].low_watermark.value(), i);
}

}  // namespace
}  // namespace tidemark::testing
