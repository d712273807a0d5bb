// What the watchdog is told of: everything that waits for a disk but scans.
#include "broker/log/scrub_cursor.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

class HungLog : public testing::Test {
 protected:
  HungLog() {
    log_ = &world_.Start();
    for (int i = 0; i < 60; ++i) CHECK(world_.Append(*log_, MakeBatch(fmt::format("b{}", i), 2, 100), 1));
    world_.WaitForFlush(*log_);
    CHECK(world_.Checkpoint());
    world_.disk().SetColdReadChance(1);
  }
  // Whether `body` is seen to wait for the disk while that does not answer; it ends well when it does.
  bool IsSeen(std::function<Task<bool>(Log*)> body) {
    CHECK(!world_.logs().OldestDiskWait());
    world_.process().pool().SetHung(true);
    const MonoTime begun = world_.world().Now();
    auto done = std::make_shared<std::optional<bool>>();
    auto fn = std::make_shared<std::function<Task<bool>(Log*)>>(std::move(body));
    world_.process().Keep(fn);
    world_.process().Spawn("test body", [this, fn, done] { return Run(fn, log_, done); });
    world_.world().RunFor(3s);
    CHECK(!*done) << "it did not wait for the disk";
    const auto wait = world_.logs().OldestDiskWait();
    if (wait) {
      EXPECT_LT(wait->since - begun, 1s);
      EXPECT_EQ(wait->directory, "/data");
    }
    world_.process().pool().SetHung(false);
    EXPECT_TRUE(world_.world().RunUntil([&] { return done->has_value(); }, 60s));
    EXPECT_TRUE(done->value_or(false));
    EXPECT_FALSE(world_.logs().OldestDiskWait());
    return wait.has_value();
  }
  static Task<void> Run(std::shared_ptr<std::function<Task<bool>(Log*)>> fn, Log* log,
                        std::shared_ptr<std::optional<bool>> done) {
    *done = co_await (*fn)(log);
  }

  LogWorld world_;
  Log* log_ = nullptr;
};

TEST_F(HungLog, ColdReadsAreSeen) {
  EXPECT_TRUE(IsSeen([](Log* log) -> Task<bool> { co_return (co_await log->Read(3, 100, 10)).has_value(); }));
}

TEST_F(HungLog, TruncationsAreSeenAtEachOfTheirSteps) {
  EXPECT_TRUE(IsSeen([](Log* log) -> Task<bool> { co_return (co_await log->TruncateTo(31)).has_value(); }));
  EXPECT_TRUE(IsSeen([](Log* log) -> Task<bool> { co_return (co_await log->RestartAt(500)).has_value(); }));
}

TEST_F(HungLog, CheckpointsAreSeen) {
  log_->SetHighWatermark(40);
  EXPECT_TRUE(
      IsSeen([this](Log*) -> Task<bool> { co_return (co_await world_.logs().Checkpoint()).has_value(); }));
}

TEST_F(HungLog, ScansMayTakeLong) {
  EXPECT_FALSE(IsSeen([](Log* log) -> Task<bool> {
    co_return (co_await log->Scrub(std::make_shared<ScrubCursor>(), 1 << 20)).has_value();
  }));
}

}  // namespace
}  // namespace tidemark
