#include "broker/server/quota_watcher.h"

#include <algorithm>
#include <set>
#include <utility>

#include <glog/logging.h>

#include "broker/server/gather.h"
#include "common/zk/quota_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kReadPatience = 10s;
constexpr size_t kReadsAtOnce = 256;
constexpr std::string_view kClientPrefix = "clients/";

// Where a quota may stand, strongest first.
struct Level {
  v1::ConfigSource source = v1::CONFIG_SOURCE_UNSPECIFIED;
  std::string path;
};

Level LevelOf(const std::optional<std::string>& user, const std::optional<std::string>& client) {
  const std::string path = user && client ? zkpath::UserClientEntity(*user, *client)
                           : user         ? zkpath::UserEntity(*user)
                                          : zkpath::ClientEntity(*client);
  const bool any_user = user && user->empty();
  const bool any_client = client && client->empty();
  v1::ConfigSource source = v1::CONFIG_SOURCE_UNSPECIFIED;
  if (!user) {
    source = any_client ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_CLIENT;
  } else if (!client) {
    source = any_user ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER : v1::CONFIG_SOURCE_DYNAMIC_USER;
  } else if (any_user) {
    source = any_client ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER_DEFAULT_CLIENT
                        : v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER_CLIENT;
  } else {
    source =
        any_client ? v1::CONFIG_SOURCE_DYNAMIC_USER_DEFAULT_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_USER_CLIENT;
  }
  return {source, zkpath::ConfigOfEntity(path)};
}

// Kafka's order: what says more of the user counts before what says more of the client.
std::vector<Level> LevelsOf(const v1::ConfigEntity& entity) {
  using Name = std::optional<std::string>;
  const Name any = "";
  const Name name = entity.name();
  std::vector<std::pair<Name, Name>> pairs;
  if (entity.type() == v1::CONFIG_ENTITY_TYPE_CLIENT) {
    pairs = {{std::nullopt, name}, {std::nullopt, any}};
  } else if (!entity.has_client_id()) {
    pairs = {{name, std::nullopt}, {any, std::nullopt}};
  } else {
    const Name client = entity.client_id();
    pairs = {{name, client}, {name, any},         {name, std::nullopt},   {any, client},
             {any, any},     {any, std::nullopt}, {std::nullopt, client}, {std::nullopt, any}};
  }
  std::vector<Level> out;
  for (const auto& [user, of_client] : pairs) {
    Level level = LevelOf(user, of_client);
    const bool known = std::ranges::any_of(out, [&](const Level& l) { return l.path == level.path; });
    if (!known) out.push_back(std::move(level));
  }
  return out;
}

// Of a znode below /config/clients or /config/users; nothing for what is no name.
std::optional<std::string> NameOf(const std::string& child) {
  return child == zkpath::kDefaultEntity ? std::optional<std::string>("") : zkpath::Unsanitized(child);
}

Result<Properties> Decoded(const std::string& path, const std::optional<ZkNode>& node) {
  if (!node) return Properties();
  const Result<v1::ConfigZnode> decoded = DecodeConfig(node->data);
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
  std::vector<std::string> paths;
  for (const std::string& child : children)
    paths.push_back(fmt::format("{}/{}", zkpath::kConfigClients, child));
  const auto fetched = co_await Fetch(std::move(paths));
  if (!fetched) co_return std::unexpected(fetched.error());
  bool changed = false;
  for (const auto& [path, node] : *fetched) {
    changed |= TakeOver(std::string(zkpath::BaseName(path)), node ? std::optional(node->data) : std::nullopt);
  }
  if (changed) PublishNow();
  co_return ZkResult<>();
}

Task<ZkResult<QuotaWatcher::Nodes>> QuotaWatcher::Fetch(std::vector<std::string> paths) {
  Nodes out;
  for (size_t begin = 0; begin < paths.size(); begin += kReadsAtOnce) {
    const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
    if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
    const size_t count = std::min(kReadsAtOnce, paths.size() - begin);
    Gather<ZkResult<ZkNode>> gather(loop_, count);
    for (size_t i = 0; i < count; ++i) {
      gather.Start(i, loop_, scope_, "quotas",
                   [session, path = paths[begin + i]] { return session->Get(path); });
    }
    const WaitOutcome waited =
        co_await gather.Wait("quotas", loop_.Now() + kReadPatience, scope_.stop_token());
    if (waited != WaitOutcome::kReady) co_return std::unexpected(ZkCode::kOperationTimeout);
    for (size_t i = 0; i < count; ++i) {
      const ZkResult<ZkNode>& node = *gather.results()[i];
      if (!node && IsUnknownOutcome(node.error())) co_return std::unexpected(node.error());
      if (node || node.error() == ZkCode::kNoNode) {
        out[paths[begin + i]] = node ? std::optional(*node) : std::nullopt;
      } else {
        LOG(ERROR) << paths[begin + i] << " cannot be read (" << ToString(node.error())
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
  const Result<Properties> read = Decoded(path, ZkNode{.data = *entry.data, .stat = {}});
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

Task<Result<QuotaWatcher::Described>> QuotaWatcher::Describe(v1::ConfigEntity entity) {
  const std::vector<Level> levels = LevelsOf(entity);
  std::vector<std::string> paths;
  for (const Level& level : levels) paths.push_back(level.path);
  const auto fetched = co_await Fetch(paths);
  if (!fetched) {
    co_return Fail(v1::BROKER_NOT_READY, "quotas cannot be read from ZooKeeper: {}",
                   ToString(fetched.error()));
  }
  Described out;
  std::vector<Properties> values;
  for (const Level& level : levels) {
    const auto found = fetched->find(level.path);
    if (found == fetched->end()) {
      co_return Fail(v1::INVALID_CONFIG, "{} cannot be read from ZooKeeper", level.path);
    }
    TM_CO_ASSIGN_OR_RETURN(Properties held, Decoded(level.path, found->second));
    // Those of users are in force for nobody, so there is none that stays.
    const bool of_client = zkpath::Parent(level.path) == zkpath::kConfigClients;
    const auto known = of_client ? clients_.find(std::string(zkpath::BaseName(level.path))) : clients_.end();
    PassOver(level.source, CheckQuota, known == clients_.end() ? Properties() : known->second.good, &held,
             &out.passed_over);
    values.push_back(std::move(held));
  }
  for (const ConfigDef& def : QuotaConfigTable().defs()) {
    ConfigInForce config{.def = &def};
    for (size_t i = 0; i < levels.size(); ++i) {
      const auto it = values[i].find(std::string_view(def.name));
      if (it != values[i].end()) config.synonyms.push_back({levels[i].source, def.name, it->second});
    }
    if (!config.synonyms.empty()) out.in_force.push_back(std::move(config));
  }
  co_return out;
}

Task<Result<std::vector<std::string>>> QuotaWatcher::Children(std::string folder) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  ZkResult<std::vector<std::string>> children = std::unexpected(ZkCode::kConnectionLoss);
  if (session) children = co_await session->Children(folder, nullptr);
  if (!children && children.error() != ZkCode::kNoNode) {
    co_return Fail(v1::BROKER_NOT_READY, "{} cannot be read from ZooKeeper: {}", folder,
                   ToString(children.error()));
  }
  if (!children) co_return std::vector<std::string>();
  std::ranges::sort(*children);  // "<default>" comes first
  co_return std::move(*children);
}

Task<Result<std::vector<v1::ConfigEntity>>> QuotaWatcher::Entities(v1::ConfigEntityType type) {
  const bool clients = type == v1::CONFIG_ENTITY_TYPE_CLIENT;
  const std::string folder(clients ? zkpath::kConfigClients : zkpath::kConfigUsers);
  TM_CO_ASSIGN_OR_RETURN(const auto children, co_await Children(folder));
  std::vector<std::string> paths;
  for (const std::string& child : children) paths.push_back(fmt::format("{}/{}", folder, child));
  // Of a user whose znode only stands above its pairs nothing is told.
  const auto fetched = co_await Fetch(clients ? std::vector<std::string>() : paths);
  if (!fetched) {
    co_return Fail(v1::BROKER_NOT_READY, "{} cannot be read from ZooKeeper: {}", folder,
                   ToString(fetched.error()));
  }
  std::vector<v1::ConfigEntity> out;
  for (size_t i = 0; i < children.size(); ++i) {
    const auto name = NameOf(children[i]);
    if (!name) continue;
    v1::ConfigEntity entity;
    entity.set_type(type);
    entity.set_name(*name);
    const auto found = fetched->find(paths[i]);
    const bool parent = found != fetched->end() && found->second && found->second->stat.num_children > 0;
    const Result<Properties> held = parent ? Decoded(paths[i], found->second) : Properties();
    if (!parent || !held || !held->empty()) out.push_back(entity);
    if (!parent) continue;
    TM_CO_ASSIGN_OR_RETURN(const auto of_user, co_await Children(paths[i] + "/clients"));
    for (const std::string& child : of_user) {
      const auto client = NameOf(child);
      if (!client) continue;
      entity.set_client_id(*client);
      out.push_back(entity);
    }
  }
  co_return out;
}

}  // namespace tidemark
