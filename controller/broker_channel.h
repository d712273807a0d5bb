// BrokerChannel: what one broker, in one of its lives, still has to be told, and the sending of it. Owned by
// the term; control loop only.
//
// State-based: it holds no messages, only the names of what is not known to be known there: partitions,
// topics, replicas to stop. Messages are made from the cluster as it is when they are sent; what was not
// acknowledged is named again. So it needs no more memory than there are names, and a broker that was deaf
// for an hour is told only the latest. Commands overtake one another without harm (leader and partition
// epochs order them), but for metadata, of which one is under way at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/async/scope.h"
#include "common/env/environment.h"
#include "common/net/rpc_channel.h"
#include "controller/cluster_context.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

struct ReplicaToStop {
  std::string topic;
  LeaderEpoch leader_epoch = 0;
};

class BrokerChannel {
 public:
  // Whom the channel asks and tells. Never called from within a call on the channel, but for MayAct and the
  // makers.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual bool MayAct() const = 0;
    virtual void Stamp(BrokerEpoch broker_epoch, v1::ControllerStamp* stamp) const = 0;
    // The present state of those of `keys` that the broker is to have; all it is to have when `keys` is null.
    virtual v1::LeaderAndIsrRequest MakeLeaderAndIsr(BrokerId broker,
                                                     const std::set<PartitionKey>* keys) const = 0;
    // The topics named (those gone as deleted ones), all when null; and the live brokers.
    virtual v1::UpdateMetadataRequest MakeUpdateMetadata(const std::set<TopicId>* topics) = 0;
    // Replicas that the broker, which has new log directories, has taken over: their logs are there.
    virtual void OnReplicasThere(BrokerId broker, BrokerEpoch epoch, const std::set<PartitionKey>& keys) = 0;
    // KAFKA_STORAGE_ERROR of one replica; CORRUPT_MESSAGE: the only copy in sync is damaged as a whole.
    virtual void OnReplicaFailed(BrokerId broker, BrokerEpoch epoch, const PartitionKey& key,
                                 const Error& error) = 0;
    // REPLICA_NOT_AVAILABLE: the broker has not the log of a replica that is in sync.
    virtual void OnReplicaLost(BrokerId broker, BrokerEpoch epoch, const PartitionKey& key,
                               const Error& error) = 0;
    virtual void OnReplicaStopped(BrokerId broker, const PartitionKey& key) = 0;
    // The broker knows of a higher controller epoch.
    virtual void OnControllerFenced(BrokerId broker) = 0;
    // The broker has another epoch than this channel.
    virtual void OnBrokerFenced(BrokerId broker) = 0;
    // The broker knows of a later state of a partition than this controller.
    virtual void OnStateFenced(const PartitionKey& key) = 0;
    // Something was acknowledged.
    virtual void OnProgress() = 0;
  };

  struct Options {
    std::string cluster_id;
    std::string client_id;
    Duration command_timeout = 30s;
    Duration backoff = 100ms;
    Duration backoff_max = 2s;
  };
  struct Counters {
    uint64_t sent = 0;
    uint64_t failed = 0;
  };

  BrokerChannel(EventLoop& loop, Environment& env, Owner& owner, const LiveBrokerContext& broker,
                Options options);
  ~BrokerChannel();  // Close() first

  BrokerId broker() const { return broker_; }
  BrokerEpoch epoch() const { return epoch_; }
  const Endpoint& endpoint() const { return endpoint_; }

  // Names what is to be told; Pump() sends. A new channel starts with everything.
  void MarkPartition(const PartitionKey& key) { states_.names.insert(key); }
  void MarkTopic(const TopicId& id) { metadata_.names.insert(id); }
  void MarkBrokers() { brokers_changed_ = true; }
  // What was told as everything was not: it is told again.
  void MarkAllPartitions() { states_.all = true; }
  void StopReplica(const PartitionKey& key, ReplicaToStop what);
  void Pump();

  // The broker has acknowledged everything that concerns the topic's metadata.
  bool KnowsTopic(const TopicId& id) const;
  bool Stopping(const PartitionKey& key) const {
    return stops_.contains(key) || stops_in_flight_.contains(key);
  }
  const Counters& counters() const { return counters_; }

  Task<void> Close();

 private:
  static constexpr int kMaxStatesInFlight = 4;

  // Names not told yet, and whether everything is still to be told.
  template <typename Name>
  struct Untold {
    bool all = true;
    bool all_in_flight = false;
    std::set<Name> names;
    std::set<Name> in_flight;  // metadata only: what the one message under way names
  };

  Task<void> SendStates(bool full, std::set<PartitionKey> keys);
  Task<void> SendMetadata(bool full, std::set<TopicId> topics);
  Task<void> SendStops(std::map<PartitionKey, ReplicaToStop> stops);
  void TakeStatesAnswer(const v1::LeaderAndIsrResponse& answer);
  // Of those asked for, the replicas that were taken over.
  void NoteReplicasThere(std::set<PartitionKey> asked, const v1::LeaderAndIsrResponse& answer);
  // Each command and its answer; false when it is to be sent again. `whole` reads the command's own error.
  Task<Result<v1::Response>> Send(v1::Request request);
  bool Accepted(const v1::Error& whole);
  void Failed();
  void Succeeded();
  void PumpLater(Duration delay);

  EventLoop& loop_;
  Owner& owner_;
  const BrokerId broker_;
  const BrokerEpoch epoch_;
  const bool new_log_dirs_;
  const Endpoint endpoint_;
  const Options options_;
  RpcChannel rpc_;
  Scope scope_;
  Untold<PartitionKey> states_;
  int states_in_flight_ = 0;
  Untold<TopicId> metadata_;
  bool metadata_in_flight_ = false;
  bool brokers_changed_ = false;
  std::map<PartitionKey, ReplicaToStop> stops_;
  std::map<PartitionKey, ReplicaToStop> stops_in_flight_;
  Duration backoff_;
  MonoTime blocked_until_{};
  TimerId timer_ = 0;
  Counters counters_;
};

}  // namespace tidemark
