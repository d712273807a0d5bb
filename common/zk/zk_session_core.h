// ZkSessionCore: what is behind one session of the real Coordination: the calls in flight, the watches, the
// lease and the handle. Owned by its session (and by the coroutines that wait for an answer); touched on the
// session's loop only. Foreign threads see nothing of it but its Link and the contexts, which live until the
// handle is closed.
//
// Invariants: every call is answered exactly once, by the library, by its refusal, by the expiry or by the
// close; a context stays in its table until the library is through with it; no watch runs after expiry or
// close.
#pragma once

#include <zookeeper/zookeeper.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/wait.h"
#include "common/zk/coordination.h"
#include "common/zk/zk_handle.h"

namespace tidemark {

// A copy of what the library hands to a completion; the members that the call's kind fills.
struct ZkReply {
  int rc = 0;
  std::string data;  // value or created path
  ZkStat stat;
  std::vector<std::string> names;
  std::vector<ZkOpResult> results;
};

class ZkSessionCore final : public std::enable_shared_from_this<ZkSessionCore> {
 public:
  // How foreign threads reach the core: fixed once made.
  struct Link {
    std::shared_ptr<LoopHandle> loop;
    std::weak_ptr<ZkSessionCore> core;
  };
  // What the library carries through a call and gives back on one of its threads.
  struct CallContext {
    virtual ~CallContext() = default;
    // Called on the library's thread with the answer; for what the library wrote into the context itself.
    virtual void Collect(ZkReply&) {}
    Link* link = nullptr;
    uint64_t id = 0;
  };
  enum class WatchKind { kData, kExists, kChildren };
  // Makes the asynchronous call; its result is the library's. `watch`: null without one.
  using Submit = std::function<int(zhandle_t* handle, const void* watch, const void* call)>;

  ZkSessionCore(EventLoop& loop, ZkSessionOptions options, ZkSessionHandler* handler);
  ~ZkSessionCore();

  void Open();
  // Asks for the close and waits for it. Idempotent.
  Task<void> Close();
  // Ends everything now, blocking for the library's threads.
  void Abandon();

  // Makes a call. The core is kept alive by `self`.
  static Task<ZkReply> Call(std::shared_ptr<ZkSessionCore> self, const char* name, Submit submit,
                            std::unique_ptr<CallContext> context, WatchKind kind = WatchKind::kData,
                            ZkWatch watch = nullptr);

  // The watcher to pass to the library together with a watch context.
  static void OnWatch(zhandle_t* handle, int type, int state, const char* path, void* context);
  // Called by the completions, on a library's thread.
  static void Deliver(const void* context, ZkReply reply);

  EventLoop& loop() const { return loop_; }
  ZkState state() const { return state_; }
  int64_t session_id() const { return session_id_; }
  const std::string& password() const { return password_; }
  Duration negotiated_timeout() const { return negotiated_timeout_; }
  MonoTime last_answered_sent() const { return last_answered_sent_; }

 private:
  struct WatchContext {
    Link* link = nullptr;
    uint64_t id = 0;
    ZkWatch watch;  // the loop's
  };
  struct PendingCall {
    std::unique_ptr<CallContext> context;
    std::function<void(ZkReply)> done;  // null once it was answered otherwise
    Submit submit;                      // until the handle is open
    MonoTime sent{};
    uint64_t watch_id = 0;
    WatchKind kind = WatchKind::kData;
  };
  struct SessionEvent {
    int state = 0;
    int64_t session_id = 0;
    std::string password;
    Duration timeout{};
  };

  static void OnSessionEvent(zhandle_t* handle, int type, int state, const char* path, void* context);
  void HandleSessionEvent(zhandle_t* handle, SessionEvent event);
  void AdoptHandle(zhandle_t* handle);
  PendingCall& AddCall(uint64_t id, std::unique_ptr<CallContext> context, Submit submit);
  void SubmitCall(uint64_t id);
  void CompleteCall(uint64_t id, ZkReply reply, bool answered);
  void FireWatch(uint64_t id, ZkWatchEvent event, const std::string& path);
  void Connected(SessionEvent event);
  void Disconnected();
  void Expired();
  void Announce(ZkState state);
  void Probe();
  void KeepFresh();
  void StopWorking(int rc);
  bool ended() const { return state_ == ZkState::kExpired || state_ == ZkState::kClosed; }

  EventLoop& loop_;
  const ZkSessionOptions options_;
  ZkSessionHandler* handler_;  // null once it must hear nothing more
  Link link_;
  ZkState state_ = ZkState::kConnecting;
  int64_t session_id_ = 0;
  std::string password_;
  Duration negotiated_timeout_{};
  MonoTime last_answered_sent_{};
  zhandle_t* handle_ = nullptr;  // from its opening until the close is asked for
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, PendingCall> calls_;
  std::unordered_map<uint64_t, std::unique_ptr<WatchContext>> watches_;
  std::vector<uint64_t> before_open_;  // calls made before the handle was there, in order
  uint64_t connection_ = 0;            // counts connections of this session
  bool linked_ = false;                // the library is connected (the announcement awaits the first answer)
  bool probing_ = false;
  TimerId fresh_timer_ = 0;
  bool handle_closed_ = false;
  Notifier closed_;
  std::unique_ptr<ZkHandle> handle_life_;
};

}  // namespace tidemark
