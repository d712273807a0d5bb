// Sender: takes ready batches from the accumulator to the partitions' leaders and decides them. Part of the
// producer, loop-affine.
//
// Invariants: one batch per partition in flight; a batch is decided once; a batch that was sent to one
// incarnation of a topic is never sent to another; completions run with no iterator into our state held, so a
// callback may send again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/accumulator.h"
#include "client/backoff.h"
#include "client/cluster.h"
#include "common/async/scope.h"

namespace tidemark::internal {

class Sender {
 public:
  // `on_decided` is called after batches were decided and their callbacks have run: memory is free.
  Sender(Cluster& cluster, const ProducerOptions& options, Accumulator& accumulator, ProducerStats& stats,
         std::function<void()> on_decided);

  // There is something new to look at.
  void Wake();
  // Somebody waits for memory: batches are sent without lingering.
  void set_pressure(bool pressure) { pressure_ = pressure; }
  Task<void> Close();

 private:
  // Batches for one broker, the first of each of these queues.
  using Load = std::vector<PartitionQueue*>;

  Task<void> Run();
  MonoTime Drain();
  bool Expire(PartitionQueue& queue, MonoTime now);
  void TellIfSlow(const PartitionQueue& queue, MonoTime now);
  // The leader to send the queue's first batch to; kNoBroker when it has to wait (or has failed).
  BrokerId Destination(PartitionQueue& queue);
  Task<void> Send(BrokerId leader, Load load);
  Task<void> AwaitEndOfDelay(BrokerId leader, MonoTime until);
  Task<Result<v1::Response>> SendWithoutAnswer(RpcChannel& channel, v1::Request request);
  v1::Request Encode(const Load& load) const;
  void Decide(const Load& load, const Result<v1::Response>& response, MonoTime sent_at);
  void DecideOne(PartitionQueue& queue, const v1::ProduceResponse::Partition* answer);
  void Succeed(PartitionQueue& queue, Offset base_offset);
  void RetryOrFail(PartitionQueue& queue, Error error);
  void Fail(PartitionQueue& queue, Error error);
  void RunCallbacks();
  void RequestRefresh(const std::string& topic);
  Task<void> Refresh(std::string topic);

  struct Completion {
    std::unique_ptr<PendingBatch> batch;
    PartitionIndex partition;
    Result<Offset> base_offset;
  };

  Cluster& cluster_;
  EventLoop& loop_;
  const ProducerOptions& options_;
  Accumulator& accumulator_;
  ProducerStats& stats_;
  std::function<void()> on_decided_;
  Scope scope_;
  Notifier wake_;
  MonoTime slow_told_until_{};  // nothing is told again before
  bool dirty_ = false;
  bool pressure_ = false;
  Backoff backoff_;
  std::map<BrokerId, int> in_flight_;         // requests per broker
  std::map<BrokerId, MonoTime> muted_until_;  // brokers that delay this client because of a quota
  std::set<BrokerId> delaying_;               // those whose last answer told of a delay
  std::set<std::string> refreshing_;
  std::vector<Completion> completions_;
};

}  // namespace tidemark::internal
