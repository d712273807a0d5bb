// ZkKeeper: holds a broker's (or tool's) ZooKeeper session over the lives of sessions. Owned by whoever runs
// the loop; everything here is called on that loop's thread.
//
// Invariants: at most one live session; listeners hear OnZkUp(new) exactly once per session before anything
// else of it, Suspended and Up(same) in turns after, and OnZkExpired of one session before a successor is
// begun. A pointer got from here stays valid over the next kRetiredKept expiries (calls on an expired session
// answer kSessionExpired), so coroutines may finish in peace; who keeps one longer takes HoldSession().
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/scope.h"
#include "common/async/task.h"
#include "common/result.h"
#include "common/zk/coordination.h"

namespace tidemark {

// What a process needs to end the session of a former life: kept in a file of mode 0600 in its locked log
// directory.
struct ZkFormerSession {
  int64_t session_id = 0;
  std::string password;  // 16 bytes
};
// "<id in hex> <password in hex>\n" and back; CORRUPT_MESSAGE when it is not that.
std::string EncodeFormerSession(const ZkFormerSession& session);
Result<ZkFormerSession> DecodeFormerSession(std::string_view text);

class ZkKeeper final : private ZkSessionHandler {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // The session is connected: for the first time (`new_session`: no watch, no ephemeral of former sessions
    // is left, register afresh) or again after a suspension (watches live on; read state again all the same).
    virtual void OnZkUp(ZkSession& session, bool new_session) = 0;
    // The connection was lost; the session may live on, or expire unseen until the connection is back.
    virtual void OnZkSuspended() = 0;
    // The session is gone, and with it its ephemerals and watches. Stop acting on its strength at once.
    virtual void OnZkExpired() = 0;
  };

  struct Options {
    std::string connect;  // "host:port,host:port/chroot"; a missing chroot is created
    Duration session_timeout = 18s;
    // Pause before a session that follows one which lived shorter than this, doubled up to the maximum.
    Duration retry_backoff = 100ms;
    Duration retry_backoff_max = 5s;
    // How often a line says that ZooKeeper is still out of reach.
    Duration report_every = 10s;
  };

  static constexpr size_t kRetiredKept = 32;

  ZkKeeper(EventLoop& loop, Coordination& coordination, Options options);
  ~ZkKeeper() override;  // Close() first, where it was started

  // Listeners are called in the order of their addition; one added while connected hears of the session
  // through session(), not through a call. Removing from within a call is allowed.
  void AddListener(Listener* listener);
  void RemoveListener(Listener* listener);

  // Begins the first session. INVALID_CONFIG when the connect string is malformed.
  Result<> Start();

  // The current session from its first connection to its expiry, also while suspended; null otherwise.
  ZkSession* session() const { return announced_ ? session_.get() : nullptr; }
  std::shared_ptr<ZkSession> HoldSession() const { return announced_ ? session_ : nullptr; }
  // Connected at this moment, as far as is known.
  bool connected() const { return up_; }
  // Counts sessions; 0 before the first.
  uint64_t generation() const { return generation_; }
  // Since when ZooKeeper is out of reach; nothing while connected. For /readyz.
  std::optional<MonoTime> down_since() const;
  const std::string& connect() const { return options_.connect; }

  // Past the lease's end a controller writes and sends nothing and a broker asks for no ISR change: from the
  // sending of the last answered request, two thirds of the negotiated timeout. Calms things; safety does not
  // rest on it.
  bool lease_valid() const;
  MonoTime lease_end() const;

  // Waits until connected. REQUEST_TIMED_OUT, CANCELLED otherwise.
  Task<Result<>> WaitConnected(MonoTime deadline = kNoDeadline, std::stop_token stop = {});

  // Leaves ZooKeeper on purpose: the session is closed, so that its ephemerals go at once, and listeners hear
  // that it expired. No other one is begun until Return(). Returns when the session is closed.
  Task<void> Leave();
  // Begins a new session after Leave().
  void Return();
  bool away() const { return away_; }

  // Ends the session (its ephemerals go at once) and everything under way. Listeners hear nothing of it.
  Task<void> Close();

  // Closes the session of a former life of this process, so that its ephemerals go at once instead of after
  // the session timeout. Success also when that session had ended by itself. REQUEST_TIMED_OUT when ZooKeeper
  // does not answer within `limit`. The caller must know that the former process is dead.
  static Task<Result<>> EndFormerSession(EventLoop& loop, Coordination& coordination, std::string connect,
                                         Duration session_timeout, ZkFormerSession former,
                                         Duration limit = 3s, std::stop_token stop = {});

 private:
  void OnZkState(ZkState state) override;
  void BeginSession();
  void ScheduleSession();
  void OnConnected();
  void OnExpired();
  void Retire(std::shared_ptr<ZkSession> session);
  void Announce();
  Task<void> CheckChrootThenAnnounce();
  void SetDown();
  void ReportDown();
  template <typename F>
  void ForEachListener(F call);

  EventLoop& loop_;
  Coordination& coordination_;
  const Options options_;
  ZkConnectString parsed_;
  Scope scope_;
  Notifier changed_;
  std::vector<Listener*> listeners_;
  std::shared_ptr<ZkSession> session_;
  std::deque<std::shared_ptr<ZkSession>> retired_;
  uint64_t generation_ = 0;
  bool started_ = false;
  bool closed_ = false;
  bool away_ = false;  // between Leave and Return
  bool up_ = false;
  bool announced_ = false;  // listeners know of session_
  bool chroot_ensured_ = false;
  bool checking_chroot_ = false;
  MonoTime session_begun_{};
  MonoTime down_since_{};
  Duration backoff_{};
  TimerId retry_timer_ = 0;
  TimerId report_timer_ = 0;
};

}  // namespace tidemark
