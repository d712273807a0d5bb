// What partitions cost whole brokers that have nothing to do with them: calls to the disk, wakeups of all
// loops together, memory. Counted in a simulated world for 200 partitions and for ten times as many.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/scale/heap.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

constexpr uint32_t kFew = 200;
constexpr uint32_t kMany = 2000;
constexpr uint32_t kPerTopic = 200;

struct Cost {
  uint64_t disk_calls = 0;
  uint64_t events = 0;
  int64_t heap = 0;  // of a broker with them, against none running
};

uint64_t DiskCalls(SimBrokers& cluster, int brokers) {
  uint64_t all = 0;
  for (int id = 0; id < brokers; ++id) {
    const SimDisk& disk = cluster.world().disk("host" + std::to_string(id));
    for (size_t op = 0; op < kDiskOps; ++op) all += disk.count(static_cast<DiskOp>(op));
  }
  return all;
}

void WaitForAll(SimBrokers& cluster, uint32_t partitions) {
  for (uint32_t i = 0; i < partitions / kPerTopic; ++i)
    CHECK(cluster.WaitForLeaders("topic" + std::to_string(i)));
}

// Two brokers with a replica of each. Settled: followers are in sync, checkpoints are written, the scrubber
// has been through.
Cost CostOf(uint32_t partitions, Duration idle) {
  // Retention looks at each partition that a broker leads, at this interval: the one thing that is to be.
  SimBrokers cluster(5, 2, {{"log.retention.check.interval.ms", "86400000"}});
  cluster.StartAll();
  for (uint32_t i = 0; i < partitions / kPerTopic; ++i) {
    cluster.CreateTopic("topic" + std::to_string(i), kPerTopic, 2);
  }
  WaitForAll(cluster, partitions);
  cluster.Produce("topic0", 7, {"a record"});
  cluster.world().RunFor(900s);
  Cost cost{DiskCalls(cluster, 2), cluster.world().events_run(), 0};
  cluster.world().RunFor(idle);
  cost = {DiskCalls(cluster, 2) - cost.disk_calls, cluster.world().events_run() - cost.events, 0};
  CHECK(cluster.Stop(1));
  const auto heap = static_cast<int64_t>(HeapBytes());
  CHECK(cluster.Start(1));
  WaitForAll(cluster, partitions);
  cluster.world().RunFor(60s);
  cost.heap = static_cast<int64_t>(HeapBytes()) - heap;
  for (int id : {0, 1}) cluster.Stop(id);
  return cost;
}

TEST(IdleBroker, PartitionsWakeNobodyAndCallNothing) {
  const Cost few = CostOf(kFew, 600s);
  const Cost many = CostOf(kMany, 600s);
  RecordProperty("events_of_few", static_cast<int>(few.events));
  RecordProperty("events_of_many", static_cast<int>(many.events));
  RecordProperty("disk_calls", static_cast<int>(many.disk_calls));
  EXPECT_EQ(many.disk_calls, few.disk_calls);
  EXPECT_EQ(many.disk_calls, 0u);
  // The brokers' own: ZooKeeper's pings, fetches that wait, rounds. Their number varies a little with the
  // network's delays; one wakeup of each partition a minute is too much.
  EXPECT_LT(many.events, few.events + few.events / 10);
  const int64_t of_partition = (many.heap - few.heap) / (kMany - kFew);
  RecordProperty("bytes_per_partition", static_cast<int>(of_partition));
  EXPECT_LT(of_partition, 9000) << "20,000 of them are to take a few hundred MB";
}

}  // namespace
}  // namespace tidemark
