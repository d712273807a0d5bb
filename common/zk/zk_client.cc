#include "common/zk/zk_client.h"

#include <zookeeper/zookeeper.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/zk/zk_session_core.h"

namespace tidemark {
namespace {

// ZooKeeper's jute.maxbuffer is 1,048,575 bytes: above, the server drops the connection without a word. The
// rest is left for headers, ACLs and a chroot.
constexpr size_t kMaxPacket = 1'000'000;
constexpr size_t kPerOp = 96;

using Core = ZkSessionCore;

ZkStat StatOf(const struct Stat* stat) {
  ZkStat result;
  if (stat == nullptr) return result;
  result.czxid = stat->czxid;
  result.mzxid = stat->mzxid;
  result.pzxid = stat->pzxid;
  result.version = stat->version;
  result.cversion = stat->cversion;
  result.ephemeral_owner = stat->ephemeralOwner;
  result.num_children = stat->numChildren;
  return result;
}

int FlagsOf(ZkCreateMode mode) {
  switch (mode) {
    case ZkCreateMode::kPersistent:
      return ZOO_PERSISTENT;
    case ZkCreateMode::kEphemeral:
      return ZOO_EPHEMERAL;
    case ZkCreateMode::kPersistentSequential:
      return ZOO_PERSISTENT_SEQUENTIAL;
    case ZkCreateMode::kEphemeralSequential:
      return ZOO_EPHEMERAL_SEQUENTIAL;
  }
  return ZOO_PERSISTENT;
}

size_t SizeOf(const ZkOp& op) {
  return std::visit(
      [](const auto& o) {
        size_t size = kPerOp + o.path.size();
        if constexpr (requires { o.data; }) size += o.data.size();
        return size;
      },
      op);
}

// --- Completions: on the library's completion thread
// --------------------------------------------------------------

ZkReply ReplyOf(int rc) {
  ZkReply reply;
  reply.rc = rc;
  return reply;
}
void OnVoid(int rc, const void* context) { Core::Deliver(context, ReplyOf(rc)); }
void OnStat(int rc, const struct Stat* stat, const void* context) {
  ZkReply reply = ReplyOf(rc);
  reply.stat = StatOf(stat);
  Core::Deliver(context, std::move(reply));
}
void OnData(int rc, const char* value, int size, const struct Stat* stat, const void* context) {
  ZkReply reply = ReplyOf(rc);
  if (value != nullptr && size > 0) reply.data.assign(value, static_cast<size_t>(size));
  reply.stat = StatOf(stat);
  Core::Deliver(context, std::move(reply));
}
void OnStrings(int rc, const struct String_vector* strings, const void* context) {
  ZkReply reply = ReplyOf(rc);
  if (strings != nullptr) reply.names.assign(strings->data, strings->data + strings->count);
  Core::Deliver(context, std::move(reply));
}
void OnCreated(int rc, const char* path, const struct Stat* stat, const void* context) {
  ZkReply reply = ReplyOf(rc);
  if (path != nullptr) reply.data = path;
  reply.stat = StatOf(stat);
  Core::Deliver(context, std::move(reply));
}
void OnSynced(int rc, const char*, const void* context) { Core::Deliver(context, ReplyOf(rc)); }

// What a multi is made of; the library writes into it until it is answered.
struct MultiContext final : Core::CallContext {
  explicit MultiContext(std::vector<ZkOp> input)
      : given(std::move(input)),
        ops(given.size()),
        results(given.size()),
        paths(given.size()),
        stats(given.size()) {
    for (size_t i = 0; i < given.size(); ++i) {
      if (auto* create = std::get_if<ZkCreate>(&given[i])) {
        paths[i].resize(create->path.size() + 16);  // ten digits of a sequence and a zero
        zoo_create_op_init(&ops[i], create->path.c_str(), create->data.data(),
                           static_cast<int>(create->data.size()), &ZOO_OPEN_ACL_UNSAFE, FlagsOf(create->mode),
                           paths[i].data(), static_cast<int>(paths[i].size()));
      } else if (auto* set = std::get_if<ZkSet>(&given[i])) {
        zoo_set_op_init(&ops[i], set->path.c_str(), set->data.data(), static_cast<int>(set->data.size()),
                        set->version, &stats[i]);
      } else if (auto* remove = std::get_if<ZkDelete>(&given[i])) {
        zoo_delete_op_init(&ops[i], remove->path.c_str(), remove->version);
      } else {
        const auto& check = std::get<ZkCheck>(given[i]);
        zoo_check_op_init(&ops[i], check.path.c_str(), check.version);
      }
    }
  }

  void Collect(ZkReply& reply) override {
    if (!AnsweredByServer(reply.rc)) return;
    reply.results.resize(given.size());
    const bool failed = reply.rc != ZOK;
    for (size_t i = 0; i < given.size(); ++i) {
      ZkOpResult& result = reply.results[i];
      result.code = ZkCodeOf(results[i].err);
      // The server reports those before the one at fault as fine, though it rolled them back.
      if (failed && result.code == ZkCode::kOk) result.code = ZkCode::kRuntimeInconsistency;
      if (failed) continue;
      if (std::holds_alternative<ZkCreate>(given[i])) result.path = paths[i].c_str();
      if (std::holds_alternative<ZkSet>(given[i])) result.stat = StatOf(&stats[i]);
    }
  }

  const std::vector<ZkOp> given;
  std::vector<zoo_op_t> ops;
  std::vector<zoo_op_result_t> results;
  std::vector<std::string> paths;
  std::vector<struct Stat> stats;
};

// --- The session
// --------------------------------------------------------------------------------------------------

std::unexpected<ZkCode> Failed(int rc) { return std::unexpected(ZkCodeOf(rc)); }
std::unique_ptr<Core::CallContext> Plain() { return std::make_unique<Core::CallContext>(); }
watcher_fn WatcherFor(const void* watch) { return watch == nullptr ? nullptr : &Core::OnWatch; }

class RealZkSession final : public ZkSession {
 public:
  explicit RealZkSession(std::shared_ptr<Core> core) : core_(std::move(core)) { core_->Open(); }
  ~RealZkSession() override { core_->Abandon(); }

  ZkState state() const override { return core_->state(); }
  int64_t session_id() const override { return core_->session_id(); }
  std::string password() const override { return core_->password(); }
  Duration negotiated_timeout() const override { return core_->negotiated_timeout(); }
  MonoTime last_answered_sent() const override { return core_->last_answered_sent(); }
  Task<void> Close() override { return core_->Close(); }

  Task<ZkResult<ZkNode>> Get(std::string path, ZkWatch watch) override {
    auto submit = [path](zhandle_t* handle, const void* watch_context, const void* call) {
      return zoo_awget(handle, path.c_str(), WatcherFor(watch_context), const_cast<void*>(watch_context),
                       &OnData, call);
    };
    ZkReply reply = co_await Core::Call(core_, "zk get", std::move(submit), Plain(), Core::WatchKind::kData,
                                        std::move(watch));
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    co_return ZkNode{std::move(reply.data), reply.stat};
  }

  Task<ZkResult<std::optional<ZkStat>>> Exists(std::string path, ZkWatch watch) override {
    auto submit = [path](zhandle_t* handle, const void* watch_context, const void* call) {
      return zoo_awexists(handle, path.c_str(), WatcherFor(watch_context), const_cast<void*>(watch_context),
                          &OnStat, call);
    };
    const ZkReply reply = co_await Core::Call(core_, "zk exists", std::move(submit), Plain(),
                                              Core::WatchKind::kExists, std::move(watch));
    if (reply.rc == ZNONODE) co_return std::optional<ZkStat>();
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    co_return std::optional<ZkStat>(reply.stat);
  }

  Task<ZkResult<std::vector<std::string>>> Children(std::string path, ZkWatch watch) override {
    auto submit = [path](zhandle_t* handle, const void* watch_context, const void* call) {
      return zoo_awget_children(handle, path.c_str(), WatcherFor(watch_context),
                                const_cast<void*>(watch_context), &OnStrings, call);
    };
    ZkReply reply = co_await Core::Call(core_, "zk children", std::move(submit), Plain(),
                                        Core::WatchKind::kChildren, std::move(watch));
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    std::sort(reply.names.begin(), reply.names.end());
    co_return std::move(reply.names);
  }

  Task<ZkResult<ZkCreated>> Create(ZkCreate op) override {
    if (kPerOp + op.path.size() + op.data.size() > kMaxPacket) co_return std::unexpected(ZkCode::kTooLarge);
    auto submit = [op = std::move(op)](zhandle_t* handle, const void*, const void* call) {
      return zoo_acreate2(handle, op.path.c_str(), op.data.data(), static_cast<int>(op.data.size()),
                          &ZOO_OPEN_ACL_UNSAFE, FlagsOf(op.mode), &OnCreated, call);
    };
    ZkReply reply = co_await Core::Call(core_, "zk create", std::move(submit), Plain());
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    co_return ZkCreated{std::move(reply.data), reply.stat};
  }

  Task<ZkResult<ZkStat>> Set(ZkSet op) override {
    if (kPerOp + op.path.size() + op.data.size() > kMaxPacket) co_return std::unexpected(ZkCode::kTooLarge);
    auto submit = [op = std::move(op)](zhandle_t* handle, const void*, const void* call) {
      return zoo_aset(handle, op.path.c_str(), op.data.data(), static_cast<int>(op.data.size()), op.version,
                      &OnStat, call);
    };
    const ZkReply reply = co_await Core::Call(core_, "zk set", std::move(submit), Plain());
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    co_return reply.stat;
  }

  Task<ZkResult<>> Delete(ZkDelete op) override {
    auto submit = [op = std::move(op)](zhandle_t* handle, const void*, const void* call) {
      return zoo_adelete(handle, op.path.c_str(), op.version, &OnVoid, call);
    };
    const ZkReply reply = co_await Core::Call(core_, "zk delete", std::move(submit), Plain());
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    co_return ZkResult<>();
  }

  Task<ZkResult<std::vector<ZkOpResult>>> Multi(std::vector<ZkOp> ops) override {
    if (ops.empty()) co_return std::vector<ZkOpResult>();
    size_t size = 0;
    for (const ZkOp& op : ops) size += SizeOf(op);
    if (size > kMaxPacket) co_return std::unexpected(ZkCode::kTooLarge);
    auto context = std::make_unique<MultiContext>(std::move(ops));
    auto submit = [multi = context.get()](zhandle_t* handle, const void*, const void* call) {
      return zoo_amulti(handle, static_cast<int>(multi->ops.size()), multi->ops.data(), multi->results.data(),
                        &OnVoid, call);
    };
    ZkReply reply = co_await Core::Call(core_, "zk multi", std::move(submit), std::move(context));
    if (reply.results.empty()) co_return Failed(reply.rc);
    co_return std::move(reply.results);
  }

  Task<ZkResult<>> Sync(std::string path) override {
    auto submit = [path](zhandle_t* handle, const void*, const void* call) {
      return zoo_async(handle, path.c_str(), &OnSynced, call);
    };
    const ZkReply reply = co_await Core::Call(core_, "zk sync", std::move(submit), Plain());
    if (reply.rc != ZOK) co_return Failed(reply.rc);
    co_return ZkResult<>();
  }

 private:
  const std::shared_ptr<Core> core_;
};

class ZooKeeperCoordination final : public Coordination {
 public:
  std::unique_ptr<ZkSession> Connect(EventLoop& loop, ZkSessionOptions options,
                                     ZkSessionHandler* handler) override {
    return std::make_unique<RealZkSession>(std::make_shared<Core>(loop, std::move(options), handler));
  }
};

}  // namespace

std::unique_ptr<Coordination> MakeZooKeeperCoordination() {
  return std::make_unique<ZooKeeperCoordination>();
}

}  // namespace tidemark
