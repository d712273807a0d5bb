// How a broker that cannot start ends: with 2 where its configuration is wrong, so that nobody starts it
// again before a person has looked, with 1 where another start may help.
#include "broker/server/server_main.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

Error StartError(SimBrokers& cluster) {
  const Result<> started = cluster.Start(0);
  return started ? Error{v1::NONE, "it has started"} : started.error();
}

TEST(ExitStatus, OfAnotherProgramsDataIsThatOfAWrongConfiguration) {
  SimBrokers cluster(71, 1);
  SimProcess& kafka = cluster.world().StartProcess("host0");
  ASSERT_TRUE(kafka.files().CreateDirectories("/data"));
  ASSERT_TRUE(WriteFileDurably(kafka.files(), "/data/meta.properties", "version=0\nbroker.id=0\n"));
  kafka.Exit();
  const Error error = StartError(cluster);
  EXPECT_EQ(StartExitStatus(error), 2);
  EXPECT_THAT(error.message, HasSubstr("Kafka"));
}

TEST(ExitStatus, OfADirectoryThatIsLockedIsOne) {
  SimBrokers cluster(72, 1);
  cluster.StartAll();
  SimProcess& rival = cluster.world().StartProcess("host0");
  const auto config = BrokerConfig::FromProperties({{"broker.id", "0"},
                                                    {"zookeeper.connect", "zookeeper:2181"},
                                                    {"log.dirs", "/data"},
                                                    {"listeners", "PLAINTEXT://host0:9999"}});
  ASSERT_TRUE(config);
  auto broker = std::make_shared<Broker>(rival, rival.main_loop(), *config, BrokerOptions{});
  rival.Keep(broker);
  const Result<> started = rival.Await([broker] { return broker->Start(); });
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("is locked by process"));
  EXPECT_EQ(StartExitStatus(started.error()), 1);
}

TEST(ExitStatus, OfAnotherBrokersOrClustersDirectoryIsThatOfAWrongConfiguration) {
  for (const char* meta : {"broker.id", "cluster.id"}) {
    SimBrokers cluster(73, 1);
    cluster.StartAll();
    ASSERT_TRUE(cluster.Stop(0));
    if (std::string_view(meta) == "broker.id") cluster.Configure("broker.id", "9");
    if (std::string_view(meta) == "cluster.id") cluster.world().zookeeper().PokeDelete("/cluster/id");
    const Error error = StartError(cluster);
    EXPECT_EQ(StartExitStatus(error), 2) << meta << ": " << ToString(error);
  }
}

}  // namespace
}  // namespace tidemark
