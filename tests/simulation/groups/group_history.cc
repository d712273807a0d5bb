#include "tests/simulation/groups/group_history.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/group/held_partitions.h"

namespace tidemark {

void GroupHistory::Add(const GroupRecord& record) {
  ++records_;
  switch (record.kind) {
    case GroupRecordKind::kCurrent:
      return AddCurrent(record);
    case GroupRecordKind::kOffset:
      return AddOffset(record);
    case GroupRecordKind::kGroup:
      if (const auto* value = record.As<v1::GroupMetadataValue>()) {
        if (value->group_epoch() < group_epoch_)
          violations_.push_back(fmt::format("group epoch {} after {}", value->group_epoch(), group_epoch_));
        const auto cause = value->last_rebalance().cause();
        const bool fences =
            cause == v1::REBALANCE_CAUSE_SESSION_TIMEOUT || cause == v1::REBALANCE_CAUSE_REBALANCE_TIMEOUT;
        if (value->group_epoch() > group_epoch_ && fences) ++fenced_;
        group_epoch_ = value->group_epoch();
      }
      return;
    default:
      return;
  }
}

void GroupHistory::AddCurrent(const GroupRecord& record) {
  Step step{.at = records_};
  if (const auto* value = record.As<v1::CurrentAssignmentValue>()) {
    step.epoch = value->member_epoch();
    for (const auto* topics : {&value->assigned(), &value->revoking()}) {
      const Result<HeldPartitions> held = HeldFrom(*topics);
      if (!held) return violations_.push_back(ToString(held.error()));
      for (const auto& [key, since] : *held) {
        if (key.topic == topic_) step.held.insert(key.partition);
      }
    }
  }
  for (const auto& [other, steps] : members_) {
    if (other == record.member) continue;
    for (const PartitionIndex partition : step.held) {
      if (steps.back().held.contains(partition)) {
        violations_.push_back(fmt::format("record {}: partition {} is given to {} while {} owns it", records_,
                                          partition, record.member, other));
      }
    }
  }
  members_[record.member].push_back(std::move(step));
}

void GroupHistory::AddOffset(const GroupRecord& record) {
  const auto* value = record.As<v1::OffsetCommitValue>();
  if (value == nullptr || record.partition.topic != topic_) return;
  std::vector<Commit>& commits = commits_[record.partition.partition];
  const Offset last = commits.empty() ? 0 : commits.back().offset;
  if (value->offset() < last) {
    violations_.push_back(fmt::format("record {}: partition {} is committed at {} after {}", records_,
                                      record.partition.partition, value->offset(), last));
  }
  commits.push_back({records_, value->offset()});
}

Offset GroupHistory::committed(PartitionIndex partition) const {
  const auto found = commits_.find(partition);
  return found == commits_.end() ? 0 : found->second.back().offset;
}

bool GroupHistory::TakenOut(const std::string& member, int32_t epoch, size_t by) const {
  const auto steps = members_.find(member);
  if (steps == members_.end()) return false;
  bool taken_out = false, at_epoch = false;
  for (const Step& step : steps->second) {
    if (step.at > by) break;
    if (step.epoch == epoch) at_epoch = true, taken_out = false;
    if (at_epoch && !step.epoch) taken_out = true;
  }
  return taken_out;
}

Violations GroupHistory::Judge(const std::vector<EarlyStart>& starts) const {
  Violations out;
  for (const EarlyStart& start : starts) {
    const auto commits = commits_.find(start.partition);
    if (commits == commits_.end()) continue;  // told elsewhere: nothing of what was acknowledged is there
    const auto beyond = std::ranges::find_if(
        commits->second, [&](const Commit& commit) { return commit.offset > start.offset; });
    if (beyond != commits->second.end() && TakenOut(start.member, start.epoch, beyond->at)) continue;
    out.push_back(fmt::format("{} (epoch {}) begins partition {} at {}, and {} was acknowledged as committed",
                              start.member, start.epoch, start.partition, start.offset, start.acknowledged));
  }
  return out;
}

Violations GroupHistory::Judge(const std::vector<Overlap>& overlaps) const {
  Violations out;
  for (const Overlap& overlap : overlaps) {
    const auto taker = members_.find(overlap.taker), holder = members_.find(overlap.holder);
    if (taker == members_.end() || holder == members_.end()) continue;
    // Who was taken out before it said that it is assigned something holds it at no current epoch.
    if (overlap.taker_epoch <= 0 || overlap.holder_epoch <= 0) continue;
    size_t gained = 0;
    bool had = false;
    for (const Step& step : taker->second) {
      if (step.epoch && *step.epoch > overlap.taker_epoch) break;
      const bool has = step.held.contains(overlap.partition);
      if (has && !had) gained = step.at;
      had = has;
    }
    const bool was_in = std::ranges::any_of(holder->second, [&](const Step& step) {
      return step.at <= gained && step.epoch == overlap.holder_epoch;
    });
    if (was_in && !TakenOut(overlap.holder, overlap.holder_epoch, gained)) {
      out.push_back(fmt::format(
          "partition {}: {} (epoch {}) was given it while {} (epoch {}) held it and was in the group",
          overlap.partition, overlap.taker, overlap.taker_epoch, overlap.holder, overlap.holder_epoch));
    }
  }
  return out;
}

}  // namespace tidemark
