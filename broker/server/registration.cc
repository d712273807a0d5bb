#include "broker/server/registration.h"

#include <array>
#include <cstring>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/zk_recipes.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

// The former session's file in the first log directory.
constexpr const char* kSessionFile = "zookeeper-session";
constexpr Duration kReportEvery = 10s;
constexpr Duration kPauseAfterTrouble = 100ms;

std::string RandomId(Random& random) {
  std::array<uint8_t, TopicId::kSize> bytes;
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  return TopicId(bytes).ToBase64();
}

}  // namespace

Registration::Registration(Environment& env, EventLoop& loop, ZkKeeper& keeper, LogDirs& dirs,
                           const BrokerConfig& config, Callbacks callbacks)
    : env_(env),
      loop_(loop),
      keeper_(keeper),
      dirs_(dirs),
      config_(config),
      callbacks_(std::move(callbacks)),
      scope_(loop, "registration") {
  keeper_.AddListener(this);
}

Registration::~Registration() { keeper_.RemoveListener(this); }

Task<void> Registration::Close() { co_await scope_.Close(); }

void Registration::SetEpoch(BrokerEpoch epoch) {
  if (epoch_ == epoch) return;
  epoch_ = epoch;
  if (epoch != kNoBrokerEpoch) waiting_for_.clear();
  callbacks_.on_epoch(epoch);
}

void Registration::OnZkExpired() {
  waiting_for_ = "the ZooKeeper session expired; not registered";
  SetEpoch(kNoBrokerEpoch);
}

void Registration::OnZkUp(ZkSession& /*session*/, bool new_session) {
  if (!new_session || !begun_ || registering_ || scope_.stopping()) return;
  scope_.Spawn("register again", RegisterAgain());
}

Task<Result<std::shared_ptr<ZkSession>>> Registration::Connected() {
  while (true) {
    TM_CO_RETURN_IF_ERROR(co_await keeper_.WaitConnected(kNoDeadline, scope_.stop_token()));
    if (std::shared_ptr<ZkSession> session = keeper_.HoldSession()) co_return session;
    // Connected, but not announced yet.
    if (co_await Sleep(loop_, kPauseAfterTrouble, "session announced", scope_.stop_token()) ==
        WaitOutcome::kStopped) {
      co_return Fail(v1::CANCELLED, "stopped");
    }
  }
}

Task<Result<BrokerIdentity>> Registration::Identify() {
  while (true) {
    TM_CO_ASSIGN_OR_RETURN(std::shared_ptr<ZkSession> session, co_await Connected());
    const ZkResult<> ensured = co_await EnsurePersistentPaths(*session);
    if (ensured) break;
    if (!IsUnknownOutcome(ensured.error())) {
      co_return Fail(v1::POLICY_VIOLATION, "ZooKeeper refuses to create the cluster's paths: {}",
                     ToString(ensured.error()));
    }
    (void)co_await Sleep(loop_, kPauseAfterTrouble, "zookeeper trouble", scope_.stop_token());
  }
  TM_CO_ASSIGN_OR_RETURN(std::string cluster, co_await ClusterId());
  const std::optional<std::string>& stored_cluster = dirs_.stored_cluster_id();
  if (stored_cluster && *stored_cluster != cluster) {
    co_return Fail(v1::INCONSISTENT_CLUSTER_ID, "log.dirs belong to the cluster {}, but {} is the cluster {}",
                   *stored_cluster, config_.zookeeper_connect, cluster);
  }
  const std::optional<BrokerId>& stored = dirs_.stored_broker_id();
  BrokerId id = config_.broker_id;
  if (id != kNoBroker && stored && *stored != id) {
    co_return Fail(v1::INVALID_CONFIG, "broker.id={} but log.dirs belong to broker {}", id, *stored);
  }
  if (id == kNoBroker && stored) id = *stored;
  if (id == kNoBroker) {
    TM_CO_ASSIGN_OR_RETURN(id, co_await GenerateBrokerId());
  }
  TM_CO_RETURN_IF_ERROR(co_await dirs_.Bind(id, cluster));
  co_return BrokerIdentity{.cluster_id = std::move(cluster), .broker_id = id};
}

Task<Result<std::string>> Registration::ClusterId() {
  const std::string path(zkpath::kClusterId);
  while (true) {
    TM_CO_ASSIGN_OR_RETURN(std::shared_ptr<ZkSession> session, co_await Connected());
    const ZkResult<ZkNode> node = co_await session->Get(path);
    if (node) {
      Result<v1::ClusterIdZnode> decoded = DecodeClusterId(node->data);
      if (!decoded) {
        co_return Fail(v1::POLICY_VIOLATION, "{} cannot be read: {}", path, decoded.error().message);
      }
      co_return decoded->id();
    }
    if (node.error() == ZkCode::kNoNode) {
      v1::ClusterIdZnode fresh;
      fresh.set_id(RandomId(env_.random()));
      // Whoever creates it first decides; everybody reads it again.
      const auto created = co_await session->Create({.path = path, .data = EncodeClusterId(fresh)});
      if (created) continue;
      if (created.error() != ZkCode::kNodeExists && !IsUnknownOutcome(created.error())) {
        co_return Fail(v1::POLICY_VIOLATION, "{}", DescribeZk(created.error(), "creating", path));
      }
    } else if (!IsUnknownOutcome(node.error())) {
      co_return Fail(v1::POLICY_VIOLATION, "{}", DescribeZk(node.error(), "getting", path));
    }
    (void)co_await Sleep(loop_, kPauseAfterTrouble, "zookeeper trouble", scope_.stop_token());
  }
}

Task<Result<BrokerId>> Registration::GenerateBrokerId() {
  while (true) {
    TM_CO_ASSIGN_OR_RETURN(std::shared_ptr<ZkSession> session, co_await Connected());
    // Each write raises the version; a number drawn twice because an answer was lost is merely skipped.
    const ZkResult<ZkStat> stat =
        co_await session->Set({.path = std::string(zkpath::kBrokerSeqId), .data = ""});
    if (stat) co_return static_cast<BrokerId>(config_.reserved_broker_max_id + stat->version);
    if (!IsUnknownOutcome(stat.error())) {
      co_return Fail(v1::POLICY_VIOLATION, "{}", DescribeZk(stat.error(), "setting", zkpath::kBrokerSeqId));
    }
    (void)co_await Sleep(loop_, kPauseAfterTrouble, "zookeeper trouble", scope_.stop_token());
  }
}

Task<void> Registration::EndFormerSession() {
  const Result<std::string> text = co_await dirs_.ReadSmall(kSessionFile);
  if (!text) co_return;  // none: the first life, or the last one left ZooKeeper properly
  const Result<ZkFormerSession> former = DecodeFormerSession(*text);
  if (!former) {
    LOG(WARNING) << "the former ZooKeeper session cannot be read: " << former.error().message;
    co_return;
  }
  const Result<> ended = co_await ZkKeeper::EndFormerSession(
      loop_, env_.coordination(), config_.zookeeper_connect, config_.zookeeper_session_timeout, *former, 3s,
      scope_.stop_token());
  if (!ended) {
    LOG(WARNING) << "the former ZooKeeper session could not be closed, so its end is waited for: "
                 << ended.error().message;
  }
}

Task<Result<>> Registration::KeepSession(const ZkSession& session) {
  const int64_t id = session.session_id();
  if (kept_session_ == id) co_return Result<>();
  TM_CO_RETURN_IF_ERROR(co_await dirs_.WriteSmall(
      kSessionFile, EncodeFormerSession({.session_id = id, .password = session.password()})));
  kept_session_ = id;
  co_return Result<>();
}

Task<Result<BrokerEpoch>> Registration::Register(BrokerId id, v1::BrokerZnode node) {
  CHECK(!begun_);
  id_ = id;
  node_ = std::move(node);
  co_await EndFormerSession();
  begun_ = true;
  co_return co_await RegisterUntilDone();
}

Task<Result<BrokerEpoch>> Registration::RegisterUntilDone() {
  registering_ = true;
  while (true) {
    Result<std::shared_ptr<ZkSession>> session = co_await Connected();
    if (!session) {
      registering_ = false;
      co_return std::unexpected(session.error());
    }
    Result<std::optional<BrokerEpoch>> tried = co_await TryRegister(*session);
    if (!tried) {
      registering_ = false;
      co_return std::unexpected(tried.error());
    }
    // An expiry that came meanwhile has been told before; what was registered with it is gone.
    if (*tried && keeper_.HoldSession() == *session && (*session)->state() != ZkState::kExpired) {
      registering_ = false;
      registered_once_ = true;
      stranger_since_.reset();
      SetEpoch(**tried);
      LOG(INFO) << "broker " << id_ << " registered with broker epoch " << **tried;
      co_return **tried;
    }
  }
}

Task<void> Registration::RegisterAgain() {
  const Result<BrokerEpoch> epoch = co_await RegisterUntilDone();
  if (!epoch && epoch.error().code != v1::CANCELLED) callbacks_.on_conflict(epoch.error());
}

Task<Result<std::optional<BrokerEpoch>>> Registration::TryRegister(std::shared_ptr<ZkSession> session) {
  if (Result<> kept = co_await KeepSession(*session); !kept) {
    // Without the file a crash costs a session timeout, nothing else.
    LOG(WARNING) << "the ZooKeeper session could not be noted: " << kept.error().message;
  }
  node_.set_timestamp(env_.clock().WallNow());
  // A restart within the process's life loses nothing; but the stop before it is told until a controller has
  // acted on it: this registration may be the first that one reads.
  node_.set_clean_shutdown(dirs_.last_stop_was_clean() || callbacks_.stop_is_known());
  node_.set_new_log_dirs(dirs_.may_have_lost_logs());
  const std::string path = zkpath::Broker(id_);
  std::vector<ZkOp> ops;
  // Created empty, then set in the same transaction: the set's answer carries the czxid, which is the broker
  // epoch.
  ops.push_back(ZkCreate{.path = path, .data = "", .mode = ZkCreateMode::kEphemeral});
  ops.push_back(ZkSet{.path = path, .data = EncodeBroker(node_), .version = 0});
  const ZkResult<std::vector<ZkOpResult>> multi = co_await session->Multi(std::move(ops));
  const ZkCode code = multi ? multi->front().code : multi.error();
  if (code == ZkCode::kOk && multi->size() == 2 && (*multi)[1].code == ZkCode::kOk) {
    co_return std::optional((*multi)[1].stat.czxid);
  }
  if (code == ZkCode::kNodeExists) {
    const ZkResult<ZkNode> node = co_await session->Get(path);
    if (node || !IsUnknownOutcome(node.error())) co_return co_await FoundExisting(session, node);
  } else if (!IsUnknownOutcome(code)) {
    waiting_for_ = fmt::format("{}", DescribeZk(code, "creating", path));
    // Who may not register never will, and says so at once.
    if (code == ZkCode::kNoAuth && !registered_once_)
      co_return Fail(v1::POLICY_VIOLATION, "{}", waiting_for_);
    LOG_EVERY_T(ERROR, 10) << "registering failed, it is tried again: " << waiting_for_;
  }
  if (co_await Sleep(loop_, kPauseAfterTrouble, "registration trouble", scope_.stop_token()) ==
      WaitOutcome::kStopped) {
    co_return Fail(v1::CANCELLED, "stopped while registering");
  }
  co_return std::optional<BrokerEpoch>();
}

Task<Result<std::optional<BrokerEpoch>>> Registration::FoundExisting(std::shared_ptr<ZkSession> session,
                                                                     ZkResult<ZkNode> node) {
  // It went at this moment.
  if (!node && node.error() == ZkCode::kNoNode) {
    stranger_since_.reset();
    co_return std::optional<BrokerEpoch>();
  }
  // Ours: the answer to an earlier try was lost.
  if (node && node->stat.ephemeral_owner == session->session_id()) co_return std::optional(node->stat.czxid);
  const Result<v1::BrokerZnode> other =
      node ? DecodeBroker(node->data)
           : Fail(v1::POLICY_VIOLATION, "{}", DescribeZk(node.error(), "getting", zkpath::Broker(id_)));
  const bool own = other && !other->directory_id().empty() && other->directory_id() == node_.directory_id();
  const std::string where = other ? fmt::format("{}:{}", other->host(), other->port())
                                  : fmt::format("an unreadable place ({})", other.error().message);
  const MonoTime now = loop_.Now();
  if (own) {
    stranger_since_.reset();
    waiting_for_ =
        fmt::format("the own former registration of broker {} ({}) has not expired yet", id_, where);
  } else {
    if (!stranger_since_) stranger_since_ = now;
    if (now - *stranger_since_ > session->negotiated_timeout() + 1s) {
      co_return Fail(v1::POLICY_VIOLATION,
                     "broker.id={} is taken: another broker with it is registered at {}", id_, where);
    }
    waiting_for_ = fmt::format("broker.id={} is registered by another broker at {}", id_, where);
  }
  LOG(WARNING) << "waiting to register: " << waiting_for_;
  auto changed = std::make_shared<OneShot<bool>>(loop_);
  const auto stat = co_await session->Exists(
      zkpath::Broker(id_), [changed](ZkWatchEvent, const std::string&) { changed->Set(true); });
  if (!stat) {
    (void)co_await Sleep(loop_, kPauseAfterTrouble, "registration trouble", scope_.stop_token());
    co_return std::optional<BrokerEpoch>();
  }
  if (!*stat) co_return std::optional<BrokerEpoch>();
  const Duration longest =
      own ? kReportEvery : std::min<Duration>(kReportEvery, session->negotiated_timeout() / 4);
  const Result<bool> gone = co_await changed->Wait("former registration", now + longest, scope_.stop_token());
  if (!gone && gone.error().code == v1::CANCELLED) co_return std::unexpected(gone.error());
  co_return std::optional<BrokerEpoch>();
}

}  // namespace tidemark
