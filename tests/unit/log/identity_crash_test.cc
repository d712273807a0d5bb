// Crashes while meta.properties and its copy are written: the next start goes on with the same identity,
// whichever of the two writes was cut off, and also where one of the files is lost on top of it.
#include "broker/log/log_directory.h"
#include "tests/simulation/env/sim_disk_tree.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using Dirs = std::vector<std::string>;

constexpr const char* kFirst = "/data/meta.properties";
constexpr const char* kCopy = "/data/meta.properties.copy";

class IdentityCrash : public testing::TestWithParam<bool> {
 protected:
  // Opens and binds the directories, unless it is killed at change `op` of the disk (0: never); what the
  // first of them is, when it came to an end.
  struct Started {
    std::string id;
    std::map<std::string, std::string> named;
    bool new_directory = false;
  };
  std::optional<Started> Start(const Dirs& dirs, int op = 0) {
    SimProcess& process = world_.StartProcess(kHost);
    auto left = std::make_shared<int>(op);
    if (op > 0) {
      disk().SetHook([&process, left, power_loss = GetParam()](DiskOp, const std::string&) {
        if (--*left == 0) process.Kill(power_loss);
      });
    }
    auto started = std::make_shared<std::optional<Started>>();
    process.Keep(started);
    process.Spawn("start", [&process, dirs, started] { return OpenAndBind(&process, dirs, started); });
    CHECK(world_.RunUntil([&] { return *started || !process.alive(); }, 60s));
    disk().SetHook({});
    const bool lived = process.alive();
    if (lived) process.Kill(GetParam());
    return lived ? *started : std::nullopt;
  }
  static Task<void> OpenAndBind(SimProcess* process, Dirs paths,
                                std::shared_ptr<std::optional<Started>> started) {
    auto opened = co_await LogDirs::Open(*process, process->main_loop(), std::move(paths));
    CHECK(opened) << ToString(opened.error());
    const std::shared_ptr<LogDirs> dirs = std::move(*opened);
    process->Keep(dirs);
    const bool stored = dirs->stored_cluster_id().has_value();
    CHECK(!stored || (*dirs->stored_cluster_id() == "c1" && dirs->stored_broker_id() == 4));
    const auto bound = co_await dirs->Bind(4, "c1");
    CHECK(bound) << ToString(bound.error());
    const LogDirectory& first = *dirs->directories().front();
    *started = Started{first.id, first.named, dirs->may_have_lost_logs()};
  }
  SimDisk& disk() { return world_.disk(kHost); }
  // What is in a file of the two; empty where it is not there. It is never half a one.
  std::optional<DirectoryIdentity> Read(const char* path) {
    const auto bytes = disk().Content(path);
    if (!bytes) return std::nullopt;
    const auto identity = DecodeIdentity(*bytes, path);
    EXPECT_TRUE(identity) << ToString(identity.error());
    return identity ? std::optional(*identity) : std::nullopt;
  }

  SimWorld world_{7};
};

TEST_P(IdentityCrash, OfTheFirstStartLeavesANewDirectoryOrTheOneThatItHasBecome) {
  const std::shared_ptr<SimTree> empty = disk().Snapshot();
  int op = 1, between = 0;
  for (;; ++op) {
    SCOPED_TRACE(fmt::format("killed at change {}", op));
    disk().Restore(empty->Clone());
    if (Start({"/data"}, op)) break;
    const auto first = Read(kFirst);
    const auto copy = Read(kCopy);
    EXPECT_FALSE(copy && !first) << "the copy is the second one";
    between += first && !copy ? 1 : 0;
    const auto next = Start({"/data"});
    ASSERT_TRUE(next);
    if (first) EXPECT_EQ(next->id, first->directory_id);
    EXPECT_TRUE(next->new_directory) << "what is missing may have been on the disk before it";
    const auto later = Start({"/data"});
    ASSERT_TRUE(later);
    EXPECT_EQ(later->id, next->id);
    EXPECT_EQ(disk().Content(kFirst), disk().Content(kCopy));
  }
  EXPECT_GT(op, 15);
  EXPECT_GE(between, 3) << "no crash lay between the two writes";
}

TEST_P(IdentityCrash, WhileADirectoryIsAddedKeepsTheOneThatWasThere) {
  const auto before = Start({"/data"});
  ASSERT_TRUE(before);
  const std::shared_ptr<SimTree> bound = disk().Snapshot();
  int op = 1, between = 0;
  for (bool ended = false; !ended; ++op) {
    disk().Restore(bound->Clone());
    ended = Start({"/data", "/data2"}, op).has_value();
    const std::shared_ptr<SimTree> crashed = disk().Snapshot();
    between += disk().Content(kFirst) != disk().Content(kCopy) ? 1 : 0;
    for (const char* lost : {"", kFirst, kCopy}) {
      for (const bool flipped : {false, true}) {
        SCOPED_TRACE(fmt::format("killed at change {}, {} {}", op, lost, flipped ? "flipped" : "gone"));
        disk().Restore(crashed->Clone());
        if (*lost != '\0' && flipped) ASSERT_TRUE(disk().FlipBit(lost, 300));
        if (*lost != '\0' && !flipped) disk().RemovePath(lost);
        const auto next = Start({"/data", "/data2"});
        ASSERT_TRUE(next);
        EXPECT_EQ(next->id, before->id);
        // The id that the second one was to have is missed until the next command of the controller.
        EXPECT_GE(next->named.size(), 2u);
        EXPECT_EQ(next->named.at(before->id), "/data");
        EXPECT_EQ(disk().Content(kFirst), disk().Content(kCopy));
        EXPECT_EQ(Read(kFirst)->directories, next->named);
      }
    }
  }
  EXPECT_GT(op, 15);
  EXPECT_GE(between, 3) << "no crash lay between the two writes";
}

INSTANTIATE_TEST_SUITE_P(Kill, IdentityCrash, testing::Bool(),
                         [](const auto& info) { return info.param ? "PowerLoss" : "SigKill"; });

}  // namespace
}  // namespace tidemark
