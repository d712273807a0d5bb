#include "tests/simulation/cluster/compacted_checkers.h"

#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace tidemark {
namespace {

using Partition = std::pair<std::string, PartitionIndex>;

std::string NameOfLog(const DiskLog& log) {
  return fmt::format("{}-{} on broker {}", log.topic, log.partition, log.broker);
}

// What a key's producer did to it.
struct Sent {
  const KeyedRecord* last_acked = nullptr;  // the one of the greatest offset
  std::set<std::string> unacked;            // values
  bool unacked_tombstone = false;
};
using SentByKey = std::map<std::string, Sent>;

std::map<Partition, SentByKey> ByKey(const std::vector<KeyedRecord>& sent) {
  std::map<Partition, SentByKey> out;
  for (const KeyedRecord& record : sent) {
    Sent& key = out[{record.topic, record.partition}][record.key];
    if (record.acked) {
      if (key.last_acked == nullptr || *key.last_acked->acked < *record.acked) key.last_acked = &record;
    } else if (record.value) {
      key.unacked.insert(*record.value);
    } else {
      key.unacked_tombstone = true;
    }
  }
  return out;
}

std::map<std::string, const LoggedRecord*> LastValues(const DiskLog& log, Offset below) {
  std::map<std::string, const LoggedRecord*> last;
  for (const LoggedBatch& batch : log.batches) {
    for (const LoggedRecord& record : batch.records) {
      if (record.key && record.offset < below) last[*record.key] = &record;
    }
  }
  return last;
}

// What is wrong about a key of a log; empty: nothing.
std::string JudgeKey(const Sent& sent, const LoggedRecord* found) {
  const KeyedRecord* acked = sent.last_acked;
  if (acked == nullptr) return {};
  if (found == nullptr) {
    if (!acked->value || sent.unacked_tombstone) return {};
    return fmt::format("'{}', acknowledged at offset {}, is lost", *acked->value, *acked->acked);
  }
  if (found->offset < *acked->acked) {
    return fmt::format("'{}' of offset {} is back, though '{}' was acknowledged at offset {}", found->value,
                       found->offset, acked->value.value_or("a tombstone"), *acked->acked);
  }
  const bool expected = found->offset == *acked->acked
                            ? found->tombstone == !acked->value && found->value == acked->value.value_or("")
                        : found->tombstone ? sent.unacked_tombstone
                                           : sent.unacked.contains(found->value);
  if (expected) return {};
  return fmt::format("'{}' at offset {} after '{}', acknowledged at offset {}", found->value, found->offset,
                     acked->value.value_or("a tombstone"), *acked->acked);
}

void CompareLastValues(const DiskLog& a, const DiskLog& b, Violations* out) {
  const auto left = LastValues(a, a.high_watermark), right = LastValues(b, b.high_watermark);
  const auto value = [](const auto& values, const std::string& key) -> std::string {
    const auto it = values.find(key);
    return it == values.end() || it->second->tombstone ? "nothing" : it->second->value;
  };
  std::set<std::string> keys;
  for (const auto& [key, record] : left) keys.insert(key);
  for (const auto& [key, record] : right) keys.insert(key);
  for (const std::string& key : keys) {
    if (value(left, key) == value(right, key)) continue;
    out->push_back(fmt::format("{} has {} for {}, broker {} has {}", NameOfLog(a), value(left, key), key,
                               b.broker, value(right, key)));
  }
}

}  // namespace

Violations CheckLastValues(const std::vector<KeyedRecord>& sent, const std::vector<DiskLog>& logs) {
  Violations out;
  const auto by_key = ByKey(sent);
  for (const DiskLog& log : logs) {
    const auto keys = by_key.find({log.topic, log.partition});
    if (!log.in_sync || keys == by_key.end()) continue;
    const auto last = LastValues(log, log.high_watermark);
    for (const auto& [key, what] : keys->second) {
      const auto found = last.find(key);
      const std::string wrong = JudgeKey(what, found == last.end() ? nullptr : found->second);
      if (!wrong.empty()) out.push_back(fmt::format("{}: key {}: {}", NameOfLog(log), key, wrong));
    }
  }
  return out;
}

Violations CheckSameRecords(const std::vector<DiskLog>& logs) {
  Violations out;
  std::map<std::tuple<std::string, PartitionIndex, Offset>, std::pair<const DiskLog*, const LoggedRecord*>>
      seen;
  for (const DiskLog& log : logs) {
    for (const LoggedBatch& batch : log.batches) {
      for (const LoggedRecord& record : batch.records) {
        if (record.offset >= log.high_watermark) continue;
        const auto [it, fresh] =
            seen.emplace(std::tuple{log.topic, log.partition, record.offset}, std::pair{&log, &record});
        const LoggedRecord& other = *it->second.second;
        if (fresh || (other.key == record.key && other.value == record.value)) continue;
        out.push_back(fmt::format("{} has '{}' at offset {}, broker {} has '{}'", NameOfLog(log),
                                  record.value, record.offset, it->second.first->broker, other.value));
      }
    }
  }
  for (size_t i = 0; i < logs.size(); ++i) {
    for (size_t j = i + 1; j < logs.size(); ++j) {
      const DiskLog &a = logs[i], &b = logs[j];
      const bool replicas = a.topic == b.topic && a.partition == b.partition && a.in_sync && b.in_sync;
      if (replicas && a.high_watermark == b.high_watermark) CompareLastValues(a, b, &out);
    }
  }
  return out;
}

}  // namespace tidemark
