// docs/protocol.md names what a client may ask and what the answer to DescribeConfigs holds.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tidemark/v1/envelope.pb.h"

namespace tidemark {
namespace {

std::string Page() {
  std::ifstream file(TIDEMARK_SOURCE_DIR "/docs/protocol.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ProtocolPage, NamesEveryRequest) {
  // Of brokers among themselves: control_api.proto explains them.
  const std::set<std::string> between_brokers = {"LeaderAndIsr",   "UpdateMetadata",   "StopReplica",
                                                 "AlterPartition", "ResignLeadership", "ControlledShutdown"};
  const std::string page = Page();
  const google::protobuf::OneofDescriptor* bodies = v1::Request::descriptor()->FindOneofByName("body");
  ASSERT_GT(bodies->field_count(), 20);
  for (int i = 0; i < bodies->field_count(); ++i) {
    std::string name = bodies->field(i)->message_type()->name();
    ASSERT_TRUE(name.ends_with("Request")) << name;
    name.resize(name.size() - std::string_view("Request").size());
    if (between_brokers.contains(name)) continue;
    EXPECT_NE(page.find("`" + name + "`"), std::string::npos) << name << " is not on docs/protocol.md";
  }
}

TEST(ProtocolPage, ExplainsWhatDescribedConfigsHold) {
  const std::string page = Page();
  const google::protobuf::Descriptor* result = v1::DescribeConfigsResponse::Result::descriptor();
  for (int i = 0; i < result->field_count(); ++i) {
    const std::string name = result->field(i)->name();
    if (name == "entity" || name == "error") continue;
    EXPECT_NE(page.find("`" + name + "`"), std::string::npos) << name;
  }
}

TEST(ProtocolPage, IsRightAboutHowManyGroupsAnAnswerHolds) {
  v1::Response response;
  for (int i = 0; i < 10'000; ++i) {
    auto* group = response.mutable_list_groups()->add_groups();
    group->set_group_id(std::string(255, 'g'));
    group->set_state(v1::GROUP_STATE_STABLE);
    group->set_members(1'000'000);
    group->set_assignor("roundrobin");
  }
  EXPECT_LT(response.ByteSizeLong(), 3'000'000u);
  EXPECT_LT(20 * response.ByteSizeLong(), 64u << 20) << "200,000 of them";
}

}  // namespace
}  // namespace tidemark
