#include "tests/simulation/groups/group_witness.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tidemark {
void GroupWitness::Note(std::string what) {
  if (violations_.size() < 50) violations_.push_back(std::move(what));
}

void GroupWitness::Assigned(const Seen& member, int32_t epoch, const Partitions& partitions) {
  for (const PartitionIndex partition : partitions) {
    for (const auto& [holder, claim] : claims_[partition]) {
      if (holder == member.id || !claim.holds(partition)) continue;
      overlaps_.push_back({partition, holder, claim.epoch, member.id, epoch});
    }
    claims_[partition][member.id] = {.epoch = epoch, .holds = member.holds};
  }
}

void GroupWitness::Revoked(const std::string& member, const Partitions& partitions) {
  for (const PartitionIndex partition : partitions) claims_[partition].erase(member);
}

void GroupWitness::Lost(const std::string& member, const Partitions& partitions) {
  counts_.lost += partitions.size();
  Revoked(member, partitions);
}

void GroupWitness::Gone(const std::string& member) {
  for (auto& [partition, holders] : claims_) holders.erase(member);
  given_ends_.erase(member);
}

void GroupWitness::Given(const std::string& member, PartitionIndex partition, Offset offset,
                         const std::string& value) {
  const auto claim = claims_[partition].find(member);
  if (claim == claims_[partition].end())
    return Note(
        fmt::format("{} gave offset {} of partition {}, which it does not hold", member, offset, partition));
  if (!claim->second.begun) {
    if (offset < acknowledged(partition))
      early_starts_.push_back({partition, member, claim->second.epoch, offset, acknowledged(partition)});
    if (offset > processed_end(partition)) {
      Note(fmt::format("{} begins partition {} at {}, and only what is below {} was processed", member,
                       partition, offset, processed_end(partition)));
    }
  } else if (offset != claim->second.next) {
    Note(fmt::format("{} goes on with partition {} at {} instead of {}", member, partition, offset,
                     claim->second.next));
  }
  claim->second.begun = true;
  claim->second.next = offset + 1;
  given_ends_[member][partition] = offset + 1;
  ++counts_.given;
  const auto [known, first] = values_[partition].emplace(offset, value);
  if (!first) ++counts_.repeated;
  if (known->second != value)
    Note(fmt::format("partition {} has {} and {} at offset {}", partition, known->second, value, offset));
}

void GroupWitness::Processed(const std::string& member) {
  for (const auto& [partition, end] : given_ends_[member])
    processed_[partition] = std::max(processed_[partition], end);
  given_ends_[member].clear();
}

void GroupWitness::Committed(PartitionIndex partition, Offset offset) {
  ++counts_.acknowledged;
  acknowledged_[partition] = std::max(acknowledged_[partition], offset);
}

std::map<std::string, std::set<PartitionIndex>> GroupWitness::Holdings() const {
  std::map<std::string, std::set<PartitionIndex>> out;
  for (const auto& [partition, holders] : claims_) {
    for (const auto& [holder, claim] : holders) out[holder].insert(partition);
  }
  return out;
}

Violations GroupWitness::CheckNothingSkipped(const std::vector<AckedRecord>& acked) const {
  Violations out;
  for (const auto& [partition, values] : values_) {
    Offset next = 0;
    for (const auto& [offset, value] : values) {
      if (offset != next)
        out.push_back(fmt::format("offsets {} to {} of partition {} were given to nobody", next, offset - 1,
                                  partition));
      next = offset + 1;
    }
  }
  for (const AckedRecord& record : acked) {
    const auto values = values_.find(record.partition);
    const auto value = values == values_.end() ? std::map<Offset, std::string>::const_iterator()
                                               : values->second.find(record.offset);
    if (values == values_.end() || value == values->second.end() || value->second != record.value) {
      out.push_back(fmt::format("acknowledged {} at offset {} of partition {} was given to nobody",
                                record.value, record.offset, record.partition));
    }
  }
  return out;
}

}  // namespace tidemark
