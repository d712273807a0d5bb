#include "broker/server/config_changes.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kChangePause = 100ms;
constexpr Duration kLongestPause = 5s;
constexpr Duration kNotificationLife = std::chrono::minutes(15);

}  // namespace

ConfigChanges::ConfigChanges(EventLoop& loop, ZkKeeper& keeper)
    : loop_(loop), keeper_(keeper), scope_(loop, "config changes") {
  keeper_.AddListener(this);
}

ConfigChanges::~ConfigChanges() { keeper_.RemoveListener(this); }

Task<void> ConfigChanges::Close() { co_await scope_.Close(); }

void ConfigChanges::Start() {
  started_ = true;
  LookAgain();
}

void ConfigChanges::OnZkUp(ZkSession& /*session*/, bool /*new_session*/) {
  ++rounds_wanted_;
  if (started_) LookAgain();
}

void ConfigChanges::LookAgain() {
  if (scope_.stopping()) return;
  look_again_ = true;
  if (!following_) scope_.Spawn("follow config changes", Follow());
}

Task<void> ConfigChanges::Follow() {
  following_ = true;
  Duration pause = kChangePause;
  while (look_again_ && !scope_.stopping()) {
    look_again_ = false;
    const ZkResult<> read = co_await ReadChanges();
    if (read) {
      pause = kChangePause;
      continue;
    }
    if (!keeper_.connected()) break;
    look_again_ = true;
    LOG(WARNING) << "configs cannot be read from ZooKeeper: " << ToString(read.error()) << "; trying again";
    (void)co_await Sleep(loop_, pause, "config changes", scope_.stop_token());
    pause = std::min(2 * pause, kLongestPause);
  }
  following_ = false;
}

Task<ZkResult<>> ConfigChanges::ReadChanges() {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
  const uint64_t round = rounds_wanted_;
  const ZkResult<std::vector<std::string>> children = co_await session->Children(
      std::string(zkpath::kConfigChanges), [this](ZkWatchEvent, const std::string&) { LookAgain(); });
  if (!children) co_return std::unexpected(children.error());
  ZkResult<ConfigChangeSet> changes = co_await ReadNotifications(*session, *children);
  if (!changes) co_return std::unexpected(changes.error());
  if (round != rounds_done_) changes->all = true;
  if (changes->all || !changes->entities.empty()) {
    for (ConfigListener* listener : listeners_) {
      const ZkResult<> heard = co_await listener->OnConfigChanges(*changes);
      if (!heard) co_return std::unexpected(heard.error());
    }
  }
  rounds_done_ = round;
  if (rounds_wanted_ != round) look_again_ = true;
  co_await Purge(*children);
  co_return ZkResult<>();
}

Task<ZkResult<ConfigChangeSet>> ConfigChanges::ReadNotifications(ZkSession& session,
                                                                 const std::vector<std::string>& children) {
  ConfigChangeSet out;
  for (const std::string& child : children) {
    if (seen_.contains(child)) continue;
    if (rounds_wanted_ != rounds_done_) continue;  // everything is read anyway
    const ZkResult<ZkNode> node = co_await session.Get(fmt::format("{}/{}", zkpath::kConfigChanges, child));
    if (!node && IsUnknownOutcome(node.error())) co_return std::unexpected(node.error());
    const Result<v1::ConfigChangeZnode> change =
        node ? DecodeConfigChange(node->data) : Fail(v1::NOT_FOUND, "{}", ToString(node.error()));
    if (change) {
      out.entities.insert(change->entity_path());
      continue;
    }
    // No telling whose it was.
    out.all = true;
    if (node || node.error() != ZkCode::kNoNode)
      LOG(ERROR) << "config notification " << child << " cannot be read: " << change.error().message;
  }
  co_return out;
}

Task<void> ConfigChanges::Purge(std::vector<std::string> children) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  const MonoTime now = loop_.Now();
  std::map<std::string, MonoTime> still;
  for (std::string& child : children) {
    const auto it = seen_.find(child);
    const MonoTime since = it == seen_.end() ? now : it->second;
    bool gone = false;
    if (now - since >= kNotificationLife && session) {
      // Every broker removes what is old; most find it gone.
      const auto removed =
          co_await session->Delete({.path = fmt::format("{}/{}", zkpath::kConfigChanges, child)});
      gone = removed || removed.error() == ZkCode::kNoNode;
    }
    if (!gone) still[std::move(child)] = since;
  }
  seen_ = std::move(still);
}

}  // namespace tidemark
