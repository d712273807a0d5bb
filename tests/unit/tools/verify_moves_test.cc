// The offline verification of a log directory that a move between directories has left folders in.
#include "broker/log/move_folders.h"
#include "tests/unit/log/log_fixture.h"
#include "tools/dump_log_verify.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class VerifyMoves : public ::testing::Test {
 protected:
  VerifyMoves() : world_(1, {"/a", "/b"}) {
    Log& log = world_.Start();
    for (int i = 0; i < 20; ++i) CHECK(world_.Append(log, MakeBatch("x", 3)));
    world_.WaitForFlush(log);
    CHECK(world_.CloseCleanly());
    reader_ = &world_.world().StartProcess(kHost);
    from_ = *files().Exists("/a/orders-0") ? "/a" : "/b";
    to_ = from_ == "/a" ? "/b" : "/a";
    CopyFolder(from_ + "/orders-0", Future());
  }
  FileSystem& files() { return reader_->files(); }
  std::string Future() const { return FutureFolder(to_ + "/orders-0", "0123456789abcdef"); }
  std::string Moved() const { return MovedFolder(from_ + "/orders-0", "0123456789abcdef"); }
  void CopyFolder(const std::string& from, const std::string& to) {
    CHECK(files().CreateDirectories(to));
    for (const DirectoryEntry& entry : *files().List(from)) {
      const auto bytes = ReadFile(files(), from + "/" + entry.name);
      CHECK(bytes && WriteFileDurably(files(), to + "/" + entry.name, *bytes));
    }
  }
  std::string Verify(const std::string& path) {
    std::string text;
    auto summary = VerifyPath(files(), path, [&](std::string_view piece) { text += piece; });
    EXPECT_TRUE(summary) << ToString(summary.error());
    if (summary) summary_ = *summary;
    return text;
  }

  LogWorld world_;
  SimProcess* reader_ = nullptr;
  std::string from_;
  std::string to_;
  VerifySummary summary_;
};

TEST_F(VerifyMoves, ACopyThatIsNotWholeYetIsNotTheLog) {
  EXPECT_THAT(Verify(to_), HasSubstr(Future() + ": is the copy that a move of orders-0 makes here"));
  EXPECT_EQ(summary_.partitions, 0u);
  EXPECT_EQ(summary_.damage, 0u);
  EXPECT_THAT(Verify(from_), HasSubstr("20 batches"));
  EXPECT_THAT(Verify(Future()), HasSubstr("20 batches, 60 records")) << "named, it is verified";
}

TEST_F(VerifyMoves, ACopyWhoseSourceHasSteppedBackIsTheLog) {
  ASSERT_TRUE(files().Rename(from_ + "/orders-0", Moved()));
  EXPECT_THAT(Verify(to_), AllOf(HasSubstr(Future() + ": is the log of orders-0"), HasSubstr("20 batches")));
  EXPECT_EQ(summary_.partitions, 1u);
  EXPECT_EQ(summary_.damage, 0u);
  EXPECT_THAT(Verify(from_), AllOf(HasSubstr(Moved() + ": is where orders-0 was"),
                                   Not(HasSubstr("not named like a partition"))));
  EXPECT_EQ(summary_.partitions, 0u);
  EXPECT_EQ(summary_.damage, 0u);
  const std::string log = Future() + "/00000000000000000000.log";
  ASSERT_TRUE(world_.disk().FlipBit(log, 900));
  EXPECT_THAT(Verify(to_), HasSubstr("damage: " + log));
  EXPECT_GE(summary_.damage, 1u);
  // As the broker goes on.
  ASSERT_TRUE(files().Rename(Future(), to_ + "/orders-0"));
  EXPECT_THAT(Verify(from_), HasSubstr("the next start removes it"));
}

TEST_F(VerifyMoves, WhatIsKeptBecauseItsCopyIsNowhereIsToldSo) {
  ASSERT_TRUE(files().Rename(from_ + "/orders-0", Moved()));
  ASSERT_TRUE(RemoveAll(files(), Future()));
  EXPECT_THAT(Verify(from_), HasSubstr("none has it: the broker keeps this"));
  EXPECT_THAT(Verify(Moved()), HasSubstr("20 batches"));
}

TEST_F(VerifyMoves, WithADirectoryThatCannotBeReadNothingIsCertain) {
  ASSERT_TRUE(files().Rename(from_ + "/orders-0", Moved()));
  ASSERT_TRUE(RemoveAll(files(), Future()));
  ASSERT_TRUE(files().Rename(to_, "/elsewhere"));
  EXPECT_THAT(Verify(from_), HasSubstr("perhaps the one that cannot be read (" + to_ + ")"));
}

}  // namespace
}  // namespace tidemark
