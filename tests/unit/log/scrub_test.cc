// Rot in stored bytes: what a read, the scrubber and a search for it make of it.
#include "broker/log/scrub_cursor.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

class RottenLog : public testing::Test {
 protected:
  RottenLog() {
    log_ = &world_.Start();
    for (int i = 0; i < 100; ++i) {
      CHECK(world_.Append(*log_, MakeBatch(fmt::format("b{}", i), 2, 60), static_cast<LeaderEpoch>(i / 10)));
    }
    world_.WaitForFlush(*log_);
    world_.world().RunFor(1s);  // indexes are written
    before_ = world_.ReadAll(*log_);
    for (const std::string& path : world_.disk().Paths()) {
      if (path.ends_with(".log")) segments_.push_back(path);
    }
    CHECK_GT(segments_.size(), 4u);
  }

  // Flips a bit in the middle of the body of a stored batch; returns it.
  SeenBatch FlipIn(size_t batch) {
    const SeenBatch& seen = before_.at(batch);
    for (const std::string& path : segments_) {
      const std::string content = *world_.disk().Content(path);
      const size_t at = content.find(seen.body);
      if (at == std::string::npos) continue;
      CHECK(world_.disk().FlipBit(path, (at + seen.body.size() / 2) * 8 + 3));
      return seen;
    }
    LOG(FATAL) << "no such batch";
  }

  ScrubProgress ScrubAll(size_t piece = 1000) {
    const auto cursor = std::make_shared<ScrubCursor>();
    ScrubProgress all;
    while (!all.done) {
      const auto step = world_.process().Await([&] { return log_->Scrub(cursor, piece); });
      CHECK(step) << ToString(step.error());
      all.bytes += step->bytes;
      all.damaged += step->damaged;
      all.index_rebuilt |= step->index_rebuilt;
      all.done = step->done;
    }
    return all;
  }

  // Every offset is answered with its batch, or CORRUPT_MESSAGE exactly where it is expected.
  void ExpectExactly(const std::vector<SeenBatch>& damaged) {
    for (const SeenBatch& batch : before_) {
      const auto read = world_.Read(*log_, batch.base_offset, ~0ull, 1);
      if (std::ranges::find(damaged, batch) != damaged.end()) {
        ASSERT_FALSE(read);
        EXPECT_EQ(read.error().code, v1::CORRUPT_MESSAGE) << ToString(read.error());
        continue;
      }
      ASSERT_TRUE(read) << batch.base_offset << ": " << ToString(read.error());
      EXPECT_EQ(ParseBatches(read->bytes).at(0), batch);
    }
  }

  LogWorld world_;
  Log* log_ = nullptr;
  std::vector<SeenBatch> before_;
  std::vector<std::string> segments_;
};

TEST_F(RottenLog, AWholeLogIsScrubbedWithoutFindings) {
  const ScrubProgress all = ScrubAll();
  EXPECT_EQ(all.bytes, log_->size_bytes());
  EXPECT_EQ(all.damaged, 0u);
  EXPECT_FALSE(all.index_rebuilt);
  EXPECT_TRUE(log_->damaged().empty());
}

TEST_F(RottenLog, APassEndsAlthoughTheLogGrowsFasterThanItIsRead) {
  const auto cursor = std::make_shared<ScrubCursor>();
  const SeenBatch bad = FlipIn(before_.size() - 10);
  bool done = false;
  for (int i = 0; !done && i < 1000; ++i) {
    const auto step = world_.process().Await([&] { return log_->Scrub(cursor, 1000); });
    ASSERT_TRUE(step);
    done = step->done;
    for (int n = 0; n < 20; ++n) ASSERT_TRUE(world_.Append(*log_, MakeBatch("on and on", 2, 60), 9));
  }
  EXPECT_TRUE(done);
  ASSERT_EQ(log_->damaged().ranges().size(), 1u) << "all that was there at its beginning was looked at";
  EXPECT_EQ(log_->damaged().ranges()[0].first, bad.base_offset);
}

TEST_F(RottenLog, APassGoesOnWhereItWasWhenTheLogWasCut) {
  const auto cursor = std::make_shared<ScrubCursor>();
  const SeenBatch bad = FlipIn(before_.size() - 10);
  bool done = false;
  for (int i = 0; !done && i < 1000; ++i) {
    const auto step = world_.process().Await([&] { return log_->Scrub(cursor, 1000); });
    ASSERT_TRUE(step);
    done = step->done;
    if (i % 5 != 4) continue;
    // What is cut is always new.
    ASSERT_TRUE(world_.Append(*log_, MakeBatch("cut", 2, 60), 9));
    const Offset cut = log_->end_offset() - 1;
    ASSERT_TRUE(world_.process().Await([&] { return log_->TruncateTo(cut - cut % 2); }));
  }
  EXPECT_TRUE(done);
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  EXPECT_EQ(log_->damaged().ranges()[0].first, bad.base_offset);
}

TEST_F(RottenLog, AReadThatMeetsDamageIsAnsweredForExactlyThatRange) {
  const SeenBatch bad = FlipIn(10);
  ExpectExactly({bad});
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  EXPECT_EQ(log_->damaged().ranges()[0].first, bad.base_offset);
  EXPECT_EQ(log_->damaged().ranges()[0].last, bad.next_offset - 1);
  EXPECT_EQ(log_->damaged_ranges_found(), 1u) << "counted once";
  EXPECT_FALSE(log_->damage()) << "the log goes on";
  EXPECT_TRUE(world_.Append(*log_, MakeBatch("on"), 9));
  world_.WaitForFlush(*log_);
  EXPECT_EQ(log_->flushed_end(), log_->end_offset());
}

TEST_F(RottenLog, AReadUpToTheDamageEndsBeforeIt) {
  const SeenBatch bad = FlipIn(5);
  (void)world_.Read(*log_, bad.base_offset);
  const auto read = world_.Read(*log_, 0);
  ASSERT_TRUE(read) << ToString(read.error());
  EXPECT_EQ(read->next_offset, bad.base_offset);
}

TEST_F(RottenLog, TheScrubberFindsWhatNobodyReads) {
  const std::vector<SeenBatch> bad = {FlipIn(3), FlipIn(41), FlipIn(80)};
  const ScrubProgress all = ScrubAll();
  EXPECT_EQ(all.damaged, 3u);
  EXPECT_EQ(ScrubAll().damaged, 0u) << "known already";
  EXPECT_EQ(log_->damaged_ranges_found(), 3u);
  ExpectExactly(bad);
}

TEST_F(RottenLog, TheFirstAndTheLastBatchOfASegmentAndItsHeadersAreFoundToo) {
  std::vector<SeenBatch> bad;
  const Offset base = *ParseSegmentName(segments_[1].substr(segments_[1].size() - 24), ".log");
  const Offset next = *ParseSegmentName(segments_[2].substr(segments_[2].size() - 24), ".log");
  for (size_t i = 0; i < before_.size(); ++i) {
    if (before_[i].base_offset == base || before_[i].next_offset == next) bad.push_back(FlipIn(i));
  }
  ASSERT_EQ(bad.size(), 2u);
  // The length of a batch and the magic of another.
  ASSERT_TRUE(world_.disk().FlipBit(segments_[3], 8 + 2));
  ExpectExactly([&] {
    std::vector<SeenBatch> all = bad;
    const Offset third = *ParseSegmentName(segments_[3].substr(segments_[3].size() - 24), ".log");
    for (const SeenBatch& batch : before_) {
      if (batch.base_offset == third) all.push_back(batch);
    }
    return all;
  }());
}

TEST_F(RottenLog, ASegmentCutShortIsDamagedFromThereOn) {
  const std::string content = *world_.disk().Content(segments_[1]);
  const Offset next = *ParseSegmentName(segments_[2].substr(segments_[2].size() - 24), ".log");
  ASSERT_TRUE(world_.disk().SetContent(segments_[1], content.substr(0, content.size() / 2)));
  EXPECT_EQ(ScrubAll().damaged, 1u);
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  EXPECT_EQ(log_->damaged().ranges()[0].last, next - 1);
  std::vector<SeenBatch> bad;
  for (const SeenBatch& batch : before_) {
    if (log_->damaged().Find(batch.base_offset) != nullptr) bad.push_back(batch);
  }
  EXPECT_GT(bad.size(), 3u);
  ExpectExactly(bad);
}

TEST_F(RottenLog, AMissingSegmentFileIsDamagedWhole) {
  const Offset base = *ParseSegmentName(segments_[2].substr(segments_[2].size() - 24), ".log");
  const Offset next = *ParseSegmentName(segments_[3].substr(segments_[3].size() - 24), ".log");
  world_.disk().RemovePath(segments_[2]);
  EXPECT_EQ(ScrubAll().damaged, 1u);
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  EXPECT_EQ(log_->damaged().ranges()[0].first, base);
  EXPECT_EQ(log_->damaged().ranges()[0].last, next - 1);
}

TEST_F(RottenLog, DamageGoesWithTheRecordsThatAreDeletedOrCut) {
  const SeenBatch low = FlipIn(2);
  const SeenBatch high = FlipIn(97);
  ScrubAll();
  ASSERT_EQ(log_->damaged().ranges().size(), 2u);
  world_.Call([&] {
    log_->AdvanceStartTo(low.next_offset);
    return true;
  });
  EXPECT_EQ(log_->damaged().CountFrom(log_->start_offset()), 1u);
  EXPECT_TRUE(world_.Read(*log_, low.next_offset, ~0ull, 1)) << "what is below the start is passed over";
  EXPECT_TRUE(world_.process().Await([&] { return log_->FindTimestamp(1, before_[90].base_offset); }));
  ASSERT_TRUE(world_.Truncate(*log_, before_[90].base_offset));
  EXPECT_EQ(log_->damaged().CountFrom(log_->start_offset()), 0u);
}

TEST_F(RottenLog, IndexFilesThatDoNotMatchAreRebuilt) {
  for (const std::string& path : world_.disk().Paths()) {
    if (path.ends_with(".index")) world_.disk().FlipBit(path, 13);
    if (path.ends_with("00.timeindex")) world_.disk().RemovePath(path);
  }
  EXPECT_TRUE(ScrubAll().index_rebuilt);
  EXPECT_TRUE(log_->damaged().empty());
  world_.world().RunFor(1s);
  EXPECT_FALSE(ScrubAll().index_rebuilt) << "they are good now";
  ExpectExactly({});
}

TEST_F(RottenLog, ADamagedIndexBesideADamagedSegmentStillFindsWhatIsWhole) {
  const SeenBatch bad = FlipIn(10);
  for (const std::string& path : world_.disk().Paths()) {
    if (!path.ends_with(".index")) continue;
    for (uint64_t byte = 0; byte + 12 < world_.disk().Content(path)->size(); byte += 12) {
      world_.disk().FlipBit(path, byte * 8);
    }
  }
  ExpectExactly({bad});
}

TEST_F(RottenLog, ASearchByTimeThatMeetsDamageSaysSoAndNotesIt) {
  const SeenBatch bad = FlipIn(0);
  const auto found = world_.process().Await([&] { return log_->FindTimestamp(1, ~0ull); });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, v1::CORRUPT_MESSAGE);
  EXPECT_NE(log_->damaged().Find(bad.base_offset), nullptr);
}

// A record may hold the image of a batch of its own partition.
TEST_F(RottenLog, ABatchIsNotLookedForInsideTheRecordsOfAnother) {
  const Offset base = log_->end_offset();
  const FinishedBatch forged = MakeBatch("forged", 1, 60);
  const BatchPrefix prefix =
      StampBatch(forged.body, forged.body_crc, base + 1, 9, 5000, world_.key().topic, world_.key().partition);
  BatchBuilder builder;
  const std::string image = std::string(200, 'x') + std::string(prefix.view()) + forged.body;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(builder.Append("k", image, 1000));
  ASSERT_TRUE(world_.Append(*log_, *builder.Finish(v1::COMPRESSION_NONE), 9));
  ASSERT_TRUE(world_.Append(*log_, MakeBatch("next", 2, 60), 9));
  world_.WaitForFlush(*log_);
  for (const std::string& path : world_.disk().Paths()) {
    const std::string content = path.ends_with(".log") ? *world_.disk().Content(path) : "";
    const size_t at = content.find("xxxxx");
    if (at != std::string::npos) ASSERT_TRUE(world_.disk().FlipBit(path, (at + 10) * 8));
  }
  ScrubAll();
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  EXPECT_EQ(log_->damaged().ranges()[0].first, base);
  EXPECT_EQ(log_->damaged().ranges()[0].last, base + 2) << "all of it, and nothing of what it holds";
  EXPECT_EQ(world_.Read(*log_, base + 1).error().code, v1::CORRUPT_MESSAGE);
  EXPECT_TRUE(world_.Read(*log_, base + 3));
}

TEST_F(RottenLog, WhatReadsWellAgainIsNotDamaged) {
  world_.disk().Fail({.op = DiskOp::kRead, .path = segments_[1], .nth = 2});
  ScrubAll();
  ASSERT_FALSE(log_->damaged().empty());
  ScrubAll();
  EXPECT_TRUE(log_->damaged().empty());
  ExpectExactly({});
}

TEST(Scrubber, FindsDamageInTheBackgroundAtItsRate) {
  LogWorld world;
  world.shard_options().scrub = {.bytes_per_second = 1000, .interval = 10s};
  Log& log = world.Start();
  for (int i = 0; i < 100; ++i) CHECK(world.Append(log, MakeBatch(fmt::format("b{}", i), 2, 60)));
  world.WaitForFlush(log);
  world.Call([&] {
    world.logs().Start();
    return true;
  });
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), 150 * 8));
  const MonoTime begin = world.world().Now();
  ASSERT_TRUE(world.world().RunUntil([&] { return world.logs().scrubbed().logs > 0; }, 3600s));
  EXPECT_GE(world.world().Now() - begin, std::chrono::seconds(log.size_bytes() / 1000));
  EXPECT_EQ(world.logs().scrubbed().damaged, 1u);
  EXPECT_EQ(world.logs().scrubbed().bytes, log.size_bytes());
  EXPECT_EQ(log.damaged().ranges().size(), 1u);
  ASSERT_TRUE(world.world().RunUntil([&] { return world.logs().scrubbed().logs > 2; }, 3600s)) << "again";
  EXPECT_EQ(world.logs().scrubbed().damaged, 1u);
}

}  // namespace
}  // namespace tidemark
