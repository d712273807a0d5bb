// ControllerTerm: reading ZooKeeper again and taking over what it says.
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/config/dynamic_configs.h"
#include "controller/term.h"

namespace tidemark {

Task<bool> ControllerTerm::Refresh(const HintSet& hints) {
  // A connection that came back may be to a server that lags behind.
  if (hints.full && !co_await reader_.Sync()) co_return false;
  if (hints.verify && !co_await StillController()) co_return false;
  if ((hints.full || hints.brokers) && !co_await RefreshBrokers()) co_return false;
  std::set<std::string> names = hints.topic_names;
  if (hints.full || hints.configs) {
    const ZkResult<std::set<std::string>> changed = co_await reader_.ReadConfigChanges();
    if (!changed && changed.error() != ZkCode::kNoNode) co_return false;
    if (changed) names.insert(changed->begin(), changed->end());
  }
  if (hints.defaults) RecomputeTopicConfigs();
  if (hints.full || hints.topics || !names.empty()) {
    if (!co_await RefreshTopics(hints.full, std::move(names))) co_return false;
  }
  if (hints.full || hints.deletions) {
    auto deletions = co_await reader_.ReadDeletions();
    if (!deletions && deletions.error() != ZkCode::kNoNode) co_return false;
    if (deletions) cluster_.deletions = std::move(*deletions);
  }
  co_return true;
}

Task<bool> ControllerTerm::RefreshBrokers() {
  ZkResult<BrokersRead> read = co_await reader_.ReadBrokers();
  if (!read || ended()) co_return false;
  MergeBrokers(std::move(*read));
  co_return true;
}

void ControllerTerm::MergeBrokers(BrokersRead read) {
  for (const auto& [name, why] : read.unreadable) {
    if (!cluster_.unreadable_brokers.contains(name)) {
      LOG(ERROR) << "the registration of broker " << name << " cannot be used: " << why;
    }
  }
  cluster_.unreadable_brokers = std::move(read.unreadable);
  bool changed = false;
  std::map<BrokerId, LiveBrokerContext> before = std::exchange(cluster_.brokers, {});
  for (const auto& [id, old] : before) {
    const auto now = read.live.find(id);
    if (now != read.live.end() && now->second.epoch == old.epoch) continue;
    LOG(INFO) << "broker " << id << " (epoch " << old.epoch << ") is gone"
              << (now == read.live.end() ? "" : " and has come back");
    RemoveChannel(id);
    changed = true;
  }
  for (auto& [id, now] : read.live) {
    const auto old = before.find(id);
    if (old != before.end() && old->second.epoch == now.epoch) {
      now.shutting_down = old->second.shutting_down;
      now.proven = std::move(old->second.proven);
      if (old->second.node_version != now.node_version) {
        changed = true;
        if (old->second.control_endpoint != now.control_endpoint) RemoveChannel(id);
      }
    } else {
      LOG(INFO) << "broker " << id << " (epoch " << now.epoch << ") has come, at "
                << ToString(now.control_endpoint) << (now.clean_start ? "" : ", after an unclean stop");
      changed = true;
    }
    AddBroker(std::move(now));
  }
  std::erase_if(cluster_.failed_replicas, [&](const auto& failed) {
    const LiveBrokerContext* broker = cluster_.Broker(failed.first.first);
    return broker == nullptr || broker->epoch != failed.second.broker_epoch;
  });
  if (!changed) return;
  for (const auto& [id, channel] : channels_) channel->MarkBrokers();
}

void ControllerTerm::AddBroker(LiveBrokerContext broker) {
  const BrokerId id = broker.id;
  if (!channels_.contains(id)) {
    BrokerChannel::Options options{.cluster_id = options_.cluster_id,
                                   .client_id = fmt::format("controller-{}", options_.broker_id),
                                   .command_timeout = options_.command_timeout,
                                   .backoff = options_.command_backoff};
    channels_[id] = std::make_unique<BrokerChannel>(
        loop_, options_.env, static_cast<BrokerChannel::Owner&>(*this), broker, std::move(options));
  }
  cluster_.brokers.insert_or_assign(id, std::move(broker));
}

void ControllerTerm::RemoveChannel(BrokerId id) {
  const auto it = channels_.find(id);
  if (it == channels_.end()) return;
  counters_.commands_sent += it->second->counters().sent;
  counters_.commands_failed += it->second->counters().failed;
  scope_.Spawn("close channel", [](std::unique_ptr<BrokerChannel> channel) -> Task<void> {
    co_await channel->Close();
  }(std::move(it->second)));
  channels_.erase(it);
}

Task<bool> ControllerTerm::RefreshTopics(bool all, std::set<std::string> names) {
  ZkResult<std::vector<std::string>> present = co_await reader_.ReadTopicNames();
  if (!present || ended()) co_return false;
  const std::set<std::string> there(present->begin(), present->end());
  std::vector<std::string> gone;
  for (const auto& [name, topic] : cluster_.topics) {
    if (!there.contains(name)) gone.push_back(name);
  }
  for (const std::string& name : gone) {
    LOG(WARNING) << "topic " << name << " has vanished from ZooKeeper";
    DropTopic(name);
  }
  std::erase_if(cluster_.unreadable_topics, [&](const auto& entry) { return !there.contains(entry.first); });
  std::vector<std::string> wanted;
  for (const std::string& name : there) {
    const bool known = cluster_.topics.contains(name) || cluster_.unreadable_topics.contains(name);
    if (all || !known || names.contains(name)) wanted.push_back(name);
  }
  ZkResult<std::vector<TopicRead>> read = co_await reader_.ReadTopics(std::move(wanted));
  if (!read || ended()) co_return false;
  for (TopicRead& topic : *read) MergeTopic(std::move(topic));
  // A broker that was told "everything" while some could not be read is told everything once more.
  const bool incomplete = cluster_.Incomplete();
  if (std::exchange(incomplete_, incomplete) && !incomplete) {
    for (const auto& [id, channel] : channels_) channel->MarkAllPartitions();
  }
  co_return true;
}

void ControllerTerm::MergeTopic(TopicRead read) {
  const auto known = cluster_.topics.find(read.name);
  if (read.gone) {
    if (known != cluster_.topics.end()) DropTopic(read.name);
    cluster_.unreadable_topics.erase(read.name);
    return;
  }
  if (read.topic && !read.topic->id.IsZero()) {
    const auto owner = cluster_.topic_names.find(read.topic->id);
    if (owner != cluster_.topic_names.end() && owner->second != read.name) {
      read.unreadable = fmt::format("its id is that of topic {}", owner->second);
      read.topic.reset();
    }
  }
  if (!read.topic) {
    // What was known of it stays as it is, untouched.
    if (known != cluster_.topics.end()) {
      known->second.quarantine = read.unreadable;
    } else {
      cluster_.unreadable_topics[read.name] = read.unreadable;
    }
    LOG(ERROR) << "topic " << read.name << " is left alone, its znode cannot be used: " << read.unreadable;
    return;
  }
  cluster_.unreadable_topics.erase(read.name);
  TopicContext& now = *read.topic;
  if (!now.quarantine.empty()) LOG(ERROR) << "topic " << read.name << " is left alone: " << now.quarantine;
  // A state of a later controller: is this one deposed, and does not know it?
  for (const auto& [index, partition] : now.partitions) {
    if (partition.state && partition.state->controller_epoch > seat_.epoch) Hint({.verify = true});
  }
  if (known != cluster_.topics.end() && known->second.id != now.id) {
    LOG(WARNING) << "topic " << read.name << " is another one now";
    DropTopic(read.name);
  }
  const auto [it, added] = cluster_.topics.try_emplace(read.name);
  KeepGoodConfigs(it->second, &now);
  const TopicContext before = std::exchange(it->second, std::move(now));
  it->second.deleting = before.deleting;
  if (!it->second.id.IsZero()) cluster_.topic_names[it->second.id] = read.name;
  NoteDifferences(before, it->second);
}

// As brokers do: who wrote them does not matter.
void ControllerTerm::KeepGoodConfigs(const TopicContext& before, TopicContext* now) const {
  std::vector<std::string> complaints;
  Properties good = TakeGood(
      now->overrides, before.name.empty() ? CautiousTopicConfigs() : before.overrides,
      [](std::string_view name, std::string_view value) { return TopicConfigTable().Check(name, value); },
      &complaints);
  if (complaints.empty()) return;
  for (const std::string& complaint : complaints) {
    LOG(ERROR) << "config of topic " << now->name << " is passed over: " << complaint;
  }
  now->overrides = std::move(good);
  now->configs = MakeTopicConfigs(options_.broker_properties, now->overrides);
}

void ControllerTerm::NoteDifferences(const TopicContext& before, const TopicContext& after) {
  bool differs = before.name.empty() || before.partitions.size() != after.partitions.size();
  for (const auto& [index, partition] : after.partitions) {
    const auto old = before.partitions.find(index);
    if (old != before.partitions.end() && old->second.state == partition.state &&
        old->second.version == partition.version && old->second.replicas == partition.replicas) {
      continue;
    }
    differs = true;
    if (partition.state) MarkPartition(after, index);
  }
  if (differs && !after.id.IsZero()) MarkTopic(after.id);
}

void ControllerTerm::DropTopic(const std::string& name) {
  const auto it = cluster_.topics.find(name);
  if (it == cluster_.topics.end()) return;
  const TopicId id = it->second.id;
  cluster_.topics.erase(it);
  cluster_.topic_names.erase(id);
  std::erase_if(cluster_.failed_replicas,
                [&](const auto& failed) { return failed.first.second.topic == id; });
  conflicts_.erase(name);
  deletions_.erase(name);
  if (!id.IsZero()) MarkTopic(id);
}

}  // namespace tidemark
