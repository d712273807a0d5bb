#include "broker/replica/divergence.h"

#include <algorithm>

#include <glog/logging.h>

namespace tidemark {

LeaderAnswer AnswerFollowerFetch(const LogShape& leader, const FetchPosition& position) {
  if (position.fetch_offset < leader.start) return {FetchVerdict::kBelowLogStart, {}};
  if (!position.last_epoch) {
    // The follower holds nothing; only a position beyond this log can disagree with it.
    if (position.fetch_offset <= leader.end) return {};
    return {FetchVerdict::kDiverging, {leader.epochs->latest().value_or(0), leader.end}};
  }
  EpochBoundary boundary;
  if (auto known = leader.epochs->EndOf(*position.last_epoch, leader.end)) {
    boundary = {known->first, known->second};
  } else {
    // Every epoch known here is younger: that history ends where this log's begins.
    const auto& entries = leader.epochs->entries();
    boundary = {*position.last_epoch, entries.empty() ? leader.end : entries.front().start};
  }
  if (boundary.epoch != *position.last_epoch || boundary.end_offset < position.fetch_offset) {
    return {FetchVerdict::kDiverging, boundary};
  }
  return {};
}

std::optional<LeaderEpoch> LastRecordEpoch(const LogShape& log) {
  if (log.end == log.start) return std::nullopt;
  return log.epochs->EpochAt(log.end - 1);
}

std::optional<Truncation> TruncationPoint(const LogShape& own, const EpochBoundary& leaders) {
  CHECK_LE(own.start, own.end);
  Offset own_end = own.start;
  if (auto known = own.epochs->EndOf(leaders.epoch, own.end)) own_end = known->second;
  const Offset target = std::min(leaders.end_offset, own_end);
  if (target >= own.end) return std::nullopt;
  return Truncation{target, target < own.start};
}

}  // namespace tidemark
