// Controller: the part of a broker that stands for election and, while elected, decides for the whole
// cluster: who leads, who is in sync, which topics there are. One per broker, owned by the broker's control
// loop; every method is called on that loop's thread.
//
// Invariants:
// - at most one term at a time, and every write of a term carries a check of /controller_epoch's version,
//   so a deposed controller changes nothing in ZooKeeper; its commands carry the epoch, so brokers refuse
//   them;
// - a term ends at once when the ZooKeeper session expires or a write was fenced; past the session's
//   lease it neither writes nor sends, but lives on until the session's fate is known;
// - watches and answers only enqueue; one coroutine works the queue off, and reads ZooKeeper again before
//   it decides.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/config/properties.h"
#include "common/env/environment.h"
#include "common/types.h"
#include "common/zk/zk_keeper.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

struct ControllerOptions {
  EventLoop& loop;
  Environment& env;
  BrokerId broker_id = kNoBroker;
  std::string cluster_id;
  // num.partitions
  uint32_t num_partitions = 1;
  // default.replication.factor; 0: min(3, live brokers)
  uint32_t default_replication_factor = 0;
  // delete.topic.enable
  bool delete_topics = true;
  // The properties in force on this broker: the defaults of topic configs.
  Properties broker_properties;
  // Largest frame that brokers take.
  size_t max_frame_bytes = 16u << 20;
  // How long one command may be on its way before it is sent again.
  Duration command_timeout = 30s;
  // Pause between tries of a command that failed.
  Duration command_backoff = 100ms;
  // Pause after a resignation, doubled up to the maximum while terms end early.
  Duration resign_backoff = 100ms;
  Duration resign_backoff_max = 10s;
};

// The part of the options that changes at run time.
struct ControllerDefaults {
  uint32_t num_partitions = 1;
  uint32_t default_replication_factor = 0;
  Properties broker_properties;
};

// Totals since the start, over all terms.
struct ControllerCounters {
  uint64_t terms = 0;              // elections of this broker to controller
  uint64_t resignations = 0;       // terms that ended while the session lived
  uint64_t elections = 0;          // leaders elected
  uint64_t unclean_elections = 0;  // of these, outside the ISR
  uint64_t isr_changes = 0;        // state changes without a new leader
  uint64_t fenced_writes = 0;      // writes refused because another controller has come
  uint64_t unknown_writes = 0;     // writes whose outcome had to be read
  uint64_t events = 0;             // events worked off
  uint64_t commands_sent = 0;      // commands to brokers
  uint64_t commands_failed = 0;    // of these, not acknowledged
};

// Outside data that cannot be used: that topic or broker is left as it is until the data changes.
struct QuarantinedItem {
  std::string what;  // "topic orders", "broker 3"
  std::string reason;
};

// What a deletion waits for.
struct PendingDeletion {
  std::string topic;
  std::string waits_for;
};

// For /state and /metrics. Numbers of the cluster are 0 while not active.
struct ControllerStatus {
  bool active = false;
  ControllerEpoch epoch = 0;
  BrokerId controller_id = kNoBroker;  // as /controller last said
  size_t live_brokers = 0;
  size_t topics = 0;
  size_t partitions = 0;
  size_t offline_partitions = 0;  // without leader
  size_t under_replicated_partitions = 0;
  size_t queued_events = 0;
  std::vector<QuarantinedItem> quarantined;
  std::vector<PendingDeletion> deletions;
  ControllerCounters counters;
};

class Controller final {
 public:
  // `keeper` outlives the controller.
  Controller(ControllerOptions options, ZkKeeper& keeper);
  ~Controller();  // Close() first, where it was started
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Follows /controller and stands for election from now on. Call when the broker is registered; once.
  void Start();
  // Stops acting at once and ends everything. /controller goes with the ZooKeeper session, which the owner
  // ends next (or at the same time: a call that ZooKeeper does not answer ends with it).
  Task<void> Close();

  // Elected, and the cluster has been read: Handle works.
  bool active() const;
  // Of the present term; 0 when not elected.
  ControllerEpoch epoch() const;
  // As /controller last said; kNoBroker if nobody.
  BrokerId controller_id() const;
  // Called with the controller's broker id (kNoBroker: none) each time it changes.
  void SetControllerListener(std::function<void(BrokerId)> listener);

  // What new topics get, and what topics fall back to, is other than the options said: the topics known are
  // judged by it anew.
  void SetDefaults(const ControllerDefaults& defaults);

  // Serves create_topics, delete_topics, create_partitions, describe_topics, alter_configs, alter_partition,
  // resign_leadership, controlled_shutdown. The response has the body; the correlation id is the caller's to
  // fill. NOT_CONTROLLER when not active, or when the term ended before the answer (then the outcome is
  // unknown).
  Task<Result<v1::Response>> Handle(v1::Request request);

  ControllerStatus status() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
