// The contract of FileSystem as tests that every implementation passes. Instantiate with a factory:
//   INSTANTIATE_TEST_SUITE_P(Posix, FileContract, testing::Values(FileWorldFactory([] { return ...; })));
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/io/file_system.h"

namespace tidemark {

// One implementation and an existing empty directory in it.
class FileWorld {
 public:
  virtual ~FileWorld() = default;
  virtual FileSystem& files() = 0;
  virtual std::string directory() = 0;
};
using FileWorldFactory = std::function<std::unique_ptr<FileWorld>()>;

class FileContract : public testing::TestWithParam<FileWorldFactory> {
 protected:
  void SetUp() override { world_ = GetParam()(); }
  FileSystem& files() { return world_->files(); }
  std::string Path(const std::string& name) { return world_->directory() + "/" + name; }
  std::unique_ptr<File> Create(const std::string& name) {
    auto file = files().Open(Path(name), OpenMode::kCreate);
    EXPECT_TRUE(file) << ToString(file.error());
    return std::move(*file);
  }
  static std::string ReadAll(File& file) {
    std::string content(1 << 16, '?');
    content.resize(file.ReadAt(0, content).value());
    return content;
  }
  std::unique_ptr<FileWorld> world_;
};

TEST_P(FileContract, WhatIsWrittenIsReadAtItsPosition) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "hello world"));
  std::string part(5, '?');
  EXPECT_EQ(file->ReadAt(6, part).value(), 5u);
  EXPECT_EQ(part, "world");
  EXPECT_EQ(file->Size().value(), 11u);
}

TEST_P(FileContract, AdviceChangesNothingThatIsRead) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "hello world"));
  file->Advise(0, 1 << 20, File::Advice::kWillNeed);
  file->Advise(0, 5, File::Advice::kDontNeed);
  file->Advise(1 << 30, 4096, File::Advice::kDontNeed);
  EXPECT_EQ(ReadAll(*file), "hello world");
  EXPECT_EQ(file->Size().value(), 11u);
}

TEST_P(FileContract, PiecesAreWrittenOneAfterTheOther) {
  auto file = Create("f");
  const std::vector<std::string_view> pieces = {"a", "", "bc", "def"};
  ASSERT_TRUE(file->WriteAt(2, pieces));
  EXPECT_EQ(ReadAll(*file), std::string("\0\0abcdef", 8));
}

TEST_P(FileContract, ManyPiecesAndManyBytesAreWrittenWhole) {
  auto file = Create("f");
  std::vector<std::string> owned;
  std::string all;
  for (int i = 0; i < 3000; ++i)
    all += owned.emplace_back(std::string(static_cast<size_t>(i % 7), 'a' + i % 26));
  const std::vector<std::string_view> pieces(owned.begin(), owned.end());
  ASSERT_TRUE(file->WriteAt(0, pieces));
  EXPECT_EQ(ReadAll(*file), all);
}

TEST_P(FileContract, ReadingPastTheEndGivesWhatThereIs) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "abc"));
  std::string buffer(10, '?');
  EXPECT_EQ(file->ReadAt(1, buffer).value(), 2u);
  EXPECT_EQ(file->ReadAt(3, buffer).value(), 0u);
  EXPECT_EQ(file->ReadAt(100, buffer).value(), 0u);
}

TEST_P(FileContract, NowaitReadsGiveTheSameOrSayThatTheyWouldBlock) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "abcdef"));
  for (int i = 0; i < 20; ++i) {
    std::string buffer(6, '?');
    bool would_block = false;
    const size_t read = file->ReadAtNowait(0, buffer, &would_block).value();
    EXPECT_EQ(buffer.substr(0, read), std::string("abcdef").substr(0, read));
    EXPECT_TRUE(would_block || read == 6u);
  }
}

TEST_P(FileContract, TruncationCutsAndExtendsWithZeros) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "abcdef"));
  ASSERT_TRUE(file->Truncate(2));
  EXPECT_EQ(ReadAll(*file), "ab");
  ASSERT_TRUE(file->Truncate(4));
  EXPECT_EQ(ReadAll(*file), std::string("ab\0\0", 4));
}

TEST_P(FileContract, OpenModesSayWhatMustExist) {
  EXPECT_EQ(files().Open(Path("none"), OpenMode::kRead).error().code, v1::NOT_FOUND);
  EXPECT_EQ(files().Open(Path("none"), OpenMode::kReadWrite).error().code, v1::NOT_FOUND);
  ASSERT_TRUE(files().Open(Path("f"), OpenMode::kCreateNew));
  EXPECT_EQ(files().Open(Path("f"), OpenMode::kCreateNew).error().code, v1::IO_ERROR);
  auto file = files().Open(Path("f"), OpenMode::kRead);
  ASSERT_TRUE(file);
  EXPECT_FALSE((*file)->WriteAt(0, "x"));
  EXPECT_EQ((*file)->path(), Path("f"));
}

TEST_P(FileContract, AnErrorNamesThePath) {
  EXPECT_THAT(files().Open(Path("none"), OpenMode::kRead).error().message, testing::HasSubstr(Path("none")));
}

TEST_P(FileContract, RenameReplaces) {
  ASSERT_TRUE(Create("a")->WriteAt(0, "new"));
  ASSERT_TRUE(Create("b")->WriteAt(0, "old"));
  ASSERT_TRUE(files().Rename(Path("a"), Path("b")));
  EXPECT_FALSE(files().Exists(Path("a")).value());
  EXPECT_EQ(ReadFile(files(), Path("b")).value(), "new");
  EXPECT_EQ(files().Rename(Path("none"), Path("c")).error().code, v1::NOT_FOUND);
}

TEST_P(FileContract, ARenamedDirectoryTakesItsFilesAlong) {
  ASSERT_TRUE(files().CreateDirectories(Path("d/e")));
  ASSERT_TRUE(Create("d/e/f")->WriteAt(0, "x"));
  ASSERT_TRUE(files().Rename(Path("d"), Path("g")));
  EXPECT_EQ(ReadFile(files(), Path("g/e/f")).value(), "x");
  EXPECT_FALSE(files().Exists(Path("d")).value());
}

TEST_P(FileContract, AnOpenFileOutlivesItsName) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "still"));
  ASSERT_TRUE(files().Remove(Path("f")));
  EXPECT_EQ(ReadAll(*file), "still");
  EXPECT_FALSE(files().Exists(Path("f")).value());
}

TEST_P(FileContract, AnOpenFileKnowsWhetherItHasAName) {
  auto removed = Create("f");
  auto replaced = Create("g");
  EXPECT_TRUE(removed->HasName());
  ASSERT_TRUE(files().Remove(Path("f")));
  EXPECT_FALSE(removed->HasName());
  auto renamed = Create("h");
  ASSERT_TRUE(files().Rename(Path("h"), Path("g")));
  EXPECT_TRUE(renamed->HasName());
  EXPECT_FALSE(replaced->HasName());
  EXPECT_TRUE(files().Open(Path("g"), OpenMode::kRead).value()->HasName());
}

TEST_P(FileContract, OnlyEmptyDirectoriesAreRemoved) {
  ASSERT_TRUE(files().CreateDirectories(Path("d")));
  Create("d/f");
  EXPECT_FALSE(files().Remove(Path("d")));
  ASSERT_TRUE(files().Remove(Path("d/f")));
  EXPECT_TRUE(files().Remove(Path("d")));
  EXPECT_EQ(files().Remove(Path("d")).error().code, v1::NOT_FOUND);
}

TEST_P(FileContract, DirectoriesAreCreatedWithTheirParentsAndMayExist) {
  ASSERT_TRUE(files().CreateDirectories(Path("a/b/c")));
  ASSERT_TRUE(files().CreateDirectories(Path("a/b/c")));
  EXPECT_TRUE(files().Exists(Path("a/b/c")).value());
  Create("file");
  EXPECT_FALSE(files().CreateDirectories(Path("file/x")));
}

TEST_P(FileContract, ListingIsSortedAndKnowsDirectories) {
  Create("b");
  Create("c");
  ASSERT_TRUE(files().CreateDirectories(Path("a")));
  const auto entries = files().List(world_->directory());
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_TRUE((*entries)[0].is_directory);
  EXPECT_EQ((*entries)[1].name, "b");
  EXPECT_FALSE((*entries)[1].is_directory);
  EXPECT_EQ((*entries)[2].name, "c");
  EXPECT_EQ(files().List(Path("none")).error().code, v1::NOT_FOUND);
}

TEST_P(FileContract, SyncsSucceedOnWhatExists) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, "x"));
  EXPECT_TRUE(file->Sync());
  EXPECT_TRUE(files().SyncDirectory(world_->directory()));
  EXPECT_TRUE(files().SyncFileSystem(world_->directory()));
  EXPECT_EQ(files().SyncDirectory(Path("none")).error().code, v1::NOT_FOUND);
  EXPECT_GT(files().FreeBytes(world_->directory()).value(), 0u);
}

TEST_P(FileContract, ALockIsHeldOnceAndNamesItsHolder) {
  auto lock = files().Lock(Path(".lock"));
  ASSERT_TRUE(lock) << ToString(lock.error());
  const std::string pid(std::to_string(std::stol(ReadFile(files(), Path(".lock")).value())));
  const auto second = files().Lock(Path(".lock"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, v1::POLICY_VIOLATION);
  EXPECT_THAT(second.error().message, testing::HasSubstr(pid));
  lock->reset();
  EXPECT_TRUE(files().Lock(Path(".lock")));
}

TEST_P(FileContract, SmallFilesAreReplacedWhole) {
  ASSERT_TRUE(WriteFileDurably(files(), Path("f"), "a longer first content"));
  ASSERT_TRUE(WriteFileDurably(files(), Path("f"), "short"));
  EXPECT_EQ(ReadFile(files(), Path("f")).value(), "short");
  EXPECT_EQ(files().List(world_->directory())->size(), 1u);  // no temporary file is left
  EXPECT_FALSE(ReadFile(files(), Path("f"), 4));
}

TEST_P(FileContract, RemoveAllRemovesTrees) {
  ASSERT_TRUE(files().CreateDirectories(Path("d/e")));
  Create("d/f");
  Create("d/e/g");
  ASSERT_TRUE(RemoveAll(files(), Path("d")));
  EXPECT_FALSE(files().Exists(Path("d")).value());
}

}  // namespace tidemark
