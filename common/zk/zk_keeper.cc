#include "common/zk/zk_keeper.h"

#include <fmt/format.h>
#include <glog/logging.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/zk/zk_recipes.h"

namespace tidemark {
namespace {

// Turns a session's calls into something a coroutine can wait for.
class StateWaiter final : public ZkSessionHandler {
 public:
  explicit StateWaiter(EventLoop& loop) : state_(loop) {}
  void OnZkState(ZkState state) override {
    if (state == ZkState::kConnected || state == ZkState::kExpired) state_.Set(state);
  }
  Task<Result<ZkState>> Wait(const char* name, MonoTime deadline, std::stop_token stop) {
    return state_.Wait(name, deadline, std::move(stop));
  }

 private:
  OneShot<ZkState> state_;
};

}  // namespace

std::string EncodeFormerSession(const ZkFormerSession& session) {
  std::string text = fmt::format("{:016x} ", static_cast<uint64_t>(session.session_id));
  for (const char byte : session.password) text += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  text += '\n';
  return text;
}

Result<ZkFormerSession> DecodeFormerSession(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.size() != 16 + 1 + 32 || text[16] != ' ') {
    return Fail(v1::CORRUPT_MESSAGE, "not a saved ZooKeeper session ({} bytes)", text.size());
  }
  uint64_t id = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + 16, id, 16);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + 16) {
    return Fail(v1::CORRUPT_MESSAGE, "a saved ZooKeeper session without a session id");
  }
  ZkFormerSession session;
  session.session_id = static_cast<int64_t>(id);
  for (size_t at = 17; at < text.size(); at += 2) {
    unsigned byte = 0;
    const auto hex = std::from_chars(text.data() + at, text.data() + at + 2, byte, 16);
    if (hex.ec != std::errc() || hex.ptr != text.data() + at + 2) {
      return Fail(v1::CORRUPT_MESSAGE, "a saved ZooKeeper session without a password");
    }
    session.password.push_back(static_cast<char>(byte));
  }
  return session;
}

ZkKeeper::ZkKeeper(EventLoop& loop, Coordination& coordination, Options options)
    : loop_(loop),
      coordination_(coordination),
      options_(std::move(options)),
      scope_(loop, "zookeeper keeper"),
      changed_(loop),
      backoff_(options_.retry_backoff) {}

ZkKeeper::~ZkKeeper() { CHECK(!started_ || closed_) << "a ZkKeeper is closed before it goes"; }

void ZkKeeper::AddListener(Listener* listener) { listeners_.push_back(listener); }
void ZkKeeper::RemoveListener(Listener* listener) { std::erase(listeners_, listener); }

template <typename F>
void ZkKeeper::ForEachListener(F call) {
  const std::vector<Listener*> now = listeners_;  // a listener may remove itself or others
  for (Listener* listener : now) {
    if (std::find(listeners_.begin(), listeners_.end(), listener) != listeners_.end()) call(*listener);
  }
}

Result<> ZkKeeper::Start() {
  loop_.CheckOwner();
  CHECK(!started_);
  auto parsed = ParseZkConnect(options_.connect);
  if (!parsed)
    return Fail(v1::INVALID_CONFIG, "zookeeper.connect '{}': {}", options_.connect, parsed.error());
  parsed_ = *std::move(parsed);
  started_ = true;
  chroot_ensured_ = parsed_.chroot.empty();
  SetDown();
  BeginSession();
  return {};
}

void ZkKeeper::BeginSession() {
  CHECK(session_ == nullptr);
  session_begun_ = loop_.Now();
  ZkSessionOptions options;
  options.connect = parsed_.servers + parsed_.chroot;
  options.session_timeout = options_.session_timeout;
  session_ = coordination_.Connect(loop_, std::move(options), this);
}

void ZkKeeper::OnZkState(ZkState state) {
  if (closed_) return;
  switch (state) {
    case ZkState::kConnected:
      return OnConnected();
    case ZkState::kConnecting:
      if (!up_) return;
      up_ = false;
      SetDown();
      LOG(WARNING) << "ZooKeeper connection lost (" << options_.connect << ")";
      return ForEachListener([](Listener& listener) { listener.OnZkSuspended(); });
    case ZkState::kExpired:
      return OnExpired();
    case ZkState::kClosed:
      return;
  }
}

void ZkKeeper::OnConnected() {
  if (chroot_ensured_) return Announce();
  if (checking_chroot_) return;  // it announces when done
  checking_chroot_ = true;
  scope_.Spawn("zookeeper chroot", CheckChrootThenAnnounce());
}

// A chroot is a node like any other to a session without one: made by such a session, where it is missing.
Task<void> ZkKeeper::CheckChrootThenAnnounce() {
  const std::shared_ptr<ZkSession> session = session_;
  const auto root = co_await session->Exists("/");
  bool there = root.has_value() && root->has_value();
  if (root.has_value() && !there && !scope_.stopping()) {
    StateWaiter waiter(loop_);
    ZkSessionOptions options;
    options.connect = parsed_.servers;
    options.session_timeout = options_.session_timeout;
    const auto rootless = coordination_.Connect(loop_, std::move(options), &waiter);
    const auto state = co_await waiter.Wait("zookeeper without chroot",
                                            loop_.Now() + options_.session_timeout, scope_.stop_token());
    if (state && *state == ZkState::kConnected) {
      const ZkResult<> made = co_await EnsurePath(*rootless, parsed_.chroot);
      there = made.has_value();
      if (there) {
        LOG(INFO) << "created the ZooKeeper chroot " << parsed_.chroot;
      } else {
        LOG(ERROR) << DescribeZk(made.error(), "creating the ZooKeeper chroot", parsed_.chroot);
      }
    }
    co_await rootless->Close();
  }
  checking_chroot_ = false;
  chroot_ensured_ = there;
  if (closed_ || session_ == nullptr || session_->state() != ZkState::kConnected) co_return;
  if (there) {
    Announce();
    co_return;
  }
  co_await Sleep(loop_, options_.retry_backoff, "zookeeper chroot again", scope_.stop_token());
  if (closed_ || checking_chroot_ || session_ == nullptr || session_->state() != ZkState::kConnected)
    co_return;
  OnConnected();
}

void ZkKeeper::Announce() {
  CHECK(session_ != nullptr);
  if (up_) return;
  const bool new_session = !announced_;
  up_ = true;
  announced_ = true;
  if (new_session) ++generation_;
  loop_.CancelTimer(report_timer_);
  report_timer_ = 0;
  LOG(INFO) << "ZooKeeper " << options_.connect << (new_session ? ": new session 0x" : ": back in session 0x")
            << fmt::format("{:x}", static_cast<uint64_t>(session_->session_id())) << ", timeout "
            << ToMillis(session_->negotiated_timeout()) << " ms";
  changed_.NotifyAll();
  const std::shared_ptr<ZkSession> session = session_;
  ForEachListener([&](Listener& listener) {
    if (session_ == session && up_) listener.OnZkUp(*session, new_session);
  });
}

void ZkKeeper::OnExpired() {
  const bool announced = std::exchange(announced_, false);
  up_ = false;
  SetDown();
  Retire(std::exchange(session_, nullptr));
  LOG(WARNING) << "ZooKeeper session expired (" << options_.connect << ")";
  if (announced) ForEachListener([](Listener& listener) { listener.OnZkExpired(); });
  ScheduleSession();
}

void ZkKeeper::Retire(std::shared_ptr<ZkSession> session) {
  retired_.push_back(std::move(session));
  if (retired_.size() > kRetiredKept) retired_.pop_front();
}

Task<void> ZkKeeper::Leave() {
  loop_.CheckOwner();
  if (closed_ || away_) co_return;
  away_ = true;
  loop_.CancelTimer(std::exchange(retry_timer_, 0));
  if (session_ == nullptr) co_return;
  const bool announced = std::exchange(announced_, false);
  up_ = false;
  SetDown();
  const std::shared_ptr<ZkSession> session = std::exchange(session_, nullptr);
  Retire(session);
  LOG(WARNING) << "ZooKeeper session given up (" << options_.connect << ")";
  if (announced) ForEachListener([](Listener& listener) { listener.OnZkExpired(); });
  co_await session->Close();
}

void ZkKeeper::Return() {
  loop_.CheckOwner();
  if (closed_ || !std::exchange(away_, false)) return;
  if (started_ && session_ == nullptr) BeginSession();
}

// At once after a session that had lived; else with a growing pause, so that a cluster whose sessions die
// young is not worn down by new ones.
void ZkKeeper::ScheduleSession() {
  if (closed_ || away_ || retry_timer_ != 0) return;
  const bool lived =
      loop_.Now() - session_begun_ > std::max(options_.retry_backoff_max, options_.session_timeout);
  if (lived) backoff_ = options_.retry_backoff;
  const Duration pause = lived ? Duration::zero() : backoff_;
  if (!lived) backoff_ = std::min(backoff_ * 2, options_.retry_backoff_max);
  retry_timer_ = loop_.StartTimerAfter(pause, [this] {
    retry_timer_ = 0;
    BeginSession();
  });
}

void ZkKeeper::SetDown() {
  if (report_timer_ != 0) return;  // down already
  down_since_ = loop_.Now();
  report_timer_ = loop_.StartTimerAfter(options_.report_every, [this] { ReportDown(); });
}

void ZkKeeper::ReportDown() {
  if (!away_) {
    LOG(WARNING) << "still trying to reach ZooKeeper at " << options_.connect << ", for "
                 << ToMillis(loop_.Now() - down_since_) / 1000 << " s now";
  }
  report_timer_ = loop_.StartTimerAfter(options_.report_every, [this] { ReportDown(); });
}

std::optional<MonoTime> ZkKeeper::down_since() const {
  if (up_ || !started_) return std::nullopt;
  return down_since_;
}

MonoTime ZkKeeper::lease_end() const {
  if (!announced_) return MonoTime{};
  return session_->last_answered_sent() + session_->negotiated_timeout() * 2 / 3;
}

bool ZkKeeper::lease_valid() const { return announced_ && loop_.Now() < lease_end(); }

Task<Result<>> ZkKeeper::WaitConnected(MonoTime deadline, std::stop_token stop) {
  while (!up_) {
    if (closed_) co_return Fail(v1::CANCELLED, "the ZooKeeper session is closed");
    switch (co_await changed_.Wait("zookeeper connection", deadline, stop)) {
      case WaitOutcome::kReady:
        break;
      case WaitOutcome::kTimedOut:
        co_return Fail(v1::REQUEST_TIMED_OUT, "ZooKeeper at {} not reached", connect());
      case WaitOutcome::kStopped:
        co_return Fail(v1::CANCELLED, "stopped waiting for ZooKeeper at {}", connect());
    }
  }
  co_return Result<>();
}

Task<void> ZkKeeper::Close() {
  loop_.CheckOwner();
  if (closed_) co_return;
  closed_ = true;
  up_ = false;
  announced_ = false;
  loop_.CancelTimer(retry_timer_);
  loop_.CancelTimer(report_timer_);
  changed_.NotifyAll();
  scope_.RequestStop();
  std::deque<std::shared_ptr<ZkSession>> sessions = std::exchange(retired_, {});
  if (session_ != nullptr) sessions.push_front(std::exchange(session_, nullptr));
  for (const auto& session : sessions) co_await session->Close();
  co_await scope_.Close();
}

Task<Result<>> ZkKeeper::EndFormerSession(EventLoop& loop, Coordination& coordination, std::string connect,
                                          Duration session_timeout, ZkFormerSession former, Duration limit,
                                          std::stop_token stop) {
  const auto parsed = ParseZkConnect(connect);
  if (!parsed) co_return Fail(v1::INVALID_CONFIG, "zookeeper.connect '{}': {}", connect, parsed.error());
  if (former.session_id == 0 || former.password.size() != 16) {
    co_return Fail(v1::CORRUPT_MESSAGE, "a former ZooKeeper session needs its id and its 16-byte password");
  }
  StateWaiter waiter(loop);
  ZkSessionOptions options;
  options.connect = parsed->servers + parsed->chroot;
  options.session_timeout = session_timeout;
  options.session_id = former.session_id;
  options.password = std::move(former.password);
  const auto session = coordination.Connect(loop, std::move(options), &waiter);
  const auto state = co_await waiter.Wait("former zookeeper session", loop.Now() + limit, std::move(stop));
  co_await session->Close();
  if (state) co_return Result<>();  // connected and closed, or expired long ago
  co_return Fail(state.error().code, "the former ZooKeeper session 0x{:x} was not closed within {} ms",
                 static_cast<uint64_t>(former.session_id), ToMillis(limit));
}

}  // namespace tidemark
