#include "common/zk/zk_handle.h"

#include <glog/logging.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

namespace tidemark {
namespace {

constexpr Duration kReopenAfter = 1s;
constexpr Duration kLogInterval = 10s;

// The library writes some 60 lines a second while no server answers; one in ten seconds is let through, with
// the number of those that were not. Called on any thread, for all handles.
void LogFromLibrary(const char* message) {
  std::string_view text(message);
  if (text.find("retcode=-112") != std::string_view::npos)
    return;  // an expiry, which the session's owner tells
  static std::atomic<int64_t> next_line_at{0};
  static std::atomic<int64_t> suppressed{0};
  const int64_t now =
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
  int64_t due = next_line_at.load(std::memory_order_relaxed);
  if (now < due || !next_line_at.compare_exchange_strong(due, now + kLogInterval.count())) {
    suppressed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (const size_t at = text.find(":ZOO_"); at != std::string_view::npos)
    text.remove_prefix(at + 1);  // own time, pid
  const int64_t count = suppressed.exchange(0);
  if (count > 0) {
    LOG(WARNING) << "ZooKeeper client: " << text << " (and " << count
                 << " more lines since the last one shown)";
  } else {
    LOG(WARNING) << "ZooKeeper client: " << text;
  }
}

}  // namespace

ZkCode ZkCodeOf(int rc) {
  switch (rc) {
    case ZOK:
      return ZkCode::kOk;
    case ZNONODE:
      return ZkCode::kNoNode;
    case ZNODEEXISTS:
      return ZkCode::kNodeExists;
    case ZBADVERSION:
      return ZkCode::kBadVersion;
    case ZNOTEMPTY:
      return ZkCode::kNotEmpty;
    case ZNOCHILDRENFOREPHEMERALS:
      return ZkCode::kNoChildrenForEphemerals;
    case ZCONNECTIONLOSS:
      return ZkCode::kConnectionLoss;
    case ZOPERATIONTIMEOUT:
      return ZkCode::kOperationTimeout;
    case ZSESSIONEXPIRED:
    case ZINVALIDSTATE:
      return ZkCode::kSessionExpired;  // the latter: the handle knows that its session is gone
    case ZSESSIONMOVED:
      return ZkCode::kConnectionLoss;  // the server drops the connection next
    case ZNOAUTH:
    case ZAUTHFAILED:
    case ZINVALIDACL:
      return ZkCode::kNoAuth;
    case ZBADARGUMENTS:
      return ZkCode::kInvalidArguments;
    case ZRUNTIMEINCONSISTENCY:
      return ZkCode::kRuntimeInconsistency;
    case ZCLOSING:
      return ZkCode::kClosing;
    default:
      return ZkCode::kOther;
  }
}

bool AnsweredByServer(int rc) {
  switch (rc) {
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZSESSIONEXPIRED:
    case ZSESSIONMOVED:
    case ZINVALIDSTATE:
    case ZAUTHFAILED:
    case ZCLOSING:
    case ZSYSTEMERROR:
    case ZMARSHALLINGERROR:
      return false;
    default:
      return true;
  }
}

ZkHandle::ZkHandle(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

ZkHandle::~ZkHandle() {
  RequestClose();
  Join();
}

void ZkHandle::RequestClose() {
  {
    std::lock_guard lock(mutex_);
    close_requested_ = true;
  }
  close_requested_changed_.notify_all();
}

void ZkHandle::Join() {
  if (thread_.joinable()) thread_.join();
}

bool ZkHandle::WaitForClose(Duration limit) {
  std::unique_lock lock(mutex_);
  return close_requested_changed_.wait_for(lock, limit, [this] { return close_requested_; });
}

zhandle_t* ZkHandle::Open() {
  zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
  clientid_t client{};
  client.client_id = options_.session_id;
  const size_t size = std::min(options_.password.size(), sizeof client.passwd);
  std::memcpy(client.passwd, options_.password.data(), size);
  const bool take_over = options_.session_id != 0 && !options_.password.empty();
  while (true) {
    const int timeout_ms = static_cast<int>(ToMillis(options_.session_timeout));
    zhandle_t* handle = zookeeper_init2(options_.connect.c_str(), options_.on_session_event, timeout_ms,
                                        take_over ? &client : nullptr, options_.context, 0, &LogFromLibrary);
    if (handle != nullptr) return handle;
    // No server's name can be resolved at present, or descriptors have run out.
    LogFromLibrary(std::strerror(errno));
    if (WaitForClose(kReopenAfter)) return nullptr;
  }
}

void ZkHandle::Run() {
  zhandle_t* handle = Open();
  if (handle != nullptr) {
    options_.on_opened(handle);
    while (!WaitForClose(24h)) {
    }
    // Sends the end of the session if connected, joins the library's threads, and completes what is
    // outstanding.
    zookeeper_close(handle);
  }
  options_.on_closed();
}

}  // namespace tidemark
