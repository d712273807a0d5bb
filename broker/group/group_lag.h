// How far groups are behind: pure decisions over what coordinators here know (committed offsets) and what the
// leaders of the partitions have answered. Owned by GroupLags, control loop; values, no I/O.
//
// Lag in records is the high watermark less the committed offset; lag in seconds is how long ago the next
// record to be read was appended by its leader (the clock of clients does not matter), 0 where there is none.
// Both are as of one round of questions. What is not known for certain (no leader, no answer, an answer that
// contradicts what is committed) has no lag; it is never guessed.
//
// Cardinality is bounded twice: a coordinator tells so many committed offsets only, groups with members
// first, and of those the ones that lag most have a value of their own. What is left out is counted.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "common/types.h"
#include "tidemark/v1/client_api.pb.h"

namespace tidemark {

// Committed offsets that a broker follows, and those that have a value of their own.
inline constexpr size_t kMostLagsFollowed = 10'000;
inline constexpr size_t kMostLagsTold = 2'000;
// Partitions in one question to a broker.
inline constexpr size_t kLagsPerQuestion = 1'000;

// One committed offset, and by whose word: the coordinator's partition and its epoch there.
struct CommittedPosition {
  std::string group;
  std::string topic;
  PartitionKey at;
  Offset offset = 0;
  PartitionKey place;
  LeaderEpoch epoch = 0;
};
struct CommittedPositions {
  std::vector<CommittedPosition> positions;
  size_t left_out = 0;
};

struct GroupLag {
  CommittedPosition position;
  Offset records = 0;
  std::optional<Duration> age;  // empty: not known
};
struct GroupLagTable {
  std::vector<GroupLag> lags;  // those that lag most first
  size_t unknown = 0;
  size_t left_out = 0;
};

// One round of questions.
class LagRound {
 public:
  // Append times that were learnt in rounds before, by partition and offset.
  using AppendTimes = std::map<std::pair<PartitionKey, Offset>, WallMillis>;

  LagRound(std::vector<CommittedPositions> committed, const AppendTimes& known);

  // What to ask of whom, in pieces. `leader_of`: kNoBroker where it is not known.
  std::map<BrokerId, std::vector<v1::ListOffsetsRequest>> Questions(
      const std::function<BrokerId(const PartitionKey&)>& leader_of) const;
  void Answer(const v1::ListOffsetsRequest& asked, const v1::ListOffsetsResponse& answer);

  GroupLagTable Tell(WallMillis now) const;
  // Of what is still to be read, for the next round.
  const AppendTimes& append_times() const { return times_; }

 private:
  std::optional<GroupLag> LagOf(const CommittedPosition& position, WallMillis now) const;

  std::vector<CommittedPosition> positions_;
  size_t left_out_ = 0;
  std::map<PartitionKey, std::optional<Offset>> ends_;  // every partition that is followed
  AppendTimes times_;
};

}  // namespace tidemark
