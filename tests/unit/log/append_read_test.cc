#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

TEST(Log, ANewLogIsEmptyAtZero) {
  LogWorld world;
  Log& log = world.Start();
  EXPECT_EQ(log.start_offset(), 0u);
  EXPECT_EQ(log.end_offset(), 0u);
  EXPECT_EQ(log.flushed_end(), 0u);
  const auto read = world.Read(log, 0);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->bytes.empty());
  EXPECT_EQ(read->next_offset, 0u);
}

TEST(Log, ALeadersAppendIsStampedAndReadBack) {
  LogWorld world;
  Log& log = world.Start();
  const FinishedBatch a = MakeBatch("a", 3), b = MakeBatch("b", 2);
  const auto result = world.Call([&] {
    const std::vector<UnstampedBatch> batches = {Unstamped(a), Unstamped(b)};
    return log.AppendAsLeader(batches, 4, 777);
  });
  ASSERT_TRUE(result) << ToString(result.error());
  EXPECT_EQ(result->base_offset, 0u);
  EXPECT_EQ(result->end_offset, 5u);
  EXPECT_EQ(log.end_offset(), 5u);
  EXPECT_EQ(world.ReadAll(log), (std::vector<SeenBatch>{{0, 3, 4, a.body}, {3, 5, 4, b.body}}));
}

TEST(Log, AReadBeginsWithTheBatchThatHoldsTheOffset) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(world.Append(log, MakeBatch(fmt::format("b{}", i), 3)));
  for (Offset from = 0; from < 30; ++from) {
    const auto read = world.Read(log, from, ~0ull, 1);
    ASSERT_TRUE(read);
    const auto batches = ParseBatches(read->bytes);
    ASSERT_EQ(batches.size(), 1u) << "at least one batch, however small the limit";
    EXPECT_EQ(batches[0].base_offset, from / 3 * 3);
    EXPECT_EQ(read->next_offset, from / 3 * 3 + 3);
  }
}

TEST(Log, AReadGivesNothingAboveItsBound) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("x", 5)));
  EXPECT_EQ(world.Read(log, 0, 12)->next_offset, 10u) << "batch [10,15) does not end at or below 12";
  EXPECT_EQ(world.Read(log, 10, 12)->next_offset, 10u);
  EXPECT_EQ(world.Read(log, 10, 15)->next_offset, 15u);
  EXPECT_EQ(world.Read(log, 10, 3)->next_offset, 10u);
}

TEST(Log, OffsetsOutsideTheLogAreRefused) {
  LogWorld world;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("x", 5)));
  EXPECT_EQ(world.Read(log, 6).error().code, v1::OFFSET_OUT_OF_RANGE);
  EXPECT_TRUE(world.Read(log, 5)->bytes.empty());
  world.WaitForFlush(log);
  world.Call([&] {
    log.AdvanceStartTo(5);
    return true;
  });
  EXPECT_EQ(world.Read(log, 4).error().code, v1::OFFSET_OUT_OF_RANGE);
}

TEST(Log, ManySegmentsReadAsOneLog) {
  LogWorld world;
  world.disk().SetColdReadChance(0.3);
  Log& log = world.Start();
  std::vector<SeenBatch> expected;
  for (int i = 0; i < 300; ++i) {
    const FinishedBatch batch = MakeBatch(fmt::format("b{}", i), 1 + i % 4, 10 + i % 90);
    const auto result = world.Append(log, batch, i / 100);
    ASSERT_TRUE(result);
    expected.push_back({result->base_offset, result->end_offset, LeaderEpoch(i / 100), batch.body});
  }
  EXPECT_GT(log.segment_count(), 10u);
  EXPECT_EQ(world.ReadAll(log), expected);
  EXPECT_EQ(world.ReadAll(log, 100), expected);
  world.WaitForFlush(log);
  for (const SeenBatch& batch : expected) {
    const auto read = world.Read(log, batch.next_offset - 1, ~0ull, 1);
    ASSERT_TRUE(read) << ToString(read.error());
    EXPECT_EQ(ParseBatches(read->bytes).at(0), batch);
  }
}

TEST(Log, SegmentsRollByAgeOfTheirFirstBatch) {
  LogWorld world;
  world.config().segment_time = 10s;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("a"), 0, 1000));
  ASSERT_TRUE(world.Append(log, MakeBatch("b"), 0, 10999));
  EXPECT_EQ(log.segment_count(), 1u);
  ASSERT_TRUE(world.Append(log, MakeBatch("c"), 0, 11000));
  EXPECT_EQ(log.segment_count(), 2u);
}

TEST(Log, ABatchLargerThanASegmentIsRefused) {
  LogWorld world;
  Log& log = world.Start();
  EXPECT_EQ(world.Append(log, MakeBatch("big", 1, 5000)).error().code, v1::RECORD_LIST_TOO_LARGE);
  EXPECT_EQ(log.end_offset(), 0u);
}

TEST(Log, AnAppendOfAnOlderEpochIsFenced) {
  LogWorld world;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("a"), 5));
  EXPECT_EQ(world.Append(log, MakeBatch("b"), 4).error().code, v1::FENCED_LEADER_EPOCH);
  EXPECT_EQ(log.end_offset(), 1u);
}

TEST(Log, TimestampsAreFoundAcrossSegments) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("t", 3, 30, 10'000 + i * 10), 2));
  world.WaitForFlush(log);
  const auto find = [&](WallMillis timestamp, Offset below) {
    auto found = world.process().Await([&, timestamp, below] { return log.FindTimestamp(timestamp, below); });
    CHECK(found) << ToString(found.error());
    return *found;
  };
  for (int i = 0; i < 200; i += 7) {
    const auto first = find(10'000 + i * 10, ~0ull);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->offset, Offset(i * 3));
    EXPECT_EQ(first->leader_epoch, 2u);
    EXPECT_EQ(find(10'000 + i * 10 + 1, ~0ull)->offset, Offset(i * 3 + 1)) << "inside of a batch";
    if (i > 0) {
      EXPECT_EQ(find(10'000 + i * 10 - 4, ~0ull)->offset, Offset(i * 3)) << "between batches";
    }
  }
  EXPECT_EQ(find(0, ~0ull)->offset, 0u);
  EXPECT_FALSE(find(20'000, ~0ull));
  EXPECT_FALSE(find(11'000, 300)) << "offset 300 is not below the bound";
  const auto greatest = find(-3, ~0ull);
  EXPECT_EQ(greatest->offset, 599u);
  EXPECT_EQ(greatest->timestamp, 10'000 + 1990 + 2);
  EXPECT_EQ(find(-3, 10)->offset, 9u);
}

// Read from the beginning a segment is a gigabyte.
TEST(Log, TheGreatestTimestampIsLookedForWhereTheIndexKnowsIt) {
  LogWorld world;
  Log& log = world.Start();
  const auto active = [&] { return world.Call([&] { return log.DescribeSegments().back().base_offset; }); };
  for (int i = 0; log.end_offset() < 300 || log.end_offset() < active() + 36; ++i)
    ASSERT_TRUE(world.Append(log, MakeBatch("t", 3, 30, 10'000 + i * 10), 2));
  world.WaitForFlush(log);
  const Offset sealed = active();
  // The first batch of every segment cannot be read.
  for (const std::string& path : world.disk().Paths()) {
    if (path.ends_with(".log")) world.disk().FlipBit(path, 60 * 8);
  }
  const auto greatest = [&](Offset below) -> Offset {
    const auto found = world.process().Await([&] { return log.FindTimestamp(-3, below); });
    EXPECT_TRUE(found) << "below " << below << ": " << ToString(found.error());
    return found && *found ? (*found)->offset : ~0ull;
  };
  const Offset end = log.end_offset();
  for (const Offset below : {Offset{~0ull}, end, end - 3, end - 4, end - 9, sealed})
    EXPECT_EQ(greatest(below), std::min(below, end) - 1);
  EXPECT_TRUE(log.damaged().ranges().empty());
}

TEST(Log, TheGreatestTimestampIsThatOfWhatIsLeft) {
  LogWorld world;
  Log& log = world.Start();
  for (const WallMillis time : {20'000, 90'000, 30'000, 40'000, 40'000, 25'000})
    ASSERT_TRUE(world.Append(log, MakeBatch("t", 1, 300, time), 2));
  world.WaitForFlush(log);
  const auto greatest = [&](Offset below) {
    return (*world.process().Await([&] { return log.FindTimestamp(-3, below); }))->offset;
  };
  EXPECT_EQ(greatest(~0ull), 1u);
  EXPECT_EQ(greatest(1), 0u);
  world.Call([&] {
    log.AdvanceStartTo(2);
    return true;
  });
  EXPECT_EQ(greatest(~0ull), 3u) << "of two the first";
  EXPECT_EQ(greatest(3), 2u);
}

TEST(Log, AFollowerHoldsTheLeadersBytes) {
  LogWorld world;
  Log& leader = world.Start();
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(world.Append(leader, MakeBatch(fmt::format("b{}", i), 2, 60), i / 20));
  LogWorld other(2);
  Log& follower = other.Start();
  for (Offset at = 0; at < leader.end_offset();) {
    const auto read = world.Read(leader, at, ~0ull, 700);
    const auto appended = other.Call([&] { return follower.AppendAsFollower(read->bytes); });
    ASSERT_TRUE(appended) << ToString(appended.error());
    at = read->next_offset;
    EXPECT_EQ(follower.end_offset(), at);
  }
  EXPECT_EQ(other.ReadAll(follower), world.ReadAll(leader));
  EXPECT_EQ(follower.epochs().entries(), leader.epochs().entries());
  EXPECT_EQ(follower.size_bytes(), leader.size_bytes());
}

TEST(Log, AFollowerRefusesWhatDoesNotBelong) {
  LogWorld world;
  Log& leader = world.Start();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(world.Append(leader, MakeBatch("x", 2), i));
  const std::string all = world.Read(leader, 0)->bytes;
  const std::string second = world.Read(leader, 2)->bytes;
  const std::string first = all.substr(0, all.size() - second.size());
  LogWorld other(2);
  Log& follower = other.Start();
  const auto append = [&](std::string bytes) {
    return other.Call([&] { return follower.AppendAsFollower(bytes); });
  };

  EXPECT_THAT(append(second).error().message, HasSubstr("0 was expected")) << "a gap";
  EXPECT_EQ(append(all.substr(0, all.size() - 1)).error().code, v1::CORRUPT_MESSAGE) << "cut short";
  for (size_t byte = 0; byte < first.size(); ++byte) {
    std::string bad = first;
    bad[byte] = static_cast<char>(bad[byte] ^ 0x10);
    EXPECT_FALSE(append(bad)) << "flipped bit in byte " << byte;
  }
  EXPECT_EQ(follower.end_offset(), 0u) << "nothing was appended";
  ASSERT_TRUE(append(first));
  ASSERT_TRUE(append(all)) << "batches known already are skipped";
  EXPECT_EQ(follower.end_offset(), 8u);
  EXPECT_EQ(append(first)->end_offset, 8u);

  LogWorld stranger(3);
  stranger.set_key({MakeTopicId(9), 0});
  Log& another = stranger.Start();
  const auto foreign = stranger.Call([&] { return another.AppendAsFollower(all); });
  EXPECT_EQ(foreign.error().code, v1::CORRUPT_MESSAGE) << "batches of another topic";
}

TEST(Log, SyncedAppendsAreFlushedInGroupsAndTold) {
  LogWorld world;
  Log& log = world.Start();
  int told = 0;
  world.Call([&] {
    log.SetFlushListener([&] { ++told; });
    for (int i = 0; i < 10; ++i) {
      const FinishedBatch batch = MakeBatch("x");
      const UnstampedBatch unstamped = Unstamped(batch);
      CHECK(log.AppendAsLeader(std::span(&unstamped, 1), 0, 1));
    }
    return true;
  });
  EXPECT_EQ(log.flushed_end(), 0u);
  const uint64_t syncs = world.disk().count(DiskOp::kSync);
  world.WaitForFlush(log);
  world.world().RunFor(10ms);
  EXPECT_EQ(log.flushed_end(), 10u);
  EXPECT_EQ(told, 1);
  EXPECT_LE(world.disk().count(DiskOp::kSync) - syncs, 2u) << "the log once, the epoch table once";
}

TEST(Log, ReplicatedAppendsAreNotFlushedByThemselves) {
  LogWorld world;
  world.config().durability = AckDurability::kReplicated;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("x")));
  world.world().RunFor(1s);
  EXPECT_EQ(log.flushed_end(), 0u);
  world.Call([&] {
    log.RequestFlush();
    return true;
  });
  world.WaitForFlush(log);
  EXPECT_EQ(log.flushed_end(), 1u);
}

TEST(Log, AFullDiskRefusesAppendsAndLosesNothing) {
  LogWorld world;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("kept")));
  world.disk().Fail({DiskOp::kWrite, ".log", DiskFault::kNoSpace});
  EXPECT_EQ(world.Append(log, MakeBatch("refused")).error().code, v1::DISK_FULL);
  EXPECT_FALSE(log.failure());
  ASSERT_TRUE(world.Append(log, MakeBatch("again")));
  const auto all = world.ReadAll(log);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_THAT(all[1].body, HasSubstr("again"));
}

TEST(Log, AFailedSyncIsNeverRetriedAndTakesTheDirectoryOffline) {
  LogWorld world;
  Log& log = world.Start();
  std::string failed;
  world.Call([&] {
    world.logs().SetDirectoryFailureListener([&](const LogDirectory& d, const Error&) { failed = d.path; });
    return true;
  });
  world.disk().Fail({DiskOp::kSync, ".log"});
  ASSERT_TRUE(world.Append(log, MakeBatch("x")));
  world.world().RunFor(1s);
  ASSERT_TRUE(log.failure());
  EXPECT_EQ(failed, "/data");
  EXPECT_EQ(log.flushed_end(), 0u);
  const uint64_t syncs = world.disk().count(DiskOp::kSync);
  EXPECT_EQ(world.Append(log, MakeBatch("y")).error().code, v1::KAFKA_STORAGE_ERROR);
  EXPECT_EQ(world.Read(log, 0).error().code, v1::KAFKA_STORAGE_ERROR);
  world.world().RunFor(1s);
  EXPECT_EQ(world.disk().count(DiskOp::kSync), syncs);
  world.set_key({MakeTopicId(8), 1});
  EXPECT_EQ(world.OpenLog().error().code, v1::KAFKA_STORAGE_ERROR);
}

}  // namespace
}  // namespace tidemark
