// LogCleaner: compacts the logs of one broker, the dirtiest first. Owned by Broker, control loop;
// `log.cleaner.threads` coroutines ask the shards what is due and have one pass at a time each made on the
// shard that owns the log. Every replica is compacted by its own broker, leader or not, as in Kafka.
//
// A log that cannot be compacted is passed over and counted (it says why in its log line); any other failure
// of a pass is that log's, which is left alone for a while. Nothing that happens to one log ends a cleaner.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "broker/log/cleaner.h"
#include "broker/server/broker_context.h"
#include "common/async/scope.h"
#include "common/async/wait.h"
#include "common/metrics/exposition.h"

namespace tidemark {

class LogCleaner {
 public:
  // `scope` is of the control loop and is closed before this ends.
  LogCleaner(BrokerContext& context, Scope& scope);

  // Once the shards are active. Does nothing with log.cleaner.enable=false.
  void Start();
  // By the config now in force: rates at once, also of passes under way; the number of cleaners and their
  // memory as they come to their next pass.
  void Apply();
  void AddMetrics(Exposition* out) const;

 private:
  struct Chosen {
    size_t shard = 0;
    PartitionKey key;
  };
  Task<void> Work(uint32_t number);
  Task<std::optional<Chosen>> Choose();
  Task<void> CleanOne(Chosen chosen, std::shared_ptr<CleanerThrottle> throttle);

  BrokerContext& context_;
  Scope& scope_;
  uint32_t threads_ = 0;  // wanted
  // Numbers of the cleaners that run; one above `threads_` ends after its pass.
  std::set<uint32_t> running_;
  // Of each cleaner.
  const std::shared_ptr<CleanerRate> rate_ = std::make_shared<CleanerRate>(0);
  Notifier changed_;
  std::set<PartitionKey> in_work_;
  std::map<PartitionKey, MonoTime> not_before_;  // after a failure
  // For metrics.
  uint64_t passes_ = 0;
  uint64_t failed_ = 0;
  uint64_t bytes_read_ = 0;
  uint64_t bytes_written_ = 0;
  uint64_t bytes_freed_ = 0;
  uint64_t records_dropped_ = 0;
  size_t uncleanable_ = 0;
  double max_dirty_ratio_ = 0;
  MonoTime last_look_{};
};

}  // namespace tidemark
