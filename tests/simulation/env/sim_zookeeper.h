// SimZooKeeper: one simulated ensemble, seen as one linearised server on host "zookeeper", and its clients.
// Sessions with negotiated time-outs expire on virtual time; heartbeats are sent by the client's own
// kernel-side events, so a paused, killed or cut process does not send any. A request in flight when a
// connection breaks may or may not be applied. Requests, replies and watch events of one connection keep
// their order, so a watch is seen before newer data.
//
// Invariants: zxids rise by one per change; an ephemeral's owner is a live session; a reply is sent after the
// events that its session's watches fired before it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/zk/coordination.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

struct SimZooKeeperOptions {
  Duration tick = 1s;  // expiry is noticed at tick borders
  Duration min_session_timeout = 2s;
  Duration max_session_timeout = 60s;
  Duration service_min = 50us;  // of one request at the server
  Duration service_max = 3ms;
};

// One change of the tree, or the beginning or end of a session ("session", "close", "expire"): the witness.
struct SimZkRecord {
  MonoTime time;
  int64_t zxid = 0;
  int64_t session = 0;
  std::string op;  // create, set, delete, session, close, expire
  std::string path;
  std::string data;
};

class ZkTree;

class SimZooKeeper {
 public:
  explicit SimZooKeeper(SimWorld& world);
  ~SimZooKeeper();

  static constexpr const char* kHost = "zookeeper";

  SimZooKeeperOptions& options() { return options_; }

  // The servers die: connections break at once, nothing is lost; sessions get their full time-out again after
  // Start.
  void Stop();
  void Start();
  // The servers freeze: nothing is answered. At Resume the sessions whose time-out has passed meanwhile
  // expire first.
  void Pause();
  void Resume();
  // Ends a session as its time-out would.
  void Expire(int64_t session_id);
  // Breaks the connections of a host's (all hosts') clients; sessions live on.
  void DropConnections(const std::string& host = {});

  const std::vector<SimZkRecord>& history() const { return history_; }
  std::vector<int64_t> sessions() const;
  uint64_t expiries() const { return expiries_; }
  // Direct looks and changes, past all sessions.
  std::optional<ZkNode> Peek(const std::string& path) const;
  std::vector<std::string> PeekChildren(const std::string& path) const;
  void Poke(const std::string& path, const std::string& data);  // creates (with parents) or sets
  void PokeDelete(const std::string& path);                     // with all below
  // As an ACL would: getting (changing) this node is answered kNoAuth until Allow.
  void Forbid(const std::string& path, bool change) { forbidden_.emplace(path, change); }
  void Allow(const std::string& path, bool change) { forbidden_.erase({path, change}); }

  // The rest is for the clients (sim_zk_session.h).
  struct Request {
    enum class Kind { kConnect, kSetWatches, kPing, kGet, kExists, kChildren, kWrite, kMulti, kSync, kClose };
    Kind kind = Kind::kPing;
    uint64_t id = 0;
    std::string path;
    bool watch = false;
    std::vector<ZkOp> ops;
    // Connect.
    int64_t session_id = 0;
    std::string password;
    Duration timeout{};
    // SetWatches.
    int64_t last_zxid = 0;
    std::set<std::string> data_watches, exist_watches, child_watches;
  };
  struct Reply {
    uint64_t id = 0;
    ZkCode code = ZkCode::kOk;
    int64_t zxid = 0;
    ZkNode node;
    std::vector<std::string> children;
    std::vector<ZkOpResult> results;
    // Connect.
    int64_t session_id = 0;
    std::string password;
    Duration timeout{};
  };
  // What a connection tells its client; called by the kernel, never after `open` has become false.
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void OnReply(Reply reply) = 0;
    virtual void OnEvent(ZkWatchEvent event, const std::string& path, int64_t zxid) = 0;
    virtual void OnDisconnect() = 0;
  };
  struct Connection;
  // A connection, if the servers can be reached now; null otherwise.
  std::shared_ptr<Connection> Open(const std::string& host, std::weak_ptr<Receiver> client);
  void Send(const std::shared_ptr<Connection>& connection, Request request);
  // The client drops it.
  void Drop(const std::shared_ptr<Connection>& connection);

 private:
  struct Session;

  void Work(const std::shared_ptr<Connection>& connection);
  void Handle(const std::shared_ptr<Connection>& connection, const Request& request);
  Reply Attach(const std::shared_ptr<Connection>& connection, const Request& request);
  void SetWatches(Connection& connection, const Request& request);
  Reply Read(Connection& connection, const Request& request);
  Reply Change(int64_t session, const Request& request);
  void Fire(const std::vector<std::pair<ZkWatchEvent, std::string>>& events);
  void Notify(const std::shared_ptr<Connection>& connection, ZkWatchEvent event, const std::string& path);
  void Push(const std::shared_ptr<Connection>& connection, std::function<void(Receiver&)> message);
  void Deliver(const std::shared_ptr<Connection>& connection);
  void Break(const std::shared_ptr<Connection>& connection, bool tell);
  void WatchExpiry(int64_t session);
  void CheckExpiry(int64_t session);
  void EndSession(int64_t session, const char* how);
  void Record(int64_t session, std::string op, std::string path = {}, std::string data = {});

  SimWorld& world_;
  SimZooKeeperOptions options_;
  std::unique_ptr<ZkTree> tree_;
  std::map<int64_t, Session> sessions_;
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
  std::vector<std::pair<int64_t, Request>> late_;  // of broken connections, read when a pause ends
  std::set<std::pair<std::string, bool>> forbidden_;
  bool running_ = true;
  bool paused_ = false;
  int64_t last_session_ = 0x1000;
  uint64_t last_connection_ = 0;
  std::vector<SimZkRecord> history_;
  uint64_t expiries_ = 0;
};

class SimCoordination final : public Coordination {
 public:
  explicit SimCoordination(SimProcess& process) : process_(process) {}
  std::unique_ptr<ZkSession> Connect(EventLoop& loop, ZkSessionOptions options,
                                     ZkSessionHandler* handler) override;

 private:
  SimProcess& process_;
};

}  // namespace tidemark
