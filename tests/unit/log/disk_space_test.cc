// What may still be written when a disk gets full: the pure decisions, and the watch over a simulated disk.
#include <gmock/gmock.h>

#include "broker/log/space_watch.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;
constexpr SpaceLimits kLimits{.min_free = 100 * kMiB, .reserve = 10 * kMiB};

SpaceSeen Seen(uint64_t free_mib, uint64_t held_mib = 10) {
  return {.free = free_mib * kMiB, .held = held_mib * kMiB};
}

TEST(DiskSpace, ProducersStopFirstThenFollowersAndInternalTopicsNever) {
  const auto allowed = [](const SpaceSeen& seen) {
    return std::tuple(HasRoom(SpaceUse::kProduce, seen, kLimits), HasRoom(SpaceUse::kFollow, seen, kLimits),
                      HasRoom(SpaceUse::kInternal, seen, kLimits));
  };
  EXPECT_EQ(allowed(Seen(100)), std::tuple(true, true, true));
  EXPECT_EQ(allowed(Seen(99)), std::tuple(false, true, true));
  EXPECT_EQ(allowed(Seen(10)), std::tuple(false, true, true));
  EXPECT_EQ(allowed(Seen(9)), std::tuple(false, false, true));
  EXPECT_EQ(allowed(Seen(0)), std::tuple(false, false, true));
}

TEST(DiskSpace, FollowersDoNotEatUpTheReserveThatWasGivenBack) {
  EXPECT_FALSE(HasRoom(SpaceUse::kFollow, Seen(11, 0), kLimits));
  EXPECT_TRUE(HasRoom(SpaceUse::kFollow, Seen(20, 0), kLimits));
}

TEST(DiskSpace, RewritingLeavesTheReserveAloneAndDoesNotStopProducers) {
  EXPECT_TRUE(HasRoomToRewrite(50 * kMiB, Seen(150), kLimits));
  EXPECT_FALSE(HasRoomToRewrite(51 * kMiB, Seen(150), kLimits)) << "producers would stop";
  EXPECT_TRUE(HasRoomToRewrite(51 * kMiB, Seen(99), kLimits)) << "they have stopped, and it wins room";
  EXPECT_TRUE(HasRoomToRewrite(89 * kMiB, Seen(99), kLimits));
  EXPECT_FALSE(HasRoomToRewrite(90 * kMiB, Seen(99), kLimits)) << "followers would stop";
  EXPECT_FALSE(HasRoomToRewrite(80 * kMiB, Seen(99, 0), kLimits)) << "the reserve that was given back";
  EXPECT_FALSE(HasRoomToRewrite(200 * kMiB, Seen(99), {}));
  EXPECT_TRUE(HasRoomToRewrite(99 * kMiB, Seen(99), {}));
}

TEST(DiskSpace, ZeroLimitsStopNobody) {
  EXPECT_TRUE(HasRoom(SpaceUse::kProduce, Seen(0, 0), {}));
  EXPECT_TRUE(HasRoom(SpaceUse::kFollow, Seen(0, 0), {}));
  EXPECT_EQ(DecideReserve(Seen(50, 0), {}), ReserveStep::kNone);
}

TEST(DiskSpace, TheReserveIsGivenBackInNeedAndMadeAgainInPlenty) {
  EXPECT_EQ(DecideReserve(Seen(3), kLimits), ReserveStep::kNone);
  EXPECT_EQ(DecideReserve(Seen(2), kLimits), ReserveStep::kGiveBack);
  EXPECT_EQ(DecideReserve(Seen(12, 0), kLimits), ReserveStep::kNone)
      << "what was given back is there to be used";
  EXPECT_EQ(DecideReserve(Seen(109, 0), kLimits), ReserveStep::kNone) << "it must not stop producers";
  EXPECT_EQ(DecideReserve(Seen(110, 0), kLimits), ReserveStep::kMake);
  EXPECT_EQ(DecideReserve(Seen(500, 10), {.min_free = 0, .reserve = 0}), ReserveStep::kGiveBack)
      << "switched off";
  EXPECT_EQ(DecideReserve(Seen(500, 10), {.min_free = 0, .reserve = 20 * kMiB}), ReserveStep::kMake);
}

TEST(DiskSpace, NoStepCallsForItsOpposite) {
  for (uint64_t free = 0; free < 300; ++free) {
    const SpaceSeen before = Seen(free, 0);
    if (DecideReserve(before, kLimits) != ReserveStep::kMake) continue;
    EXPECT_EQ(DecideReserve(Seen(free - 10, 10), kLimits), ReserveStep::kNone) << free;
  }
  for (uint64_t free = 0; free < 300; ++free) {
    if (DecideReserve(Seen(free), kLimits) != ReserveStep::kGiveBack) continue;
    EXPECT_EQ(DecideReserve(Seen(free + 10, 0), kLimits), ReserveStep::kNone) << free;
  }
}

class SpaceWatchTest : public testing::Test {
 protected:
  void Begin(SpaceLimits limits) {
    ASSERT_TRUE(world_.StartDirs());
    world_.dirs().SetSpaceLimits(limits);
    watch_ = std::make_shared<SpaceWatch>(world_.dirs());
    world_.process().Keep(watch_);
    world_.process().Await([this]() -> Task<bool> {
      co_await watch_->FirstLook();
      watch_->Start();
      co_return true;
    });
  }
  void End() {
    world_.process().Await([this]() -> Task<bool> {
      co_await watch_->Close();
      co_return true;
    });
    watch_.reset();
    world_.Kill(false);
  }
  bool Room(SpaceUse use) { return world_.dirs().RoomFor(0, use).has_value(); }
  size_t Held() { return world_.disk().Content("/data/reserve").value_or("").size(); }

  LogWorld world_;
  std::shared_ptr<SpaceWatch> watch_;
};

TEST_F(SpaceWatchTest, ProduceStopsAndGoesOnByItself) {
  world_.disk().SetCapacity(100'000);
  Begin({.min_free = 50'000});
  EXPECT_TRUE(Room(SpaceUse::kProduce));
  world_.disk().SetCapacity(40'000);
  ASSERT_TRUE(world_.world().RunUntil([&] { return !Room(SpaceUse::kProduce); }, 10s));
  EXPECT_THAT(world_.dirs().RoomFor(0, SpaceUse::kProduce).error().message,
              testing::AllOf(HasSubstr("/data"), HasSubstr("log.dir.min.free.bytes=50000")));
  EXPECT_EQ(world_.dirs().RoomFor(0, SpaceUse::kProduce).error().code, v1::DISK_FULL);
  world_.disk().SetCapacity(std::nullopt);
  EXPECT_TRUE(world_.world().RunUntil([&] { return Room(SpaceUse::kProduce); }, 10s));
  End();
}

TEST_F(SpaceWatchTest, TheReserveIsThereWhenTheDiskIsFullAndAfterARestart) {
  world_.disk().SetCapacity(100'000);
  Begin({.min_free = 1000, .reserve = 10'000});
  EXPECT_EQ(Held(), 10'000u);
  const size_t rest = 100'000 - *world_.process().files().FreeBytes("/data") - 10'000;
  // Full: only the reserve is left, and it is given back.
  world_.disk().SetCapacity(rest + 10'000);
  ASSERT_TRUE(world_.world().RunUntil(
      [&] { return Held() == 0 && world_.dirs().directories()[0]->held_bytes == 0; }, 10s));
  EXPECT_FALSE(Room(SpaceUse::kFollow)) << "it is not for followers";
  EXPECT_TRUE(Room(SpaceUse::kInternal));
  world_.disk().SetCapacity(100'000);
  EXPECT_TRUE(world_.world().RunUntil([&] { return Held() == 10'000; }, 10s));
  // Full again, while nobody runs: the start gives it back.
  End();
  world_.disk().SetCapacity(rest + 10'000);
  Begin({.min_free = 1000, .reserve = 10'000});
  EXPECT_EQ(Held(), 0u);
  EXPECT_TRUE(world_.OpenLog()) << "a log can be made";
  End();
}

TEST(FullDisk, AnEpochBeginsInMemoryAndIsDurableWithWhatIsAppendedInIt) {
  LogWorld world;
  Log* log = &world.Start();
  const auto begin = [&](LeaderEpoch epoch) {
    return world.process().Await([&, epoch] { return log->BeginEpoch(epoch); });
  };
  ASSERT_TRUE(begin(1));
  ASSERT_TRUE(world.Append(*log, MakeBatch("a"), 1));
  world.WaitForFlush(*log);
  world.disk().SetCapacity(0);
  ASSERT_TRUE(begin(2)) << "the log can be led, and read";
  EXPECT_EQ(world.Append(*log, MakeBatch("b"), 2).error().code, v1::DISK_FULL);
  EXPECT_EQ(world.ReadAll(*log).size(), 1u);
  EXPECT_FALSE(log->failure());
  world.disk().SetCapacity(std::nullopt);
  ASSERT_TRUE(world.Append(*log, MakeBatch("c"), 2));
  world.WaitForFlush(*log);
  world.Kill(true);
  log = &world.Start();
  EXPECT_EQ(log->end_offset(), 2u);
  EXPECT_EQ(log->epochs().EpochAt(1), 2u);
}

TEST(FullDisk, ALogIsRecoveredWithoutRoomForItsIndexAndEpochFiles) {
  LogWorld world;
  Log* log = &world.Start();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(world.Append(*log, MakeBatch("a", 1, 200), i / 10));
  world.WaitForFlush(*log);
  const auto before = world.ReadAll(*log);
  ASSERT_GT(log->segment_count(), 3u);
  world.Kill(false);
  for (const std::string& path : world.disk().Paths()) {
    if (path.ends_with("index") || path.ends_with("leader-epoch-checkpoint")) world.disk().RemovePath(path);
  }
  world.disk().SetCapacity(0);
  log = &world.Start();
  EXPECT_EQ(world.ReadAll(*log), before);
  EXPECT_EQ(log->epochs().entries().size(), 10u);
  world.disk().SetCapacity(std::nullopt);
  ASSERT_TRUE(world.Append(*log, MakeBatch("b"), 10));
  world.WaitForFlush(*log);
  ASSERT_TRUE(world.CloseCleanly());
  log = &world.Start();
  EXPECT_EQ(log->epochs().entries().size(), 11u);
  EXPECT_EQ(world.ReadAll(*log).size(), before.size() + 1);
}

}  // namespace
}  // namespace tidemark
