#include "tests/simulation/cluster/checkers.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace tidemark {
namespace {

using Partition = std::pair<std::string, PartitionIndex>;

std::string Name(const Partition& partition) {
  return fmt::format("{}-{}", partition.first, partition.second);
}
std::string Name(const DiskLog& log) {
  return fmt::format("{}-{} on broker {}", log.topic, log.partition, log.broker);
}

std::map<Partition, std::vector<const DiskLog*>> ByPartition(const std::vector<DiskLog>& logs) {
  std::map<Partition, std::vector<const DiskLog*>> grouped;
  for (const DiskLog& log : logs) grouped[{log.topic, log.partition}].push_back(&log);
  return grouped;
}

const LoggedBatch* BatchAt(const DiskLog& log, Offset offset) {
  const auto it = std::ranges::lower_bound(log.batches, offset, {}, &LoggedBatch::last_offset);
  return it != log.batches.end() && it->base_offset <= offset ? &*it : nullptr;
}

const LoggedRecord* RecordAt(const DiskLog& log, Offset offset) {
  const LoggedBatch* batch = BatchAt(log, offset);
  if (batch == nullptr) return nullptr;
  const auto it = std::ranges::find(batch->records, offset, &LoggedRecord::offset);
  return it == batch->records.end() ? nullptr : &*it;
}

void CompareBelow(const DiskLog& a, const DiskLog& b, Violations* out) {
  const Offset from = std::max(a.start, b.start);
  const Offset below = std::min(a.high_watermark, b.high_watermark);
  for (Offset at = from; at < below;) {
    const LoggedBatch* left = BatchAt(a, at);
    const LoggedBatch* right = BatchAt(b, at);
    if (left == nullptr || right == nullptr) {
      const DiskLog& without = left == nullptr ? a : b;
      out->push_back(
          fmt::format("{} has no batch at offset {} below high watermark {}", Name(without), at, below));
      return;
    }
    if (left->bytes != right->bytes) {
      out->push_back(fmt::format(
          "{} and broker {} differ at offset {} (batches {} of epoch {} and {} of epoch {})", Name(a),
          b.broker, at, left->base_offset, left->epoch, right->base_offset, right->epoch));
      return;
    }
    at = left->last_offset + 1;
  }
}

}  // namespace

Violations CheckNothingLost(const std::vector<AckedRecord>& acked, const std::vector<DiskLog>& logs) {
  Violations out;
  const auto grouped = ByPartition(logs);
  for (const AckedRecord& record : acked) {
    const Partition partition{record.topic, record.partition};
    const auto it = grouped.find(partition);
    size_t in_sync = 0;
    if (it != grouped.end()) {
      for (const DiskLog* log : it->second) {
        if (!log->in_sync) continue;
        ++in_sync;
        if (record.offset < log->start) continue;
        const LoggedRecord* found = RecordAt(*log, record.offset);
        if (found == nullptr || record.offset >= log->high_watermark) {
          out.push_back(fmt::format("{}: acknowledged offset {} is lost (log end {}, high watermark {})",
                                    Name(*log), record.offset, log->end(), log->high_watermark));
        } else if (found->value != record.value) {
          out.push_back(fmt::format("{}: acknowledged offset {} holds another record: '{}' instead of '{}'",
                                    Name(*log), record.offset, found->value.substr(0, 40),
                                    record.value.substr(0, 40)));
        }
      }
    }
    if (in_sync == 0) {
      out.push_back(fmt::format("{}: offset {} was acknowledged and no replica in sync is left",
                                Name(partition), record.offset));
    }
  }
  return out;
}

Violations CheckAckedOnce(const std::vector<AckedRecord>& acked) {
  Violations out;
  std::map<std::pair<Partition, Offset>, const AckedRecord*> seen;
  for (const AckedRecord& record : acked) {
    const Partition partition{record.topic, record.partition};
    const auto [it, fresh] = seen.emplace(std::pair{partition, record.offset}, &record);
    if (!fresh)
      out.push_back(fmt::format("{}: offset {} was acknowledged twice", Name(partition), record.offset));
  }
  return out;
}

Violations CheckReplicasAgree(const std::vector<DiskLog>& logs) {
  Violations out;
  for (const auto& [partition, replicas] : ByPartition(logs)) {
    for (size_t i = 0; i < replicas.size(); ++i) {
      for (size_t j = i + 1; j < replicas.size(); ++j) CompareBelow(*replicas[i], *replicas[j], &out);
    }
  }
  return out;
}

Violations CheckOneLeaderPerEpoch(const std::vector<DiskLog>& logs, const std::vector<LeaderClaim>& claims) {
  Violations out;
  std::map<std::pair<Partition, LeaderEpoch>, BrokerId> leaders;
  for (const LeaderClaim& claim : claims) {
    if (claim.leader == kNoBroker) continue;
    const Partition partition{claim.topic, claim.partition};
    const auto [it, fresh] = leaders.emplace(std::pair{partition, claim.epoch}, claim.leader);
    if (!fresh && it->second != claim.leader) {
      out.push_back(fmt::format("{}: brokers {} and {} both led in epoch {}", Name(partition), it->second,
                                claim.leader, claim.epoch));
    }
  }
  std::map<std::pair<Partition, std::pair<LeaderEpoch, Offset>>,
           std::pair<const DiskLog*, const LoggedBatch*>>
      seen;
  for (const DiskLog& log : logs) {
    for (const LoggedBatch& batch : log.batches) {
      const auto key =
          std::pair{Partition{log.topic, log.partition}, std::pair{batch.epoch, batch.base_offset}};
      const auto [it, fresh] = seen.emplace(key, std::pair{&log, &batch});
      if (!fresh && it->second.second->bytes != batch.bytes) {
        out.push_back(fmt::format("{} and broker {} hold different batches of epoch {} at offset {}",
                                  Name(log), it->second.first->broker, batch.epoch, batch.base_offset));
      }
    }
  }
  return out;
}

Violations CheckContiguousBatches(const std::vector<DiskLog>& logs) {
  Violations out;
  for (const DiskLog& log : logs) {
    const LoggedBatch* before = nullptr;
    for (const LoggedBatch& batch : log.batches) {
      if (before != nullptr && batch.base_offset != before->last_offset + 1) {
        out.push_back(
            fmt::format("{}: offset {} follows {}", Name(log), batch.base_offset, before->last_offset));
      }
      if (before != nullptr && batch.epoch < before->epoch) {
        out.push_back(fmt::format("{}: epoch falls from {} to {} at offset {}", Name(log), before->epoch,
                                  batch.epoch, batch.base_offset));
      }
      Offset least = batch.base_offset;
      for (const LoggedRecord& record : batch.records) {
        if (record.offset < least || record.offset > batch.last_offset) {
          out.push_back(fmt::format("{}: record offset {} in batch {} to {}", Name(log), record.offset,
                                    batch.base_offset, batch.last_offset));
          break;
        }
        least = record.offset + 1;
      }
      before = &batch;
    }
    if (log.in_sync && log.end() < log.high_watermark) {
      out.push_back(
          fmt::format("{}: log end {} is below high watermark {}", Name(log), log.end(), log.high_watermark));
    }
  }
  return out;
}

Violations CheckContiguous(const std::vector<DiskLog>& logs) {
  Violations out = CheckContiguousBatches(logs);
  for (const DiskLog& log : logs) {
    for (const LoggedBatch& batch : log.batches) {
      if (batch.records.size() != batch.last_offset - batch.base_offset + 1) {
        out.push_back(fmt::format("{}: batch {} holds {} records and ends at {}", Name(log),
                                  batch.base_offset, batch.records.size(), batch.last_offset));
      }
    }
  }
  return out;
}

Violations CheckHighWatermarks(const std::vector<SeenHighWatermark>& seen) {
  Violations out;
  std::map<std::pair<uint64_t, Partition>, Offset> last;
  for (const SeenHighWatermark& now : seen) {
    const Partition partition{now.topic, now.partition};
    Offset& before = last[{now.connection, partition}];
    if (now.high_watermark < before) {
      out.push_back(fmt::format("{}: the high watermark fell from {} to {} on connection {}", Name(partition),
                                before, now.high_watermark, now.connection));
    }
    before = std::max(before, now.high_watermark);
  }
  return out;
}

Violations CheckCounts(const RunCounts& counts) {
  Violations out;
  const std::pair<const char*, uint64_t> all[] = {{"acknowledged record", counts.acknowledged},
                                                  {"election", counts.elections},
                                                  {"truncation", counts.truncations},
                                                  {"session expiry", counts.expiries},
                                                  {"fenced request", counts.fenced}};
  for (const auto& [what, count] : all) {
    if (count == 0) out.push_back(fmt::format("the run saw no {}", what));
  }
  return out;
}

std::string ToString(const RunCounts& counts) {
  return fmt::format("{} acknowledged, {} elections, {} truncations, {} expiries, {} fenced",
                     counts.acknowledged, counts.elections, counts.truncations, counts.expiries,
                     counts.fenced);
}

}  // namespace tidemark
