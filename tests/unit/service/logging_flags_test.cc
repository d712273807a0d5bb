// glog's flags on the server's command line.
#include "broker/server/logging_flags.h"

#include <gflags/gflags.h>
#include <glog/logging.h>
#include <gmock/gmock.h>

namespace tidemark {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kOwn = {"daemon", "override"};

TEST(LoggingFlags, ThatDoNotExistAreRefusedWithTheNearest) {
  LoggingFlags flags;
  const auto refused = [&](const std::string& word) {
    const auto taken = flags.Take(word, "next", kOwn);
    return taken ? "taken" : taken.error().message;
  };
  EXPECT_EQ(refused("--no-such-flag"), "unknown flag --no-such-flag; see --help");
  EXPECT_EQ(refused("--minloglevl=1"), "unknown flag --minloglevl; did you mean --minloglevel?");
  EXPECT_EQ(refused("-deamon"), "unknown flag -deamon; did you mean --daemon?");
  EXPECT_EQ(refused("--overide"), "unknown flag --overide; did you mean --override?");
  EXPECT_THAT(refused("--"), HasSubstr("unknown flag"));
  EXPECT_THAT(refused("--nominloglevel"), HasSubstr("unknown flag")) << "it is no switch";
  EXPECT_THAT(refused("--flagfile=/etc/passwd"), HasSubstr("unknown flag"));
}

TEST(LoggingFlags, AreSetWithAndWithoutAnEqualsSign) {
  const gflags::FlagSaver saver;
  LoggingFlags flags;
  EXPECT_EQ(flags.Take("--minloglevel=2", "server.properties", kOwn), false);
  EXPECT_EQ(flags.Take("-v", "3", kOwn), true) << "the next word is its value";
  EXPECT_EQ(flags.Take("--nolog_prefix", "server.properties", kOwn), false);
  EXPECT_EQ(flags.Take("--alsologtostderr", "server.properties", kOwn), false);
  ASSERT_TRUE(flags.Apply());
  EXPECT_EQ(FLAGS_minloglevel, 2);
  EXPECT_EQ(FLAGS_v, 3);
  EXPECT_FALSE(FLAGS_log_prefix);
  EXPECT_TRUE(FLAGS_alsologtostderr);
}

TEST(LoggingFlags, NeedAValueOfTheirType) {
  const gflags::FlagSaver saver;
  LoggingFlags flags;
  EXPECT_EQ(flags.Take("--minloglevel", nullptr, kOwn).error().message,
            "--minloglevel needs a value, as in --minloglevel=0");
  ASSERT_TRUE(flags.Take("--minloglevel=high", nullptr, kOwn));
  const Result<> applied = flags.Apply();
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message, HasSubstr("--minloglevel: 'high'"));
}

}  // namespace
}  // namespace tidemark
