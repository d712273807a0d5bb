#include "broker/server/topic_config_watcher.h"

#include <algorithm>

#include <glog/logging.h>

#include "broker/server/gather.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kTopicReadPatience = 10s;

Result<> CheckOverride(std::string_view name, std::string_view value) {
  return TopicConfigTable().Check(name, value);
}

// `before`: what was in force of it; nothing when it is read for the first time.
Properties OverridesOf(const std::string& topic, const std::optional<std::string>& data,
                       const std::optional<Properties>& before) {
  if (!data) return {};
  const Properties last_good = before ? *before : CautiousTopicConfigs();
  const Result<v1::ConfigZnode> decoded = DecodeConfig(*data);
  if (!decoded) {
    LOG(ERROR) << "the configs of topic " << topic << " in ZooKeeper cannot be read, "
               << (before ? "what was known before stays in force: "
                          : "until then none of its records is deleted by age or size: ")
               << decoded.error().message;
    return last_good;
  }
  std::vector<std::string> complaints;
  Properties out = TakeGood(Properties(decoded->config().begin(), decoded->config().end()), last_good,
                            CheckOverride, &complaints);
  for (const std::string& complaint : complaints) {
    LOG(ERROR) << "config of topic " << topic << " is passed over: " << complaint;
  }
  return out;
}

}  // namespace

TopicConfigWatcher::TopicConfigWatcher(EventLoop& loop, ZkKeeper& keeper, BrokerConfigPtr config,
                                       Publish publish)
    : loop_(loop),
      keeper_(keeper),
      config_(std::move(config)),
      publish_(std::move(publish)),
      scope_(loop, "topic configs") {
  auto first = std::make_shared<TopicSettingsMap>();
  first->defaults = SettingsOf(config_->topic_defaults);
  current_ = std::move(first);
}

Task<void> TopicConfigWatcher::Close() { co_await scope_.Close(); }

Task<ZkResult<TopicConfigWatcher::Fetched>> TopicConfigWatcher::Fetch(std::vector<std::string> topics) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
  Gather<ZkResult<ZkNode>> gather(loop_, topics.size());
  for (size_t i = 0; i < topics.size(); ++i) {
    gather.Start(i, loop_, scope_, "topic config",
                 [session, path = zkpath::TopicConfig(topics[i])] { return session->Get(path); });
  }
  const WaitOutcome waited =
      co_await gather.Wait("topic configs", loop_.Now() + kTopicReadPatience, scope_.stop_token());
  if (waited != WaitOutcome::kReady) co_return std::unexpected(ZkCode::kOperationTimeout);
  Fetched out;
  for (size_t i = 0; i < topics.size(); ++i) {
    const ZkResult<ZkNode>& node = *gather.results()[i];
    if (!node && IsUnknownOutcome(node.error())) co_return std::unexpected(node.error());
    if (node || node.error() == ZkCode::kNoNode) {
      out[topics[i]] = node ? std::optional(node->data) : std::nullopt;
    } else {
      LOG(ERROR) << "the configs of topic " << topics[i]
                 << " in ZooKeeper cannot be read, what was known before stays in force: "
                 << ToString(node.error());
    }
  }
  co_return out;
}

Task<ZkResult<>> TopicConfigWatcher::OnConfigChanges(const ConfigChangeSet& changes) {
  std::vector<std::string> topics;
  for (const auto& [topic, entry] : topics_) {
    if (changes.all || changes.entities.contains(zkpath::TopicEntity(topic))) topics.push_back(topic);
  }
  if (topics.empty()) co_return ZkResult<>();
  const auto fetched = co_await Fetch(std::move(topics));
  if (!fetched) co_return std::unexpected(fetched.error());
  std::vector<std::string> changed;
  for (const auto& [topic, data] : *fetched) {
    const auto it = topics_.find(topic);
    if (it == topics_.end()) continue;
    Properties overrides = OverridesOf(topic, data, it->second.overrides);
    if (it->second.overrides == overrides) continue;
    LOG(INFO) << "configs of topic " << topic << " changed";
    Set(topic, it->second.id, std::move(overrides));
    changed.push_back(topic);
  }
  if (!changed.empty()) PublishNow(std::move(changed));
  co_return ZkResult<>();
}

void TopicConfigWatcher::SetBrokerConfig(BrokerConfigPtr config) {
  config_ = std::move(config);
  std::vector<std::string> changed;
  for (auto& [topic, entry] : topics_) {
    const TopicSettings settings = SettingsOf(config_->ForTopic(entry.overrides));
    if (settings == entry.settings) continue;
    entry.settings = settings;
    changed.push_back(topic);
  }
  // Also without any: topics that come get the new defaults.
  PublishNow(std::move(changed));
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
  for (const Wanted& wanted : topics) {
    if (fetched->contains(wanted.topic)) continue;
    co_return Fail(v1::BROKER_NOT_READY, "the configs of topic {} cannot be read from ZooKeeper",
                   wanted.topic);
  }
  for (const Wanted& wanted : topics) {
    Set(wanted.topic, wanted.id, OverridesOf(wanted.topic, (*fetched)[wanted.topic], std::nullopt));
  }
  PublishNow(std::move(names));
  co_return Result<>();
}

void TopicConfigWatcher::Forget(const std::string& topic, const TopicId& id) {
  const auto it = topics_.find(topic);
  if (it != topics_.end() && it->second.id == id) topics_.erase(it);
}

Task<Result<TopicConfigWatcher::StoredOverrides>> TopicConfigWatcher::ReadOverrides(std::string topic) {
  const auto fetched = co_await Fetch({topic});
  if (!fetched) {
    co_return Fail(v1::BROKER_NOT_READY, "the configs of topic {} cannot be read from ZooKeeper: {}", topic,
                   ToString(fetched.error()));
  }
  if (!fetched->contains(topic)) {
    co_return Fail(v1::INVALID_CONFIG, "the configs of topic {} cannot be read from ZooKeeper", topic);
  }
  const std::optional<std::string>& data = fetched->at(topic);
  StoredOverrides out;
  if (!data) co_return out;
  const Result<v1::ConfigZnode> decoded = DecodeConfig(*data);
  if (!decoded) {
    co_return Fail(v1::INVALID_CONFIG, "the configs of topic {} in ZooKeeper cannot be read: {}", topic,
                   decoded.error().message);
  }
  out.good = Properties(decoded->config().begin(), decoded->config().end());
  // Where this broker has no replica of it, what is in force of a bad value is known to those who have.
  const auto known = topics_.find(topic);
  PassOver(v1::CONFIG_SOURCE_DYNAMIC_TOPIC, CheckOverride,
           known == topics_.end() ? Properties() : known->second.overrides, &out.good, &out.passed_over);
  co_return out;
}

void TopicConfigWatcher::Set(const std::string& topic, const TopicId& id, Properties overrides) {
  const TopicSettings settings = SettingsOf(config_->ForTopic(overrides));
  topics_[topic] = {.id = id, .overrides = std::move(overrides), .settings = settings};
}

void TopicConfigWatcher::PublishNow(std::vector<std::string> changed) {
  auto next = std::make_shared<TopicSettingsMap>();
  next->defaults = SettingsOf(config_->topic_defaults);
  for (const auto& [topic, entry] : topics_) next->by_topic[topic] = entry.settings;
  current_ = std::move(next);
  publish_(current_, std::move(changed));
}

}  // namespace tidemark
