#include "tests/simulation/env/sim_zookeeper.h"

#include <algorithm>
#include <deque>

#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_zk_tree.h"

namespace tidemark {
namespace {

// How often a stalled connection is looked at again.
constexpr Duration kStall = 50ms;

}  // namespace

struct SimZooKeeper::Session {
  std::string password;
  Duration timeout{};
  MonoTime last_heard;
  std::shared_ptr<Connection> connection;
  bool check_pending = false;
};

// Both directions keep their order: a queue each, of which the head travels.
struct SimZooKeeper::Connection {
  uint64_t id = 0;
  std::string host;
  std::weak_ptr<Receiver> client;
  bool open = true;
  int64_t session = 0;  // once attached
  std::set<std::string> data_watches;
  std::set<std::string> child_watches;
  std::deque<std::pair<MonoTime, Request>> to_server;
  std::deque<std::pair<MonoTime, std::function<void(Receiver&)>>> to_client;
  MonoTime last_request;
  MonoTime last_message;
  bool work_pending = false;
  bool delivery_pending = false;
};

SimZooKeeper::SimZooKeeper(SimWorld& world) : world_(world), tree_(std::make_unique<ZkTree>()) {
  world_.network().AddHost(kHost);
}
SimZooKeeper::~SimZooKeeper() = default;

void SimZooKeeper::Stop() {
  running_ = false;
  paused_ = false;
  late_.clear();
  for (const auto& [id, connection] : std::map(connections_)) Break(connection, true);
}

void SimZooKeeper::Start() {
  if (running_) return;
  running_ = true;
  for (auto& [id, session] : sessions_) {
    session.last_heard = world_.Now();
    WatchExpiry(id);
  }
}

void SimZooKeeper::Pause() { paused_ = true; }

void SimZooKeeper::Resume() {
  if (!paused_) return;
  paused_ = false;
  for (const int64_t id : sessions()) CheckExpiry(id);
  for (auto& [session, request] : std::exchange(late_, {})) {
    if (sessions_.contains(session)) (void)Change(session, request);
  }
  for (const auto& [id, connection] : std::map(connections_)) Work(connection);
}

void SimZooKeeper::Expire(int64_t session_id) {
  if (sessions_.contains(session_id)) EndSession(session_id, "expire");
}

void SimZooKeeper::DropConnections(const std::string& host) {
  for (const auto& [id, connection] : std::map(connections_)) {
    if (host.empty() || connection->host == host) Break(connection, true);
  }
}

std::vector<int64_t> SimZooKeeper::sessions() const {
  std::vector<int64_t> ids;
  for (const auto& [id, session] : sessions_) ids.push_back(id);
  return ids;
}

std::optional<ZkNode> SimZooKeeper::Peek(const std::string& path) const { return tree_->Get(path); }
std::vector<std::string> SimZooKeeper::PeekChildren(const std::string& path) const {
  return tree_->Children(path);
}

void SimZooKeeper::Poke(const std::string& path, const std::string& data) {
  CHECK(ZkTree::IsValidPath(path)) << path;
  Request request{.kind = Request::Kind::kWrite};
  if (tree_->Get(path)) {
    request.ops = {ZkSet{path, data}};
  } else {
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (!tree_->Get(path.substr(0, slash))) request.ops.push_back(ZkCreate{path.substr(0, slash), ""});
    }
    request.ops.push_back(ZkCreate{path, data});
  }
  (void)Change(0, request);
}

void SimZooKeeper::PokeDelete(const std::string& path) {
  for (const std::string& child : tree_->Children(path))
    PokeDelete(path == "/" ? "/" + child : path + "/" + child);
  (void)Change(0, {.kind = Request::Kind::kWrite, .ops = {ZkDelete{path}}});
}

std::shared_ptr<SimZooKeeper::Connection> SimZooKeeper::Open(const std::string& host,
                                                             std::weak_ptr<Receiver> client) {
  SimNetwork& network = world_.network();
  if (!running_ || !network.Reachable(host, kHost) || !network.Reachable(kHost, host)) return nullptr;
  auto connection = std::make_shared<Connection>();
  connection->id = ++last_connection_;
  connection->host = host;
  connection->client = std::move(client);
  connections_[connection->id] = connection;
  return connection;
}

void SimZooKeeper::Send(const std::shared_ptr<Connection>& connection, Request request) {
  if (!connection->open) return;
  const MonoTime arrival = world_.Now() + world_.network().Latency(connection->host, kHost) +
                           world_.random().Between(options_.service_min, options_.service_max) / 2;
  connection->last_request = std::max(connection->last_request, arrival);
  connection->to_server.emplace_back(connection->last_request, std::move(request));
  Work(connection);
}

void SimZooKeeper::Work(const std::shared_ptr<Connection>& connection) {
  if (connection->work_pending || !connection->open || connection->to_server.empty()) return;
  connection->work_pending = true;
  world_.At(connection->to_server.front().first, [this, connection] {
    connection->work_pending = false;
    if (!connection->open || !running_ || paused_) return;  // Resume goes on
    if (!world_.network().Reachable(connection->host, kHost)) {
      connection->to_server.front().first = world_.Now() + kStall;
      return Work(connection);
    }
    const Request request = std::move(connection->to_server.front().second);
    connection->to_server.pop_front();
    Handle(connection, request);
    Work(connection);
  });
}

void SimZooKeeper::Handle(const std::shared_ptr<Connection>& connection, const Request& request) {
  using Kind = Request::Kind;
  Reply reply;
  if (request.kind == Kind::kConnect) {
    reply = Attach(connection, request);
  } else {
    const auto it = sessions_.find(connection->session);
    if (it == sessions_.end()) return Break(connection, true);
    it->second.last_heard = world_.Now();
    switch (request.kind) {
      case Kind::kSetWatches:
        SetWatches(*connection, request);
        return;
      case Kind::kGet:
      case Kind::kExists:
      case Kind::kChildren:
        reply = Read(*connection, request);
        break;
      case Kind::kWrite:
      case Kind::kMulti:
        reply = Change(connection->session, request);
        break;
      case Kind::kClose:
        EndSession(connection->session, "close");
        break;
      default:
        break;
    }
  }
  reply.id = request.id;
  reply.zxid = tree_->zxid();
  Push(connection, [reply = std::move(reply)](Receiver& client) { client.OnReply(reply); });
}

SimZooKeeper::Reply SimZooKeeper::Attach(const std::shared_ptr<Connection>& connection,
                                         const Request& request) {
  int64_t id = request.session_id;
  if (id == 0) {
    id = ++last_session_;
    Session& session = sessions_[id];
    for (int i = 0; i < 16; ++i) session.password += static_cast<char>(world_.random().Below(256));
    tree_->NextZxid();
    Record(id, "session");
  } else if (const auto it = sessions_.find(id);
             it == sessions_.end() || it->second.password != request.password) {
    return {.code = ZkCode::kSessionExpired};
  }
  Session& session = sessions_.at(id);
  if (auto former = session.connection; former && former->open) Break(former, true);
  session.connection = connection;
  session.timeout = std::clamp(request.timeout, options_.min_session_timeout, options_.max_session_timeout);
  session.last_heard = world_.Now();
  connection->session = id;
  WatchExpiry(id);
  return {.session_id = id, .password = session.password, .timeout = session.timeout};
}

void SimZooKeeper::SetWatches(Connection& connection, const Request& request) {
  const std::shared_ptr<Connection> self = connections_.at(connection.id);
  for (const std::string& path : request.data_watches) {
    const auto node = tree_->Get(path);
    if (!node) {
      Notify(self, ZkWatchEvent::kDeleted, path);
    } else if (node->stat.mzxid > request.last_zxid) {
      Notify(self, ZkWatchEvent::kDataChanged, path);
    } else {
      connection.data_watches.insert(path);
    }
  }
  for (const std::string& path : request.exist_watches) {
    if (tree_->Get(path)) {
      Notify(self, ZkWatchEvent::kCreated, path);
    } else {
      connection.data_watches.insert(path);
    }
  }
  for (const std::string& path : request.child_watches) {
    const auto node = tree_->Get(path);
    if (!node) {
      Notify(self, ZkWatchEvent::kDeleted, path);
    } else if (node->stat.pzxid > request.last_zxid) {
      Notify(self, ZkWatchEvent::kChildrenChanged, path);
    } else {
      connection.child_watches.insert(path);
    }
  }
}

SimZooKeeper::Reply SimZooKeeper::Read(Connection& connection, const Request& request) {
  Reply reply;
  if (!ZkTree::IsValidPath(request.path)) return {.code = ZkCode::kInvalidArguments};
  if (request.kind == Request::Kind::kGet && forbidden_.contains({request.path, false})) {
    return {.code = ZkCode::kNoAuth};
  }
  auto node = tree_->Get(request.path);
  if (node) {
    reply.node = std::move(*node);
  } else {
    reply.code = ZkCode::kNoNode;
  }
  const bool ok = reply.code == ZkCode::kOk;
  if (request.kind == Request::Kind::kChildren) {
    reply.children = tree_->Children(request.path);
    if (request.watch && ok) connection.child_watches.insert(request.path);
  } else if (request.watch && (ok || request.kind == Request::Kind::kExists)) {
    connection.data_watches.insert(request.path);
  }
  return reply;
}

SimZooKeeper::Reply SimZooKeeper::Change(int64_t session, const Request& request) {
  const auto refused = std::ranges::find_if(request.ops, [this](const ZkOp& op) {
    return std::visit([this](const auto& one) { return forbidden_.contains({one.path, true}); }, op);
  });
  if (session != 0 && refused != request.ops.end()) {
    Reply reply;
    reply.results.resize(request.ops.size());
    for (ZkOpResult& result : reply.results) result.code = ZkCode::kRuntimeInconsistency;
    reply.results[static_cast<size_t>(refused - request.ops.begin())].code = ZkCode::kNoAuth;
    if (request.kind == Request::Kind::kWrite) reply.code = ZkCode::kNoAuth;
    return reply;
  }
  ZkTree::Outcome outcome = tree_->Apply(request.ops, session);
  if (outcome.applied) {
    for (ZkTree::Change& change : outcome.changes) {
      Record(session, std::move(change.op), std::move(change.path), std::move(change.data));
    }
    Fire(outcome.events);
  }
  Reply reply{.results = std::move(outcome.results)};
  if (request.kind == Request::Kind::kWrite && !reply.results.empty()) reply.code = reply.results[0].code;
  return reply;
}

void SimZooKeeper::Fire(const std::vector<std::pair<ZkWatchEvent, std::string>>& events) {
  for (const auto& [event, path] : events) {
    for (const auto& [id, connection] : connections_) {
      const bool data = event != ZkWatchEvent::kChildrenChanged && connection->data_watches.erase(path) != 0;
      const bool child = (event == ZkWatchEvent::kChildrenChanged || event == ZkWatchEvent::kDeleted) &&
                         connection->child_watches.erase(path) != 0;
      if (data || child) Notify(connection, event, path);
    }
  }
}

void SimZooKeeper::Notify(const std::shared_ptr<Connection>& connection, ZkWatchEvent event,
                          const std::string& path) {
  Push(connection,
       [event, path, zxid = tree_->zxid()](Receiver& client) { client.OnEvent(event, path, zxid); });
}

void SimZooKeeper::Push(const std::shared_ptr<Connection>& connection,
                        std::function<void(Receiver&)> message) {
  if (!connection->open) return;
  const MonoTime arrival = world_.Now() + world_.network().Latency(kHost, connection->host) +
                           world_.random().Between(options_.service_min, options_.service_max) / 2;
  connection->last_message = std::max(connection->last_message, arrival);
  connection->to_client.emplace_back(connection->last_message, std::move(message));
  Deliver(connection);
}

void SimZooKeeper::Deliver(const std::shared_ptr<Connection>& connection) {
  if (connection->delivery_pending || !connection->open || connection->to_client.empty()) return;
  connection->delivery_pending = true;
  world_.At(connection->to_client.front().first, [this, connection] {
    connection->delivery_pending = false;
    if (!connection->open || connection->to_client.empty()) return;
    if (!world_.network().Reachable(kHost, connection->host)) {
      connection->to_client.front().first = world_.Now() + kStall;
      return Deliver(connection);
    }
    const auto message = std::move(connection->to_client.front().second);
    connection->to_client.pop_front();
    if (auto client = connection->client.lock()) message(*client);
    Deliver(connection);
  });
}

void SimZooKeeper::Drop(const std::shared_ptr<Connection>& connection) { Break(connection, false); }

// Of the requests on their way any number of the first ones may still be applied; nobody will know.
void SimZooKeeper::Break(const std::shared_ptr<Connection>& connection, bool tell) {
  if (!connection->open) return;
  connection->open = false;
  connections_.erase(connection->id);
  const auto it = sessions_.find(connection->session);
  const bool alive = it != sessions_.end();
  if (alive && it->second.connection == connection) it->second.connection = nullptr;
  const bool arrives = running_ && world_.network().Reachable(connection->host, kHost);
  for (auto& [when, request] : connection->to_server) {
    if (!alive || !arrives || world_.random().Chance(0.4)) break;
    if (request.kind != Request::Kind::kWrite && request.kind != Request::Kind::kMulti) continue;
    if (paused_) {
      late_.emplace_back(connection->session, std::move(request));
    } else {
      (void)Change(connection->session, request);
    }
  }
  connection->to_server.clear();
  connection->to_client.clear();
  if (!tell) return;
  world_.After(world_.network().Latency(kHost, connection->host), [this, connection] {
    if (!world_.network().Reachable(kHost, connection->host)) return;  // it finds out by silence
    if (auto client = connection->client.lock()) client->OnDisconnect();
  });
}

void SimZooKeeper::WatchExpiry(int64_t id) {
  Session& session = sessions_.at(id);
  if (session.check_pending) return;
  session.check_pending = true;
  const auto due = (session.last_heard + session.timeout).time_since_epoch();
  const MonoTime when{(due / options_.tick + 1) * options_.tick};
  world_.At(when, [this, id] {
    if (auto it = sessions_.find(id); it != sessions_.end()) it->second.check_pending = false;
    if (running_ && !paused_) CheckExpiry(id);
  });
}

void SimZooKeeper::CheckExpiry(int64_t id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  if (world_.Now() - it->second.last_heard >= it->second.timeout) return EndSession(id, "expire");
  WatchExpiry(id);
}

void SimZooKeeper::EndSession(int64_t id, const char* how) {
  const std::shared_ptr<Connection> connection = sessions_.at(id).connection;
  const bool expired = std::string_view(how) == "expire";
  expiries_ += expired ? 1 : 0;
  sessions_.erase(id);
  ZkTree::Outcome outcome = tree_->RemoveEphemerals(id);
  Record(id, how);
  for (ZkTree::Change& change : outcome.changes) Record(id, std::move(change.op), std::move(change.path));
  Fire(outcome.events);
  // Closing answers first; an expired one is cut and learns of it when it comes back.
  if (connection && expired) Break(connection, true);
}

void SimZooKeeper::Record(int64_t session, std::string op, std::string path, std::string data) {
  world_.Trace(op);
  world_.Trace(path);
  world_.Trace(data);
  history_.push_back({world_.Now(), tree_->zxid(), session, std::move(op), std::move(path), std::move(data)});
}

}  // namespace tidemark
