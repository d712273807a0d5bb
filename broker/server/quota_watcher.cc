#include "broker/server/quota_watcher.h"

#include <set>
#include <utility>

#include <glog/logging.h>

#include "broker/server/gather.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kReadPatience = 10s;
constexpr size_t kReadsAtOnce = 256;
constexpr std::string_view kClientPrefix = "clients/";

std::string FolderOf(v1::ConfigEntityType type) {
  return std::string(type == v1::CONFIG_ENTITY_TYPE_CLIENT ? zkpath::kConfigClients : zkpath::kConfigUsers);
}

std::string ChildOf(const std::string& name) {
  return name.empty() ? std::string(zkpath::kDefaultEntity) : zkpath::Sanitized(name);
}

Result<Properties> Decoded(const std::string& path, const std::optional<std::string>& data) {
  if (!data) return Properties();
  const Result<v1::ConfigZnode> decoded = DecodeConfig(*data);
  if (!decoded) {
    return Fail(v1::INVALID_CONFIG, "what {} holds cannot be read: {}", path, decoded.error().message);
  }
  return Properties(decoded->config().begin(), decoded->config().end());
}

}  // namespace

QuotaWatcher::QuotaWatcher(EventLoop& loop, ZkKeeper& keeper, Publish publish)
    : loop_(loop), keeper_(keeper), publish_(std::move(publish)), scope_(loop, "quotas") {}

Task<void> QuotaWatcher::Close() { co_await scope_.Close(); }

Task<ZkResult<>> QuotaWatcher::OnConfigChanges(const ConfigChangeSet& changes) {
  std::set<std::string> children;
  if (changes.all) {
    const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
    if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
    const auto there = co_await session->Children(std::string(zkpath::kConfigClients), nullptr);
    if (!there && there.error() != ZkCode::kNoNode) co_return std::unexpected(there.error());
    if (there) children.insert(there->begin(), there->end());
    for (const auto& [child, entry] : clients_) children.insert(child);
  }
  for (const std::string& entity : changes.entities) {
    if (entity.starts_with(kClientPrefix)) children.insert(entity.substr(kClientPrefix.size()));
  }
  if (children.empty()) co_return ZkResult<>();
  co_return co_await Read({children.begin(), children.end()});
}

Task<ZkResult<>> QuotaWatcher::Read(std::vector<std::string> children) {
  const auto fetched = co_await Fetch(std::string(zkpath::kConfigClients), std::move(children));
  if (!fetched) co_return std::unexpected(fetched.error());
  bool changed = false;
  for (const auto& [child, data] : *fetched) changed |= TakeOver(child, data);
  if (changed) PublishNow();
  co_return ZkResult<>();
}

Task<ZkResult<std::map<std::string, std::optional<std::string>>>> QuotaWatcher::Fetch(
    std::string folder, std::vector<std::string> children) {
  std::map<std::string, std::optional<std::string>> out;
  for (size_t begin = 0; begin < children.size(); begin += kReadsAtOnce) {
    const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
    if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
    const size_t count = std::min(kReadsAtOnce, children.size() - begin);
    Gather<ZkResult<ZkNode>> gather(loop_, count);
    for (size_t i = 0; i < count; ++i) {
      gather.Start(
          i, loop_, scope_, "quotas",
          [session, path = fmt::format("{}/{}", folder, children[begin + i])] { return session->Get(path); });
    }
    const WaitOutcome waited =
        co_await gather.Wait("quotas", loop_.Now() + kReadPatience, scope_.stop_token());
    if (waited != WaitOutcome::kReady) co_return std::unexpected(ZkCode::kOperationTimeout);
    for (size_t i = 0; i < count; ++i) {
      const ZkResult<ZkNode>& node = *gather.results()[i];
      if (!node && IsUnknownOutcome(node.error())) co_return std::unexpected(node.error());
      if (node || node.error() == ZkCode::kNoNode) {
        out[children[begin + i]] = node ? std::optional(node->data) : std::nullopt;
      } else {
        LOG(ERROR) << folder << "/" << children[begin + i] << " cannot be read (" << ToString(node.error())
                   << "); what was known before stays in force";
      }
    }
  }
  co_return out;
}

bool QuotaWatcher::TakeOver(const std::string& child, std::optional<std::string> data) {
  if (!data) return clients_.erase(child) > 0;
  Entry& entry = clients_[child];
  if (data == entry.data) return false;
  entry.data = std::move(data);
  const std::string path = fmt::format("{}/{}", zkpath::kConfigClients, child);
  const Result<Properties> read = Decoded(path, entry.data);
  if (!read) {
    LOG(ERROR) << read.error().message << "; what was known before stays in force";
    return false;
  }
  std::vector<std::string> complaints;
  entry.good = TakeGood(*read, entry.good, CheckQuota, &complaints);
  for (const std::string& complaint : complaints) {
    LOG(ERROR) << "in " << path << " is passed over: " << complaint;
  }
  return true;
}

void QuotaWatcher::PublishNow() {
  auto next = std::make_shared<QuotaPicture>();
  for (const auto& [child, entry] : clients_) {
    const QuotaLimits limits = LimitsOf(entry.good);
    if (!limits.any()) continue;
    if (child == zkpath::kDefaultEntity) {
      next->defaults = limits;
    } else if (std::optional<std::string> name = zkpath::Unsanitized(child)) {
      next->by_client[std::move(*name)] = limits;
    } else {
      LOG(ERROR) << zkpath::kConfigClients << "/" << child << " is no client id, and is passed over";
    }
  }
  if (*next == *current_) return;
  LOG(INFO) << "quotas changed: " << next->by_client.size() << " client ids have their own"
            << (next->defaults.any() ? ", the others a default" : "");
  current_ = std::move(next);
  publish_(current_);
}

Task<Result<std::vector<ConfigInForce>>> QuotaWatcher::Describe(v1::ConfigEntityType type, std::string name) {
  const bool client = type == v1::CONFIG_ENTITY_TYPE_CLIENT;
  const std::string folder = FolderOf(type);
  const std::string own = ChildOf(name);
  const std::string common(zkpath::kDefaultEntity);
  const auto fetched = co_await Fetch(folder, {own, common});
  if (!fetched) {
    co_return Fail(v1::BROKER_NOT_READY, "{} cannot be read from ZooKeeper: {}", folder,
                   ToString(fetched.error()));
  }
  for (const std::string& child : {own, common}) {
    if (!fetched->contains(child)) {
      co_return Fail(v1::INVALID_CONFIG, "{}/{} cannot be read from ZooKeeper", folder, child);
    }
  }
  TM_CO_ASSIGN_OR_RETURN(const Properties values, Decoded(folder + "/" + own, fetched->at(own)));
  TM_CO_ASSIGN_OR_RETURN(const Properties defaults, Decoded(folder + "/" + common, fetched->at(common)));
  std::vector<ConfigInForce> out;
  for (const ConfigDef& def : QuotaConfigTable().defs()) {
    ConfigInForce config{.def = &def};
    const auto add = [&](v1::ConfigSource source, const Properties& from) {
      const auto it = from.find(std::string_view(def.name));
      if (it != from.end()) config.synonyms.push_back({source, def.name, it->second});
    };
    if (!name.empty()) {
      add(client ? v1::CONFIG_SOURCE_DYNAMIC_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_USER, values);
    }
    add(client ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER, defaults);
    if (!config.synonyms.empty()) out.push_back(std::move(config));
  }
  co_return out;
}

Task<Result<std::vector<std::string>>> QuotaWatcher::Names(v1::ConfigEntityType type) {
  const std::string folder = FolderOf(type);
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  ZkResult<std::vector<std::string>> children = std::unexpected(ZkCode::kConnectionLoss);
  if (session) children = co_await session->Children(folder, nullptr);
  if (!children && children.error() != ZkCode::kNoNode) {
    co_return Fail(v1::BROKER_NOT_READY, "{} cannot be read from ZooKeeper: {}", folder,
                   ToString(children.error()));
  }
  std::set<std::string> names;
  if (children) {
    for (const std::string& child : *children) {
      if (child == zkpath::kDefaultEntity) {
        names.emplace();
      } else if (std::optional<std::string> name = zkpath::Unsanitized(child)) {
        names.insert(std::move(*name));
      }
    }
  }
  co_return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace tidemark
