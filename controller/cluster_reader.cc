#include "controller/cluster_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "controller/parallel.h"

namespace tidemark {
namespace {

constexpr size_t kReadsAtOnce = 256;

bool Missing(ZkCode code) { return code == ZkCode::kNoNode; }

}  // namespace

void HintSet::Merge(const HintSet& other) {
  full |= other.full;
  brokers |= other.brokers;
  topics |= other.topics;
  deletions |= other.deletions;
  configs |= other.configs;
  defaults |= other.defaults;
  verify |= other.verify;
  decide |= other.decide;
  topic_names.insert(other.topic_names.begin(), other.topic_names.end());
}

ClusterReader::ClusterReader(EventLoop& loop, std::shared_ptr<ZkSession> session,
                             const Properties& broker_properties, std::function<void(const HintSet&)> hint)
    : loop_(loop),
      session_(std::move(session)),
      broker_properties_(broker_properties),
      watches_(std::make_shared<Watches>(Watches{{}, std::move(hint)})) {}

ZkWatch ClusterReader::Watch(const std::string& path, HintSet hint) {
  if (!watches_->armed.insert(path).second) return nullptr;
  return [weak = std::weak_ptr<Watches>(watches_), path, hint = std::move(hint)](ZkWatchEvent,
                                                                                 const std::string&) {
    const std::shared_ptr<Watches> watches = weak.lock();
    if (!watches) return;
    watches->armed.erase(path);
    watches->hint(hint);
  };
}

Task<ZkResult<>> ClusterReader::Sync() {
  co_return co_await session_->Sync(std::string(zkpath::kControllerEpoch));
}

Task<ZkResult<int32_t>> ClusterReader::ReadFenceVersion() {
  const ZkResult<ZkNode> node = co_await session_->Get(std::string(zkpath::kControllerEpoch));
  if (!node) co_return std::unexpected(node.error());
  co_return node->stat.version;
}

Task<ZkResult<BrokersRead>> ClusterReader::ReadBrokers() {
  const std::string folder(zkpath::kBrokerIds);
  const auto children = co_await session_->Children(folder, Watch(folder, {.brokers = true}));
  if (!children) {
    Disarm(folder);
    co_return std::unexpected(children.error());
  }
  BrokersRead out;
  std::vector<BrokerId> ids;
  for (const std::string& child : *children) {
    if (const std::optional<BrokerId> id = zkpath::ParseBrokerId(child)) {
      ids.push_back(*id);
    } else {
      out.unreadable[child] = "the name is no broker id";
    }
  }
  ZkCode failed = ZkCode::kOk;
  co_await ForEachParallel(loop_, ids.size(), kReadsAtOnce,
                           [&](size_t i) { return ReadBroker(ids[i], &out, &failed); });
  if (failed != ZkCode::kOk) co_return std::unexpected(failed);
  co_return out;
}

Task<void> ClusterReader::ReadBroker(BrokerId id, BrokersRead* out, ZkCode* failed) {
  const std::string path = zkpath::Broker(id);
  const ZkResult<ZkNode> node = co_await session_->Get(path, Watch(path, {.brokers = true}));
  if (!node) {
    Disarm(path);
    // Gone since: the watch on the folder tells.
    if (!Missing(node.error())) *failed = node.error();
    co_return;
  }
  const Result<v1::BrokerZnode> decoded = DecodeBroker(node->data);
  Result<LiveBrokerContext> live = decoded ? MakeLiveBroker(id, *decoded, node->stat.czxid)
                                           : Result<LiveBrokerContext>(std::unexpected(decoded.error()));
  if (!live) {
    out->unreadable[std::to_string(id)] = live.error().message;
    co_return;
  }
  live->node_version = node->stat.version;
  out->live.insert_or_assign(id, std::move(*live));
}

Task<ZkResult<std::vector<std::string>>> ClusterReader::ReadTopicNames() {
  const std::string folder(zkpath::kTopics);
  auto children = co_await session_->Children(folder, Watch(folder, {.topics = true}));
  if (!children) Disarm(folder);
  co_return children;
}

Task<ZkResult<std::set<std::string, std::less<>>>> ClusterReader::ReadDeletions() {
  const std::string folder(zkpath::kDeleteTopics);
  const auto children = co_await session_->Children(folder, Watch(folder, {.deletions = true}));
  if (!children) {
    Disarm(folder);
    co_return std::unexpected(children.error());
  }
  co_return std::set<std::string, std::less<>>(children->begin(), children->end());
}

Task<ZkResult<std::set<std::string>>> ClusterReader::ReadConfigChanges() {
  const std::string folder(zkpath::kConfigChanges);
  const auto children = co_await session_->Children(folder, Watch(folder, {.configs = true}));
  if (!children) {
    Disarm(folder);
    co_return std::unexpected(children.error());
  }
  std::set<std::string> topics;
  uint64_t next = next_config_change_.value_or(0);
  for (const std::string& child : *children) {
    const std::optional<uint64_t> number = zkpath::ParseSequence(child);
    if (!number) continue;
    if (next_config_change_ && *number >= *next_config_change_) {
      const ZkResult<ZkNode> node = co_await session_->Get(fmt::format("{}/{}", folder, child));
      if (!node && !Missing(node.error())) co_return std::unexpected(node.error());
      const Result<v1::ConfigChangeZnode> change =
          node ? DecodeConfigChange(node->data) : Fail(v1::NOT_FOUND, "removed meanwhile");
      if (!change) {
        // No telling whose it was.
        if (node)
          LOG(ERROR) << "config notification " << child << " cannot be read: " << change.error().message;
        watches_->hint({.full = true});
      } else if (change->entity_path().starts_with("topics/")) {
        topics.emplace(zkpath::BaseName(change->entity_path()));
      }
    }
    next = std::max(next, *number + 1);
  }
  next_config_change_ = next;
  co_return topics;
}

Task<ZkResult<std::vector<TopicRead>>> ClusterReader::ReadTopics(std::vector<std::string> names) {
  std::vector<TopicRead> out(names.size());
  ZkCode failed = ZkCode::kOk;
  for (size_t i = 0; i < names.size(); ++i) out[i].name = std::move(names[i]);
  co_await ForEachParallel(loop_, out.size(), kReadsAtOnce,
                           [&](size_t i) { return ReadTopic(&out[i], &failed); });
  if (failed != ZkCode::kOk) co_return std::unexpected(failed);
  co_return out;
}

Task<void> ClusterReader::ReadTopic(TopicRead* out, ZkCode* failed) {
  if (const Result<> legal = ValidateTopicName(out->name); !legal) {
    out->unreadable = legal.error().message;
    co_return;
  }
  const std::string path = zkpath::Topic(out->name);
  const ZkResult<ZkNode> node = co_await session_->Get(path, Watch(path, {.topic_names = {out->name}}));
  if (!node) {
    Disarm(path);
    if (!Missing(node.error())) *failed = node.error();
    out->gone = true;
    co_return;
  }
  const Result<v1::TopicZnode> decoded = DecodeTopic(node->data);
  Result<std::map<PartitionIndex, PartitionContext>> partitions =
      decoded ? MakePartitions(*decoded)
              : Result<std::map<PartitionIndex, PartitionContext>>(std::unexpected(decoded.error()));
  Result<TopicId> id = TopicId();
  if (decoded && !decoded->topic_id().empty()) id = TopicId::FromBytes(decoded->topic_id());
  if (!partitions || !id) {
    out->unreadable = partitions ? id.error().message : partitions.error().message;
    co_return;
  }
  TopicContext topic{.name = out->name, .id = *id, .node = *decoded, .node_version = node->stat.version};
  topic.partitions = std::move(*partitions);

  const ZkResult<ZkNode> config = co_await session_->Get(zkpath::TopicConfig(out->name));
  if (!config && !Missing(config.error())) *failed = config.error();
  if (config) {
    if (const Result<v1::ConfigZnode> overrides = DecodeConfig(config->data)) {
      for (const auto& [name, value] : overrides->config()) topic.overrides[name] = value;
    } else {
      topic.quarantine = "its config: " + overrides.error().message;
    }
  }
  topic.configs = MakeTopicConfigs(broker_properties_, topic.overrides);

  std::vector<PartitionIndex> indexes;
  for (const auto& [index, partition] : topic.partitions) indexes.push_back(index);
  co_await ForEachParallel(loop_, indexes.size(), kReadsAtOnce,
                           [&](size_t i) { return ReadState(&topic, indexes[i], failed); });
  out->topic = std::move(topic);
}

Task<void> ClusterReader::ReadState(TopicContext* topic, PartitionIndex index, ZkCode* failed) {
  const ZkResult<ZkNode> node = co_await session_->Get(zkpath::PartitionState(topic->name, index));
  if (!node) {
    if (!Missing(node.error())) *failed = node.error();
    co_return;
  }
  const Result<Leadership> state = DecodeLeadership(node->data);
  if (!state) {
    topic->quarantine = fmt::format("state of partition {}: {}", index, state.error().message);
    // States are written by controllers alone and carry no watch; this one has to be mended by somebody else.
    const std::string path = zkpath::PartitionState(topic->name, index);
    const HintSet again{.topic_names = {topic->name}};
    const auto stat = co_await session_->Exists(path, Watch(path, again));
    if (!stat) Disarm(path);
    if (stat && (!*stat || (*stat)->version != node->stat.version)) watches_->hint(again);
    co_return;
  }
  PartitionContext& partition = topic->partitions.at(index);
  for (const IsrMember& member : state->isr) {
    if (std::ranges::find(partition.replicas, member.id) == partition.replicas.end()) {
      topic->quarantine =
          fmt::format("state of partition {}: broker {} is in the ISR and has no replica", index, member.id);
    }
  }
  partition.state = *state;
  partition.version = node->stat.version;
  partition.mzxid = node->stat.mzxid;
}

Task<ZkResult<std::optional<std::set<PartitionIndex>>>> ClusterReader::ReadPartitionFolders(
    std::string topic) {
  const auto children = co_await session_->Children(zkpath::Partitions(topic));
  if (!children) {
    if (Missing(children.error())) co_return std::optional<std::set<PartitionIndex>>();
    co_return std::unexpected(children.error());
  }
  std::set<PartitionIndex> folders;
  for (const std::string& child : *children) {
    if (const std::optional<PartitionIndex> index = zkpath::ParsePartition(child)) folders.insert(*index);
  }
  co_return std::optional(std::move(folders));
}

Task<ZkResult<std::vector<std::string>>> ClusterReader::ReadTree(std::string root) {
  // Breadth first, one level at a time, each level's reads at once.
  std::vector<std::string> all;
  std::vector<std::string> level{std::move(root)};
  while (!level.empty()) {
    std::vector<ZkResult<std::vector<std::string>>> children(level.size());
    co_await ForEachParallel(loop_, level.size(), kReadsAtOnce, [&](size_t i) {
      return [](ZkSession& session, std::string path, ZkResult<std::vector<std::string>>* out) -> Task<void> {
        *out = co_await session.Children(std::move(path));
      }(*session_, level[i], &children[i]);
    });
    std::vector<std::string> next;
    for (size_t i = 0; i < level.size(); ++i) {
      if (!children[i]) {
        if (Missing(children[i].error())) continue;
        co_return std::unexpected(children[i].error());
      }
      all.push_back(level[i]);
      for (const std::string& child : *children[i]) next.push_back(fmt::format("{}/{}", level[i], child));
    }
    level = std::move(next);
  }
  std::ranges::reverse(all);
  co_return all;
}

}  // namespace tidemark
