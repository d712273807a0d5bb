// SimZkSession: the client's side of a simulated ZooKeeper session: connects and reconnects, sends
// heartbeats, keeps the watches and completes calls, all as events of its loop. The core outlives the session
// object for as long as messages are on their way to it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/async/wait.h"
#include "common/zk/coordination.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {

class SimZkCore final : public SimZooKeeper::Receiver, public std::enable_shared_from_this<SimZkCore> {
 public:
  using Request = SimZooKeeper::Request;
  using Reply = SimZooKeeper::Reply;
  using Slot = std::shared_ptr<OneShot<Reply>>;

  SimZkCore(SimLoop& loop, ZkSessionOptions options, ZkSessionHandler* handler);

  void Begin();
  // Sends, or queues until connected. The reply always comes; its code says what became of the request.
  Slot Call(Request request, ZkWatch watch = nullptr);
  // Ends everything; pending calls get kClosing. No more calls of handler and watches.
  void Shut();
  // No more calls of the handler from now on; the session goes on.
  void Mute() { handler_ = nullptr; }

  // From the kernel.
  void OnReply(Reply reply) override;
  void OnEvent(ZkWatchEvent event, const std::string& path, int64_t zxid) override;
  void OnDisconnect() override;

  std::string Full(const std::string& path) const;
  std::string Shown(const std::string& path) const;

  SimLoop& loop() const { return loop_; }
  ZkState state() const { return state_; }
  int64_t session_id() const { return session_id_; }
  const std::string& password() const { return password_; }
  Duration timeout() const { return timeout_; }
  MonoTime last_answered_sent() const { return last_answered_sent_; }

 private:
  struct Pending {
    Request request;
    Slot slot;
    ZkWatch watch;
    MonoTime since;
  };
  using Watches = std::map<std::string, std::vector<ZkWatch>>;

  void TryConnect();
  void Retry();
  void HandleConnected(const Reply& reply);
  void HandleReply(Reply reply);
  void HandleEvent(ZkWatchEvent event, const std::string& path);
  void Disconnected();
  void Expired();
  void Tick();
  void Transmit(Pending pending);
  void FailAll(std::map<uint64_t, Pending> calls, ZkCode code);
  void SendWatches();
  void KeepWatch(const Pending& call, ZkCode code);
  // Runs on the loop, unless shut meanwhile.
  void OnLoop(Duration delay, std::function<void(SimZkCore&)> fn);
  Duration Silence() const { return timeout_ * 2 / 3; }

  SimLoop& loop_;
  ZkSessionOptions options_;
  ZkSessionHandler* handler_;
  std::string chroot_;
  bool known_servers_ = false;
  ZkState state_ = ZkState::kConnecting;
  int64_t session_id_ = 0;
  std::string password_;
  Duration timeout_;
  MonoTime last_answered_sent_;
  int64_t last_zxid_ = 0;
  std::shared_ptr<SimZooKeeper::Connection> connection_;
  MonoTime connecting_since_;
  uint64_t attempt_ = 0;
  uint64_t last_request_ = 0;
  MonoTime last_sent_;
  std::map<uint64_t, Pending> outstanding_;  // sent
  std::map<uint64_t, Pending> queued_;       // until connected
  Watches data_watches_, exist_watches_, child_watches_;
};

class SimZkSession final : public ZkSession {
 public:
  explicit SimZkSession(std::shared_ptr<SimZkCore> core) : core_(std::move(core)) {}
  ~SimZkSession() override;

  ZkState state() const override { return core_->state(); }
  int64_t session_id() const override { return core_->session_id(); }
  std::string password() const override { return core_->password(); }
  Duration negotiated_timeout() const override { return core_->timeout(); }
  MonoTime last_answered_sent() const override { return core_->last_answered_sent(); }

  Task<ZkResult<ZkNode>> Get(std::string path, ZkWatch watch) override;
  Task<ZkResult<std::optional<ZkStat>>> Exists(std::string path, ZkWatch watch) override;
  Task<ZkResult<std::vector<std::string>>> Children(std::string path, ZkWatch watch) override;
  Task<ZkResult<ZkCreated>> Create(ZkCreate op) override;
  Task<ZkResult<ZkStat>> Set(ZkSet op) override;
  Task<ZkResult<>> Delete(ZkDelete op) override;
  Task<ZkResult<std::vector<ZkOpResult>>> Multi(std::vector<ZkOp> ops) override;
  Task<ZkResult<>> Sync(std::string path) override;
  Task<void> Close() override;

 private:
  SimZkCore::Slot Read(SimZooKeeper::Request::Kind kind, const std::string& path, ZkWatch watch);
  Task<ZkResult<ZkOpResult>> One(ZkOp op);

  std::shared_ptr<SimZkCore> core_;
};

}  // namespace tidemark
