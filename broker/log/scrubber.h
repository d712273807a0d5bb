// Scrubber: reads the logs of one shard again in the background, so that rot is found while another replica
// still has what it destroyed. Owned by ShardLogs, loop-affine; one log at a time, a piece at a time, and
// after each piece a pause that keeps it at its rate. A log is due when it was not looked at for the
// interval; when none is due it only looks around once a minute.
#pragma once

#include <cstdint>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "broker/log/log.h"
#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/time.h"

namespace tidemark {

class ShardLogs;

struct ScrubOptions {
  uint64_t bytes_per_second = 0;  // of this shard; 0: no scrubbing
  Duration interval = std::chrono::hours(168);
};

struct ScrubCounters {
  uint64_t bytes = 0;            // read
  uint64_t logs = 0;             // looked at whole
  uint64_t damaged = 0;          // ranges that the scrubber was the first to find damaged
  uint64_t indexes_rebuilt = 0;  // whose index files did not match their log

  ScrubCounters& operator+=(const ScrubCounters& other);
};

class Scrubber {
 public:
  // The logs of `shard`, which owns it.
  Scrubber(EventLoop& loop, ScrubOptions options, ShardLogs& shard);

  // Until stopped.
  Task<void> Run(std::stop_token stop);
  const ScrubCounters& counters() const { return counters_; }

 private:
  std::vector<PartitionKey> Due();
  Task<void> ScrubLog(PartitionKey key, std::stop_token stop);

  EventLoop& loop_;
  const ScrubOptions options_;
  ShardLogs& shard_;
  ScrubCounters counters_;
  std::unordered_map<PartitionKey, MonoTime> scrubbed_;  // when last; of logs that are open
};

}  // namespace tidemark
