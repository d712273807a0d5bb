// When a broker says that it serves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::Contains;

// A second broker starts while the controller stands still and is not taken for dead.
class StartWithoutController : public testing::Test {
 protected:
  StartWithoutController() : cluster_(9, 2, {{"zookeeper.session.timeout.ms", "60000"}}) {
    CHECK(cluster_.Start(0));
    CHECK(cluster_.broker(0)->is_controller());
    cluster_.process(0).Pause();
    broker_ = cluster_.Launch(1).second;
    cluster_.process(1).Spawn("start", [this] { return Start(broker_, started_); });
    cluster_.world().RunFor(20s);
  }
  using Started = std::shared_ptr<std::optional<Result<>>>;
  static Task<void> Start(std::shared_ptr<Broker> broker, Started into) { *into = co_await broker->Start(); }

  SimBrokers cluster_;
  std::shared_ptr<Broker> broker_;
  const Started started_ = std::make_shared<std::optional<Result<>>>();
};

TEST_F(StartWithoutController, IsDoneWhenTheControllerHasToldWhatToServe) {
  EXPECT_FALSE(started_->has_value()) << "it would be called ready and answer nobody";
  EXPECT_THAT(broker_->NotReadyReasons(), Contains("waiting for a controller"));
  cluster_.process(0).Resume();
  ASSERT_TRUE(cluster_.world().RunUntil([&] { return started_->has_value(); }, 60s));
  EXPECT_TRUE(**started_);
  EXPECT_THAT(broker_->NotReadyReasons(), testing::IsEmpty());
}

TEST_F(StartWithoutController, CanBeStopped) {
  cluster_.process(1).main_loop().Post([this] { broker_->RequestStop(); });
  ASSERT_TRUE(cluster_.world().RunUntil([&] { return started_->has_value(); }, 60s));
  ASSERT_FALSE(**started_);
  EXPECT_EQ((*started_)->error().code, v1::CANCELLED);
}

}  // namespace
}  // namespace tidemark
