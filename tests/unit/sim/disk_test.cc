#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {
namespace {

class DiskTest : public testing::Test {
 protected:
  // Runs `before` in a process, cuts the power, and gives what is left of /d/f.
  template <typename F>
  static std::optional<std::string> AfterPowerCut(uint64_t seed, F before) {
    SimWorld world(seed);
    SimProcess& process = world.StartProcess("a");
    EXPECT_TRUE(process.files().CreateDirectories("/d"));
    EXPECT_TRUE(process.files().SyncDirectory("/"));
    before(process.files());
    process.Kill(true);
    return world.disk("a").Content("/d/f");
  }
  static std::unique_ptr<File> Open(FileSystem& fs, const std::string& path) {
    return std::move(*fs.Open(path, OpenMode::kCreate));
  }
};

TEST_F(DiskTest, SyncedDataInASyncedDirectorySurvivesEveryPowerCut) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto left = AfterPowerCut(seed, [](FileSystem& fs) {
      auto file = Open(fs, "/d/f");
      ASSERT_TRUE(file->WriteAt(0, "safe"));
      ASSERT_TRUE(file->Sync());
      ASSERT_TRUE(fs.SyncDirectory("/d"));
      ASSERT_TRUE(file->WriteAt(4, " and not"));
    });
    ASSERT_TRUE(left);
    EXPECT_EQ(left->substr(0, 4), "safe");
  }
}

TEST_F(DiskTest, UnsyncedWritesAreLostKeptAndTorn) {
  std::set<std::string> seen;
  const std::string second(2000, 'b');
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const auto left = AfterPowerCut(seed, [&](FileSystem& fs) {
      auto file = Open(fs, "/d/f");
      ASSERT_TRUE(file->Sync());
      ASSERT_TRUE(fs.SyncDirectory("/d"));
      ASSERT_TRUE(file->WriteAt(0, std::string(1000, 'a')));
      ASSERT_TRUE(file->WriteAt(1000, second));
    });
    ASSERT_TRUE(left);
    if (left->empty()) seen.insert("nothing");
    if (*left == std::string(1000, 'a') + second) seen.insert("all");
    if (*left == std::string(1000, 'a')) seen.insert("first");
    if (left->size() == 3000 && left->substr(0, 1000) == std::string(1000, '\0')) seen.insert("reordered");
    if (left->size() > 1000 && left->find('b') != std::string::npos && left->size() < 3000)
      seen.insert("torn");
  }
  EXPECT_THAT(seen, testing::ElementsAre("all", "first", "nothing", "reordered", "torn"));
}

TEST_F(DiskTest, AnUnsyncedNameMayVanishThoughItsDataWasSynced) {
  int there = 0, gone = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto left = AfterPowerCut(seed, [](FileSystem& fs) {
      auto file = Open(fs, "/d/f");
      ASSERT_TRUE(file->WriteAt(0, "x"));
      ASSERT_TRUE(file->Sync());
    });
    ++(left ? there : gone);
    if (left) EXPECT_EQ(*left, "x");
  }
  EXPECT_GT(there, 0);
  EXPECT_GT(gone, 0);
}

TEST_F(DiskTest, AnUnsyncedTruncationMayOrMayNotHaveHappened) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto left = AfterPowerCut(seed, [](FileSystem& fs) {
      auto file = Open(fs, "/d/f");
      ASSERT_TRUE(file->WriteAt(0, "abcdef"));
      ASSERT_TRUE(file->Sync());
      ASSERT_TRUE(fs.SyncDirectory("/d"));
      ASSERT_TRUE(file->Truncate(3));
    });
    seen.insert(left.value_or("gone"));
  }
  EXPECT_THAT(seen, testing::ElementsAre("abc", "abcdef"));
}

TEST_F(DiskTest, ADurableReplacementIsOldOrNewAtEveryCrashPoint) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    for (int crash_at = 1; crash_at < 12; ++crash_at) {
      SimWorld world(seed);
      SimProcess& process = world.StartProcess("a");
      ASSERT_TRUE(process.files().CreateDirectories("/d"));
      ASSERT_TRUE(process.files().SyncDirectory("/"));
      ASSERT_TRUE(WriteFileDurably(process.files(), "/d/f", "old content"));
      int ops = 0;
      world.disk("a").SetHook([&](DiskOp, const std::string&) {
        if (++ops == crash_at) process.Kill(true);
      });
      const bool ok = WriteFileDurably(process.files(), "/d/f", "new").has_value();
      const bool crashed = !process.alive();
      world.disk("a").SetHook(nullptr);
      if (!crashed) process.Kill(true);
      const std::string left = world.disk("a").Content("/d/f").value_or("gone");
      if (!crashed && ok) {
        EXPECT_EQ(left, "new") << "seed " << seed;
      } else {
        EXPECT_TRUE(left == "old content" || left == "new")
            << left << " seed " << seed << " crash " << crash_at;
      }
    }
  }
}

TEST_F(DiskTest, AReplacementWithoutSyncCanLoseBoth) {
  // The mistake WriteFileDurably exists to avoid: the simulated disk must punish it.
  bool lost = false;
  for (uint64_t seed = 0; seed < 200 && !lost; ++seed) {
    const auto left = AfterPowerCut(seed, [](FileSystem& fs) {
      ASSERT_TRUE(WriteFileDurably(fs, "/d/f", "old"));
      ASSERT_TRUE(Open(fs, "/d/t")->WriteAt(0, "new"));
      ASSERT_TRUE(fs.Rename("/d/t", "/d/f"));
      ASSERT_TRUE(fs.SyncDirectory("/d"));
    });
    lost = left && *left != "old" && *left != "new";
  }
  EXPECT_TRUE(lost);
}

TEST_F(DiskTest, ARenameBetweenDirectoriesIsWhole) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimWorld world(seed);
    SimProcess& process = world.StartProcess("a");
    FileSystem& fs = process.files();
    ASSERT_TRUE(fs.CreateDirectories("/d"));
    ASSERT_TRUE(fs.CreateDirectories("/e"));
    ASSERT_TRUE(fs.SyncDirectory("/"));
    ASSERT_TRUE(WriteFileDurably(fs, "/d/f", "x"));
    ASSERT_TRUE(fs.Rename("/d/f", "/e/f"));
    process.Kill(true);
    EXPECT_EQ(world.disk("a").Paths().size(), 1u);
  }
}

TEST_F(DiskTest, AKilledProcessLosesNothingWrittenAndItsLocks) {
  SimWorld world(1);
  SimProcess& first = world.StartProcess("a");
  ASSERT_TRUE(Open(first.files(), "/f")->WriteAt(0, "in the page cache"));
  auto lock = first.files().Lock("/lock");
  ASSERT_TRUE(lock);
  SimProcess& rival = world.StartProcess("a");
  EXPECT_EQ(rival.files().Lock("/lock").error().code, v1::POLICY_VIOLATION);
  first.Keep(std::shared_ptr<FileLock>(std::move(*lock)));
  first.Kill();
  SimProcess& second = world.StartProcess("a");
  EXPECT_TRUE(second.files().Lock("/lock"));
  EXPECT_EQ(*ReadFile(second.files(), "/f"), "in the page cache");
}

TEST_F(DiskTest, FailuresComeWhenAskedFor) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  auto file = Open(process.files(), "/f.log");
  world.disk("a").Fail({.op = DiskOp::kWrite, .path = ".log", .fault = DiskFault::kNoSpace, .nth = 2});
  EXPECT_TRUE(file->WriteAt(0, "one"));
  EXPECT_EQ(file->WriteAt(3, "two").error().code, v1::DISK_FULL);
  EXPECT_TRUE(file->WriteAt(3, "two"));
  world.disk("a").Fail({.op = DiskOp::kSync, .path = "/f"});
  EXPECT_EQ(file->Sync().error().code, v1::IO_ERROR);
  EXPECT_TRUE(file->Sync());
  EXPECT_EQ(world.disk("a").count(DiskOp::kSync), 2u);
}

TEST_F(DiskTest, ACallThatNeverReturnsKeepsThePoolThreadAndHasNoEffect) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  ASSERT_TRUE(WriteFileDurably(process.files(), "/f", "old"));
  world.disk("a").Fail({.op = DiskOp::kWrite, .path = "/g", .fault = DiskFault::kHang});
  bool begun = false, ended = false;
  process.pool().Submit([&] {
    begun = true;
    (void)WriteFileDurably(process.files(), "/g", "new");
    ended = true;
  });
  bool other = false;
  process.pool().Submit([&] { other = ReadFile(process.files(), "/f").value_or("") == "old"; });
  world.RunFor(600s);
  EXPECT_TRUE(begun && other);
  EXPECT_FALSE(ended);
  EXPECT_EQ(process.pool().waiting(), 1u);
  EXPECT_FALSE(world.disk("a").Content("/g"));
}

TEST_F(DiskTest, ACallOnALoopThatNeverReturnsStopsTheProcess) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  world.disk("a").Fail({.op = DiskOp::kOpen, .path = "/f", .fault = DiskFault::kHang});
  bool later = false;
  process.main_loop().Post([&] {
    auto file = process.files().Open("/f", OpenMode::kCreate);  // on a copy that nobody sees
    process.main_loop().Post([&] { later = true; });
  });
  world.RunFor(600s);
  EXPECT_FALSE(later);
  EXPECT_FALSE(world.disk("a").Content("/f"));
  process.Kill();
  EXPECT_FALSE(process.alive());
}

TEST_F(DiskTest, AFailedSyncIsNotMadeGoodByTheNextOne) {
  bool lost = false;
  for (uint64_t seed = 0; seed < 50 && !lost; ++seed) {
    SimWorld world(seed);
    SimProcess& process = world.StartProcess("a");
    auto file = Open(process.files(), "/f");
    ASSERT_TRUE(process.files().SyncDirectory("/"));
    ASSERT_TRUE(file->WriteAt(0, "data"));
    world.disk("a").Fail({.op = DiskOp::kSync});
    EXPECT_FALSE(file->Sync());
    EXPECT_TRUE(file->Sync());
    EXPECT_EQ(world.disk("a").Content("/f"), "data");
    lost = world.disk("a").DurableContent("/f") != "data";
  }
  EXPECT_TRUE(lost);
}

TEST_F(DiskTest, AFullDiskTakesWhatFits) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  auto file = Open(process.files(), "/f");
  world.disk("a").SetCapacity(10);
  EXPECT_TRUE(file->WriteAt(0, "12345678"));
  EXPECT_EQ(*process.files().FreeBytes("/"), 2u);
  EXPECT_EQ(file->WriteAt(8, "90ab").error().code, v1::DISK_FULL);
  EXPECT_EQ(*file->Size(), 10u);
  EXPECT_TRUE(file->WriteAt(0, "overwrite"));
}

TEST_F(DiskTest, BitsFlipOnDemand) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  ASSERT_TRUE(WriteFileDurably(process.files(), "/f", "a"));
  EXPECT_TRUE(world.disk("a").FlipBit("/f", 1));
  EXPECT_EQ(*ReadFile(process.files(), "/f"), "c");
  EXPECT_FALSE(world.disk("a").FlipBit("/f", 8));
}

TEST_F(DiskTest, ColdReadsSayTheyWouldBlock) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  world.disk("a").SetColdReadChance(1);
  auto file = Open(process.files(), "/f");
  ASSERT_TRUE(file->WriteAt(0, "abc"));
  std::string buffer(3, '?');
  bool would_block = false;
  EXPECT_LT(*file->ReadAtNowait(0, buffer, &would_block), 3u);
  EXPECT_TRUE(would_block);
  EXPECT_EQ(*file->ReadAt(0, buffer), 3u);
}

// What a shard would stand still in, each on a loop of its own world and on the pool.
TEST_F(DiskTest, ALoopThatWaitsForADiskIsFound) {
  using Calls = std::vector<std::pair<const char*, std::function<void(FileSystem&, File&)>>>;
  std::string buffer(4, '\0');
  const Calls blocking = {
      {"read /d/f", [&](FileSystem&, File& file) { EXPECT_TRUE(file.ReadAt(0, buffer)); }},
      {"sync /d/f", [](FileSystem&, File& file) { EXPECT_TRUE(file.Sync()); }},
      {"sync directory /d", [](FileSystem& fs, File&) { EXPECT_TRUE(fs.SyncDirectory("/d")); }},
      {"sync /d", [](FileSystem& fs, File&) { EXPECT_TRUE(fs.SyncFileSystem("/d")); }},
      {"list /d", [](FileSystem& fs, File&) { EXPECT_TRUE(fs.List("/d")); }},
      {"mkdir /d", [](FileSystem& fs, File&) { EXPECT_TRUE(fs.CreateDirectories("/d")); }},
      {"rename /d/f", [](FileSystem& fs, File&) { EXPECT_TRUE(fs.Rename("/d/f", "/d/f")); }},
      {"remove /d/g",
       [](FileSystem& fs, File&) { EXPECT_EQ(fs.Remove("/d/g").error().code, v1::NOT_FOUND); }},
  };
  for (const auto& [what, call] : blocking) {
    SimWorld world(1);
    SimProcess& process = world.StartProcess("a");
    ASSERT_TRUE(process.files().CreateDirectories("/d"));
    const auto file = Open(process.files(), "/d/f");
    bool done = false;
    process.blocking_pool().Submit([&] {
      call(process.files(), *file);
      done = true;
    });
    world.RunFor(1s);
    EXPECT_TRUE(done) << what << " on the pool";
    process.main_loop().Post([&] { call(process.files(), *file); });
    EXPECT_DEATH(world.RunFor(1s), "loop 'main' waits for a disk: " + std::string(what));
  }
}

// A loop appends, opens the file that comes next, and reads what the page cache has.
TEST_F(DiskTest, WhatOnlyAsksThePageCacheALoopMayDo) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  bool done = false;
  process.main_loop().Post([&] {
    const auto file = Open(process.files(), "/f");
    EXPECT_TRUE(file->WriteAt(0, "text"));
    std::string buffer(4, '\0');
    bool would_block = false;
    EXPECT_TRUE(file->ReadAtNowait(0, buffer, &would_block));
    EXPECT_TRUE(file->Truncate(0));
    done = true;
  });
  world.RunFor(1s);
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace tidemark
