#include "tests/simulation/rot/rot_faults.h"

#include <algorithm>

#include <fmt/format.h>
#include <glog/logging.h>

#include "tests/simulation/runs/cluster_view.h"

namespace tidemark {
namespace {

constexpr uint64_t kMostOverwritten = 1500;

// The batches of one segment file, from this one on.
size_t EndOfSegment(const StoredReplica& replica, size_t batch) {
  size_t end = batch;
  while (end < replica.batches.size() && replica.batches[end].path == replica.batches[batch].path) ++end;
  return end;
}
size_t BeginOfSegment(const StoredReplica& replica, size_t batch) {
  while (batch > 0 && replica.batches[batch - 1].path == replica.batches[batch].path) --batch;
  return batch;
}

}  // namespace

RotFaults::RotFaults(SimBrokers& brokers, int broker_count, std::vector<RotTopic> topics, uint64_t seed)
    : brokers_(brokers),
      world_(brokers.world()),
      count_(broker_count),
      topics_(std::move(topics)),
      random_(seed ^ 0x807807807ULL),
      most_replicas_(random_.Chance(0.4) ? 2 : 1) {}

SimDisk& RotFaults::DiskOf(BrokerId broker) { return world_.disk(fmt::format("host{}", broker)); }

bool RotFaults::IsWhole(const Damage& damage) {
  const auto replica = ReadStoredReplica(DiskOf(damage.broker), damage.topic, damage.key, false);
  if (!replica) return false;
  // Retention may have taken it.
  if (StoredCheckpoint(DiskOf(damage.broker), CheckpointKind::kLogStart, damage.key) > damage.last)
    return true;
  return replica->start <= damage.first && replica->end() > damage.last;
}

void RotFaults::Look() {
  for (auto& [key, damages] : open_) std::erase_if(damages, [this](const Damage& d) { return IsWhole(d); });
  std::erase_if(open_, [](const auto& entry) { return entry.second.empty(); });
}

Violations RotFaults::Unrepaired() {
  Look();
  Violations out;
  for (const auto& [key, damages] : open_) {
    for (const Damage& damage : damages) {
      out.push_back(fmt::format("{}-{} on broker {} is still damaged at offsets {} to {}: {}", damage.topic,
                                key.partition, damage.broker, damage.first, damage.last, damage.what));
    }
  }
  return out;
}

BrokerId RotFaults::DrawBroker(BrokerId leader) {
  const BrokerId any = static_cast<BrokerId>(random_.Below(static_cast<uint64_t>(count_)));
  std::vector<BrokerId> down;
  for (BrokerId id = 0; id < count_; ++id) {
    if (!Up(id)) down.push_back(id);
  }
  if (!down.empty() && random_.Chance(0.5)) return down[random_.Below(down.size())];
  return leader >= 0 && random_.Chance(0.4) ? leader : any;
}

std::optional<RotFaults::Place> RotFaults::DrawPlace() {
  const RotTopic& topic = topics_[random_.Below(topics_.size())];
  const auto partition = static_cast<PartitionIndex>(random_.Below(topic.partitions));
  const auto state = PartitionStateOf(world_, topic.name, partition);
  BrokerId broker = DrawBroker(state ? state->leader() : kNoBroker);
  const bool again = random_.Chance(0.3);
  if (!state) return std::nullopt;
  if (const auto open = open_.find({topic.id, partition}); open != open_.end() && again)
    broker = open->second.front().broker;
  return Place{&topic, partition, broker};
}

RotFaults::Kind RotFaults::DrawKind() {
  const uint64_t drawn = random_.Below(100);
  if (drawn < 50) return Kind::kFlip;
  if (drawn < 70) return Kind::kOverwrite;
  return drawn < 85 ? Kind::kCut : Kind::kRemove;
}

bool RotFaults::IsDamaged(const PartitionKey& key, BrokerId broker) const {
  const auto open = open_.find(key);
  return open != open_.end() &&
         std::ranges::any_of(open->second, [&](const Damage& damage) { return damage.broker == broker; });
}

bool RotFaults::WithinBudget(const Damage& damage) const {
  size_t others = 0;
  for (BrokerId id = 0; id < count_; ++id) others += id != damage.broker && IsDamaged(damage.key, id) ? 1 : 0;
  if (others >= most_replicas_) return false;
  const auto open = open_.find(damage.key);
  return open == open_.end() || std::ranges::none_of(open->second, [&](const Damage& other) {
           return other.broker != damage.broker && other.first <= damage.last && damage.first <= other.last;
         });
}

bool RotFaults::HeldElsewhere(const Place& place, const StoredReplica& replica, Offset first, Offset last) {
  const auto state = PartitionStateOf(world_, place.topic->name, place.partition);
  const PartitionKey key{place.topic->id, place.partition};
  for (BrokerId id = 0; state && id < count_; ++id) {
    if (id == place.broker || IsDamaged(key, id) || std::ranges::count(state->isr(), id) == 0) continue;
    const auto other = ReadStoredReplica(DiskOf(id), place.topic->name, key, true);
    if (!other || other->start > first || other->end() <= last) continue;
    if (place.topic->compacted) return true;
    const bool same = std::ranges::all_of(replica.batches, [&](const StoredBatchAt& batch) {
      if (batch.last < first || batch.first > last) return true;
      const StoredBatchAt* theirs = other->At(batch.first);
      return theirs != nullptr && theirs->bytes == batch.bytes;
    });
    if (same) return true;
  }
  return false;
}

RotFaults::Damage RotFaults::Plan(const Place& place, const StoredReplica& replica, Kind kind, size_t batch,
                                  size_t below) {
  Damage damage{.broker = place.broker,
                .topic = place.topic->name,
                .key = {place.topic->id, place.partition},
                .first = replica.batches[batch].first,
                .last = replica.batches[batch].last,
                .what = {}};
  const size_t end = EndOfSegment(replica, batch);
  if (kind == Kind::kOverwrite) damage.last = replica.batches[std::min(end, below) - 1].last;
  if (kind == Kind::kCut || kind == Kind::kRemove) damage.last = replica.batches[end - 1].last;
  if (kind == Kind::kRemove) damage.first = replica.batches[BeginOfSegment(replica, batch)].first;
  return damage;
}

// Zeros, noise, or a piece of the same file that was written to the wrong place.
void RotFaults::Overwrite(SimDisk& disk, const std::string& path, uint64_t position, uint64_t length) {
  const std::string before = *disk.Content(path);
  const uint64_t way = random_.Below(3);
  const uint64_t from = random_.Below(before.size() - length + 1);
  for (uint64_t i = 0; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(way == 0   ? 0
                                           : way == 1 ? random_.Below(256)
                                                      : static_cast<uint8_t>(before[from + i]));
    const auto differs = static_cast<uint8_t>(byte ^ static_cast<uint8_t>(before[position + i]));
    for (uint64_t bit = 0; bit < 8; ++bit) {
      if ((differs >> bit & 1) != 0) disk.FlipBit(path, (position + i) * 8 + bit);
    }
  }
}

void RotFaults::Apply(const StoredReplica& replica, Kind kind, size_t batch, Damage* damage) {
  SimDisk& disk = DiskOf(damage->broker);
  const StoredBatchAt& at = replica.batches[batch];
  const uint64_t inside = random_.Below(at.bytes.size());
  switch (kind) {
    case Kind::kFlip:
      ++counts_.flipped;
      damage->what = fmt::format("{}: bit flipped in byte {}", at.path, at.position + inside);
      disk.FlipBit(at.path, (at.position + inside) * 8 + random_.Below(8));
      return;
    case Kind::kOverwrite: {
      ++counts_.overwritten;
      const StoredBatchAt* last = replica.At(damage->last);
      const uint64_t room = last->position + last->bytes.size() - at.position - inside;
      const uint64_t length = 1 + random_.Below(std::min(room, kMostOverwritten));
      damage->what = fmt::format("{}: {} bytes overwritten at {}", at.path, length, at.position + inside);
      return Overwrite(disk, at.path, at.position + inside, length);
    }
    case Kind::kCut:
      ++counts_.cut;
      damage->what = fmt::format("{}: cut at {}", at.path, at.position + inside);
      CHECK(disk.SetContent(at.path, disk.Content(at.path)->substr(0, at.position + inside)));
      return;
    case Kind::kRemove:
      ++counts_.removed;
      damage->what = fmt::format("{}: removed", at.path);
      return disk.RemovePath(at.path);
  }
}

void RotFaults::Strike() {
  Look();
  const std::optional<Place> place = DrawPlace();
  const Kind kind = DrawKind();
  if (!place) return;
  const PartitionKey key{place->topic->id, place->partition};
  const auto replica = ReadStoredReplica(DiskOf(place->broker), place->topic->name, key, false);
  if (!replica) return;
  const Offset recovery_point = StoredCheckpoint(DiskOf(place->broker), CheckpointKind::kRecoveryPoint, key);
  const auto below = static_cast<size_t>(
      std::ranges::count_if(replica->batches, [&](const auto& b) { return b.last < recovery_point; }));
  if (below == 0) return;
  const size_t batch = random_.Below(below);
  Damage damage = Plan(*place, *replica, kind, batch, below);
  if (!WithinBudget(damage)) return;
  if (!HeldElsewhere(*place, *replica, damage.first, damage.last)) return;
  Apply(*replica, kind, batch, &damage);
  const auto state = PartitionStateOf(world_, place->topic->name, place->partition);
  if (!Up(place->broker)) ++counts_.while_down;
  if (state && state->leader() == place->broker) ++counts_.of_leaders;
  if (place->topic->compacted) ++counts_.of_compacted;
  LOG(INFO) << "ROT on broker " << place->broker << (Up(place->broker) ? "" : ", which is down") << ", "
            << damage.topic << "-" << key.partition << " offsets " << damage.first << " to " << damage.last
            << ": " << damage.what;
  if (!IsWhole(damage)) open_[key].push_back(std::move(damage));
}

}  // namespace tidemark
