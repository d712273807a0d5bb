// What a consumer makes of OFFSET_OUT_OF_RANGE. Below the log's start it is true whoever says it: records go
// by retention. Above the log's end it is what a leader says that was replaced and has not noticed (it stood
// still, or is cut off from the cluster but not from its clients): what was read after it is not in its log.
// To obey that (auto.offset.reset) would skip records or give them twice, so it is believed only when another
// broker names the same leader in the same epoch and that one then says it again. The same goes for an answer
// that the log has parted from what was read: the epoch that is named with the question keeps most leaders
// that were replaced from giving it, though not one between two unclean elections. Values and pure functions;
// the fetcher keeps one doubt per partition.
#pragma once

#include <optional>

#include "client/cluster.h"
#include "common/time.h"

namespace tidemark::internal {

// How long it may remain open where none but that leader answers. By then others have usually been reached: a
// broker that was replaced is rarely all that a client can reach.
inline constexpr Duration kRangeDoubtPatience = 30s;

struct RangeDoubt {
  PartitionLeader told_by;
  MonoTime since{};
  bool confirmed = false;  // another broker names that leader and that epoch, too
};

enum class RangeVerdict { kBelieve, kLookElsewhere };

// `told_by`: the leader that was asked, and the epoch in which. Begins a doubt or goes on with it.
RangeVerdict JudgeOutOfRange(Offset asked, Offset log_start, const PartitionLeader& told_by, MonoTime now,
                             std::optional<RangeDoubt>* doubt);
// The same for an answer that histories part.
RangeVerdict JudgeDiverging(const PartitionLeader& told_by, MonoTime now, std::optional<RangeDoubt>* doubt);
// Another broker was asked who leads.
void NoteSecondOpinion(const PartitionLeader& said, std::optional<RangeDoubt>* doubt);

}  // namespace tidemark::internal
