// A coordinator for the tests of group clients: the broker's own decisions about groups, without their log,
// on the fake brokers; with hooks to move it, to make it refuse, and to lose its answers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "broker/group/group_offsets.h"
#include "broker/group/membership.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {

class FakeCoordinator {
 public:
  // The brokers outlive it.
  FakeCoordinator(MemoryEnvironment& env, FakeBrokers& brokers);
  ~FakeCoordinator() { brokers_.on_other = nullptr; }

  BrokerId broker = 1;  // who coordinates all groups; kNoBroker: nobody
  LeaderEpoch epoch = 1;
  std::set<BrokerId> behind;  // who tell the epoch before it
  // Who did until `broker` took over, is cut off from the others and does not know it: names itself, confirms
  // heartbeats, and commits nothing.
  BrokerId former = kNoBroker;
  bool loading = false;
  GroupOptions options;
  // Asked before a request is served: an error refuses it.
  std::function<std::optional<Error>(const v1::Request&)> before;
  // May answer in its place.
  std::function<std::optional<v1::Response>(const v1::Request&)> answer;
  // Asked after it was served: an error is told instead of the answer (CANCELLED: nothing is told).
  std::function<std::optional<Error>(const v1::Request&)> after;

  Group& group(const std::string& id = "g");
  std::optional<Offset> Committed(const std::string& topic, PartitionIndex partition);
  void Commit(const std::string& topic, PartitionIndex partition, Offset offset,
              std::optional<LeaderEpoch> epoch = std::nullopt);
  size_t members() { return group().members().size(); }
  // By the member's id: numbers of partitions that it owns.
  std::map<std::string, size_t> Shares();
  size_t heartbeats = 0;
  size_t commits = 0;
  size_t confirmed_by_former = 0;

 private:
  Result<v1::Response> Serve(BrokerId at, const v1::Request& request);
  Result<v1::Response> ServeAsFormer(const v1::Request& request);
  Result<v1::Response> Decide(const v1::Request& request);
  GroupScene Scene();

  MemoryEnvironment& env_;
  FakeBrokers& brokers_;
  SubscriptionResolver resolver_;
  std::map<std::string, std::unique_ptr<Group>> groups_;
};

}  // namespace tidemark::testing
