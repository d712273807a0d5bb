// A broker that recovers its logs says so, and how far that is, where operators look.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::Contains;
using testing::HasSubstr;

class NoHttpServer final : public AdminServer {
 public:
  Endpoint endpoint() const override { return {"127.0.0.1", 1}; }
};

Task<void> StartAside(std::shared_ptr<Broker> broker) { (void)co_await broker->Start(); }

TEST(RecoveryTold, ByReadyzAndMetrics) {
  SimBrokers cluster(1, 1);
  cluster.StartAll();
  cluster.CreateTopic("orders", 3, 1);
  for (uint32_t partition = 0; partition < 3; ++partition) cluster.Produce("orders", partition, {"a"});
  cluster.Kill(0);
  AdminHandler admin;
  BrokerOptions options;
  options.admin = [&](const Endpoint&, AdminHandler handler) -> Result<std::unique_ptr<AdminServer>> {
    admin = std::move(handler);
    return std::make_unique<NoHttpServer>();
  };
  const auto broker = cluster.Launch(0, std::move(options)).second;
  cluster.process(0).Spawn("start", [broker] { return StartAside(broker); });
  const auto says = [&](const char* what) {
    return testing::Matches(Contains(HasSubstr(what)))(broker->NotReadyReasons());
  };
  const auto get = [&](const char* path) {
    std::optional<AdminReply> reply;
    admin({.path = path}, [&](AdminReply answer) { reply = std::move(answer); });
    CHECK(cluster.world().RunUntil([&] { return reply.has_value(); }, 10s)) << path;
    return *reply;
  };
  ASSERT_TRUE(cluster.world().RunUntil([&] { return says("waiting for a controller"); }, 60s));
  cluster.process(0).pool().SetHung(true);
  ASSERT_TRUE(cluster.world().RunUntil([&] { return says("0 of 3 logs recovered"); }, 60s));
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_THAT(get("/readyz").body, HasSubstr("0 of 3 logs recovered"));
  EXPECT_THAT(get("/metrics").body, HasSubstr("tidemark_recovery_logs_remaining 3\n"));
  cluster.process(0).pool().SetHung(false);
  ASSERT_TRUE(cluster.world().RunUntil([&] { return broker->NotReadyReasons().empty(); }, 60s));
  EXPECT_EQ(get("/readyz").status, 200);
  EXPECT_THAT(get("/metrics").body, HasSubstr("tidemark_recovery_logs_remaining 0\n"));
}

}  // namespace
}  // namespace tidemark
