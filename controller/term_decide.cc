// ControllerTerm: from the context to decisions, writes and commands.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "controller/parallel.h"
#include "controller/term.h"

namespace tidemark {
namespace {

constexpr size_t kWritesAtOnce = 16;
// Of one round of decisions, so many are logged one by one.
constexpr size_t kLoggedChanges = 50;

std::string IsrText(const Leadership& state) {
  std::vector<BrokerId> ids;
  for (const IsrMember& member : state.isr) ids.push_back(member.id);
  return fmt::format("[{}]", fmt::join(ids, ","));
}

}  // namespace

Task<void> ControllerTerm::Decide() {
  co_await GiveTopicIds();
  if (!ended() && !hints_.full) co_await WriteStates(WantedChanges());
  // After an unknown outcome everything is read first.
  if (!ended() && !hints_.full) co_await AdvanceDeletions();
  if (ended() || hints_.full) co_return;
  PumpAll();
  progress_.NotifyAll();
}

std::vector<ControllerTerm::StateChange> ControllerTerm::WantedChanges() const {
  std::vector<StateChange> changes;
  for (const auto& [name, topic] : cluster_.topics) {
    if (!topic.decidable() || topic.id.IsZero() || cluster_.deletions.contains(name)) continue;
    for (const auto& [index, partition] : topic.partitions) {
      const PartitionFacts facts = cluster_.Facts(topic, index);
      std::optional<Leadership> next = partition.state ? DecideLeadership(facts) : InitialLeadership(facts);
      if (!next) continue;
      changes.push_back(
          {.topic = name, .partition = index, .next = std::move(*next), .create = !partition.state});
    }
  }
  return changes;
}

// Topics written into ZooKeeper by hand or by old tools have no id.
Task<void> ControllerTerm::GiveTopicIds() {
  std::vector<std::string> without;
  for (const auto& [name, topic] : cluster_.topics) {
    if (topic.decidable() && topic.id.IsZero()) without.push_back(name);
  }
  for (const std::string& name : without) {
    TopicContext& topic = cluster_.topics.at(name);
    std::array<uint8_t, TopicId::kSize> bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(options_.env.random().Next() >> 32);
    const TopicId id(bytes);
    v1::TopicZnode node = topic.node;
    node.set_topic_id(id.ToBytes());
    std::vector<ZkOp> ops;
    ops.push_back(ZkSet{zkpath::Topic(name), EncodeTopic(node), topic.node_version});
    const WriteResult written = co_await writer_.Write(std::move(ops));
    if (written.outcome == WriteOutcome::kRefused) NoteConflict(name, written.code);
    if (written.outcome == WriteOutcome::kUnknown || written.outcome == WriteOutcome::kNotSent)
      hints_.full = true;
    if (written.outcome == WriteOutcome::kFenced || hints_.full) co_return;
    if (written.outcome != WriteOutcome::kDone) continue;
    TopicContext& now = cluster_.topics.at(name);
    now.node = std::move(node);
    now.node_version += 1;
    now.id = id;
    cluster_.topic_names[id] = name;
    MarkTopic(id);
  }
}

Task<bool> ControllerTerm::FindFolders(std::vector<StateChange>* changes) {
  std::set<std::string> topics;
  for (const StateChange& change : *changes) {
    if (change.create) topics.insert(change.topic);
  }
  for (const std::string& topic : topics) {
    const auto folders = co_await reader_.ReadPartitionFolders(topic);
    if (!folders) co_return false;
    bool parent_missing = !folders->has_value();
    for (StateChange& change : *changes) {
      if (!change.create || change.topic != topic) continue;
      change.make_parent = std::exchange(parent_missing, false);
      change.make_folder = !folders->has_value() || !(*folders)->contains(change.partition);
    }
  }
  co_return true;
}

std::vector<ZkOp> ControllerTerm::StateOps(const StateChange& change) const {
  Leadership state = change.next;
  state.controller_epoch = seat_.epoch;
  std::vector<ZkOp> ops;
  if (change.make_parent) ops.push_back(ZkCreate{zkpath::Partitions(change.topic), {}});
  if (change.make_folder) ops.push_back(ZkCreate{zkpath::Partition(change.topic, change.partition), {}});
  const std::string path = zkpath::PartitionState(change.topic, change.partition);
  if (change.create) {
    ops.push_back(ZkCreate{path, EncodeLeadership(state)});
  } else {
    const int32_t version = cluster_.topics.at(change.topic).partitions.at(change.partition).version;
    ops.push_back(ZkSet{path, EncodeLeadership(state), version});
  }
  return ops;
}

Task<void> ControllerTerm::WriteStates(std::vector<StateChange> changes) {
  if (changes.empty()) co_return;
  if (!co_await FindFolders(&changes)) {
    hints_.full = true;
    co_return;
  }
  std::vector<std::vector<StateChange>> chunks;
  size_t ops = 0;
  size_t bytes = 0;
  for (StateChange& change : changes) {
    const std::vector<ZkOp> own = StateOps(change);
    size_t size = 0;
    for (const ZkOp& op : own) size += FencedWriter::SizeOf(op);
    if (chunks.empty() || ops + own.size() > FencedWriter::kMaxOps ||
        bytes + size > FencedWriter::kMaxBytes) {
      chunks.emplace_back();
      ops = bytes = 0;
    }
    ops += own.size();
    bytes += size;
    chunks.back().push_back(std::move(change));
  }
  if (changes.size() > kLoggedChanges)
    LOG(INFO) << "changing the states of " << changes.size() << " partitions";
  // ZooKeeper works a session's requests off in order, so a folder made by one chunk is there for the next.
  co_await ForEachParallel(loop_, chunks.size(), kWritesAtOnce,
                           [&](size_t i) { return WriteChunk(std::move(chunks[i])); });
}

Task<void> ControllerTerm::WriteChunk(std::vector<StateChange> chunk) {
  const bool log = chunk.size() <= kLoggedChanges;
  while (!chunk.empty()) {
    std::vector<ZkOp> ops;
    std::vector<size_t> owner;  // of each op, the change
    for (size_t i = 0; i < chunk.size(); ++i) {
      for (ZkOp& op : StateOps(chunk[i])) {
        ops.push_back(std::move(op));
        owner.push_back(i);
      }
    }
    const WriteResult written = co_await writer_.Write(std::move(ops));
    switch (written.outcome) {
      case WriteOutcome::kDone:
        for (const StateChange& change : chunk) {
          if (log) {
            LOG(INFO) << change.topic << "-" << change.partition << ": leader " << change.next.leader
                      << " in epoch " << change.next.leader_epoch << ", ISR " << IsrText(change.next);
          }
          TakeOver(change);
        }
        co_return;
      case WriteOutcome::kRefused: {
        // Somebody else has written to a topic of these: it is read again, the others go on.
        const std::string topic = chunk[owner[std::min(written.at, owner.size() - 1)]].topic;
        NoteConflict(topic, written.code);
        std::erase_if(chunk, [&](const StateChange& change) { return change.topic == topic; });
        break;
      }
      case WriteOutcome::kUnknown:
      case WriteOutcome::kNotSent:
        hints_.full = true;
        co_return;
      case WriteOutcome::kFenced:
        co_return;
    }
  }
}

void ControllerTerm::TakeOver(const StateChange& change) {
  TopicContext& topic = cluster_.topics.at(change.topic);
  PartitionContext& partition = topic.partitions.at(change.partition);
  const bool elected = change.next.leader != kNoBroker &&
                       (!partition.state || partition.state->leader_epoch != change.next.leader_epoch);
  const bool unclean = elected && partition.state && partition.state->Member(change.next.leader) == nullptr;
  if (elected) {
    ++counters_.elections;
  } else {
    ++counters_.isr_changes;
  }
  if (unclean) {
    ++counters_.unclean_elections;
    LOG(WARNING) << "unclean election: " << change.topic << "-" << change.partition << " is led by broker "
                 << change.next.leader << ", which was not in sync; acknowledged records may be lost";
  }
  partition.version = change.create ? 0 : partition.version + 1;
  partition.state = change.next;
  partition.state->controller_epoch = seat_.epoch;
  conflicts_.erase(change.topic);
  // A replica whose log was lost begins anew once it is not believed to have anything.
  for (const BrokerId id : partition.replicas) {
    const bool trusted = partition.state->Member(id) != nullptr &&
                         partition.state->recovery == v1::LEADER_RECOVERY_STATE_RECOVERED;
    if (!trusted) cluster_.lost_replicas.erase({id, {topic.id, change.partition}});
  }
  MarkPartition(topic, change.partition);
  MarkTopic(topic.id);
}

void ControllerTerm::NoteConflict(const std::string& topic, ZkCode code) {
  LOG(WARNING) << "a write to topic " << topic << " was refused (" << ToString(code) << "); it is read again";
  const auto known = cluster_.topics.find(topic);
  if (known == cluster_.topics.end()) return;
  if (++conflicts_[topic] < kMaxConflicts) {
    Hint({.topic_names = {topic}});
    return;
  }
  // Not tried for ever: left alone for a while, then read and tried anew.
  conflicts_.erase(topic);
  known->second.quarantine = fmt::format("its state cannot be written: {}", ToString(code));
  HintLater({.topic_names = {topic}});
}

void ControllerTerm::MarkPartition(const TopicContext& topic, PartitionIndex index) {
  for (const BrokerId id : topic.partitions.at(index).replicas) {
    const auto channel = channels_.find(id);
    if (channel != channels_.end()) channel->second->MarkPartition({topic.id, index});
  }
}

void ControllerTerm::MarkTopic(const TopicId& id) {
  for (const auto& [broker, channel] : channels_) channel->MarkTopic(id);
}

void ControllerTerm::PumpAll() {
  for (const auto& [id, channel] : channels_) channel->Pump();
}

}  // namespace tidemark
