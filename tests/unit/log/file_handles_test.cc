// Which files stay open: a bounded number, however many logs there are, and never at the cost of a sync.
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

std::shared_ptr<Segment> OpenSegment(LogWorld& world, FileHandles& handles, int n, bool dirty = false) {
  auto segment = std::make_shared<Segment>();
  segment->path_prefix = fmt::format("/data/{:020d}", n);
  segment->file = std::move(*world.process().files().Open(segment->log_path(), OpenMode::kCreate));
  segment->dirty = dirty;
  handles.NoteOpen(segment);
  return segment;
}

class FileHandlesTest : public testing::Test {
 protected:
  FileHandlesTest() { CHECK(world_.StartDirs()); }
  LogWorld world_;
  int asked_ = 0;
  FileHandles handles_{3, [this] { ++asked_; }};
};

TEST_F(FileHandlesTest, TheOneNotUsedForLongestIsClosed) {
  std::vector<std::shared_ptr<Segment>> segments;
  for (int i = 0; i < 3; ++i) segments.push_back(OpenSegment(world_, handles_, i));
  segments.push_back(OpenSegment(world_, handles_, 3));  // closes 0, and all others lose their mark
  EXPECT_FALSE(segments[0]->file);
  FileHandles::NoteUse(*segments[1]);
  segments.push_back(OpenSegment(world_, handles_, 4));
  EXPECT_TRUE(segments[1]->file) << "it was used meanwhile";
  EXPECT_FALSE(segments[2]->file);
  EXPECT_EQ(handles_.size(), 3u);
  EXPECT_EQ(asked_, 0);
}

TEST_F(FileHandlesTest, FilesWithUnsyncedBytesStayOpenAndTheirFlushIsAskedFor) {
  std::vector<std::shared_ptr<Segment>> dirty;
  for (int i = 0; i < 4; ++i) dirty.push_back(OpenSegment(world_, handles_, i, true));
  EXPECT_EQ(asked_, 1);
  for (const auto& segment : dirty) EXPECT_TRUE(segment->file);
  EXPECT_FALSE(FileHandles(0, [] {}).capacity() == 0) << "there is room for one at least";
  // Under way is not synced.
  for (const auto& segment : dirty) std::tie(segment->dirty, segment->flushing) = std::pair(false, true);
  handles_.NoteFlushed();
  auto more = OpenSegment(world_, handles_, 4);
  EXPECT_TRUE(more->file) << "whoever opened it is about to use it";
  const auto another = OpenSegment(world_, handles_, 6);
  EXPECT_FALSE(more->file) << "the only clean one makes room";
  for (const auto& segment : dirty) EXPECT_TRUE(segment->file);
  for (const auto& segment : dirty) segment->flushing = false;
  handles_.NoteFlushed();
  more = OpenSegment(world_, handles_, 5);
  EXPECT_EQ(handles_.size(), 3u);
}

TEST_F(FileHandlesTest, BeyondAQuarterMoreThereIsNoRoomForADirtyFile) {
  FileHandles handles(4, [this] { ++asked_; });
  std::vector<std::shared_ptr<Segment>> dirty;
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(handles.HasRoom()) << i;
    dirty.push_back(OpenSegment(world_, handles, i, true));
  }
  EXPECT_FALSE(handles.HasRoom());
  for (const auto& segment : dirty) segment->dirty = false;
  handles.NoteFlushed();
  EXPECT_TRUE(handles.HasRoom());
}

TEST_F(FileHandlesTest, ACopyOfASegmentIsNotTakenForTheSegment) {
  auto segment = OpenSegment(world_, handles_, 1);
  auto copy = std::make_shared<Segment>(*segment);
  segment.reset();
  handles_.NoteOpen(copy);
  for (int i = 2; i < 6; ++i) OpenSegment(world_, handles_, i);
  EXPECT_LE(handles_.size(), 3u);
}

// --- Whole logs

constexpr size_t kFew = 16;

struct ManyLogs {
  explicit ManyLogs(LogWorld& world, size_t count) : world(world) {
    world.config().segment_bytes = 4096;
    Open(count);
  }
  void Open(size_t count) {
    logs.clear();
    for (PartitionIndex i = 0; i < count; ++i) {
      world.set_key({MakeTopicId(7), i});
      auto log = world.OpenLog();
      CHECK(log) << ToString(log.error());
      logs.push_back(*log);
    }
  }
  // One batch to each; what finds no room is tried again when flushes have made some.
  void AppendToAll(const std::string& word) {
    const FinishedBatch batch = MakeBatch(word, 1, 500);
    for (Log* log : logs) {
      CHECK(world.world().RunUntil([&] { return world.Append(*log, batch).has_value(); }, 60s));
      most_open = std::max(most_open, world.logs().open_files());
    }
  }
  LogWorld& world;
  std::vector<Log*> logs;
  size_t most_open = 0;
};

class ManyLogsWithFewFiles : public testing::TestWithParam<AckDurability> {};

TEST_P(ManyLogsWithFewFiles, AppendRollAndReadBackWithABoundedNumberOpen) {
  LogWorld world;
  world.shard_options().open_files = kFew;
  world.config().durability = GetParam();
  ASSERT_TRUE(world.StartDirs());
  ManyLogs many(world, 200);
  for (int round = 0; round < 12; ++round) many.AppendToAll(fmt::format("round{}", round));
  EXPECT_LE(many.most_open, kFew + kFew / 4);
  for (Log* log : many.logs) {
    EXPECT_GT(log->segment_count(), 1u);
    EXPECT_EQ(world.ReadAll(*log).size(), 12u);
  }
  EXPECT_LE(world.logs().open_files(), kFew + 1);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  many.Open(200);
  EXPECT_EQ(world.logs().open_files(), 0u) << "a log that was only opened keeps no file";
  for (Log* log : many.logs) EXPECT_EQ(log->end_offset(), 12u);
  many.AppendToAll("again");
  EXPECT_EQ(world.ReadAll(*many.logs[150]).size(), 13u);
  ASSERT_TRUE(world.CloseCleanly());
}
INSTANTIATE_TEST_SUITE_P(Durability, ManyLogsWithFewFiles,
                         testing::Values(AckDurability::kSynced, AckDurability::kReplicated));

TEST(IdleLogs, WriteNothing) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  world.Call([&] {
    world.logs().Start();
    return true;
  });
  ManyLogs many(world, 50);
  many.AppendToAll("once");
  world.world().RunFor(30s);
  const auto writes = [&] {
    uint64_t all = 0;
    for (const DiskOp op : {DiskOp::kWrite, DiskOp::kSync, DiskOp::kRename, DiskOp::kSyncDirectory,
                            DiskOp::kOpen, DiskOp::kRead}) {
      all += world.disk().count(op);
    }
    return all;
  };
  const uint64_t before = writes();
  world.world().RunFor(600s);
  EXPECT_EQ(writes(), before);
  // A change of one is written, and of that one only.
  world.Append(*many.logs[3], MakeBatch("more")).value();
  world.world().RunFor(30s);
  EXPECT_GT(writes(), before);
  EXPECT_LT(writes(), before + 30);
  ASSERT_TRUE(world.CloseCleanly());
}

}  // namespace
}  // namespace tidemark
