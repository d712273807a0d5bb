// ShardLogStore: LogStore over the shard's ShardLogs. Owns the forwarding ReplicaLogs, not the logs. Shard's
// loop only.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "broker/log/shard_logs.h"
#include "broker/replica/broker_directory.h"
#include "broker/replica/replica_log.h"

namespace tidemark {

class ShardLogStore final : public LogStore {
 public:
  explicit ShardLogStore(ShardLogs& logs);
  ~ShardLogStore() override;
  Task<Result<ReplicaLog*>> OpenOrCreate(PartitionKey key, std::string topic, LogConfig config,
                                         LogExpected expected) override;
  Task<Result<>> Delete(PartitionKey key, std::string topic) override;
  Task<Result<>> SetAside(PartitionKey key, std::string reason) override;

 private:
  class Forward;
  ShardLogs& logs_;
  std::unordered_map<PartitionKey, std::unique_ptr<Forward>> open_;
};

}  // namespace tidemark
