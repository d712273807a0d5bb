#include "broker/log/partition_files.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Error OpenError(LogWorld& world, BrokerId broker = 1, const std::string& cluster = "c1") {
  const auto started = world.StartDirs(broker, cluster);
  return started ? Error{v1::NONE, "opened"} : started.error();
}

// Puts a file on the host's disk before any broker has run.
void PutFile(LogWorld& world, const std::string& path, const std::string& content) {
  SimProcess& process = world.world().StartProcess(kHost);
  FileSystem& files = process.files();
  const std::string parent = path.substr(0, path.rfind('/'));
  CHECK(files.CreateDirectories(parent));
  CHECK(WriteFileDurably(files, path, content));
  process.Exit();
}

TEST(LogDirs, AMissingDirectoryIsMadeAndRemembersItsOwner) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs(4, "cluster-x"));
  EXPECT_TRUE(world.dirs().last_stop_was_clean());
  const std::string id = world.dirs().directory_id();
  world.Kill(true);
  ASSERT_TRUE(world.StartDirs(4, "cluster-x"));
  EXPECT_EQ(world.dirs().stored_broker_id(), 4);
  EXPECT_EQ(world.dirs().stored_cluster_id(), "cluster-x");
  EXPECT_EQ(world.dirs().directory_id(), id);
}

TEST(LogDirs, AnotherBrokersOrClustersDirectoryIsRefused) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs(4, "cluster-x"));
  world.Kill(false);
  EXPECT_THAT(OpenError(world, 5, "cluster-x").message, HasSubstr("belongs to broker 4"));
  world.Kill(false);
  const Error other = OpenError(world, 4, "cluster-y");
  EXPECT_EQ(other.code, v1::INCONSISTENT_CLUSTER_ID);
  EXPECT_THAT(other.message, HasSubstr("cluster-x"));
}

TEST(LogDirs, ALockedDirectoryNamesItsHolder) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  const int pid = world.process().pid();
  SimProcess& second = world.world().StartProcess(kHost);
  const auto opened = second.Await([&] { return LogDirs::Open(second, second.main_loop(), {"/data"}); });
  ASSERT_FALSE(opened);
  // A later start may find it free.
  EXPECT_EQ(opened.error().code, v1::KAFKA_STORAGE_ERROR);
  EXPECT_THAT(opened.error().message, HasSubstr(std::to_string(pid)));
  world.Kill(false);
  EXPECT_TRUE(second.Await([&] { return LogDirs::Open(second, second.main_loop(), {"/data"}); }));
}

TEST(LogDirs, ADirectoryThatIsNamedTwiceIsNotTakenForAnotherProcesss) {
  for (const bool used : {false, true}) {
    LogWorld once(1, {"/a", "/b"});
    if (used) ASSERT_TRUE(once.StartDirs());
    if (used) once.Kill(true);
    SimProcess& process = once.world().StartProcess(kHost);
    const auto opened =
        process.Await([&] { return LogDirs::Open(process, process.main_loop(), {"/a", "/b", "/b/"}); });
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, v1::POLICY_VIOLATION);
    EXPECT_THAT(opened.error().message, AllOf(HasSubstr("/b and /b are the same"), HasSubstr("log.dirs")));
    for (const std::string& path : once.disk().Paths()) EXPECT_FALSE(path.ends_with(".tmp")) << path;
  }
}

TEST(LogDirs, KafkasDataIsRefusedAndNotTouched) {
  LogWorld world;
  PutFile(world, "/data/meta.properties", "#\n#Mon\nversion=0\nbroker.id=1\ncluster.id=abc\n");
  EXPECT_THAT(OpenError(world).message, HasSubstr("Kafka"));
  EXPECT_EQ(world.disk().Paths(), std::vector<std::string>{"/data/meta.properties"});
}

TEST(LogDirs, ForeignLogsWithoutIdentityAreRefused) {
  LogWorld world;
  PutFile(world, "/data/orders-0/00000000000000000000.log", "x");
  EXPECT_EQ(OpenError(world).code, v1::POLICY_VIOLATION);
  EXPECT_EQ(world.disk().Paths().size(), 1u);
}

TEST(LogDirs, ADamagedIdentityIsAnErrorAndNotANewDirectory) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  world.Kill(false);
  ASSERT_TRUE(world.disk().FlipBit("/data/meta.properties", 200));
  ASSERT_TRUE(world.disk().FlipBit("/data/meta.properties.copy", 300));
  EXPECT_EQ(OpenError(world).code, v1::CORRUPT_MESSAGE);
}

TEST(LogDirs, AnIdentityThatIsDamagedOrLostIsReadFromItsCopyAndWrittenAnew) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  const std::string id = world.dirs().directory_id();
  const std::string good = *world.disk().Content("/data/meta.properties");
  for (const std::string path : {"/data/meta.properties", "/data/meta.properties.copy"}) {
    for (const int harm : {0, 1, 2}) {
      world.Kill(true);
      if (harm == 0) {
        ASSERT_TRUE(world.disk().FlipBit(path, 200));
      } else if (harm == 1) {
        ASSERT_TRUE(world.disk().SetContent(path, ""));
      } else {
        world.disk().RemovePath(path);
      }
      const auto started = world.StartDirs();
      ASSERT_TRUE(started) << path << ": " << ToString(started.error());
      EXPECT_EQ(world.dirs().directory_id(), id);
      world.Kill(true);
      EXPECT_EQ(*world.disk().Content("/data/meta.properties"), good);
      EXPECT_EQ(*world.disk().Content("/data/meta.properties.copy"), good);
      ASSERT_TRUE(world.StartDirs());
    }
  }
}

TEST(LogDirs, OurLogsWithoutAnyIdentityAreNotTakenForKafkas) {
  LogWorld world;
  world.Start();
  world.Kill(true);
  world.disk().RemovePath("/data/meta.properties");
  world.disk().RemovePath("/data/meta.properties.copy");
  const Error error = OpenError(world);
  EXPECT_EQ(error.code, v1::POLICY_VIOLATION);
  EXPECT_THAT(error.message, AllOf(HasSubstr("orders-0"), HasSubstr("are lost"), Not(HasSubstr("Kafka"))));
}

TEST(LogDirs, OnlyWhatTheBrokerItselfLeftIsRemoved) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  world.Kill(true);
  const std::vector<std::string> foreign = {"/data/archive-delete/a", "/data/orders-0.old-delete/a",
                                            "/data/upload.tmp", "/data/a.0123456789ABCDEF-delete/a"};
  const std::vector<std::string> ours = {"/data/orders-0.00112233aabbccdd-delete/a",
                                         "/data/orders-0.x1-future-delete/a", "/data/meta.properties.tmp",
                                         "/data/recovery-point-offset-checkpoint.tmp"};
  for (const auto& paths : {foreign, ours}) {
    for (const std::string& path : paths) PutFile(world, path, "x");
  }
  ASSERT_TRUE(world.StartDirs());
  for (const std::string& path : foreign) EXPECT_TRUE(world.disk().Content(path)) << path;
  for (const std::string& path : ours) EXPECT_FALSE(world.disk().Content(path)) << path;
}

TEST(LogDirs, ACopyOfAFolderIsToldFromAReplica) {
  LogWorld world;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("a")));
  world.WaitForFlush(log);
  ASSERT_TRUE(world.Checkpoint());
  const std::string metadata = *world.disk().Content("/data/orders-0/partition.metadata");
  ASSERT_TRUE(world.CloseCleanly());
  PutFile(world, "/data/orders.bak-0/partition.metadata", metadata);
  ASSERT_TRUE(world.StartDirs());
  for (const FoundPartition& found : world.dirs().found())
    EXPECT_EQ(found.checkpointed, found.topic == "orders");
  EXPECT_EQ(world.dirs().found().size(), 2u);
}

TEST(LogDirs, FoundPartitionsAreListed) {
  LogWorld world;
  world.Start();
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  ASSERT_EQ(world.dirs().found().size(), 1u);
  EXPECT_EQ(world.dirs().found()[0].topic, "orders");
  EXPECT_EQ(world.dirs().found()[0].partition, 0u);
  EXPECT_EQ(world.dirs().found()[0].topic_id, world.key().topic);
}

TEST(LogDirs, SmallFilesSurvivePowerLoss) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  const auto read = [&] { return world.process().Await([&] { return world.dirs().ReadSmall("session"); }); };
  EXPECT_EQ(read().error().code, v1::NOT_FOUND);
  ASSERT_TRUE(world.process().Await([&] { return world.dirs().WriteSmall("session", "id 5\n"); }));
  world.Kill(true);
  ASSERT_TRUE(world.StartDirs());
  EXPECT_EQ(read().value(), "id 5\n");
  ASSERT_TRUE(world.disk().FlipBit("/data/session", 3));
  EXPECT_EQ(read().error().code, v1::CORRUPT_MESSAGE);
  ASSERT_TRUE(world.process().Await([&] { return world.dirs().RemoveSmall("session"); }));
  EXPECT_EQ(read().error().code, v1::NOT_FOUND);
}

TEST(LogDirs, NewPartitionsAreSpreadOverTheDirectories) {
  LogWorld world(1, {"/data1", "/data2"});
  ASSERT_TRUE(world.StartDirs());
  for (uint32_t i = 0; i < 6; ++i) {
    world.set_key({MakeTopicId(7), i});
    ASSERT_TRUE(world.OpenLog());
  }
  EXPECT_EQ(world.dirs().directories()[0]->partitions, 3u);
  EXPECT_EQ(world.dirs().directories()[1]->partitions, 3u);
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  EXPECT_EQ(world.dirs().found().size(), 6u);
}

TEST(LogDirs, AFolderThatNobodyCanAskForKeepsNoStopFromBeingClean) {
  LogWorld world;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("x")));
  ASSERT_TRUE(world.process().files().CreateDirectories("/data/tarball-7"));
  world.Kill(false);
  ASSERT_TRUE(world.StartDirs());
  ASSERT_TRUE(world.OpenLog());
  EXPECT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  EXPECT_TRUE(world.dirs().last_stop_was_clean());
}

TEST(LogDirs, TheLongestNameOfATopicCanBeDeletedAndMadeAgain) {
  const std::string longest(249, 'x');
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  for (const uint32_t partition : {0u, 99'999u}) {
    world.set_key({MakeTopicId(7), partition});
    ASSERT_TRUE(world.OpenLog(longest));
    const Result<> deleted = world.process().Await([&] { return world.logs().Delete(world.key(), longest); });
    EXPECT_TRUE(deleted) << ToString(deleted.error());
    ASSERT_TRUE(world.OpenLog(longest));
    for (int i = 0; i < 3; ++i) {
      const Result<> aside =
          world.process().Await([&] { return world.logs().SetAside(world.key(), "it is damaged"); });
      EXPECT_TRUE(aside) << ToString(aside.error());
      ASSERT_TRUE(world.OpenLog(longest));
    }
    // Another topic of that name: its folder makes room.
    world.Kill(true);
    ASSERT_TRUE(world.StartDirs());
    world.set_key({MakeTopicId(8), partition});
    EXPECT_TRUE(world.OpenLog(longest));
  }
  EXPECT_FALSE(world.dirs().directories()[0]->failed);
}

TEST(PartitionFolders, OnlyWhatEndsLikeOneIsTakenForSetAside) {
  EXPECT_EQ(NameBeforeSetAside("orders-0-damaged.12"), "orders-0");
  EXPECT_EQ(NameBeforeSetAside("orders-0.00112233aabbccdd-stray"), "orders-0");
  EXPECT_EQ(NameBeforeSetAside("orders-0.00112233aabbccdd-delete"), "orders-0");
  EXPECT_EQ(NameBeforeSetAside("returns-damaged.v1-0-damaged.1"), "returns-damaged.v1-0");
  // Names that topics may have.
  for (const char* name :
       {"returns-damaged.v1-0", "a-damaged.1-0", "a-stray-0", "a.0-delete-7", "orders-0"}) {
    EXPECT_FALSE(NameBeforeSetAside(name)) << name;
    EXPECT_TRUE(ParsePartitionFolderName(name)) << name;
  }
}

TEST(LogDirs, ATopicNamedLikeAFolderSetAsideIsServed) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  ASSERT_TRUE(world.OpenLog("returns-damaged.v1"));
  ASSERT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  EXPECT_EQ(world.dirs().found().size(), 1u);
}

TEST(LogDirs, ADirectoryThatFailsLeavesTheOthersInService) {
  LogWorld world(1, {"/data1", "/data2"});
  ASSERT_TRUE(world.StartDirs());
  std::vector<Log*> logs;
  for (uint32_t i = 0; i < 2; ++i) {
    world.set_key({MakeTopicId(7), i});
    logs.push_back(*world.OpenLog());
  }
  ASSERT_NE(logs[0]->directory_index(), logs[1]->directory_index());
  world.disk().Fail({DiskOp::kSync, world.dirs().directories()[logs[0]->directory_index()]->path});
  for (Log* log : logs) ASSERT_TRUE(world.Append(*log, MakeBatch("x")));
  world.world().RunFor(1s);
  EXPECT_TRUE(logs[0]->failure());
  EXPECT_FALSE(logs[1]->failure());
  EXPECT_EQ(logs[1]->flushed_end(), 1u);
  EXPECT_FALSE(world.CloseCleanly());
}

TEST(EpochTable, FindsWhereTwoLogsPart) {
  EpochTable table;
  EXPECT_FALSE(table.EndOf(3, 100));
  table.Begin(1, 10);
  table.Begin(3, 20);
  table.Begin(6, 50);
  EXPECT_FALSE(table.EndOf(0, 100));
  EXPECT_EQ(table.EndOf(1, 100), std::pair(LeaderEpoch(1), Offset(20)));
  EXPECT_EQ(table.EndOf(2, 100), std::pair(LeaderEpoch(1), Offset(20)));
  EXPECT_EQ(table.EndOf(4, 100), std::pair(LeaderEpoch(3), Offset(50)));
  EXPECT_EQ(table.EndOf(9, 100), std::pair(LeaderEpoch(6), Offset(100)));
  EXPECT_EQ(table.EpochAt(49), 3u);
  table.Begin(7, 50);
  EXPECT_EQ(table.entries().size(), 3u) << "epoch 6 held no record";
  table.TruncateTo(20);
  EXPECT_EQ(table.latest(), 1u);
  table.AdvanceStart(15);
  EXPECT_EQ(table.latest_entry(), (EpochTable::Entry{1, 15}));
}

}  // namespace
}  // namespace tidemark
