#include "broker/log/partition_files.h"
#include "broker/log/verify.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Appends `count` batches with a flush after each and returns them as they are read.
std::vector<SeenBatch> Fill(LogWorld& world, Log& log, int count, size_t value_bytes = 60) {
  for (int i = 0; i < count; ++i) {
    CHECK(world.Append(log, MakeBatch(fmt::format("b{}", i), 2, value_bytes),
                       static_cast<LeaderEpoch>(i / 10)));
  }
  world.WaitForFlush(log);
  return world.ReadAll(log);
}

// What is logged while it lives.
struct Notes : google::LogSink {
  Notes() { google::AddLogSink(this); }
  ~Notes() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t length) override {
    told.emplace_back(message, length);
  }
  std::vector<std::string> told;
};

// The first batch of a segment file, as if it had been appended further on.
std::string Batch(std::string_view file) {
  BatchView batch;
  CHECK(ParseBatch(file, &batch, nullptr, nullptr) == BatchParse::kOk);
  const BodyInfo info = *ParseBody(batch.body);
  const BatchPrefix prefix =
      StampBatch(batch.body, batch.body_crc, 500 + info.last_offset_delta, 0, 5000, MakeTopicId(7), 0);
  return std::string(prefix.view()) + std::string(batch.body);
}

TEST(Recovery, ACleanStopIsRememberedOnceAndNothingIsLost) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 60);
  const auto epochs = log.epochs().entries();
  ASSERT_TRUE(world.CloseCleanly());
  Log& again = world.Start();
  EXPECT_TRUE(world.dirs().last_stop_was_clean());
  EXPECT_EQ(world.ReadAll(again), before);
  EXPECT_EQ(again.epochs().entries(), epochs);
  EXPECT_EQ(again.flushed_end(), again.end_offset());
  world.Kill(false);
  ASSERT_TRUE(world.StartDirs());
  EXPECT_FALSE(world.dirs().last_stop_was_clean());
}

TEST(Recovery, AKilledProcessLosesNothing) {
  LogWorld world;
  world.config().durability = AckDurability::kReplicated;
  Log& log = world.Start();
  std::vector<SeenBatch> before;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(world.Append(log, MakeBatch(fmt::format("b{}", i))));
  before = world.ReadAll(log);
  world.Kill(false);
  EXPECT_EQ(world.ReadAll(world.Start()), before);
}

TEST(Recovery, CheckpointsComeBack) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 40);
  world.Call([&] {
    log.SetHighWatermark(44);
    log.AdvanceStartTo(31);
    return true;
  });
  ASSERT_TRUE(world.Checkpoint());
  world.Kill(true);
  Log& again = world.Start();
  EXPECT_EQ(again.checkpointed_high_watermark(), 44u);
  EXPECT_EQ(again.start_offset(), 31u);
  EXPECT_EQ(again.end_offset(), 80u);
}

TEST(Recovery, ATornTailIsCutAndTheRestStays) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 12);
  const std::string path = world.LogPath(0);
  const std::string good = *world.disk().Content(path);
  ASSERT_TRUE(world.CloseCleanly());
  for (const std::string& tail : {good.substr(0, 70), std::string(300, '\0'), std::string("garbage")}) {
    ASSERT_TRUE(world.disk().SetContent(path, good + tail));
    Log& again = world.Start();
    EXPECT_FALSE(again.damage());
    EXPECT_EQ(world.ReadAll(again), before);
    EXPECT_EQ(*world.disk().Content(path), good);
    world.Kill(false);
  }
}

// What a loss of power leaves above the recovery point: a later page that was written, an earlier one that
// was not. Nobody was promised any of it, and a leader must not keep a hole that nobody can fill.
TEST(Recovery, AHoleAboveTheRecoveryPointIsCutWithTheGoodBatchesBehindIt) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 6);
  ASSERT_TRUE(world.Checkpoint());
  const size_t promised = world.disk().Content(world.LogPath(0))->size();
  Fill(world, log, 1);
  const size_t hole_end = world.disk().Content(world.LogPath(0))->size();
  Fill(world, log, 3);
  const std::string path = world.LogPath(0);
  std::string content = *world.disk().Content(path);
  world.Kill(false);
  content.replace(promised, hole_end - promised, hole_end - promised, '\0');
  ASSERT_TRUE(world.disk().SetContent(path, content));
  Notes notes;
  Log& again = world.Start();
  EXPECT_FALSE(again.damage());
  EXPECT_TRUE(again.damaged().empty());
  EXPECT_EQ(world.ReadAll(again), before);
  EXPECT_EQ(world.disk().Content(path)->size(), promised);
  EXPECT_THAT(notes.told, testing::Contains(testing::HasSubstr(fmt::format(
                              "dropped {} bytes, of them {} in 3 good batches after it, and 0 later",
                              content.size() - promised, content.size() - hole_end))));
}

// Records may hold the bytes of whole batches: they are none behind a batch whose header says how long it is.
TEST(Recovery, TheImageOfABatchInATornOneIsNoGoodBatchBehindIt) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 12);
  const std::string path = world.LogPath(0);
  const size_t bytes = world.disk().Content(path)->size();
  const std::string image = Batch(*world.disk().Content(path));
  ASSERT_TRUE(world.Append(log, MakeBatch(image, 1, 600), 1));
  world.WaitForFlush(log);
  ASSERT_TRUE(world.CloseCleanly());
  const std::string content = *world.disk().Content(path);
  ASSERT_GT(content.size(), bytes + 600) << "in the same segment";
  ASSERT_TRUE(world.disk().SetContent(path, content.substr(0, content.size() - 10)));
  // Without it, damage would be what has good batches behind it.
  ASSERT_TRUE(world.disk().FlipBit("/data/recovery-point-offset-checkpoint", 33));
  Log& again = world.Start();
  EXPECT_FALSE(again.damage()) << again.damage()->message;
  EXPECT_EQ(world.ReadAll(again), before);
}

TEST(Recovery, AFlippedBitBelowTheRecoveryPointIsDamageAndNothingIsCut) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 12);
  const std::string path = world.LogPath(0);
  ASSERT_TRUE(world.CloseCleanly());
  // The last batch: recovery scans from the last index entry on.
  const std::string good = *world.disk().Content(path);
  ASSERT_TRUE(world.disk().FlipBit(path, (good.size() - 10) * 8));
  Log& again = world.Start();
  ASSERT_TRUE(again.damage());
  EXPECT_THAT(again.damage()->message, HasSubstr("below the recovery point"));
  EXPECT_EQ(world.disk().Content(path)->size(), good.size());
  EXPECT_FALSE(world.Append(again, MakeBatch("x"), 9));
  const auto aside = world.process().Await([&] { return world.logs().SetAside(world.key(), "test"); });
  ASSERT_TRUE(aside) << ToString(aside.error());
  EXPECT_TRUE(world.disk().Content("/data/orders-0-damaged.1/00000000000000000000.log"));
  const auto fresh = world.OpenLog();
  ASSERT_TRUE(fresh) << ToString(fresh.error());
  EXPECT_EQ((*fresh)->end_offset(), 0u);
  EXPECT_FALSE((*fresh)->damage());
  ASSERT_TRUE(world.Append(**fresh, MakeBatch("copied")));
  world.Kill(false);
  Log& last = world.Start();
  EXPECT_FALSE(last.damage()) << "the old recovery point is not the new log's";
  EXPECT_EQ(last.end_offset(), 1u);
}

TEST(Recovery, AnUnreadableSectorIsDamageOfOneLogAboveTheRecoveryPointToo) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 12);
  const std::string path = world.LogPath(0);
  const std::string good = *world.disk().Content(path);
  const PartitionKey key = world.key();
  // At the scan, and when what it found is written again.
  for (const int nth : {1, 2}) {
    world.Kill(false);
    world.disk().Fail({.op = DiskOp::kRead, .path = path, .nth = nth, .times = 1000});
    Log& again = world.Start();
    ASSERT_TRUE(again.damage()) << "at the read " << nth;
    EXPECT_THAT(again.damage()->message, HasSubstr("Input/output error"));
    EXPECT_EQ(*world.disk().Content(path), good);
    EXPECT_FALSE(world.dirs().directories().front()->failed);
    world.set_key({MakeTopicId(9), 0});
    EXPECT_TRUE(world.OpenLog(fmt::format("other{}", nth))) << "the directory's other logs";
    world.set_key(key);
    world.disk().ClearFailures();
    world.Kill(false);
    // It can be read again.
    Log& healthy = world.Start();
    ASSERT_FALSE(healthy.damage());
    EXPECT_EQ(world.ReadAll(healthy), before);
  }
}

TEST(Recovery, AnUnreadableEpochTableIsRebuilt) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 60);
  const auto epochs = log.epochs().entries();
  ASSERT_TRUE(world.Checkpoint());
  world.Kill(false);
  world.disk().Fail({.op = DiskOp::kRead, .path = "orders-0/leader-epoch-checkpoint", .times = 1000});
  world.disk().Fail({.op = DiskOp::kRead, .path = "orders-0/partition.metadata", .times = 1000});
  Log& again = world.Start();
  ASSERT_FALSE(again.damage());
  EXPECT_EQ(again.epochs().entries(), epochs);
  EXPECT_EQ(world.ReadAll(again), before);
}

TEST(Recovery, ARottenBatchIsSeenWhenItIsRead) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 60);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), 150 * 8));
  Log& again = world.Start();
  EXPECT_FALSE(again.damage()) << "a sealed segment is not scanned at the start";
  EXPECT_EQ(world.Read(again, 0).error().code, v1::CORRUPT_MESSAGE);
  EXPECT_EQ(again.damaged().ranges().size(), 1u);
  EXPECT_FALSE(again.damage());
  EXPECT_TRUE(world.Read(again, again.end_offset() - 1)) << "what is whole can be read";
}

TEST(Recovery, ALogThatEndsBelowItsRecoveryPointIsDamaged) {
  LogWorld world;
  Fill(world, world.Start(), 12);
  ASSERT_TRUE(world.CloseCleanly());
  const std::string path = world.LogPath(0);
  ASSERT_TRUE(world.disk().SetContent(path, world.disk().Content(path)->substr(0, 0)));
  EXPECT_TRUE(world.Start().damage());
  world.Kill(false);
  world.disk().RemovePath(path);
  EXPECT_TRUE(world.Start().damage());
}

TEST(Recovery, AMissingSegmentIsDamage) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 100);
  ASSERT_GT(log.segment_count(), 3u);
  ASSERT_TRUE(world.CloseCleanly());
  std::vector<std::string> segments;
  for (const std::string& path : world.disk().Paths()) {
    if (path.ends_with(".log")) segments.push_back(path);
  }
  world.disk().RemovePath(segments[1]);
  for (const char* stop : {"a clean", "an unclean"}) {
    Log& again = world.Start();
    EXPECT_TRUE(world.world().RunUntil([&] { return !again.damaged().empty(); }, 60s))
        << "after " << stop << " stop it is found by the survey";
    EXPECT_FALSE(again.damage()) << "the other segments go on";
    EXPECT_EQ(again.end_offset(), 200u);
    world.Kill(false);
  }
}

// One replica of three may be the only one in sync when it comes back: it must go on with all that it has.
TEST(Recovery, RotInTheMiddleLeavesTheRestInServiceAfterAnUncleanStopToo) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 100);
  ASSERT_GT(log.segment_count(), 3u);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_EQ(world.Start().flushed_end(), 200u);
  world.Kill(false);
  std::vector<std::string> segments;
  for (const std::string& path : world.disk().Paths()) {
    if (path.ends_with(".log")) segments.push_back(path);
  }
  const std::string whole = *world.disk().Content(segments[1]);
  ASSERT_TRUE(world.disk().SetContent(segments[1], whole.substr(0, whole.size() / 2)));
  Log& again = world.Start();
  EXPECT_FALSE(again.damage());
  EXPECT_EQ(again.end_offset(), 200u);
  ASSERT_TRUE(world.process().Await([&] { return again.Survey(); }));
  ASSERT_EQ(again.damaged().ranges().size(), 1u);
  EXPECT_EQ(world.Read(again, again.damaged().ranges()[0].first).error().code, v1::CORRUPT_MESSAGE);
  EXPECT_TRUE(world.Read(again, again.damaged().ranges()[0].last + 1));
  EXPECT_TRUE(world.Append(again, MakeBatch("more"), 9));
  EXPECT_EQ(world.disk().Content(segments[1])->size(), whole.size() / 2) << "nothing is cut";
}

// The recovery point lies in the segment that is lost: the log must not begin behind it as if nothing had
// been.
TEST(Recovery, AMissingFrontIsDamageAlsoWhereNoSegmentBelowTheRecoveryPointIsLeft) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 3);
  ASSERT_TRUE(world.Checkpoint());
  ASSERT_EQ(log.segment_count(), 1u);
  Fill(world, log, 60);
  ASSERT_GT(log.segment_count(), 2u);
  const Offset end = log.end_offset();
  world.Kill(false);
  for (const char* suffix : {".log", ".index", ".timeindex"})
    world.disk().RemovePath(world.LogPath(0, suffix));
  Log& again = world.Start();
  EXPECT_FALSE(again.damage());
  EXPECT_EQ(again.start_offset(), 0u);
  EXPECT_EQ(again.end_offset(), end);
  ASSERT_TRUE(world.process().Await([&] { return again.Survey(); }));
  ASSERT_EQ(again.damaged().ranges().size(), 1u);
  EXPECT_EQ(again.damaged().ranges()[0].first, 0u);
}

TEST(Recovery, MissingAndWrongIndexesAreRebuilt) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 100);
  const size_t segments = log.segment_count();
  ASSERT_TRUE(world.CloseCleanly());
  std::vector<std::string> indexes;
  for (const std::string& path : world.disk().Paths()) {
    if (path.ends_with("index")) indexes.push_back(path);
  }
  ASSERT_GE(indexes.size(), 2 * (segments - 1));
  for (size_t i = 0; i < indexes.size(); ++i) {
    const std::string good = *world.disk().Content(indexes[i]);
    if (i % 3 == 0) world.disk().RemovePath(indexes[i]);
    if (i % 3 == 1) CHECK(world.disk().SetContent(indexes[i], std::string(good.size(), '\0')));
    if (i % 3 == 2) CHECK(world.disk().SetContent(indexes[i], "garbage" + good));
  }
  Log& again = world.Start();
  EXPECT_FALSE(again.damage());
  EXPECT_EQ(world.ReadAll(again), before);
  for (const SeenBatch& batch : before) {
    EXPECT_EQ(ParseBatches(world.Read(again, batch.base_offset, ~0ull, 1)->bytes).at(0), batch);
  }
}

TEST(Recovery, AnIndexThatRotsInServiceIsRebuilt) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 100);
  for (const std::string& path : world.disk().Paths()) {
    if (!path.ends_with(".index")) continue;
    // The seal stays good.
    for (uint64_t byte = 0; byte + 12 < world.disk().Content(path)->size(); byte += 12) {
      world.disk().FlipBit(path, byte * 8);
    }
  }
  for (const SeenBatch& batch : before) {
    const auto read = world.Read(log, batch.base_offset, ~0ull, 1);
    ASSERT_TRUE(read) << ToString(read.error());
    EXPECT_EQ(ParseBatches(read->bytes).at(0), batch);
  }
  world.world().RunFor(1s);
  EXPECT_FALSE(log.damage());
}

TEST(Recovery, TheEpochTableIsRebuiltFromTheBatches) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 60);
  const auto epochs = log.epochs().entries();
  ASSERT_EQ(epochs.size(), 6u);
  ASSERT_TRUE(world.CloseCleanly());
  const std::string path = EpochFilePath("/data/orders-0");
  ASSERT_TRUE(world.disk().FlipBit(path, 40));
  EXPECT_EQ(world.Start().epochs().entries(), epochs);
  ASSERT_TRUE(world.CloseCleanly());
  world.disk().RemovePath(path);
  EXPECT_EQ(world.Start().epochs().entries(), epochs);
  ASSERT_TRUE(world.CloseCleanly());
  EXPECT_EQ(world.Start().epochs().entries(), epochs) << "what was rebuilt was written";
}

TEST(Recovery, WithoutAReadableRecoveryPointRotIsNotTakenForATornTail) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 12);
  ASSERT_TRUE(world.CloseCleanly());
  const std::string checkpoint = "/data/recovery-point-offset-checkpoint";
  ASSERT_TRUE(world.disk().FlipBit(checkpoint, 33));
  EXPECT_EQ(world.ReadAll(world.Start()), before) << "nothing is wrong with the log itself";
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.disk().FlipBit(checkpoint, 33));
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), 150 * 8));
  EXPECT_TRUE(world.Start().damage()) << "good batches follow the bad one";
  world.Kill(false);
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), 150 * 8));
  const std::string good = *world.disk().Content(world.LogPath(0));
  ASSERT_TRUE(world.disk().SetContent(world.LogPath(0), good + "torn"));
  EXPECT_EQ(world.ReadAll(world.Start()), before);
}

// Other logs go on and write a readable file, in which the damaged one has nothing to say.
TEST(Recovery, AnUnreadableRecoveryPointStaysUnknownOverFurtherStarts) {
  LogWorld world;
  Fill(world, world.Start(), 12);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.disk().FlipBit("/data/recovery-point-offset-checkpoint", 33));
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), 150 * 8));
  const std::string rotten = *world.disk().Content(world.LogPath(0));
  const PartitionKey first = world.key();
  for (int start = 0; start < 3; ++start) {
    EXPECT_TRUE(world.Start().damage()) << "start " << start;
    world.set_key({first.topic, 1});
    Log* other = *world.OpenLog();
    ASSERT_TRUE(world.Append(*other, MakeBatch("x")));
    world.WaitForFlush(*other);
    ASSERT_TRUE(world.Checkpoint());
    world.Kill(true);
    world.set_key(first);
    EXPECT_EQ(*world.disk().Content(world.LogPath(0)), rotten) << "nothing was cut";
  }
}

// The files hold the lowered offsets sooner or later, so what is true is written again.
TEST(Truncation, OneThatAFullDiskRefusedLeavesTheCheckpointsAsTheyWere) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 12);
  world.WaitForFlush(log);
  ASSERT_TRUE(world.Checkpoint());
  world.disk().Fail({.op = DiskOp::kWrite, .path = "/data/recovery-point", .fault = DiskFault::kNoSpace});
  EXPECT_EQ(world.Truncate(log, 3).error().code, v1::DISK_FULL);
  world.Call([&] {
    log.RequestFlush();
    return true;
  });
  world.WaitForFlush(log);
  ASSERT_EQ(log.flushed_end(), 24u);
  ASSERT_TRUE(world.Checkpoint());
  EXPECT_THAT(*world.disk().Content("/data/recovery-point-offset-checkpoint"),
              testing::HasSubstr(fmt::format("orders 0 {} ", log.flushed_end())));
  EXPECT_EQ(world.ReadAll(log), before);
}

TEST(Recovery, AnotherIncarnationsFolderIsSetAside) {
  LogWorld world;
  Fill(world, world.Start(), 5);
  ASSERT_TRUE(world.CloseCleanly());
  world.set_key({MakeTopicId(8), 0});
  Log& log = world.Start();
  EXPECT_EQ(log.end_offset(), 0u);
  bool stray = false;
  for (const std::string& path : world.disk().Paths()) stray |= path.find("-stray/") != std::string::npos;
  EXPECT_TRUE(stray);
  ASSERT_TRUE(world.CloseCleanly());
  EXPECT_EQ(world.Start().end_offset(), 0u);
}

TEST(Recovery, UnreadableMetadataIsRebuiltOnlyForTheTopicOfTheBatches) {
  LogWorld world;
  const auto before = Fill(world, world.Start(), 5);
  ASSERT_TRUE(world.CloseCleanly());
  const std::string path = "/data/orders-0/partition.metadata";
  ASSERT_TRUE(world.disk().FlipBit(path, 100));
  EXPECT_EQ(world.ReadAll(world.Start()), before);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.disk().FlipBit(path, 100));
  world.set_key({MakeTopicId(8), 0});
  EXPECT_EQ(world.Start().end_offset(), 0u) << "another topic does not inherit the batches";
}

TEST(Recovery, DeletedPartitionsAreGoneAlsoAfterACrash) {
  LogWorld world;
  Fill(world, world.Start(), 30);
  const auto deleted = world.process().Await([&] { return world.logs().Delete(world.key(), "orders"); });
  ASSERT_TRUE(deleted) << ToString(deleted.error());
  EXPECT_EQ(world.logs().Find(world.key()), nullptr);
  world.Kill(true);
  ASSERT_TRUE(world.StartDirs());
  EXPECT_TRUE(world.dirs().found().empty());
  for (const std::string& path : world.disk().Paths())
    EXPECT_EQ(path.find("orders"), std::string::npos) << path;
  EXPECT_EQ(world.process().Await([&] { return world.logs().Delete(world.key(), "orders"); }).error().code,
            v1::NOT_FOUND);
}

TEST(Truncation, CutsAndGoesOnAlsoAfterACrash) {
  for (const Offset cut :
       {Offset(0), Offset(1), Offset(7), Offset(60), Offset(61), Offset(119), Offset(150)}) {
    LogWorld world(cut + 1);
    Log& log = world.Start();
    const auto before = Fill(world, log, 60);
    ASSERT_TRUE(world.Checkpoint());
    const uint64_t generation = log.generation();
    ASSERT_TRUE(world.Truncate(log, cut));
    std::vector<SeenBatch> expected;
    for (const SeenBatch& batch : before) {
      if (batch.next_offset <= cut) expected.push_back(batch);
    }
    EXPECT_EQ(world.ReadAll(log), expected) << cut;
    EXPECT_EQ(log.generation() > generation, cut < 120);
    EXPECT_EQ(log.end_offset(), expected.empty() ? 0 : expected.back().next_offset);
    EXPECT_EQ(log.flushed_end(), log.end_offset());
    const FinishedBatch next = MakeBatch("next", 1, 500);
    const auto result = world.Append(log, next, 9);
    ASSERT_TRUE(result);
    expected.push_back({result->base_offset, result->end_offset, 9, next.body});
    world.WaitForFlush(log);
    const auto epochs = log.epochs().entries();
    world.Kill(true);
    Log& again = world.Start();
    EXPECT_FALSE(again.damage()) << again.damage()->message;
    EXPECT_EQ(world.ReadAll(again), expected) << cut;
    EXPECT_EQ(again.epochs().entries(), epochs);
  }
}

TEST(Truncation, AFlushUnderWayDoesNotCountWhatWasCut) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 5);
  ASSERT_TRUE(world.Append(log, MakeBatch("x", 10), 9));
  EXPECT_LT(log.flushed_end(), log.end_offset()) << "its flush is under way";
  ASSERT_TRUE(world.Truncate(log, 12));
  EXPECT_EQ(log.end_offset(), 10u);
  EXPECT_EQ(log.flushed_end(), 10u);
  world.world().RunFor(1s);
  EXPECT_EQ(log.flushed_end(), 10u);
}

TEST(Restart, LeavesAnEmptyLogAtTheOffset) {
  for (const Offset at : {Offset(0), Offset(50), Offset(1000)}) {
    LogWorld world;
    Log& log = world.Start();
    Fill(world, log, 60);
    ASSERT_TRUE(world.Checkpoint());
    ASSERT_TRUE(world.process().Await([&] { return log.RestartAt(at); }));
    EXPECT_EQ(log.start_offset(), at);
    EXPECT_EQ(log.end_offset(), at);
    EXPECT_TRUE(log.epochs().entries().empty());
    ASSERT_TRUE(world.Append(log, MakeBatch("first"), 3));
    world.WaitForFlush(log);
    world.Kill(true);
    Log& again = world.Start();
    EXPECT_FALSE(again.damage());
    EXPECT_EQ(again.start_offset(), at);
    EXPECT_EQ(again.end_offset(), at + 1);
    EXPECT_THAT(again.epochs().entries(), ElementsAre(EpochTable::Entry{3, at}));
  }
}

TEST(LogStart, SegmentsBelowItAreRemovedByTheCheckpointRounds) {
  LogWorld world;
  Log& log = world.Start();
  Fill(world, log, 100);
  const size_t segments = log.segment_count();
  world.Call([&] {
    world.logs().Start();
    log.AdvanceStartTo(150);
    return true;
  });
  world.world().RunFor(20s);
  EXPECT_LT(log.segment_count(), segments);
  EXPECT_EQ(log.start_offset(), 150u);
  EXPECT_TRUE(world.Read(log, 150));
  world.Kill(true);
  Log& again = world.Start();
  EXPECT_EQ(again.start_offset(), 150u);
  EXPECT_EQ(again.end_offset(), 200u);
  EXPECT_FALSE(again.damage());
}

TEST(BeginEpoch, IsOnDiskWithItsFirstFlushedRecordAndNeverFalls) {
  LogWorld world;
  Log& log = world.Start();
  const auto begin = [&](LeaderEpoch epoch) {
    return world.process().Await([&log, epoch] { return log.BeginEpoch(epoch); });
  };
  ASSERT_TRUE(begin(3));
  ASSERT_TRUE(begin(3));
  EXPECT_EQ(begin(2).error().code, v1::FENCED_LEADER_EPOCH);
  const auto on_disk = [&] { return ReadEpochTable(world.process().files(), "/data/orders-0"); };
  const auto none = on_disk();
  EXPECT_TRUE(!none || none->entries().empty()) << "an epoch without a record costs a write";
  EXPECT_FALSE(log.flush_needed());
  ASSERT_TRUE(world.Append(log, MakeBatch("x"), 3));
  world.WaitForFlush(log);
  EXPECT_EQ(on_disk()->entries(), log.epochs().entries());
  ASSERT_TRUE(begin(5));
  EXPECT_THAT(log.epochs().entries(), ElementsAre(EpochTable::Entry{3, 0}, EpochTable::Entry{5, 1}));
}

TEST(Verify, DescribesAFolderAndItsDamage) {
  LogWorld world;
  Log& log = world.Start();
  const auto before = Fill(world, log, 60);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  FileSystem& files = world.process().files();
  const auto folder = ReadPartitionFolder(files, "/data/orders-0/");
  ASSERT_TRUE(folder) << ToString(folder.error());
  EXPECT_EQ(folder->topic, "orders");
  EXPECT_EQ(folder->key, world.key());
  std::vector<SeenBatch> seen;
  for (const Offset base : folder->segments) {
    const auto report = VerifySegment(files, *folder, base, [&](const StoredBatch& stored) {
      seen.push_back({stored.batch.base_offset, stored.last_offset() + 1, stored.batch.leader_epoch,
                      std::string(stored.batch.body)});
    });
    ASSERT_TRUE(report);
    EXPECT_THAT(report->problems, ElementsAre());
    EXPECT_EQ(report->good_bytes, report->file_bytes);
  }
  EXPECT_EQ(seen, before);
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), 150 * 8));
  size_t good = 0;
  const auto damaged = VerifySegment(files, *folder, 0, [&](const StoredBatch&) { ++good; });
  ASSERT_TRUE(damaged);
  EXPECT_FALSE(damaged->problems.empty());
  EXPECT_EQ(good, damaged->batches);
  EXPECT_GT(good, 3u) << "it goes on after the bad batch";
}

}  // namespace
}  // namespace tidemark
