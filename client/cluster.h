// Cluster: a client's picture of the cluster and its connections to brokers. Shared by the producer, consumer
// and admin of one application; loop-affine. Never goes back to a leader with a lower epoch than one seen, be
// it in metadata, in a hint, in a record or with a committed offset.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/options.h"
#include "common/async/task.h"
#include "common/env/environment.h"
#include "common/net/rpc_channel.h"
#include "common/types.h"

namespace tidemark {

struct PartitionLeader {
  BrokerId leader = kNoBroker;
  LeaderEpoch epoch = 0;

  bool operator==(const PartitionLeader&) const = default;
};

struct TopicPicture {
  std::string name;
  TopicId id;
  std::vector<PartitionLeader> partitions;  // by number
};

class Cluster {
 public:
  Cluster(Environment& env, EventLoop& loop, ClientOptions options);
  ~Cluster();

  EventLoop& loop();
  Environment& env();
  const ClientOptions& options() const;

  // What is known of the topic, without asking; null when nothing is. Valid until the next co_await.
  const TopicPicture* Find(const std::string& topic) const;
  // Asks for the topic (and the brokers) anew. UNKNOWN_TOPIC_OR_PARTITION carries the broker's hint, or says
  // that the topic is being deleted. Calls while one is under way share it.
  Task<Result<>> Refresh(std::string topic, MonoTime deadline, std::stop_token stop);
  // A leader hint that came with an error; taken when its epoch is not lower than what is known.
  void ApplyHint(const std::string& topic, PartitionIndex partition, const v1::LeaderHint& hint);
  // A record of this epoch is known to be: who led in a lower one leads no more, and nobody is known to until
  // metadata as new arrives.
  void NoteEpoch(const std::string& topic, const TopicId& id, PartitionIndex partition, LeaderEpoch epoch);
  // Asks brokers other than `doubted`, one after the other until one answers; where no other is known to be
  // alive, that one.
  Task<Result<v1::Response>> AskOther(v1::Request request, BrokerId doubted, MonoTime deadline,
                                      std::stop_token stop);
  // Who leads, as another broker than `doubted` says, with the rest of what it says merged; where no other
  // broker is known to be alive, as that one says.
  Task<Result<PartitionLeader>> SecondOpinion(std::string topic, PartitionIndex partition, BrokerId doubted,
                                              MonoTime deadline, std::stop_token stop);

  // The connection to a broker by id; null when the id is not known.
  RpcChannel* Channel(BrokerId broker);
  // The same for a broker that was named with its address, as a group's coordinator is.
  RpcChannel* Channel(BrokerId broker, const Endpoint& endpoint);
  std::vector<BrokerId> brokers() const;
  // Sends to any broker, one after the other until one answers: bootstrap and admin calls.
  // Each may take request.timeout.ms, or `longest` where that is longer: a request that says how long the
  // broker may wait itself is not given up before the broker answers what it waits for.
  // `notes`, where given, are kept while the call goes on.
  struct CallNotes {
    bool unknown_outcome = false;  // a try that failed may have had its effect
    std::optional<Error> last;     // how the last try failed
  };
  Task<Result<v1::Response>> CallAny(v1::Request request, MonoTime deadline, std::stop_token stop,
                                     Duration longest = Duration::zero(), CallNotes* notes = nullptr);
  // The same for what a broker answers at once: one that is silent for a few seconds is passed over.
  Task<Result<v1::Response>> AskAny(v1::Request request, MonoTime deadline, std::stop_token stop);
  Task<Result<v1::MetadataResponse>> Metadata(v1::MetadataRequest request, MonoTime deadline,
                                              std::stop_token stop);

  Task<void> Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// `--zookeeper host:port/chroot` on tools only finds brokers: reads /brokers/ids.
Task<Result<std::vector<Endpoint>>> BrokersFromZooKeeper(Environment& env, EventLoop& loop,
                                                         std::string connect, Duration timeout);

}  // namespace tidemark
