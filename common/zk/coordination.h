// Coordination: the seam to ZooKeeper. One ZkSession is one ZooKeeper session, used from one loop. The real
// one wraps the multi-threaded C client (common/zk/zk_client.h): its threads only post to the loop. The
// simulated one (tests/simulation) has sessions with expiry and connection loss, ephemerals, sequentials,
// ordered one-shot watches, versions and multi. Both pass tests/unit/zk's contract suite.
//
// Rules of use: a watch is a hint, re-read after it; kConnectionLoss and kOperationTimeout mean "unknown
// outcome", re-read, then decide; after expiry the session is gone, make a new one.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/time.h"

namespace tidemark {

enum class ZkCode {
  kOk,
  kNoNode,
  kNodeExists,
  kBadVersion,
  kNotEmpty,
  kNoChildrenForEphemerals,
  kConnectionLoss,    // unknown outcome
  kOperationTimeout,  // unknown outcome
  kSessionExpired,    // the session is gone; the operation may or may not have happened
  kNoAuth,
  kInvalidArguments,
  kRuntimeInconsistency,  // an op of a failed multi that was not the one at fault
  kClosing,               // the session object is closing
  kTooLarge,              // refused here: the packet would pass ZooKeeper's 1 MB limit
  kOther,
};
std::string_view ToString(ZkCode code);
// True when the operation may or may not have been applied.
constexpr bool IsUnknownOutcome(ZkCode code) {
  return code == ZkCode::kConnectionLoss || code == ZkCode::kOperationTimeout ||
         code == ZkCode::kSessionExpired || code == ZkCode::kClosing;
}

template <typename T = void>
class [[nodiscard]] ZkResult : public std::expected<T, ZkCode> {
 public:
  using std::expected<T, ZkCode>::expected;
};

struct ZkStat {
  int64_t czxid = 0;
  int64_t mzxid = 0;
  int64_t pzxid = 0;
  int32_t version = 0;
  int32_t cversion = 0;
  int64_t ephemeral_owner = 0;
  int32_t num_children = 0;
};
struct ZkNode {
  std::string data;
  ZkStat stat;
};
struct ZkCreated {
  std::string path;  // with the sequence number, if sequential
  ZkStat stat;
};

enum class ZkCreateMode { kPersistent, kEphemeral, kPersistentSequential, kEphemeralSequential };
inline constexpr int32_t kAnyVersion = -1;

struct ZkCreate {
  std::string path;
  std::string data;
  ZkCreateMode mode = ZkCreateMode::kPersistent;
};
struct ZkSet {
  std::string path;
  std::string data;
  int32_t version = kAnyVersion;
};
struct ZkDelete {
  std::string path;
  int32_t version = kAnyVersion;
};
struct ZkCheck {
  std::string path;
  int32_t version = kAnyVersion;
};
using ZkOp = std::variant<ZkCreate, ZkSet, ZkDelete, ZkCheck>;
// Per op: kOk; or, when one failed, its code at the one at fault and kRuntimeInconsistency at all others.
// path: of creates; stat: of sets.
struct ZkOpResult {
  ZkCode code = ZkCode::kOk;
  std::string path;
  ZkStat stat;
};

enum class ZkWatchEvent { kCreated, kDeleted, kDataChanged, kChildrenChanged };
// Called on the session's loop, at most once, and never after the session has expired or closed (then
// everything is to be read anew anyway). Watches survive a reconnect of the same session.
using ZkWatch = std::function<void(ZkWatchEvent, const std::string& path)>;

enum class ZkState { kConnecting, kConnected, kExpired, kClosed };

class ZkSessionHandler {
 public:
  virtual ~ZkSessionHandler() = default;
  // kConnected: first time or after a disconnect (same session). kConnecting: the connection was lost; the
  // session may live on or expire unseen. kExpired: gone; no more calls.
  virtual void OnZkState(ZkState state) = 0;
};

struct ZkSessionOptions {
  std::string
      connect;  // "host:port,host:port/chroot"; the chroot is prepended to every path, and not created here
  Duration session_timeout = 18s;
  // To take over a former session (for closing it): id and 16-byte password; empty password: a new session.
  int64_t session_id = 0;
  std::string password;
};

class ZkSession {
 public:
  // Without Close(): no more calls to handler and watches; pending calls end with kClosing. A simulated
  // session is left to expire, as after a crash; the real one ends if connected, its library knows no other
  // way (and blocks meanwhile: Close() is the polite end).
  virtual ~ZkSession() = default;

  virtual ZkState state() const = 0;
  // Valid once connected.
  virtual int64_t session_id() const = 0;
  virtual std::string password() const = 0;
  virtual Duration negotiated_timeout() const = 0;
  // When the last request that was answered had been sent: the start of the local lease. The session keeps
  // this fresh with a cheap read of its own when nobody else asks. Lease end = this + 2/3 of
  // negotiated_timeout().
  virtual MonoTime last_answered_sent() const = 0;

  virtual Task<ZkResult<ZkNode>> Get(std::string path, ZkWatch watch = nullptr) = 0;
  virtual Task<ZkResult<std::optional<ZkStat>>> Exists(std::string path, ZkWatch watch = nullptr) = 0;
  virtual Task<ZkResult<std::vector<std::string>>> Children(std::string path,
                                                            ZkWatch watch = nullptr) = 0;  // sorted
  virtual Task<ZkResult<ZkCreated>> Create(ZkCreate op) = 0;
  virtual Task<ZkResult<ZkStat>> Set(ZkSet op) = 0;
  virtual Task<ZkResult<>> Delete(ZkDelete op) = 0;
  // All or nothing. A value whose first bad code is not kOk means nothing was applied.
  virtual Task<ZkResult<std::vector<ZkOpResult>>> Multi(std::vector<ZkOp> ops) = 0;
  // Brings the connected server up to date before reads that decide something.
  virtual Task<ZkResult<>> Sync(std::string path) = 0;
  // Ends the session on the server: its ephemerals go at once. Pending calls end with kClosing. The handler
  // hears nothing more.
  virtual Task<void> Close() = 0;
};

class Coordination {
 public:
  virtual ~Coordination() = default;
  // Starts connecting at once and goes on until closed or expired; calls made before the connection is up
  // wait for it (bounded by the client's own time-outs, then kConnectionLoss). `handler` outlives the
  // session.
  virtual std::unique_ptr<ZkSession> Connect(EventLoop& loop, ZkSessionOptions options,
                                             ZkSessionHandler* handler) = 0;
};

// Splits "h1:p1,h2:p2/chroot" into servers and chroot ("" if none); INVALID_CONFIG-like message on error.
struct ZkConnectString {
  std::string servers;
  std::string chroot;
};
std::expected<ZkConnectString, std::string> ParseZkConnect(std::string_view text);

}  // namespace tidemark
