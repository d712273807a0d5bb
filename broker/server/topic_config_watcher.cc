#include "broker/server/topic_config_watcher.h"

#include <algorithm>

#include <glog/logging.h>

#include "broker/server/gather.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kPause = 100ms;
constexpr Duration kNotificationLife = std::chrono::minutes(15);
constexpr Duration kReadPatience = 10s;
constexpr std::string_view kTopicPrefix = "topics/";

Properties OverridesOf(const std::string& topic, const std::string& data) {
  Properties out;
  const Result<v1::ConfigZnode> decoded = DecodeConfig(data);
  if (!decoded) {
    LOG(ERROR) << "the configs of topic " << topic
               << " in ZooKeeper cannot be read, its defaults are used: " << decoded.error().message;
    return out;
  }
  for (const auto& [name, value] : decoded->config()) {
    out[name] = value;
    if (const Result<> legal = TopicConfigTable().Check(name, value); !legal) {
      LOG(WARNING) << "config of topic " << topic << " is passed over: " << legal.error().message;
    }
  }
  return out;
}

}  // namespace

TopicConfigWatcher::TopicConfigWatcher(EventLoop& loop, ZkKeeper& keeper, const BrokerConfig& config,
                                       Publish publish)
    : loop_(loop),
      keeper_(keeper),
      config_(config),
      publish_(std::move(publish)),
      scope_(loop, "topic configs") {
  auto first = std::make_shared<TopicSettingsMap>();
  first->defaults = SettingsOf(config_.topic_defaults);
  current_ = std::move(first);
  keeper_.AddListener(this);
}

TopicConfigWatcher::~TopicConfigWatcher() { keeper_.RemoveListener(this); }

Task<void> TopicConfigWatcher::Close() { co_await scope_.Close(); }

void TopicConfigWatcher::Start() {
  started_ = true;
  LookAgain();
}

void TopicConfigWatcher::OnZkUp(ZkSession& /*session*/, bool /*new_session*/) {
  // Notifications may have come and gone meanwhile.
  reload_all_ = true;
  if (started_) LookAgain();
}

void TopicConfigWatcher::LookAgain() {
  if (scope_.stopping()) return;
  look_again_ = true;
  if (!following_) scope_.Spawn("follow config changes", Follow());
}

Task<void> TopicConfigWatcher::Follow() {
  following_ = true;
  while (look_again_ && !scope_.stopping()) {
    look_again_ = false;
    const ZkResult<> read = co_await ReadChanges();
    if (read) continue;
    if (!keeper_.connected()) break;
    look_again_ = true;
    (void)co_await Sleep(loop_, kPause, "config changes", scope_.stop_token());
  }
  following_ = false;
}

Task<ZkResult<>> TopicConfigWatcher::ReadChanges() {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
  const ZkResult<std::vector<std::string>> children = co_await session->Children(
      std::string(zkpath::kConfigChanges), [this](ZkWatchEvent, const std::string&) { LookAgain(); });
  if (!children) co_return std::unexpected(children.error());
  std::set<std::string> changed;
  int64_t highest = last_sequence_;
  const bool all = reload_all_;
  for (const std::string& child : *children) {
    const std::optional<uint64_t> sequence = zkpath::ParseSequence(child);
    if (!sequence || static_cast<int64_t>(*sequence) <= last_sequence_) continue;
    highest = std::max(highest, static_cast<int64_t>(*sequence));
    if (all) continue;
    const ZkResult<ZkNode> node = co_await session->Get(fmt::format("{}/{}", zkpath::kConfigChanges, child));
    if (!node && node.error() == ZkCode::kNoNode) {
      // Removed unread: no telling whose it was.
      reload_all_ = true;
      continue;
    }
    if (!node) co_return std::unexpected(node.error());
    const Result<v1::ConfigChangeZnode> change = DecodeConfigChange(node->data);
    if (!change) {
      LOG(ERROR) << "config notification " << child << " cannot be read: " << change.error().message;
    } else if (change->entity_path().starts_with(kTopicPrefix)) {
      changed.insert(change->entity_path().substr(kTopicPrefix.size()));
    }
  }
  if (reload_all_) {
    for (const auto& [topic, entry] : topics_) changed.insert(topic);
  }
  const ZkResult<> reloaded = co_await Reload(std::move(changed));
  if (!reloaded) co_return std::unexpected(reloaded.error());
  reload_all_ = reload_all_ && !all;
  if (reload_all_) look_again_ = true;
  last_sequence_ = highest;
  co_await Purge(*children);
  co_return ZkResult<>();
}

Task<ZkResult<std::map<std::string, Properties>>> TopicConfigWatcher::Fetch(std::vector<std::string> topics) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
  Gather<ZkResult<ZkNode>> gather(loop_, topics.size());
  for (size_t i = 0; i < topics.size(); ++i) {
    gather.Start(i, loop_, scope_, "topic config",
                 [session, path = zkpath::TopicConfig(topics[i])] { return session->Get(path); });
  }
  const WaitOutcome waited =
      co_await gather.Wait("topic configs", loop_.Now() + kReadPatience, scope_.stop_token());
  if (waited != WaitOutcome::kReady) co_return std::unexpected(ZkCode::kOperationTimeout);
  std::map<std::string, Properties> out;
  for (size_t i = 0; i < topics.size(); ++i) {
    const ZkResult<ZkNode>& node = *gather.results()[i];
    if (!node && node.error() != ZkCode::kNoNode) co_return std::unexpected(node.error());
    out[topics[i]] = node ? OverridesOf(topics[i], node->data) : Properties();
  }
  co_return out;
}

Task<ZkResult<>> TopicConfigWatcher::Reload(std::set<std::string> topics) {
  std::erase_if(topics, [this](const std::string& topic) { return !topics_.contains(topic); });
  if (topics.empty()) co_return ZkResult<>();
  auto fetched = co_await Fetch({topics.begin(), topics.end()});
  if (!fetched) co_return std::unexpected(fetched.error());
  std::vector<std::string> changed;
  for (auto& [topic, overrides] : *fetched) {
    const auto it = topics_.find(topic);
    if (it == topics_.end() || it->second.overrides == overrides) continue;
    LOG(INFO) << "configs of topic " << topic << " changed";
    Set(topic, it->second.id, std::move(overrides));
    changed.push_back(topic);
  }
  if (!changed.empty()) PublishNow(std::move(changed));
  co_return ZkResult<>();
}

Task<Result<>> TopicConfigWatcher::Ensure(std::vector<Wanted> topics) {
  std::erase_if(topics, [this](const Wanted& wanted) {
    const auto it = topics_.find(wanted.topic);
    return it != topics_.end() && it->second.id == wanted.id;
  });
  if (topics.empty()) co_return Result<>();
  // A change between this read and its answer is notified after it, and ZooKeeper's answers and events keep
  // their order: the entry is there when the notification is looked at.
  std::vector<std::string> names;
  for (const Wanted& wanted : topics) names.push_back(wanted.topic);
  auto fetched = co_await Fetch(names);
  if (!fetched) {
    co_return Fail(v1::BROKER_NOT_READY, "the topics' configs cannot be read from ZooKeeper: {}",
                   ToString(fetched.error()));
  }
  for (const Wanted& wanted : topics) Set(wanted.topic, wanted.id, std::move((*fetched)[wanted.topic]));
  PublishNow(std::move(names));
  co_return Result<>();
}

void TopicConfigWatcher::Forget(const std::string& topic, const TopicId& id) {
  const auto it = topics_.find(topic);
  if (it != topics_.end() && it->second.id == id) topics_.erase(it);
}

Task<Result<Properties>> TopicConfigWatcher::ReadOverrides(std::string topic) {
  const auto fetched = co_await Fetch({topic});
  if (!fetched) {
    co_return Fail(v1::BROKER_NOT_READY, "the configs of topic {} cannot be read from ZooKeeper: {}", topic,
                   ToString(fetched.error()));
  }
  co_return fetched->at(topic);
}

Task<void> TopicConfigWatcher::Purge(std::vector<std::string> children) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  const MonoTime now = loop_.Now();
  std::map<std::string, MonoTime> still;
  for (std::string& child : children) {
    const auto it = seen_.find(child);
    const MonoTime since = it == seen_.end() ? now : it->second;
    if (now - since < kNotificationLife) {
      still[std::move(child)] = since;
    } else if (session) {
      // Every broker removes what is old; most find it gone.
      (void)co_await session->Delete({.path = fmt::format("{}/{}", zkpath::kConfigChanges, child)});
    }
  }
  seen_ = std::move(still);
}

void TopicConfigWatcher::Set(const std::string& topic, const TopicId& id, Properties overrides) {
  const TopicSettings settings = SettingsOf(config_.ForTopic(overrides));
  topics_[topic] = {.id = id, .overrides = std::move(overrides), .settings = settings};
}

void TopicConfigWatcher::PublishNow(std::vector<std::string> changed) {
  auto next = std::make_shared<TopicSettingsMap>();
  next->defaults = SettingsOf(config_.topic_defaults);
  for (const auto& [topic, entry] : topics_) next->by_topic[topic] = entry.settings;
  current_ = std::move(next);
  publish_(current_, std::move(changed));
}

}  // namespace tidemark
