// The limit of open files and its division.
#include "common/io/open_files.h"

#include <sys/resource.h>

#include <gtest/gtest.h>

namespace tidemark {
namespace {

TEST(OpenFiles, TheSoftLimitIsRaisedToTheHardOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{std::min<rlim_t>(256, before.rlim_max), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_GE(RaiseOpenFilesLimit(), std::min<rlim_t>(before.rlim_max, 1u << 20));
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, after.rlim_max);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(OpenFiles, LogsConnectionsAndAReserveShareTheLimit) {
  for (const size_t limit : {1024u, 4096u, 20000u, 1u << 20}) {
    for (const size_t wanted : {0u, 1u, 100u, 1000000u}) {
      const OpenFilesBudget budget = DivideOpenFiles(limit, wanted);
      EXPECT_GE(budget.log_files, 1u);
      EXPECT_GE(budget.connections, limit / 8) << limit << " " << wanted;
      EXPECT_LE(budget.log_files + budget.log_files / 4 + budget.connections, limit - 100);
      if (wanted == 1 || wanted == 100) EXPECT_EQ(budget.log_files, wanted);
    }
  }
  EXPECT_GE(DivideOpenFiles(10, 0).connections, 1u) << "a limit too small for anything still starts";
}

}  // namespace
}  // namespace tidemark
