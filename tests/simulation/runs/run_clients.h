// The clients of a run, each in a process of its own in the simulated world: producers whose acknowledgements
// are noted, an observer that asks every broker for high watermarks, and a reader of all that is committed.
// A process keeps its client; the run reads the notes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/options.h"
#include "common/async/task.h"
#include "tests/simulation/cluster/checkers.h"
#include "tests/simulation/env/sim_process.h"

namespace tidemark {

// Bootstrap at brokers host0..hostN-1.
ClientOptions RunClientOptions(int brokers);
ProducerOptions RunProducerOptions(int brokers);

// Sends unique values with acks=all, to all partitions in turn, until it is told to stop.
struct AckedStream {
  std::string name;
  std::string topic;
  uint32_t partitions = 1;
  int brokers = 1;
  bool stop = false;
  bool stopped = false;
  std::vector<AckedRecord> acked;

  Task<void> Run(SimProcess* process);
};

// Asks one broker over and over as a consumer does, and notes the high watermarks it is told. A connection
// does not outlive the broker's process, so the life of the broker names it.
struct WatermarkObserver {
  int broker = 0;
  std::string topic;
  TopicId topic_id;
  uint32_t partitions = 1;
  std::function<int()> life;  // of the broker; 0: it is down
  bool stop = false;
  bool stopped = false;
  std::vector<SeenHighWatermark> seen;

  Task<void> Run(SimProcess* process);
};

// What the client library reads from a topic: partition -> offset -> value.
using ReadBack = std::map<PartitionIndex, std::map<Offset, std::string>>;
// Reads each partition from the beginning up to `ends`; less when that is not served until `deadline`.
Task<Result<ReadBack>> ReadAll(SimProcess* process, ClientOptions options, std::string topic,
                               std::map<PartitionIndex, Offset> ends, MonoTime deadline);

}  // namespace tidemark
