// The clients that a run with rot has beside those of ../runs: a producer of a compacted topic, and a reader
// that reads over and over what is committed, also while it is damaged. Each in a process of its own, which
// keeps it; the run reads the notes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "client/consumer.h"
#include "common/async/task.h"
#include "tests/simulation/cluster/compacted_checkers.h"
#include "tests/simulation/env/sim_process.h"

namespace tidemark {

// Gives its own keys new values, now and then none, with acks=all until it is told to stop.
struct KeyedStream {
  std::string name;
  std::string topic;
  uint32_t partitions = 1;
  int brokers = 1;
  uint64_t keys = 1;
  bool stop = false;
  bool stopped = false;
  std::vector<KeyedRecord> sent;

  Task<void> Run(SimProcess* process);
};

// Reads partitions from a random offset on, for a while each. What was once read at an offset is read there
// ever after, or nothing, where that is compacted or deleted.
struct Rereader {
  std::string topic;
  uint32_t partitions = 1;
  int brokers = 1;
  bool dense = false;  // nothing is compacted or deleted: what follows is read next
  bool stop = false;
  bool stopped = false;
  std::map<PartitionIndex, std::map<Offset, std::string>> read;  // "key=value"
  uint64_t records = 0;
  Violations violations;

  Task<void> Run(SimProcess* process);

 private:
  // From `from` on, until `until` or an error.
  Task<void> ReadSome(Consumer& consumer, PartitionIndex partition, Offset from, EventLoop& loop,
                      MonoTime until);
  void Note(PartitionIndex partition, const RecordView& record);
};

// What a log holds at an offset agrees with what was read there.
Violations CheckReread(const Rereader& reader, const std::vector<DiskLog>& logs);

}  // namespace tidemark
