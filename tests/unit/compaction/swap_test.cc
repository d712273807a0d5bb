// A swap that rots between a crash and the next start: what it lacks is one damaged range, and nothing else
// of the log is lost, however far the removal of the old segments had come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/log/cleaner_files.h"
#include "broker/log/swap_decision.h"
#include "broker/log/verify.h"
#include "tests/simulation/env/sim_disk_tree.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SegmentCoverage Covers(Offset base, std::vector<SegmentCoverage::Range> readable, bool whole) {
  return {.base = base, .readable = std::move(readable), .whole = whole, .end_position = 77};
}

TEST(SwapDecision, IsWholeOnlyWhereItEndsAtASegment) {
  EXPECT_TRUE(IsWholeSwap(Covers(0, {{0, 100}}, true), {0, 40, 70, 100}));
  EXPECT_TRUE(IsWholeSwap(Covers(0, {{0, 100}}, true), {0, 100}));
  EXPECT_FALSE(IsWholeSwap(Covers(0, {{0, 60}}, true), {0, 40, 70, 100})) << "cut short between two batches";
  EXPECT_FALSE(IsWholeSwap(Covers(0, {{0, 100}}, false), {0, 100}));
  EXPECT_FALSE(IsWholeSwap(Covers(40, {}, true), {0, 40}));
}

TEST(SwapDecision, NeverReplacesTheLastSegment) {
  EXPECT_THAT(ReplacedBy(Covers(0, {{0, 100}}, true), {0, 40, 70, 100, 120}), ElementsAre(40, 70));
  EXPECT_THAT(ReplacedBy(Covers(40, {{40, 200}}, true), {0, 40, 70, 100}), ElementsAre(70));
  EXPECT_THAT(ReplacedBy(Covers(0, {{0, 100}}, true), {0}), IsEmpty());
}

TEST(SwapDecision, OldSegmentsStayWhereTheyHaveAllThatIsReadable) {
  const std::vector<SegmentCoverage> old = {Covers(0, {{0, 40}}, true), Covers(40, {{40, 70}}, true),
                                            Covers(70, {{70, 100}}, true)};
  EXPECT_FALSE(DecideDamagedSwap(Covers(0, {{0, 50}, {60, 100}}, false), old, {0, 40, 70, 100}).take);
  EXPECT_FALSE(DecideDamagedSwap(Covers(0, {{0, 100}}, false), old, {0, 40, 70, 100}).take);
  // Nothing is readable: nothing is won by it.
  EXPECT_FALSE(DecideDamagedSwap(Covers(0, {}, false), {}, {0, 100}).take);
}

TEST(SwapDecision, ADamagedSwapIsTakenWhereOldSegmentsAreGone) {
  const std::vector<SegmentCoverage> old = {Covers(0, {{0, 40}}, true), Covers(70, {{70, 100}}, true)};
  const auto taken = DecideDamagedSwap(Covers(0, {{0, 50}, {60, 100}}, false), old, {0, 70, 100});
  EXPECT_TRUE(taken.take);
  EXPECT_THAT(taken.replaced, ElementsAre(70));
  // A segment behind all that can be read of it stays, and what is damaged there is not told twice.
  const auto joined = DecideDamagedSwap(Covers(0, {{0, 70}}, false), {old[0]}, {0, 70, 100});
  EXPECT_TRUE(joined.take);
  EXPECT_THAT(joined.replaced, IsEmpty());
  EXPECT_EQ(joined.cut, 77u);
  EXPECT_FALSE(DecideDamagedSwap(Covers(0, {{0, 65}}, false), {old[0]}, {0, 70, 100}).cut);
}

TEST(SwapDecision, WithoutTheFirstOldSegmentTheBytesAreAllThereIs) {
  EXPECT_TRUE(DecideDamagedSwap(Covers(0, {}, false), {}, {100}).take);
  EXPECT_TRUE(
      DecideDamagedSwap(Covers(0, {{50, 100}}, false), {Covers(70, {{70, 100}}, true)}, {70, 100}).take);
}

TEST(SwapDecision, TheSideThatHasMoreIsTheLog) {
  // A repair has one source, which is damaged too.
  const std::vector<SegmentCoverage> damaged = {Covers(0, {{0, 10}, {90, 100}}, false)};
  EXPECT_TRUE(DecideDamagedSwap(Covers(0, {{0, 95}}, false), damaged, {0, 100}).take);
  EXPECT_FALSE(DecideDamagedSwap(Covers(0, {{0, 15}}, true),
                                 {Covers(0, {{0, 14}, {15, 100}}, false), Covers(10, {{10, 20}}, true)},
                                 {0, 10, 100})
                   .take);
}

// Three segments were merged into one; the log goes on behind it.
class RottenSwap : public testing::Test {
 protected:
  RottenSwap() {
    world_.config().segment_bytes = 1200;
    log_ = &world_.Start();
    for (int i = 0; i < 30; ++i) CHECK(world_.Append(*log_, MakeBatch(fmt::format("b{}", i), 2, 100)));
    world_.WaitForFlush(*log_);
    CHECK(world_.Checkpoint());
    before_ = world_.ReadAll(*log_);
    for (const SegmentFacts& segment : log_->DescribeSegments()) bases_.push_back(segment.base_offset);
    CHECK_GT(bases_.size(), 5u);
    Stop(true);
    for (size_t i = 0; i < kMerged; ++i) merged_ += *world_.disk().Content(world_.LogPath(bases_[i]));
    SimProcess& process = world_.world().StartProcess(kHost);
    CHECK(WriteFileDurably(process.files(), Swap(), merged_));
    process.Exit();
    crashed_ = world_.disk().Snapshot();
  }

  std::string Swap() const { return world_.LogPath(0, ".log.swap"); }
  void Stop(bool clean) {
    if (clean) {
      CHECK(world_.CloseCleanly());
    } else {
      world_.Kill(true);
    }
    log_ = nullptr;
  }
  // Bit i: old segment i + 1 is gone. Any of them may be, as nothing was synced in between.
  void RemoveOld(unsigned gone, bool first_index) {
    for (size_t i = 0; i < kMerged; ++i) {
      const bool removed = i > 0 && (gone >> (i - 1) & 1) != 0;
      if (removed) world_.disk().RemovePath(world_.LogPath(bases_[i]));
      if (!removed && (i > 0 || !first_index)) continue;
      for (const char* suffix : {".index", ".timeindex"})
        world_.disk().RemovePath(world_.LogPath(bases_[i], suffix));
    }
  }
  // What the offline verifier says before the start.
  size_t Problems() {
    SimProcess& process = world_.world().StartProcess(kHost);
    const auto folder = ReadPartitionFolder(process.files(), "/data/orders-0");
    CHECK(folder) << ToString(folder.error());
    size_t problems = folder->problems.size();
    for (size_t i = 0; i < folder->segments.size(); ++i) {
      const auto report = VerifySegment(process.files(), *folder, folder->segments[i]);
      CHECK(report) << ToString(report.error());
      problems += report->problems.size() - report->index_problems;
      const bool last = i + 1 == folder->segments.size();
      if (!last && report->problems.empty() && report->end_offset != folder->segments[i + 1]) ++problems;
    }
    process.Exit();
    return problems;
  }
  // Of the batch at `position` of the swap.
  size_t BytesAt(size_t position) const {
    BatchView view;
    CHECK(ParseBatch(std::string_view(merged_).substr(position), &view, nullptr, nullptr) == BatchParse::kOk);
    return view.total_bytes();
  }
  bool Flip(size_t byte) { return world_.disk().FlipBit(Swap(), byte * 8 + 2); }
  // Starts, and compares all but `lost`, which has to be one damaged range where it is not empty.
  void ExpectAllBut(std::optional<SeenBatch> lost) {
    log_ = &world_.Start();
    ASSERT_FALSE(log_->damage()) << log_->damage()->message;
    const auto surveyed = world_.process().Await([this] { return log_->Survey(); });
    ASSERT_TRUE(surveyed) << ToString(surveyed.error());
    ASSERT_EQ(log_->damaged().ranges().size(), lost ? 1u : 0u);
    if (lost) {
      EXPECT_EQ(log_->damaged().ranges()[0].first, lost->base_offset);
      EXPECT_EQ(log_->damaged().ranges()[0].last, lost->next_offset - 1);
    }
    EXPECT_EQ(log_->start_offset(), 0u);
    ASSERT_EQ(log_->end_offset(), before_.back().next_offset);
    for (const SeenBatch& batch : before_) {
      const auto read = world_.Read(*log_, batch.base_offset, batch.next_offset);
      if (lost && batch == *lost) {
        EXPECT_EQ(read ? v1::NONE : read.error().code, v1::CORRUPT_MESSAGE);
        continue;
      }
      ASSERT_TRUE(read) << batch.base_offset << ": " << ToString(read.error());
      const auto seen = ParseBatches(read->bytes);
      ASSERT_FALSE(seen.empty()) << batch.base_offset;
      EXPECT_EQ(seen[0], batch);
    }
    EXPECT_FALSE(world_.disk().Content(Swap()));
  }

  static constexpr size_t kMerged = 3;
  LogWorld world_;
  Log* log_ = nullptr;
  std::vector<SeenBatch> before_;
  std::vector<Offset> bases_;
  std::string merged_;
  std::shared_ptr<SimTree> crashed_;
};

TEST_F(RottenSwap, CostsNoMoreThanTheBatchThatRotted) {
  size_t position = 0;
  int states = 0;
  for (const SeenBatch& batch : before_) {
    if (batch.base_offset >= bases_[kMerged]) break;
    for (unsigned gone = 0; gone < 1u << (kMerged - 1); ++gone) {
      for (const size_t byte : {position + 5, position + BytesAt(position) - 1}) {
        SCOPED_TRACE(fmt::format("batch {}, removed {:b}, byte {}", batch.base_offset, gone, byte));
        world_.disk().Restore(crashed_->Clone());
        RemoveOld(gone, states % 5 != 0);
        ASSERT_TRUE(Flip(byte));
        EXPECT_EQ(Problems(), gone == 0 ? 0u : 1u);
        ExpectAllBut(gone == 0 ? std::nullopt : std::optional(batch));
        Stop(states % 2 == 0);
        ++states;
      }
    }
    position += BytesAt(position);
  }
  EXPECT_EQ(position, merged_.size());
  EXPECT_GT(states, 60);
}

// Cut short between two batches it looks whole.
TEST_F(RottenSwap, CutShortItCostsNoMoreThanWhatWasCut) {
  const size_t first = BytesAt(0);
  for (const unsigned gone : {0u, 3u}) {
    for (const size_t cut : {merged_.size(), first, size_t{0}}) {
      SCOPED_TRACE(fmt::format("removed {:b}, {} bytes", gone, cut));
      world_.disk().Restore(crashed_->Clone());
      RemoveOld(gone, true);
      ASSERT_TRUE(world_.disk().SetContent(Swap(), merged_.substr(0, cut)));
      log_ = &world_.Start();
      ASSERT_FALSE(log_->damage()) << log_->damage()->message;
      ASSERT_TRUE(world_.process().Await([this] { return log_->Survey(); }));
      const auto& ranges = log_->damaged().ranges();
      if (gone == 0 || cut == merged_.size()) {
        EXPECT_TRUE(ranges.empty());
        EXPECT_EQ(world_.ReadAll(*log_), before_);
      } else {
        // The first old segment has more than is left of the swap.
        ASSERT_EQ(ranges.size(), 1u);
        EXPECT_EQ(ranges[0].first, bases_[1]);
        EXPECT_EQ(ranges[0].last, bases_[kMerged] - 1);
      }
      Stop(false);
    }
  }
}

// What can be read ends where an old segment begins that is still there: the two join.
TEST_F(RottenSwap, JoinsWithAnOldSegmentBehindItsDamage) {
  const size_t two = world_.disk().Content(world_.LogPath(bases_[0]))->size() +
                     world_.disk().Content(world_.LogPath(bases_[1]))->size();
  RemoveOld(1, true);
  ASSERT_TRUE(world_.disk().SetContent(Swap(), merged_.substr(0, two) + std::string(500, 'x')));
  ExpectAllBut(std::nullopt);
  EXPECT_EQ(world_.disk().Content(world_.LogPath(0))->size(), two);
  Stop(true);
  EXPECT_EQ(Problems(), 0u);
}

// A crash at each change that the swap makes, the bit, a crash at each change that the next start makes.
TEST_F(RottenSwap, AtEveryCrashPointOfSwapAndStart) {
  std::vector<std::string> others;
  for (size_t i = 1; i < kMerged; ++i) others.push_back(SegmentPathPrefix("/data/orders-0", bases_[i]));
  const std::string first = SegmentPathPrefix("/data/orders-0", 0);
  const size_t flips[] = {BytesAt(0) / 2, merged_.size() / 2, merged_.size() - 1};
  int states = 0, damaged = 0;
  // False: it was killed before its end.
  const auto run_until = [&](int op, bool power_loss, const std::function<Result<>(FileSystem&)>& work) {
    CHECK(world_.StartDirs());
    auto left = std::make_shared<int>(op);
    world_.disk().SetHook([this, left, power_loss](DiskOp, const std::string&) {
      if (--*left == 0) world_.process().Kill(power_loss);
    });
    const bool ended = world_.RunOrDie([&]() -> Task<void> {
      SimProcess& process = world_.process();
      const Result<> done = co_await RunBlocking(process.blocking_pool(), process.main_loop(), "swap",
                                                 [&] { return work(process.files()); });
      CHECK(done || !world_.process().alive()) << ToString(done.error());
      co_return;
    });
    world_.disk().SetHook({});
    Stop(false);
    return ended;
  };
  for (const bool power_loss : {false, true}) {
    bool swapped = false;
    for (int op = 1; !swapped; ++op) {
      world_.disk().Restore(crashed_->Clone());
      swapped = run_until(op, power_loss, [&](FileSystem& files) {
        return CompleteSwap(files, "/data/orders-0", first, others);
      });
      const std::shared_ptr<SimTree> after_swap = world_.disk().Snapshot();
      for (const size_t byte : flips) {
        bool finished = false;
        for (int start = 1; !finished; ++start) {
          SCOPED_TRACE(
              fmt::format("power {}, swap to {}, byte {}, start to {}", power_loss, op, byte, start));
          world_.disk().Restore(after_swap->Clone());
          const bool rotten = Flip(byte);  // else it has its name already
          std::vector<std::string> notes;
          finished = run_until(start, power_loss, [&](FileSystem& files) {
            return FinishSwaps(files, "/data/orders-0", world_.key(), &notes);
          });
          log_ = &world_.Start();
          ASSERT_FALSE(log_->damage()) << log_->damage()->message;
          ASSERT_TRUE(world_.process().Await([this] { return log_->Survey(); }));
          const auto ranges = log_->damaged().ranges();
          ASSERT_LE(ranges.size(), rotten ? 1u : 0u);
          std::optional<SeenBatch> lost;
          for (const SeenBatch& batch : before_) {
            if (!ranges.empty() && batch.base_offset == ranges[0].first) lost = batch;
          }
          ASSERT_EQ(lost.has_value(), !ranges.empty());
          Stop(false);
          ExpectAllBut(lost);
          Stop(false);
          ++states;
          damaged += lost ? 1 : 0;
          if (!rotten) finished = true;
        }
      }
    }
  }
  EXPECT_GT(states, 200);
  EXPECT_GT(damaged, 50);
}

}  // namespace
}  // namespace tidemark
