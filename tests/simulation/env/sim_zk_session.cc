#include "tests/simulation/env/sim_zk_session.h"

#include <algorithm>

#include "tests/simulation/env/sim_zk_tree.h"

namespace tidemark {
namespace {

// ZooKeeper's packet limit, less what a request's envelope takes.
constexpr size_t kMaxPacketBytes = 1'000'000;
constexpr auto kConnectRequest = uint64_t{0};

std::unexpected<ZkCode> Bad(ZkCode code) { return std::unexpected(code); }

size_t SizeOf(const ZkOp& op) {
  return std::visit(
      [](const auto& o) {
        size_t size = o.path.size() + 64;
        if constexpr (requires { o.data; }) size += o.data.size();
        return size;
      },
      op);
}

// The client library refuses bad paths itself.
bool IsValid(const ZkOp& op) {
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.mode; }) {
          if (o.mode == ZkCreateMode::kPersistentSequential || o.mode == ZkCreateMode::kEphemeralSequential) {
            return ZkTree::IsValidPath(o.path + "0");
          }
        }
        return ZkTree::IsValidPath(o.path);
      },
      op);
}

}  // namespace

SimZkCore::SimZkCore(SimLoop& loop, ZkSessionOptions options, ZkSessionHandler* handler)
    : loop_(loop),
      options_(std::move(options)),
      handler_(handler),
      session_id_(options_.session_id),
      password_(options_.password),
      timeout_(options_.session_timeout),
      last_answered_sent_(loop.Now()),
      connecting_since_(loop.Now()),
      last_sent_(loop.Now()) {
  const size_t slash = options_.connect.find('/');
  if (slash != std::string::npos) chroot_ = options_.connect.substr(slash);
  if (chroot_ == "/") chroot_.clear();
  // Only the ensemble's own name leads anywhere.
  known_servers_ = options_.connect.find(SimZooKeeper::kHost) < slash;
}

std::string SimZkCore::Full(const std::string& path) const {
  if (chroot_.empty() || path.empty() || path[0] != '/') return path;
  return path == "/" ? chroot_ : chroot_ + path;
}

std::string SimZkCore::Shown(const std::string& path) const {
  if (!path.starts_with(chroot_)) return path;
  return path.size() == chroot_.size() ? "/" : path.substr(chroot_.size());
}

void SimZkCore::OnLoop(Duration delay, std::function<void(SimZkCore&)> fn) {
  loop_.Schedule(loop_.Now() + delay, [weak = weak_from_this(), fn = std::move(fn)] {
    auto self = weak.lock();
    if (self && self->state_ != ZkState::kClosed && self->state_ != ZkState::kExpired) fn(*self);
  });
}

void SimZkCore::Begin() {
  OnLoop(loop_.process().world().random().Between(100us, 5ms), [](SimZkCore& core) { core.TryConnect(); });
  Tick();
}

void SimZkCore::TryConnect() {
  if (connection_) return;
  SimProcess& process = loop_.process();
  if (known_servers_) connection_ = process.world().zookeeper().Open(process.host(), weak_from_this());
  if (!connection_) return Retry();
  connecting_since_ = loop_.Now();
  last_sent_ = loop_.Now();
  Request request{.kind = Request::Kind::kConnect, .id = kConnectRequest};
  request.session_id = session_id_;
  request.password = password_;
  request.timeout = options_.session_timeout;
  process.world().zookeeper().Send(connection_, std::move(request));
}

void SimZkCore::Retry() {
  const uint64_t attempt = ++attempt_;
  OnLoop(loop_.process().world().random().Between(20ms, 1s), [attempt](SimZkCore& core) {
    if (core.attempt_ == attempt) core.TryConnect();
  });
}

// Heartbeats, and the time-outs that the client library keeps itself.
void SimZkCore::Tick() {
  OnLoop(std::max<Duration>(timeout_ / 16, 10ms), [](SimZkCore& core) { core.Tick(); });
  const MonoTime now = loop_.Now();
  std::map<uint64_t, Pending> late;
  for (auto it = queued_.begin(); it != queued_.end();) {
    auto next = std::next(it);
    if (now - it->second.since >= Silence()) late.insert(queued_.extract(it));
    it = next;
  }
  FailAll(std::move(late), ZkCode::kConnectionLoss);
  if (!connection_) return;
  if (state_ == ZkState::kConnecting) {
    if (now - connecting_since_ >= Silence()) Disconnected();
    return;
  }
  if (!outstanding_.empty() && now - outstanding_.begin()->second.since >= Silence()) return Disconnected();
  if (now - last_sent_ >= timeout_ / 4 && outstanding_.empty()) (void)Call({.kind = Request::Kind::kPing});
}

SimZkCore::Slot SimZkCore::Call(Request request, ZkWatch watch) {
  Slot slot = std::make_shared<OneShot<Reply>>(loop_);
  if (!loop_.process().alive()) return slot;  // never answered: nothing waits any more
  if (state_ == ZkState::kClosed || state_ == ZkState::kExpired) {
    slot->Set({.code = state_ == ZkState::kClosed ? ZkCode::kClosing : ZkCode::kSessionExpired});
    return slot;
  }
  request.id = ++last_request_;
  request.watch = watch != nullptr;
  Pending pending{std::move(request), slot, std::move(watch), loop_.Now()};
  if (state_ == ZkState::kConnected) {
    Transmit(std::move(pending));
  } else {
    queued_.emplace(pending.request.id, std::move(pending));
  }
  return slot;
}

void SimZkCore::Transmit(Pending pending) {
  pending.since = last_sent_ = loop_.Now();
  loop_.process().world().zookeeper().Send(connection_, pending.request);
  outstanding_.emplace(pending.request.id, std::move(pending));
}

void SimZkCore::OnReply(Reply reply) {
  OnLoop({}, [connection = connection_, reply = std::move(reply)](SimZkCore& core) mutable {
    if (core.connection_ != connection) return;
    if (reply.id == kConnectRequest) {
      core.HandleConnected(reply);
    } else {
      core.HandleReply(std::move(reply));
    }
  });
}

void SimZkCore::OnEvent(ZkWatchEvent event, const std::string& path, int64_t zxid) {
  OnLoop({}, [connection = connection_, event, path, zxid](SimZkCore& core) {
    if (core.connection_ != connection) return;
    core.last_zxid_ = std::max(core.last_zxid_, zxid);
    core.HandleEvent(event, path);
  });
}

void SimZkCore::OnDisconnect() {
  OnLoop({}, [connection = connection_](SimZkCore& core) {
    if (connection && core.connection_ == connection) core.Disconnected();
  });
}

void SimZkCore::HandleConnected(const Reply& reply) {
  if (reply.code == ZkCode::kSessionExpired) return Expired();
  session_id_ = reply.session_id;
  password_ = reply.password;
  timeout_ = reply.timeout;
  last_answered_sent_ = connecting_since_;
  state_ = ZkState::kConnected;
  SendWatches();
  for (auto& [id, pending] : std::exchange(queued_, {})) Transmit(std::move(pending));
  if (handler_ != nullptr) handler_->OnZkState(ZkState::kConnected);
}

void SimZkCore::SendWatches() {
  Request request{.kind = Request::Kind::kSetWatches};
  request.last_zxid = last_zxid_;
  for (const auto& [path, watches] : data_watches_) request.data_watches.insert(path);
  for (const auto& [path, watches] : exist_watches_) request.exist_watches.insert(path);
  for (const auto& [path, watches] : child_watches_) request.child_watches.insert(path);
  loop_.process().world().zookeeper().Send(connection_, std::move(request));
}

void SimZkCore::HandleReply(Reply reply) {
  auto node = outstanding_.extract(reply.id);
  if (node.empty()) return;
  const Pending& call = node.mapped();
  last_answered_sent_ = std::max(last_answered_sent_, call.since);
  last_zxid_ = std::max(last_zxid_, reply.zxid);
  if (call.watch) KeepWatch(call, reply.code);
  call.slot->Set(std::move(reply));
}

void SimZkCore::KeepWatch(const Pending& call, ZkCode code) {
  using Kind = Request::Kind;
  Watches* table = nullptr;
  if (code == ZkCode::kOk) {
    table = call.request.kind == Kind::kChildren ? &child_watches_ : &data_watches_;
  } else if (code == ZkCode::kNoNode && call.request.kind == Kind::kExists) {
    table = &exist_watches_;
  }
  if (table != nullptr) (*table)[call.request.path].push_back(call.watch);
}

void SimZkCore::HandleEvent(ZkWatchEvent event, const std::string& path) {
  std::vector<ZkWatch> fired;
  const auto take = [&](Watches& table) {
    if (auto node = table.extract(path)) {
      std::move(node.mapped().begin(), node.mapped().end(), std::back_inserter(fired));
    }
  };
  if (event != ZkWatchEvent::kChildrenChanged) {
    take(data_watches_);
    take(exist_watches_);
  }
  if (event == ZkWatchEvent::kChildrenChanged || event == ZkWatchEvent::kDeleted) take(child_watches_);
  const std::string shown = Shown(path);
  for (const ZkWatch& watch : fired) {
    if (state_ == ZkState::kClosed) return;  // closed by the watch before
    watch(event, shown);
  }
}

void SimZkCore::FailAll(std::map<uint64_t, Pending> calls, ZkCode code) {
  for (auto& [id, call] : calls) call.slot->Set({.code = code});
}

void SimZkCore::Disconnected() {
  loop_.process().world().zookeeper().Drop(std::exchange(connection_, nullptr));
  const bool was_connected = state_ == ZkState::kConnected;
  state_ = ZkState::kConnecting;
  FailAll(std::exchange(outstanding_, {}), ZkCode::kConnectionLoss);
  Retry();
  if (was_connected && handler_ != nullptr) handler_->OnZkState(ZkState::kConnecting);
}

void SimZkCore::Expired() {
  state_ = ZkState::kExpired;
  loop_.process().world().zookeeper().Drop(std::exchange(connection_, nullptr));
  FailAll(std::exchange(outstanding_, {}), ZkCode::kSessionExpired);
  FailAll(std::exchange(queued_, {}), ZkCode::kSessionExpired);
  data_watches_.clear();
  exist_watches_.clear();
  child_watches_.clear();
  if (handler_ != nullptr) std::exchange(handler_, nullptr)->OnZkState(ZkState::kExpired);
}

void SimZkCore::Shut() {
  if (state_ == ZkState::kClosed) return;
  state_ = ZkState::kClosed;
  handler_ = nullptr;
  if (connection_ && loop_.process().alive()) {
    loop_.process().world().zookeeper().Drop(connection_);
  }
  connection_ = nullptr;
  FailAll(std::exchange(outstanding_, {}), ZkCode::kClosing);
  FailAll(std::exchange(queued_, {}), ZkCode::kClosing);
  data_watches_.clear();
  exist_watches_.clear();
  child_watches_.clear();
}

SimZkSession::~SimZkSession() { core_->Shut(); }

SimZkCore::Slot SimZkSession::Read(SimZooKeeper::Request::Kind kind, const std::string& path, ZkWatch watch) {
  core_->loop().CheckOwner();
  SimZooKeeper::Request request{.kind = kind};
  request.path = core_->Full(path);
  if (ZkTree::IsValidPath(path)) return core_->Call(std::move(request), std::move(watch));
  auto slot = std::make_shared<OneShot<SimZooKeeper::Reply>>(core_->loop());
  slot->Set({.code = ZkCode::kInvalidArguments});
  return slot;
}

// Every slot is set in the end, so the waits below need no deadline and their errors cannot happen.
Task<ZkResult<ZkNode>> SimZkSession::Get(std::string path, ZkWatch watch) {
  auto slot = Read(SimZooKeeper::Request::Kind::kGet, path, std::move(watch));
  auto reply = co_await slot->Wait("zk get");
  if (reply->code != ZkCode::kOk) co_return Bad(reply->code);
  co_return std::move(reply->node);
}

Task<ZkResult<std::optional<ZkStat>>> SimZkSession::Exists(std::string path, ZkWatch watch) {
  auto slot = Read(SimZooKeeper::Request::Kind::kExists, path, std::move(watch));
  auto reply = co_await slot->Wait("zk exists");
  if (reply->code == ZkCode::kNoNode) co_return std::optional<ZkStat>();
  if (reply->code != ZkCode::kOk) co_return Bad(reply->code);
  co_return std::optional<ZkStat>(reply->node.stat);
}

Task<ZkResult<std::vector<std::string>>> SimZkSession::Children(std::string path, ZkWatch watch) {
  auto slot = Read(SimZooKeeper::Request::Kind::kChildren, path, std::move(watch));
  auto reply = co_await slot->Wait("zk children");
  if (reply->code != ZkCode::kOk) co_return Bad(reply->code);
  co_return std::move(reply->children);
}

Task<ZkResult<ZkOpResult>> SimZkSession::One(ZkOp op) {
  core_->loop().CheckOwner();
  if (!IsValid(op)) co_return Bad(ZkCode::kInvalidArguments);
  if (SizeOf(op) > kMaxPacketBytes) co_return Bad(ZkCode::kTooLarge);
  const std::shared_ptr<SimZkCore> core = core_;
  std::visit([&](auto& o) { o.path = core->Full(o.path); }, op);
  SimZooKeeper::Request request{.kind = SimZooKeeper::Request::Kind::kWrite};
  request.ops.push_back(std::move(op));
  auto slot = core->Call(std::move(request));
  auto reply = co_await slot->Wait("zk write");
  if (reply->code != ZkCode::kOk) co_return Bad(reply->code);
  ZkOpResult result = std::move(reply->results.at(0));
  result.path = core->Shown(result.path);
  co_return result;
}

Task<ZkResult<ZkCreated>> SimZkSession::Create(ZkCreate op) {
  auto result = co_await One(std::move(op));
  if (!result) co_return Bad(result.error());
  co_return ZkCreated{std::move(result->path), result->stat};
}

Task<ZkResult<ZkStat>> SimZkSession::Set(ZkSet op) {
  auto result = co_await One(std::move(op));
  if (!result) co_return Bad(result.error());
  co_return result->stat;
}

Task<ZkResult<>> SimZkSession::Delete(ZkDelete op) {
  auto result = co_await One(std::move(op));
  if (!result) co_return Bad(result.error());
  co_return ZkResult<>();
}

Task<ZkResult<std::vector<ZkOpResult>>> SimZkSession::Multi(std::vector<ZkOp> ops) {
  core_->loop().CheckOwner();
  size_t size = 0;
  for (const ZkOp& op : ops) {
    if (!IsValid(op)) co_return Bad(ZkCode::kInvalidArguments);
    size += SizeOf(op);
  }
  if (size > kMaxPacketBytes) co_return Bad(ZkCode::kTooLarge);
  if (ops.empty()) co_return std::vector<ZkOpResult>();
  const std::shared_ptr<SimZkCore> core = core_;
  for (ZkOp& op : ops) std::visit([&](auto& o) { o.path = core->Full(o.path); }, op);
  SimZooKeeper::Request request{.kind = SimZooKeeper::Request::Kind::kMulti};
  request.ops = std::move(ops);
  auto slot = core->Call(std::move(request));
  auto reply = co_await slot->Wait("zk multi");
  if (reply->code != ZkCode::kOk) co_return Bad(reply->code);
  for (ZkOpResult& result : reply->results) result.path = core->Shown(result.path);
  co_return std::move(reply->results);
}

Task<ZkResult<>> SimZkSession::Sync(std::string path) {
  auto slot = Read(SimZooKeeper::Request::Kind::kSync, path, nullptr);
  auto reply = co_await slot->Wait("zk sync");
  if (reply->code != ZkCode::kOk) co_return Bad(reply->code);
  co_return ZkResult<>();
}

Task<void> SimZkSession::Close() {
  core_->loop().CheckOwner();
  const std::shared_ptr<SimZkCore> core = core_;
  core->Mute();
  if (core->state() == ZkState::kConnected) {
    // Answered, or failed by the client's own time-outs.
    auto slot = core->Call({.kind = SimZooKeeper::Request::Kind::kClose});
    (void)co_await slot->Wait("zk close");
  }
  core->Shut();
}

std::unique_ptr<ZkSession> SimCoordination::Connect(EventLoop& loop, ZkSessionOptions options,
                                                    ZkSessionHandler* handler) {
  auto* sim = dynamic_cast<SimLoop*>(&loop);
  CHECK(sim != nullptr && &sim->process() == &process_) << "a session lives on a loop of its own process";
  auto core = std::make_shared<SimZkCore>(*sim, std::move(options), handler);
  core->Begin();
  return std::make_unique<SimZkSession>(std::move(core));
}

}  // namespace tidemark
