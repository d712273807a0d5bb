// ControllerTerm: deletion of topics. Marked in /admin/delete_topics; then no broker serves the topic, all
// replicas are stopped and deleted, and only then its znodes go, the marker last. Each step is done again
// until it is seen done, so a new controller, or a broker that comes back, goes on where things stand.
#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "controller/term.h"

namespace tidemark {

// All at once, before any broker is told of anything: none may serve, or make anew, what others have deleted.
void ControllerTerm::FlagDeletions() {
  for (const std::string& name : cluster_.deletions) {
    const auto known = cluster_.topics.find(name);
    if (known == cluster_.topics.end() || known->second.deleting || !options_.delete_topics) continue;
    LOG(INFO) << "deleting topic " << name;
    known->second.deleting = true;
    if (!known->second.id.IsZero()) MarkTopic(known->second.id);
  }
}

Task<void> ControllerTerm::AdvanceDeletions() {
  FlagDeletions();
  // A deletion that has begun goes on also when its marker was removed by hand.
  std::set<std::string> names(cluster_.deletions.begin(), cluster_.deletions.end());
  for (const auto& [name, deletion] : deletions_) names.insert(name);
  const MonoTime began = loop_.Now();
  // From where the last time ended: those that wait for a broker are not in the others' way.
  auto next = names.upper_bound(deletion_met_);
  for (size_t left = names.size(); left > 0; --left, ++next) {
    if (next == names.end()) next = names.begin();
    deletion_met_ = *next;
    const bool took_time = co_await AdvanceDeletion(*next);
    if (ended() || hints_.full) co_return;
    if (took_time && left > 1 && GivesWay(began)) co_return Hint({.decide = true});
  }
}

Task<bool> ControllerTerm::AdvanceDeletion(std::string name) {
  const auto known = cluster_.topics.find(name);
  if (known == cluster_.topics.end()) {
    if (cluster_.unreadable_topics.contains(name)) {
      deletions_[name].waits_for = "its znode, which cannot be read";
      co_return false;
    }
    deletions_.erase(name);
    co_await RemoveMarker(name);
    co_return true;
  }
  // It was unreadable while it was marked, and is neither any more.
  if (!known->second.deleting && !cluster_.deletions.contains(name)) {
    deletions_.erase(name);
    co_return false;
  }
  if (!options_.delete_topics && !known->second.deleting) {
    LOG(WARNING) << "topic " << name << " is marked for deletion, which delete.topic.enable forbids";
    co_await RemoveMarker(name);
    co_return true;
  }
  // Marked since the flags were set.
  if (!known->second.deleting) co_return false;
  Deletion& deletion = deletions_[name];
  deletion.waits_for = StopReplicas(known->second, &deletion);
  if (!deletion.waits_for.empty()) co_return false;
  co_await RemoveTopicNodes(name);
  co_return true;
}

std::string ControllerTerm::StopReplicas(const TopicContext& topic, Deletion* deletion) {
  // Without an id no replica was ever made.
  if (topic.id.IsZero()) return {};
  std::set<BrokerId> down;
  std::set<BrokerId> slow;
  for (const auto& [index, partition] : topic.partitions) {
    for (const BrokerId id : partition.replicas) {
      if (deletion->stopped.contains({id, index})) continue;
      const auto channel = channels_.find(id);
      if (channel == channels_.end()) {
        down.insert(id);
        continue;
      }
      slow.insert(id);
      const PartitionKey key{topic.id, index};
      const LeaderEpoch epoch = partition.state ? partition.state->leader_epoch : 0;
      if (!channel->second->Stopping(key)) channel->second->StopReplica(key, {topic.name, epoch});
    }
  }
  if (!down.empty()) return fmt::format("broker {}, which is down", fmt::join(down, ", "));
  if (!slow.empty()) return fmt::format("broker {}, which is deleting its replicas", fmt::join(slow, ", "));
  return {};
}

Task<void> ControllerTerm::RemoveTopicNodes(std::string name) {
  const ZkResult<std::vector<std::string>> tree = co_await reader_.ReadTree(zkpath::Topic(name));
  if (!tree) {
    hints_.full = true;
    co_return;
  }
  std::vector<ZkOp> ops;
  const auto flush = [&]() { return writer_.Write(std::exchange(ops, {})); };
  const auto settle = [&](const WriteResult& written) {
    if (written.outcome == WriteOutcome::kDone) return true;
    if (written.outcome == WriteOutcome::kRefused) {
      LOG(WARNING) << "the znodes of topic " << name << " could not be removed (" << ToString(written.code)
                   << "); trying again";
      HintLater({.deletions = true, .topic_names = {name}});
    } else {
      hints_.full = true;
    }
    return false;
  };
  const std::string root = zkpath::Topic(name);
  for (const std::string& path : *tree) {
    if (path == root) continue;  // with the last ones
    ops.push_back(ZkDelete{path});
    if (ops.size() < FencedWriter::kMaxOps) continue;
    if (!settle(co_await flush())) co_return;
  }
  // The topic, its config and the marker go together: no one ever sees one without the others.
  if (ops.size() + 3 > FencedWriter::kMaxOps && !settle(co_await flush())) co_return;
  const auto config = co_await reader_.ReadTree(zkpath::TopicConfig(name));
  if (!config) {
    hints_.full = true;
    co_return;
  }
  if (!tree->empty()) ops.push_back(ZkDelete{root});
  for (const std::string& path : *config) ops.push_back(ZkDelete{path});
  if (cluster_.deletions.contains(name)) ops.push_back(ZkDelete{zkpath::DeleteTopic(name)});
  if (!settle(co_await flush())) co_return;
  LOG(INFO) << "topic " << name << " is deleted";
  cluster_.deletions.erase(name);
  DropTopic(name);
}

Task<void> ControllerTerm::RemoveMarker(std::string name) {
  std::vector<ZkOp> ops;
  ops.push_back(ZkDelete{zkpath::DeleteTopic(name)});
  const WriteResult written = co_await writer_.Write(std::move(ops));
  if (written.outcome == WriteOutcome::kUnknown || written.outcome == WriteOutcome::kNotSent)
    hints_.full = true;
  const bool gone = written.outcome == WriteOutcome::kRefused && written.code == ZkCode::kNoNode;
  if (written.outcome == WriteOutcome::kDone || gone) {
    cluster_.deletions.erase(name);
  } else if (written.outcome == WriteOutcome::kRefused) {
    HintLater({.deletions = true});
  }
}

}  // namespace tidemark
