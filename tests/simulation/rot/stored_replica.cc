#include "tests/simulation/rot/stored_replica.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "common/record/batch.h"

namespace tidemark {
namespace {

// False at the first byte that is not part of a whole batch at the replica's end.
bool ReadSegment(const std::string& path, std::string_view content, const PartitionKey& key,
                 StoredReplica* replica) {
  for (std::string_view rest = content;;) {
    BatchView view;
    const BatchParse parse = ParseBatch(rest, &view, nullptr, nullptr);
    if (parse == BatchParse::kEnd || parse == BatchParse::kPadding) return true;
    if (parse != BatchParse::kOk || !VerifyBatch(view, key.topic, key.partition)) return false;
    const auto body = ParseBody(view.body);
    if (!body || view.base_offset != replica->end()) return false;
    replica->batches.push_back({.path = path,
                                .position = content.size() - rest.size(),
                                .bytes = std::string(view.bytes),
                                .first = view.base_offset,
                                .last = view.base_offset + body->last_offset_delta});
    rest.remove_prefix(view.bytes.size());
  }
}

}  // namespace

const StoredBatchAt* StoredReplica::At(Offset offset) const {
  const auto it = std::ranges::lower_bound(batches, offset, {}, &StoredBatchAt::last);
  return it != batches.end() && it->first <= offset ? &*it : nullptr;
}

std::optional<StoredReplica> ReadStoredReplica(const SimDisk& disk, const std::string& topic,
                                               const PartitionKey& key, bool durable) {
  const std::string folder = fmt::format("/data/{}-{}/", topic, key.partition);
  std::optional<StoredReplica> replica;
  for (const std::string& path : disk.Paths()) {  // sorted: segments in order of their base offsets
    if (!path.starts_with(folder) || !path.ends_with(".log")) continue;
    const auto content = durable ? disk.DurableContent(path) : disk.Content(path);
    if (!content) continue;
    const Offset base = std::strtoull(path.c_str() + folder.size(), nullptr, 10);
    if (!replica) replica = StoredReplica{.start = base, .batches = {}};
    if (base != replica->end() || !ReadSegment(path, *content, key, &*replica)) break;
  }
  return replica;
}

Offset StoredCheckpoint(const SimDisk& disk, CheckpointKind kind, const PartitionKey& key) {
  const std::string path = fmt::format("/data/{}", CheckpointFileName(kind));
  const auto content = disk.DurableContent(path);
  if (!content) return 0;
  const auto table = DecodeCheckpoint(*content, path);
  if (!table || !table->contains(key) || table->at(key).offset == kUnknownCheckpoint) return 0;
  return table->at(key).offset;
}

}  // namespace tidemark
