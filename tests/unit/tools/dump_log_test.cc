// The dump and the offline verification, over logs that the real Log wrote in a simulated world.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/log/partition_files.h"
#include "broker/log/verify.h"
#include "tests/unit/log/log_fixture.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/dump_log_text.h"
#include "tools/dump_log_verify.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kFolder = "/data/orders-0";

class DumpLogTest : public ::testing::Test {
 protected:
  // A log of `batches` batches of three records, closed cleanly.
  void Fill(int batches) {
    Log& log = world_.Start();
    for (int i = 0; i < batches; ++i) {
      CHECK(world_.Append(log, MakeBatch(fmt::format("v{}", i), 3)));
      world_.WaitForFlush(log);
    }
    ASSERT_TRUE(world_.CloseCleanly());
  }
  SimDisk& disk() { return world_.disk(); }
  // The reader is another process on the same host.
  FileSystem& files() {
    if (reader_ == nullptr) reader_ = &world_.world().StartProcess(kHost);
    return reader_->files();
  }
  // The text of a dump; `valid_` tells its outcome.
  std::string Dump(const std::string& path, DumpOptions options = {}) {
    std::string text;
    auto valid = DumpFile(files(), path, options, [&](std::string_view piece) { text += piece; });
    EXPECT_TRUE(valid) << ToString(valid.error());
    valid_ = valid && *valid;
    return text;
  }
  std::string Verify(const std::string& path) {
    std::string text;
    auto summary = VerifyPath(files(), path, [&](std::string_view piece) { text += piece; });
    EXPECT_TRUE(summary) << ToString(summary.error());
    if (summary) summary_ = *summary;
    return text;
  }
  std::vector<std::string> BatchLines(const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      if (text.compare(at, 11, "baseOffset:") == 0) lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }
  // Changes one bit in the middle of batch `n` (from 0) of the first segment.
  void DamageBatch(size_t n) {
    std::string bytes = *disk().Content(Path());
    std::string_view rest = bytes;
    BatchView batch;
    for (size_t i = 0; i <= n; ++i) {
      if (i > 0) rest.remove_prefix(batch.total_bytes());
      ASSERT_EQ(ParseBatch(rest, &batch, nullptr, nullptr), BatchParse::kOk);
    }
    const size_t position = static_cast<size_t>(batch.body.data() - bytes.data()) + batch.body.size() / 2;
    bytes[position] ^= 0x10;
    ASSERT_TRUE(disk().SetContent(Path(), bytes));
  }
  void Append(const std::string& bytes) {
    ASSERT_TRUE(disk().SetContent(Path(), *disk().Content(Path()) + bytes));
  }
  // As after a stop before the first checkpoint: nothing is known to have been flushed.
  void ForgetFlushedPoint() {
    const std::string path = fmt::format("/data/{}", CheckpointFileName(CheckpointKind::kRecoveryPoint));
    ASSERT_TRUE(disk().SetContent(path, EncodeCheckpoint({{world_.key(), {"orders", 0}}})));
  }
  std::string Path(std::string_view suffix = ".log") { return world_.LogPath(0, suffix); }

  LogWorld world_;
  SimProcess* reader_ = nullptr;
  bool valid_ = false;
  VerifySummary summary_;
};

TEST_F(DumpLogTest, EveryBatchIsOneLineInKafkasWords) {
  Fill(2);
  const std::string text = Dump(Path());
  EXPECT_THAT(text, StartsWith("Dumping " + Path() +
                               "\nLog starting offset: 0\nbaseOffset: 0 lastOffset: 2 count: 3 "));
  const auto lines = BatchLines(text);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[1],
              ::testing::MatchesRegex(
                  "baseOffset: 3 lastOffset: 5 count: 3 baseSequence: -1 lastSequence: -1 producerId: -1 "
                  "producerEpoch: -1 partitionLeaderEpoch: 0 isTransactional: false isControl: false "
                  "deleteHorizonMs: OptionalLong.empty position: [0-9]+ CreateTime: 1002 size: [0-9]+ "
                  "magic: 1 compresscodec: none crc: [0-9]+ isvalid: true"));
  EXPECT_TRUE(valid_);
}

TEST_F(DumpLogTest, RecordsAreShownBelowTheirBatchWhenAskedFor) {
  Fill(1);
  EXPECT_THAT(
      Dump(Path(), {.print_data = true}),
      HasSubstr("| offset: 1 CreateTime: 1001 keySize: 4 valueSize: 20 sequence: -1 headerKeys: [] key: v0-1 "
                "payload: v0..................\n"));
  EXPECT_THAT(Dump(Path(), {.deep = true}), Not(HasSubstr("payload")));
  EXPECT_THAT(Dump(Path(), {.print_data = true, .skip_metadata = true}),
              HasSubstr("| key: v0-1 payload: v0"));
}

TEST_F(DumpLogTest, AnAbsentKeyAndValueAreNotEmptyOnes) {
  Log& log = world_.Start();
  BatchBuilder builder;
  const HeaderView header{"trace", "1"};
  CHECK(builder.Append(std::nullopt, std::nullopt, 7, std::span(&header, 1)));
  CHECK(world_.Append(log, *builder.Finish(v1::COMPRESSION_ZSTD)));
  world_.WaitForFlush(log);
  const std::string text = Dump(Path(), {.print_data = true});
  EXPECT_THAT(text, HasSubstr("compresscodec: zstd"));
  EXPECT_THAT(
      text,
      EndsWith("| offset: 0 CreateTime: 7 keySize: -1 valueSize: -1 sequence: -1 headerKeys: [trace]\n"));
}

TEST_F(DumpLogTest, ADamagedBatchIsShownAsInvalidAndThoseAfterItAsValid) {
  Fill(3);
  DamageBatch(1);
  const std::string text = Dump(Path());
  const auto lines = BatchLines(text);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], EndsWith("isvalid: true"));
  EXPECT_THAT(lines[1], EndsWith("isvalid: false"));
  EXPECT_THAT(lines[2], EndsWith("isvalid: true"));
  EXPECT_FALSE(valid_);
}

TEST_F(DumpLogTest, ABatchOfAnotherPartitionIsInvalid) {
  Fill(2);
  const TopicId other = MakeTopicId(9);
  ASSERT_TRUE(WritePartitionMetadata(files(), kFolder, other));
  EXPECT_THAT(BatchLines(Dump(Path())).front(), EndsWith("isvalid: false"));
  EXPECT_FALSE(valid_);
}

TEST_F(DumpLogTest, GarbageBetweenBatchesIsSkippedAndTold) {
  Fill(2);
  const std::string bytes = *disk().Content(Path());
  ASSERT_TRUE(disk().SetContent(Path(), "garbage" + bytes));
  const std::string text = Dump(Path());
  EXPECT_THAT(text, HasSubstr("Found 7 invalid bytes at position 0 "));
  EXPECT_EQ(BatchLines(text).size(), 2u);
  EXPECT_FALSE(valid_);
}

TEST_F(DumpLogTest, ACutBatchAtTheEndIsToldButIsNoDamage) {
  Fill(2);
  const std::string bytes = *disk().Content(Path());
  Append(bytes.substr(0, 30));
  EXPECT_THAT(Dump(Path()), EndsWith("Found 30 invalid bytes at the end of 00000000000000000000.log\n"));
  EXPECT_TRUE(valid_);
}

TEST_F(DumpLogTest, ACutBatchWhoseRecordHoldsTheImageOfOneShowsNone) {
  const FinishedBatch inner = MakeBatch("inner");
  const BatchPrefix prefix =
      StampBatch(inner.body, inner.body_crc, 500, 0, 5000, world_.key().topic, world_.key().partition);
  Log& log = world_.Start();
  ASSERT_TRUE(world_.Append(log, MakeBatch(std::string(prefix.view()) + inner.body, 1, 600)));
  world_.WaitForFlush(log);
  ASSERT_TRUE(world_.CloseCleanly());
  const std::string whole = *disk().Content(Path());
  ASSERT_TRUE(disk().SetContent(Path(), whole.substr(0, whole.size() - 20)));
  const std::string text = Dump(Path());
  EXPECT_THAT(BatchLines(text), ::testing::IsEmpty());
  EXPECT_THAT(text, HasSubstr(fmt::format("Found {} invalid bytes at the end", whole.size() - 20)));
}

TEST_F(DumpLogTest, WithoutTheTopicIdBodiesAreStillVerified) {
  Fill(2);
  disk().RemovePath(std::string(kFolder) + "/partition.metadata");
  DamageBatch(1);
  const std::string text = Dump(Path());
  EXPECT_THAT(text, HasSubstr("Header checksums are not verified"));
  const auto lines = BatchLines(text);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], EndsWith("isvalid: true"));
  EXPECT_THAT(lines[1], EndsWith("isvalid: false"));
}

TEST_F(DumpLogTest, IndexFilesShowTheirEntriesAndWhatTheyMissInTheLog) {
  Fill(20);
  EXPECT_THAT(Dump(Path(".index")), HasSubstr("\noffset: "));
  EXPECT_TRUE(valid_);
  EXPECT_THAT(Dump(Path(".timeindex")), HasSubstr("\ntimestamp: 1002 offset: "));
  EXPECT_TRUE(valid_);
  const std::string bytes = *disk().Content(Path());
  ASSERT_TRUE(disk().SetContent(Path(), bytes.substr(0, 10)));
  EXPECT_THAT(Dump(Path(".index"), {.verify_index_only = true}),
              HasSubstr("Mismatches in :" + Path(".index")));
  EXPECT_FALSE(valid_);
}

TEST_F(DumpLogTest, OnlySegmentFilesThatAreThereCanBeDumped) {
  Fill(1);
  const auto nowhere = [](std::string_view) {};
  EXPECT_EQ(DumpFile(files(), world_.LogPath(99), {}, nowhere).error().code, v1::NOT_FOUND);
  EXPECT_EQ(DumpFile(files(), "/data/meta.properties", {}, nowhere).error().code, v1::INVALID_REQUEST);
}

TEST_F(DumpLogTest, ACleanLogDirectoryVerifiesWithoutAWord) {
  Fill(40);
  const std::string text = Verify("/data/");
  EXPECT_THAT(text, EndsWith("No damage found\n"));
  EXPECT_EQ(summary_.damage, 0u);
  EXPECT_EQ(summary_.notes, 0u) << text;
  EXPECT_EQ(summary_.partitions, 1u);
  EXPECT_EQ(summary_.batches, 40u);
}

TEST_F(DumpLogTest, APartitionOrOneFileCanBeVerifiedByItself) {
  Fill(2);
  EXPECT_THAT(Verify(kFolder), EndsWith("No damage found\n"));
  EXPECT_THAT(Verify(Path()), EndsWith("No damage found\n"));
  DamageBatch(0);
  EXPECT_THAT(Verify(kFolder), EndsWith("damage: 1 problem\n"));
  EXPECT_THAT(Verify(Path()), EndsWith("damage: 1 problem\n"));
}

TEST_F(DumpLogTest, WhatIsNoLogIsRefusedWithWhatToName) {
  Fill(1);
  const auto nowhere = [](std::string_view) {};
  EXPECT_EQ(VerifyPath(files(), "/nothing", nowhere).error().code, v1::NOT_FOUND);
  EXPECT_EQ(VerifyPath(files(), "/data/meta.properties", nowhere).error().code, v1::INVALID_REQUEST);
}

TEST_F(DumpLogTest, ABrokerThatRunsLeavesNotesOnly) {
  Log& log = world_.Start();
  for (int i = 0; i < 40; ++i) CHECK(world_.Append(log, MakeBatch("x", 3)));
  const std::string text = Verify("/data");
  EXPECT_THAT(text, HasSubstr("note: /data: no clean-shutdown mark"));
  EXPECT_THAT(text, EndsWith("No damage found\n"));
}

TEST_F(DumpLogTest, ABadBatchBelowTheFlushedPointIsDamageWithItsPlace) {
  Fill(3);
  DamageBatch(2);  // the last one: only the flushed point tells that it was whole once
  const std::string text = Verify(kFolder);
  EXPECT_THAT(text, HasSubstr("damage: " + Path() + ": byte "));
  EXPECT_THAT(text, EndsWith("damage: 1 problem\n"));
  EXPECT_EQ(summary_.above_flushed, 0u);
}

TEST_F(DumpLogTest, ABadBatchWithAGoodOneAfterItIsDamageAlsoAboveTheFlushedPoint) {
  Fill(3);
  ForgetFlushedPoint();
  DamageBatch(1);
  EXPECT_THAT(Verify(kFolder), HasSubstr("above the flushed point, where a loss of power leaves the like"));
  EXPECT_EQ(summary_.damage, 1u);
  EXPECT_EQ(summary_.above_flushed, 1u);
}

// A loss of power has taken the end of a segment and what came after it, but not the seal.
TEST_F(DumpLogTest, ASealThatOutlivedTheUnflushedEndOfItsSegmentIsANote) {
  Fill(60);
  ForgetFlushedPoint();
  disk().RemovePath("/data/clean-shutdown");
  const std::vector<Offset> bases = ReadPartitionFolder(files(), kFolder)->segments;
  ASSERT_GE(bases.size(), 3u);
  for (size_t i = 1; i < bases.size(); ++i) {
    for (const char* suffix : {".log", ".index", ".timeindex"})
      disk().RemovePath(world_.LogPath(bases[i], suffix));
  }
  const std::string whole = *disk().Content(Path());
  ASSERT_TRUE(disk().SetContent(Path(), whole.substr(0, whole.size() - 40)));
  EXPECT_THAT(Verify("/data"),
              AllOf(HasSubstr("note: " + Path() + ": sealed as"), EndsWith("No damage found\n")));
  Log& log = world_.Start();
  EXPECT_FALSE(log.damage());
  EXPECT_EQ(log.end_offset(), bases[1] - 3);
}

TEST_F(DumpLogTest, AnIncompleteBatchAtTheVeryEndIsANote) {
  Fill(3);
  const std::string bytes = *disk().Content(Path());
  Append(bytes.substr(0, 30));
  EXPECT_THAT(Verify(kFolder), HasSubstr("note: " + Path() + ": byte "));
  EXPECT_EQ(summary_.damage, 0u);
}

TEST_F(DumpLogTest, SeveralUnflushedBatchesAreNoDamageWhenNoneOfThemIsGood) {
  Fill(3);
  ForgetFlushedPoint();
  DamageBatch(1);
  DamageBatch(2);
  EXPECT_THAT(Verify(kFolder), EndsWith("No damage found\n"));
  EXPECT_GE(summary_.notes, 2u);
}

TEST_F(DumpLogTest, ALogThatEndsBelowItsFlushedPointIsDamage) {
  Fill(3);
  ASSERT_TRUE(disk().SetContent(Path(), ""));
  EXPECT_THAT(Verify("/data"), HasSubstr("ends at offset 0, but was flushed up to 9"));
  EXPECT_GE(summary_.damage, 1u);
}

TEST_F(DumpLogTest, AMissingSegmentIsDamage) {
  Fill(60);
  const auto folder = ReadPartitionFolder(files(), kFolder);
  ASSERT_TRUE(folder);
  ASSERT_GE(folder->segments.size(), 3u);
  disk().RemovePath(world_.LogPath(folder->segments[1]));
  EXPECT_THAT(Verify(kFolder), HasSubstr(fmt::format("ends at offset {}, but the next segment begins at {}",
                                                     folder->segments[1], folder->segments[2])));
  EXPECT_EQ(summary_.damage, 1u);
}

// What a crash may leave between the commit of a swap and its end: the next start goes through with it.
TEST_F(DumpLogTest, AnInterruptedSwapIsANote) {
  Fill(60);
  const std::vector<Offset> bases = ReadPartitionFolder(files(), kFolder)->segments;
  ASSERT_GE(bases.size(), 3u);
  const std::string merged =
      *disk().Content(world_.LogPath(bases[0])) + *disk().Content(world_.LogPath(bases[1]));
  ASSERT_TRUE(WriteFileDurably(files(), Path(".log.swap"), merged));
  for (const bool gone : {false, true}) {
    if (gone) disk().RemovePath(world_.LogPath(bases[1]));
    EXPECT_THAT(Verify("/data"), AllOf(HasSubstr("00000000000000000000.log.swap: a crash has interrupted"),
                                       HasSubstr("60 batches, 180 records"), EndsWith("No damage found\n")));
  }
  // The first one it replaces is gone too when the directory was not synced in order.
  disk().RemovePath(Path());
  Verify("/data");
  EXPECT_EQ(summary_.damage, 0u);
  Log& log = world_.Start();
  EXPECT_FALSE(log.damage());
  EXPECT_EQ(log.end_offset(), 180u);
}

TEST_F(DumpLogTest, ADamagedSwapIsDamageWhereWhatItStandsForIsGone) {
  Fill(60);
  std::string swap = *disk().Content(Path());
  swap[swap.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileDurably(files(), Path(".log.swap"), swap));
  Verify("/data");
  EXPECT_EQ(summary_.damage, 0u) << "it is not needed";
  disk().RemovePath(Path());
  EXPECT_THAT(Verify("/data"), HasSubstr("damage: /data/orders-0/00000000000000000000.log.swap: byte "));
  EXPECT_GE(summary_.damage, 1u);
}

// Files of a running broker: something happens before a file is opened.
class BusyFiles : public FileSystem {
 public:
  using BeforeOpen = std::function<void(const std::string& path)>;
  BusyFiles(FileSystem& files, BeforeOpen before) : files_(files), before_(std::move(before)) {}

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    before_(path);
    return files_.Open(path, mode);
  }
  Result<bool> Exists(const std::string& path) override { return files_.Exists(path); }
  Result<> Rename(const std::string& from, const std::string& to) override { return files_.Rename(from, to); }
  Result<> Remove(const std::string& path) override { return files_.Remove(path); }
  Result<> CreateDirectories(const std::string& path) override { return files_.CreateDirectories(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override { return files_.List(path); }
  Result<> SyncDirectory(const std::string& path) override { return files_.SyncDirectory(path); }
  Result<> PrepareSyncFileSystem(const std::string& path) override {
    return files_.PrepareSyncFileSystem(path);
  }
  Result<> SyncFileSystem(const std::string& path) override { return files_.SyncFileSystem(path); }
  Result<uint64_t> FreeBytes(const std::string& path) override { return files_.FreeBytes(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override { return files_.Lock(path); }

 private:
  FileSystem& files_;
  const BeforeOpen before_;
};

// The second segment has been compacted into the first one when its turn comes.
TEST_F(DumpLogTest, ACompactionBesideItIsNoDamage) {
  Fill(60);
  const std::vector<Offset> bases = ReadPartitionFolder(files(), kFolder)->segments;
  ASSERT_GE(bases.size(), 3u);
  bool swapped = false;
  BusyFiles busy(files(), [&](const std::string& path) {
    if (swapped || path != world_.LogPath(bases[1])) return;
    swapped = true;
    const std::string merged =
        *disk().Content(world_.LogPath(bases[0])) + *disk().Content(world_.LogPath(bases[1]));
    for (const std::string_view suffix : {".log", ".index", ".timeindex"}) {
      disk().RemovePath(world_.LogPath(bases[1], suffix));
      if (suffix != ".log") disk().RemovePath(world_.LogPath(bases[0], suffix));
    }
    CHECK(WriteFileDurably(files(), world_.LogPath(bases[0]), merged));
  });
  std::string text;
  const auto summary = VerifyPath(busy, "/data", [&](std::string_view piece) { text += piece; });
  ASSERT_TRUE(summary);
  EXPECT_TRUE(swapped);
  EXPECT_EQ(summary->damage, 0u) << text;
  EXPECT_EQ(summary->partitions, 1u);
  EXPECT_THAT(text, HasSubstr("60 batches, 180 records"));
}

// Retention takes the second segment, and with it the first, while the first has been read.
TEST_F(DumpLogTest, RetentionBesideItIsNoDamage) {
  Fill(60);
  const std::vector<Offset> bases = ReadPartitionFolder(files(), kFolder)->segments;
  bool removed = false;
  BusyFiles busy(files(), [&](const std::string& path) {
    if (removed || path != world_.LogPath(bases[1])) return;
    removed = true;
    const std::string starts = fmt::format("/data/{}", CheckpointFileName(CheckpointKind::kLogStart));
    CHECK(disk().SetContent(starts, EncodeCheckpoint({{world_.key(), {"orders", bases[2]}}})));
    for (const Offset base : {bases[0], bases[1]}) {
      for (const std::string_view suffix : {".log", ".index", ".timeindex"})
        disk().RemovePath(world_.LogPath(base, suffix));
    }
  });
  std::string text;
  const auto summary = VerifyPath(busy, "/data", [&](std::string_view piece) { text += piece; });
  ASSERT_TRUE(summary);
  EXPECT_TRUE(removed);
  EXPECT_EQ(summary->damage, 0u) << text;
  EXPECT_THAT(text, HasSubstr(fmt::format("offsets {} to 180", bases[2])));
}

TEST_F(DumpLogTest, DamageOfALogThatNeverStandsStillIsToldAllTheSame) {
  Fill(3);
  DamageBatch(1);
  BusyFiles busy(files(), [&](const std::string& path) {
    if (path == Path()) Append("x");
  });
  std::string text;
  const auto summary = VerifyPath(busy, kFolder, [&](std::string_view piece) { text += piece; });
  ASSERT_TRUE(summary);
  EXPECT_GE(summary->damage, 1u);
  EXPECT_EQ(summary->partitions, 1u);
}

TEST_F(DumpLogTest, AMissingFrontIsDamage) {
  Fill(60);
  const std::vector<Offset> bases = ReadPartitionFolder(files(), kFolder)->segments;
  for (const std::string_view suffix : {".log", ".index", ".timeindex"}) disk().RemovePath(Path(suffix));
  EXPECT_THAT(Verify("/data"),
              HasSubstr(fmt::format("offsets 0 to {} are missing: no segment before {} is there",
                                    bases[1] - 1, bases[1])));
  EXPECT_EQ(summary_.damage, 1u);
}

TEST_F(DumpLogTest, AFrontThatWasDeletedIsNone) {
  Log& log = world_.Start();
  for (int i = 0; i < 60; ++i) {
    CHECK(world_.Append(log, MakeBatch(fmt::format("v{}", i), 3)));
    world_.WaitForFlush(log);
  }
  world_.Call([&] {
    log.SetHighWatermark(log.end_offset());
    log.AdvanceStartTo(100);
    return true;
  });
  world_.world().RunFor(1s);
  ASSERT_TRUE(world_.CloseCleanly());
  EXPECT_THAT(Verify("/data"), EndsWith("No damage found\n"));
}

TEST_F(DumpLogTest, AMissingCheckpointIsDamageWhereThereAreLogs) {
  Fill(3);
  disk().RemovePath("/data/dropped-tombstones-offset-checkpoint");
  EXPECT_THAT(Verify("/data"), HasSubstr("dropped-tombstones-offset-checkpoint: is missing"));
  EXPECT_EQ(summary_.damage, 1u);
}

TEST_F(DumpLogTest, AMissingOrWrongIndexIsANote) {
  Fill(60);
  disk().RemovePath(Path(".index"));
  EXPECT_THAT(Verify("/data"), EndsWith("No damage found\n"));
  EXPECT_EQ(summary_.notes, 1u);
  ASSERT_TRUE(disk().SetContent(Path(".timeindex"), "wrong"));
  EXPECT_THAT(Verify("/data"), EndsWith("No damage found\n"));
}

TEST_F(DumpLogTest, DamagedSmallFilesAreDamage) {
  Fill(3);
  for (const char* name : {"/data/meta.properties", "/data/recovery-point-offset-checkpoint",
                           "/data/orders-0/partition.metadata"}) {
    const std::string content = *disk().Content(name);
    ASSERT_TRUE(disk().SetContent(name, "not what it was\n"));
    EXPECT_THAT(Verify("/data"), HasSubstr(name));
    EXPECT_GE(summary_.damage, 1u) << name;
    ASSERT_TRUE(disk().SetContent(name, content));
  }
  EXPECT_THAT(Verify("/data"), EndsWith("No damage found\n"));
}

TEST_F(DumpLogTest, ADirectoryThatTheBrokerRefusesIsDamaged) {
  Fill(3);
  disk().RemovePath("/data/meta.properties");
  EXPECT_THAT(Verify("/data"), EndsWith("No damage found\n")) << "its copy is there";
  disk().RemovePath("/data/meta.properties.copy");
  EXPECT_THAT(Verify("/data"), HasSubstr("the broker does not start on this directory"));
  EXPECT_EQ(summary_.damage, 1u);
}

TEST_F(DumpLogTest, BatchesAreCheckedAlsoWhenTheFolderLostItsTopicId) {
  Fill(3);
  disk().RemovePath(std::string(kFolder) + "/partition.metadata");
  Verify("/data");
  EXPECT_EQ(summary_.batches, 3u);
  EXPECT_EQ(summary_.damage, 1u);
}

TEST_F(DumpLogTest, EveryJsonLineIsAnObjectWithKafkasNames) {
  Log& log = world_.Start();
  BatchBuilder builder;
  CHECK(builder.Append("k\xff", "v\"1", 7));
  CHECK(world_.Append(log, *builder.Finish(v1::COMPRESSION_LZ4)));
  world_.WaitForFlush(log);
  const std::string text = Dump(Path(), {.print_data = true, .json = true});
  std::vector<nlohmann::json> lines;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    lines.push_back(nlohmann::json::parse(text.substr(at, text.find('\n', at) - at)));
  }
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0]["path"], Path());
  EXPECT_EQ(lines[1]["startOffset"], 0);
  EXPECT_EQ(lines[2]["type"], "batch");
  EXPECT_EQ(lines[2]["compresscodec"], "lz4");
  EXPECT_EQ(lines[2]["isvalid"], true);
  EXPECT_EQ(lines[3]["offset"], 0);
  EXPECT_EQ(lines[3]["key"]["base64"], "a/8=") << "not UTF-8";
  EXPECT_EQ(lines[3]["payload"], "v\"1");
}

TEST_F(DumpLogTest, FindingsInJsonSayWhichByte) {
  Fill(3);
  DamageBatch(1);
  std::string text;
  ASSERT_TRUE(VerifyPath(files(), kFolder, [&](std::string_view piece) { text += piece; }, true));
  const size_t line = text.find(R"({"type":"damage")");
  ASSERT_NE(line, std::string::npos) << text;
  const auto finding = nlohmann::json::parse(text.substr(line, text.find('\n', line) - line));
  EXPECT_EQ(finding["path"], Path());
  EXPECT_GT(finding["position"], 0);
  EXPECT_THAT(text, HasSubstr(R"({"type":"verdict","partitions":1,"batches":2,"damage":1,"notes":0})"));
}

TEST_F(DumpLogTest, TheSanityCheckOfAnIndexLooksAtNothingElse) {
  Fill(60);
  EXPECT_THAT(Dump(Path(".index"), {.index_sanity_check = true}),
              HasSubstr(Path(".index") + " passed sanity check.\n"));
  EXPECT_TRUE(valid_);
  std::string bytes = *disk().Content(Path(".index"));
  bytes[3] ^= 1;
  ASSERT_TRUE(disk().SetContent(Path(".index"), bytes));
  EXPECT_THAT(Dump(Path(".index"), {.index_sanity_check = true}), Not(HasSubstr("passed")));
  EXPECT_FALSE(valid_);
}

TEST_F(DumpLogTest, MaxBytesLeavesOutWhatBeginsAboveIt) {
  Fill(5);
  EXPECT_EQ(BatchLines(Dump(Path(), {.max_bytes = 1})).size(), 1u);
  EXPECT_EQ(BatchLines(Dump(Path(), {.max_bytes = 1 << 20})).size(), 5u);
}

TEST_F(DumpLogTest, AVanishedBatchIsDamage) {
  Log& log = world_.Start();
  for (const Offset base : {0, 5, 9}) {
    const FinishedBatch batch = MakeBatch("x", 3);
    const BatchPrefix prefix = StampBatch(batch.body, batch.body_crc, base, 0, 5000, world_.key().topic, 0);
    const std::string path = Path();
    const auto before = disk().Content(path);
    ASSERT_TRUE(disk().SetContent(path, *before + std::string(prefix.view()) + batch.body));
  }
  static_cast<void>(log);
  world_.Kill(false);
  const std::string told = Verify(kFolder);
  EXPECT_THAT(told, HasSubstr("batch 5 where 3 was expected"));
  EXPECT_THAT(told, HasSubstr("batch 9 where 8 was expected"));
  EXPECT_EQ(summary_.damage, 2u);
}

TEST_F(DumpLogTest, VerificationChangesNothing) {
  Fill(3);
  DamageBatch(1);
  const auto paths = disk().Paths();
  const std::string before = *disk().Content(Path());
  Verify("/data");
  EXPECT_EQ(disk().Paths(), paths);
  EXPECT_EQ(*disk().Content(Path()), before);
}

TEST(DumpLogFlags, AllOfKafkasAreTaken) {
  const Command command = DumpLogCommand();
  for (const char* flag :
       {"--print-data-log", "--deep-iteration", "--offsets-decoder", "--transaction-log-decoder",
        "--index-sanity-check", "--verify-index-only", "--skip-record-metadata"}) {
    const auto parsed = Arguments::Parse({"--files", "a.log", flag}, command.flags);
    EXPECT_TRUE(parsed) << flag;
  }
}

}  // namespace
}  // namespace tidemark
