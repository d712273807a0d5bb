// Brokers for the client's tests: real RPC servers over a small, obedient model of topics and partitions,
// with hooks to make them misbehave.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/net/rpc_server.h"
#include "common/record/batch.h"
#include "common/record/validate.h"
#include "tests/unit/client/memory_environment.h"

namespace tidemark::testing {

// What is left of the model when a hook has spoken.
struct Verdict {
  ErrorCode error = v1::NONE;
  bool append = true;    // appended although an error is answered: the outcome the client cannot know
  bool swallow = false;  // no answer at all
};

struct FakePartition {
  BrokerId leader = 1;
  LeaderEpoch epoch = 1;
  Offset log_start = 0;
  Offset next = 0;
  std::vector<std::string> batches;  // encoded elements
  std::vector<Offset> bases;
  std::vector<size_t> sizes;            // records per batch, as produced
  std::map<Offset, ErrorCode> refused;  // what a fetch from there on is answered
};

struct FakeTopic {
  TopicId id;
  std::vector<FakePartition> partitions;
};

class FakeBrokers {
 public:
  FakeBrokers(MemoryEnvironment& env, int count);
  ~FakeBrokers();

  FakeTopic& AddTopic(const std::string& name, size_t partitions, uint8_t seed = 1);
  void Stop(BrokerId id);   // closes its listener and connections
  void Start(BrokerId id);  // again, at the same address
  void EndDelays();         // as a change of quotas does
  std::vector<Endpoint> bootstrap() const;
  // All values of a partition, in order.
  std::vector<std::string> Values(const std::string& topic, PartitionIndex partition);

  std::map<std::string, FakeTopic> topics;
  // What a broker that was cut off believes, instead of `topics`.
  std::map<BrokerId, std::map<std::string, FakeTopic>> former;
  std::function<Verdict(BrokerId, PartitionIndex, const v1::ProducerBatch&)> on_produce;
  // May damage or cut the records of an answer.
  std::function<void(PartitionIndex, std::string*)> on_fetch;
  // May change what is answered of a partition.
  std::function<void(v1::FetchResponse::Partition*)> on_answer;
  // May change what a broker tells of the cluster.
  std::function<void(BrokerId, v1::MetadataResponse*)> on_metadata;
  // Serves what the fake itself does not; none: INVALID_REQUEST. CANCELLED: no answer at all.
  std::function<Result<v1::Response>(BrokerId, const v1::Request&)> on_other;
  std::set<BrokerId> frozen;  // takes connections and requests, and answers none
  bool tell_leaders = true;   // hints come with errors
  size_t max_message_bytes = 1 << 20;
  std::vector<v1::Request> requests;  // all that came, bodies of batches removed
  int produce_in_flight = 0;
  int most_produce_in_flight = 0;
  Duration produce_delay = 0ms;
  // Each answer to produce tells of so long a delay, and its connection is not read for so long.
  Duration produce_throttle = 0ms;

 private:
  struct Broker;
  friend struct Broker;
  MemoryEnvironment& env_;
  std::map<BrokerId, std::unique_ptr<Broker>> brokers_;
};

}  // namespace tidemark::testing
