#include "client/range_doubt.h"

namespace tidemark::internal {

RangeVerdict JudgeOutOfRange(Offset asked, Offset log_start, const PartitionLeader& told_by, MonoTime now,
                             std::optional<RangeDoubt>* doubt) {
  if (asked >= log_start) return JudgeDiverging(told_by, now, doubt);
  doubt->reset();
  return RangeVerdict::kBelieve;
}

RangeVerdict JudgeDiverging(const PartitionLeader& told_by, MonoTime now, std::optional<RangeDoubt>* doubt) {
  const bool same = *doubt && (*doubt)->told_by == told_by;
  if (same && ((*doubt)->confirmed || now - (*doubt)->since >= kRangeDoubtPatience)) {
    doubt->reset();
    return RangeVerdict::kBelieve;
  }
  if (!same) *doubt = RangeDoubt{.told_by = told_by, .since = now};
  return RangeVerdict::kLookElsewhere;
}

void NoteSecondOpinion(const PartitionLeader& said, std::optional<RangeDoubt>* doubt) {
  if (*doubt && (*doubt)->told_by == said) (*doubt)->confirmed = true;
}

}  // namespace tidemark::internal
