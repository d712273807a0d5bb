#include "common/zk/zk_session_core.h"

#include <glog/logging.h>

#include <utility>

namespace tidemark {
namespace {

// A context of the keep-fresh reads: the answer is all that matters.
void OnProbe(int rc, const struct Stat*, const void* context) {
  ZkReply reply;
  reply.rc = rc;
  ZkSessionCore::Deliver(context, std::move(reply));
}

std::optional<ZkWatchEvent> WatchEventOf(int type) {
  if (type == ZOO_CREATED_EVENT) return ZkWatchEvent::kCreated;
  if (type == ZOO_DELETED_EVENT) return ZkWatchEvent::kDeleted;
  if (type == ZOO_CHANGED_EVENT) return ZkWatchEvent::kDataChanged;
  if (type == ZOO_CHILD_EVENT) return ZkWatchEvent::kChildrenChanged;
  return std::nullopt;  // session events go to every watch as well; the session's own watcher sees to them
}

// Whether the library has registered the watch of a call that ended so.
bool WatchIsSet(ZkSessionCore::WatchKind kind, int rc) {
  return rc == ZOK || (kind == ZkSessionCore::WatchKind::kExists && rc == ZNONODE);
}

}  // namespace

ZkSessionCore::ZkSessionCore(EventLoop& loop, ZkSessionOptions options, ZkSessionHandler* handler)
    : loop_(loop), options_(std::move(options)), handler_(handler), closed_(loop) {}

ZkSessionCore::~ZkSessionCore() { CHECK(handle_life_ == nullptr) << "a ZooKeeper session's core left open"; }

void ZkSessionCore::Open() {
  loop_.CheckOwner();
  link_ = Link{loop_.handle(), weak_from_this()};
  ZkHandle::Options options;
  options.connect = options_.connect;
  options.session_timeout = options_.session_timeout;
  options.session_id = options_.session_id;
  options.password = options_.password;
  options.on_session_event = &ZkSessionCore::OnSessionEvent;
  options.context = &link_;
  options.on_opened = [link = link_](zhandle_t* handle) {
    link.loop->Post([core = link.core, handle] {
      if (auto self = core.lock()) self->AdoptHandle(handle);
    });
  };
  options.on_closed = [link = link_] {
    link.loop->Post([core = link.core] {
      if (auto self = core.lock()) {
        self->handle_closed_ = true;
        self->closed_.NotifyAll();
      }
    });
  };
  handle_life_ = std::make_unique<ZkHandle>(std::move(options));
}

// --- On the library's threads
// -------------------------------------------------------------------------------------

void ZkSessionCore::OnSessionEvent(zhandle_t* handle, int type, int state, const char*, void* context) {
  if (type != ZOO_SESSION_EVENT) return;
  const Link& link = *static_cast<const Link*>(context);
  SessionEvent event;
  event.state = state;
  if (state == ZOO_CONNECTED_STATE) {
    const clientid_t* client = zoo_client_id(handle);
    event.session_id = client->client_id;
    event.password.assign(client->passwd, sizeof client->passwd);
    event.timeout = std::chrono::milliseconds(zoo_recv_timeout(handle));
  }
  link.loop->Post([core = link.core, handle, event = std::move(event)]() mutable {
    if (auto self = core.lock()) self->HandleSessionEvent(handle, std::move(event));
  });
}

void ZkSessionCore::OnWatch(zhandle_t*, int type, int, const char* path, void* context) {
  const std::optional<ZkWatchEvent> event = WatchEventOf(type);
  if (!event) return;
  const WatchContext& watch = *static_cast<const WatchContext*>(context);
  watch.link->loop->Post([core = watch.link->core, id = watch.id, event = *event, path = std::string(path)] {
    if (auto self = core.lock()) self->FireWatch(id, event, path);
  });
}

void ZkSessionCore::Deliver(const void* context, ZkReply reply) {
  auto* call = const_cast<CallContext*>(static_cast<const CallContext*>(context));
  call->Collect(reply);
  call->link->loop->Post([core = call->link->core, id = call->id, reply = std::move(reply)]() mutable {
    if (auto self = core.lock()) self->CompleteCall(id, std::move(reply), AnsweredByServer(reply.rc));
  });
}

// --- On the loop
// --------------------------------------------------------------------------------------------------

Task<ZkReply> ZkSessionCore::Call(std::shared_ptr<ZkSessionCore> self, const char* name, Submit submit,
                                  std::unique_ptr<CallContext> context, WatchKind kind, ZkWatch watch) {
  self->loop_.CheckOwner();
  if (self->ended()) {
    ZkReply reply;
    reply.rc = self->state_ == ZkState::kExpired ? ZSESSIONEXPIRED : ZCLOSING;
    co_return reply;
  }
  const uint64_t id = self->next_id_++;
  PendingCall& call = self->AddCall(id, std::move(context), std::move(submit));
  call.kind = kind;
  if (watch) {
    auto watch_context = std::make_unique<WatchContext>();
    watch_context->link = &self->link_;
    watch_context->id = call.watch_id = self->next_id_++;
    watch_context->watch = std::move(watch);
    self->watches_.emplace(call.watch_id, std::move(watch_context));
  }
  OneShot<ZkReply> answer(self->loop_);
  call.done = [answer](ZkReply reply) mutable { answer.Set(std::move(reply)); };
  if (self->handle_ != nullptr) {
    self->SubmitCall(id);
  } else {
    self->before_open_.push_back(id);
  }
  // Bounded by the library: it ends each call with an answer, or when it gives the connection up.
  Result<ZkReply> reply = co_await answer.Wait(name);
  CHECK(reply.has_value());
  co_return *std::move(reply);
}

ZkSessionCore::PendingCall& ZkSessionCore::AddCall(uint64_t id, std::unique_ptr<CallContext> context,
                                                   Submit submit) {
  context->link = &link_;
  context->id = id;
  PendingCall& call = calls_[id];
  call.context = std::move(context);
  call.submit = std::move(submit);
  return call;
}

void ZkSessionCore::AdoptHandle(zhandle_t* handle) {
  if (ended() || handle_ != nullptr) return;
  handle_ = handle;
  for (const uint64_t id : std::exchange(before_open_, {})) SubmitCall(id);
}

void ZkSessionCore::SubmitCall(uint64_t id) {
  PendingCall& call = calls_.at(id);
  const Submit submit = std::exchange(call.submit, nullptr);
  const void* watch = call.watch_id == 0 ? nullptr : watches_.at(call.watch_id).get();
  call.sent = loop_.Now();
  const int rc = submit(handle_, watch, call.context.get());
  if (rc == ZOK) return;
  ZkReply refused;  // the library took nothing and will call nobody
  refused.rc = rc;
  CompleteCall(id, std::move(refused), false);
}

void ZkSessionCore::CompleteCall(uint64_t id, ZkReply reply, bool answered) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  PendingCall call = std::move(it->second);
  calls_.erase(it);
  if (answered) last_answered_sent_ = std::max(last_answered_sent_, call.sent);
  if (call.watch_id != 0 && !WatchIsSet(call.kind, reply.rc)) watches_.erase(call.watch_id);
  if (call.done) call.done(std::move(reply));
}

void ZkSessionCore::FireWatch(uint64_t id, ZkWatchEvent event, const std::string& path) {
  const auto it = watches_.find(id);
  if (it == watches_.end() || ended()) return;
  const std::unique_ptr<WatchContext> context = std::move(it->second);  // the library is through with it
  watches_.erase(it);
  if (context->watch) context->watch(event, path);
}

void ZkSessionCore::HandleSessionEvent(zhandle_t* handle, SessionEvent event) {
  if (ended()) return;
  AdoptHandle(handle);
  if (event.state == ZOO_CONNECTED_STATE) {
    Connected(std::move(event));
  } else if (event.state == ZOO_EXPIRED_SESSION_STATE) {
    Expired();
  } else if (event.state == ZOO_AUTH_FAILED_STATE) {
    LOG(ERROR) << "ZooKeeper refused the authentication of session 0x" << std::hex << session_id_;
    Expired();
  } else {
    Disconnected();
  }
}

void ZkSessionCore::Connected(SessionEvent event) {
  session_id_ = event.session_id;
  password_ = std::move(event.password);
  negotiated_timeout_ = event.timeout;
  linked_ = true;
  ++connection_;
  // The connection is announced with its first answer, so that the lease runs from the first moment on.
  Probe();
  loop_.CancelTimer(fresh_timer_);
  fresh_timer_ = loop_.StartTimerAfter(negotiated_timeout_ / 6, [this] { KeepFresh(); });
}

void ZkSessionCore::Disconnected() {
  linked_ = false;
  if (state_ == ZkState::kConnected) Announce(ZkState::kConnecting);
}

void ZkSessionCore::Expired() {
  linked_ = false;
  const auto self = shared_from_this();  // the handler may let go of the session
  Announce(ZkState::kExpired);
  StopWorking(ZSESSIONEXPIRED);
}

void ZkSessionCore::Announce(ZkState state) {
  state_ = state;
  if (handler_ != nullptr) handler_->OnZkState(state);
}

void ZkSessionCore::Probe() {
  if (probing_) return;
  probing_ = true;
  const uint64_t id = next_id_++;
  PendingCall& call =
      AddCall(id, std::make_unique<CallContext>(), [](zhandle_t* handle, const void*, const void* context) {
        return zoo_aexists(handle, "/", 0, &OnProbe, context);
      });
  call.done = [this, connection = connection_](const ZkReply& reply) {
    probing_ = false;
    if (!linked_ || ended()) return;
    if (connection != connection_) return Probe();  // of an earlier connection
    if (AnsweredByServer(reply.rc) && state_ == ZkState::kConnecting) Announce(ZkState::kConnected);
  };
  SubmitCall(id);
}

// Reads something cheap when nothing else was answered for a sixth of the timeout: the lease lasts four
// sixths.
void ZkSessionCore::KeepFresh() {
  const Duration period = negotiated_timeout_ / 6;
  if (linked_ && loop_.Now() - last_answered_sent_ >= period / 2) Probe();
  fresh_timer_ = loop_.StartTimerAfter(period, [this] { KeepFresh(); });
}

// Answers what is pending and has the handle closed. Contexts stay: the library may still be using them.
void ZkSessionCore::StopWorking(int rc) {
  loop_.CancelTimer(fresh_timer_);
  fresh_timer_ = 0;
  handler_ = nullptr;
  handle_ = nullptr;
  before_open_.clear();
  std::vector<std::function<void(ZkReply)>> pending;
  for (auto& [id, call] : calls_) {
    if (call.done) pending.push_back(std::exchange(call.done, nullptr));
  }
  for (auto& [id, watch] : watches_) watch->watch = nullptr;
  for (auto& done : pending) {
    ZkReply reply;
    reply.rc = rc;
    done(std::move(reply));
  }
  if (handle_life_ != nullptr) handle_life_->RequestClose();
}

Task<void> ZkSessionCore::Close() {
  loop_.CheckOwner();
  const auto self = shared_from_this();
  if (state_ != ZkState::kClosed) {
    const bool was_working = state_ != ZkState::kExpired;
    state_ = ZkState::kClosed;
    if (was_working) StopWorking(ZCLOSING);
  }
  while (handle_life_ != nullptr && !handle_closed_) co_await closed_.Wait("ZooKeeper handle closed");
  if (handle_life_ != nullptr) {
    handle_life_->Join();  // it had nothing left to do but to end
    handle_life_.reset();
  }
}

void ZkSessionCore::Abandon() {
  if (handle_life_ == nullptr) return;
  if (!ended()) {
    state_ = ZkState::kClosed;
    StopWorking(ZCLOSING);
  }
  handler_ = nullptr;
  handle_life_.reset();
}

}  // namespace tidemark
