// Checkers of a compacted topic, beside those of checkers.h: replicas of it differ batch by batch, and agree
// on the last value of each key. Pure functions over what producers sent and what lies on the replicas'
// disks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/cluster/checkers.h"

namespace tidemark {

// A record with a key, sent with acks=all. Values are unique; a key has one producer.
struct KeyedRecord {
  std::string topic;
  PartitionIndex partition = 0;
  std::string key;
  std::optional<std::string> value;  // none: a tombstone
  std::optional<Offset> acked;       // where; none: it was not acknowledged, and may be there all the same
};

// In each replica in sync each key has the value that was acknowledged last or one that was sent and not
// acknowledged, never an older one; and none only after a tombstone.
Violations CheckLastValues(const std::vector<KeyedRecord>& sent, const std::vector<DiskLog>& logs);
// Two replicas never hold different records at one offset. Those of one high watermark have the same last
// values below it.
Violations CheckSameRecords(const std::vector<DiskLog>& logs);

}  // namespace tidemark
