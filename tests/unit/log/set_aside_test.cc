// Damaged logs that are set aside again and again.
#include "broker/log/set_aside.h"

#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SetAside, TheFirstAndTheNewestAreKept) {
  const std::string f = "orders-1";
  EXPECT_EQ(PlanSetAside({}, f).number, 1u);
  const std::vector<std::string> one = {"orders-1", "orders-1-damaged.1"};
  EXPECT_EQ(PlanSetAside(one, f).number, 2u);
  EXPECT_THAT(PlanSetAside(one, f).to_remove, IsEmpty());
  const std::vector<std::string> more = {"orders-1-damaged.10", "orders-1-damaged.2", "orders-1-damaged.9"};
  EXPECT_EQ(PlanSetAside(more, f).number, 11u) << "no number is used again";
  EXPECT_THAT(PlanSetAside(more, f).to_remove, ElementsAre("orders-1-damaged.9", "orders-1-damaged.10"));
}

TEST(SetAside, WhatIsNotNamedSoByTheBrokerIsLeftAlone) {
  const std::vector<std::string> names = {
      "orders-11-damaged.1",    "orders-1-damaged.x",    "orders-1-damaged.02", "orders-1-damaged.0",
      "orders-1-damaged.3.bak", "my-orders-1-damaged.4", "orders-1-damaged."};
  EXPECT_EQ(PlanSetAside(names, "orders-1").number, 1u);
  EXPECT_THAT(PlanSetAside(names, "orders-1").to_remove, IsEmpty());
}

TEST(SetAside, DamageThatComesAgainDoesNotFillTheDisk) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  for (int i = 1; i <= 5; ++i) {
    Log* const log = *world.OpenLog();
    ASSERT_TRUE(world.Append(*log, MakeBatch(fmt::format("life {}", i))));
    world.WaitForFlush(*log);
    ASSERT_TRUE(world.process().Await([&] { return world.logs().SetAside(world.key(), "test"); }));
  }
  world.world().RunFor(1s);
  std::vector<std::string> left;
  for (const auto& entry : *world.process().files().List("/data")) {
    if (entry.is_directory) left.push_back(entry.name);
  }
  EXPECT_THAT(left, ElementsAre("orders-0-damaged.1", "orders-0-damaged.5"));
  EXPECT_THAT(*world.disk().Content("/data/orders-0-damaged.1/00000000000000000000.log"),
              testing::HasSubstr("life 1"));
  EXPECT_EQ(world.logs().aside_removed(), 3u);
}

}  // namespace
}  // namespace tidemark
