// An Environment in one thread: a loop on virtual time that jumps from timer to timer, and a network of byte
// queues. Nothing here sleeps, so tests with long timeouts end at once.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "common/async/scope.h"
#include "common/env/environment.h"

namespace tidemark::testing {

class MemoryLoop final : public EventLoop {
 public:
  // No two readings are alike, as with a real clock: one that stands still within a turn has hidden faults.
  MonoTime Now() const override { return now_ += 1ns; }
  void Post(Callback fn) override { posts_.push_back(std::move(fn)); }
  void Defer(Callback fn) override { deferred_.push_back(std::move(fn)); }
  TimerId StartTimer(MonoTime when, Callback fn) override {
    timers_.emplace(std::pair(std::max(when, now_), ++last_timer_), std::move(fn));
    times_[last_timer_] = std::max(when, now_);
    return last_timer_;
  }
  void CancelTimer(TimerId id) override {
    auto found = times_.find(id);
    if (found == times_.end()) return;
    timers_.erase({found->second, id});
    times_.erase(found);
  }
  bool InLoopThread() const override { return true; }
  std::string_view name() const override { return "memory"; }
  WaitRegistry& waits() override { return waits_; }
  // Time passes and nothing runs, as in a process that is stopped.
  void StandStill(Duration span) { now_ += span; }

  // Runs one thing; time jumps to the next timer when nothing else is to do. False when there is nothing at
  // all.
  bool Step() {
    for (std::deque<Callback>* queue : {&deferred_, &posts_}) {
      if (queue->empty()) continue;
      Callback fn = std::move(queue->front());
      queue->pop_front();
      fn();
      return true;
    }
    if (timers_.empty()) return false;
    auto first = timers_.begin();
    now_ = std::max(now_, first->first.first);
    Callback fn = std::move(first->second);
    times_.erase(first->first.second);
    timers_.erase(first);
    fn();
    return true;
  }

 private:
  mutable MonoTime now_{1h};
  std::deque<Callback> posts_;
  std::deque<Callback> deferred_;
  std::map<std::pair<MonoTime, TimerId>, Callback> timers_;
  std::map<TimerId, MonoTime> times_;
  TimerId last_timer_ = 0;
  WaitRegistry waits_;
};

// One direction's end of a connection.
class MemorySocket : public std::enable_shared_from_this<MemorySocket> {
 public:
  explicit MemorySocket(EventLoop& loop) : loop_(loop) {}

  void Start(StreamHandler* handler) {
    handler_ = handler;
    Schedule();
  }
  void Receive(std::string bytes) {
    inbox_ += bytes;
    Schedule();
  }
  void PeerClosed() {
    peer_closed_ = true;
    Schedule();
  }
  void Pause(bool paused) {
    paused_ = paused;
    if (!paused) Schedule();
  }
  void Detach() { handler_ = nullptr; }

  std::weak_ptr<MemorySocket> peer;

 private:
  void Schedule() {
    loop_.Post([self = shared_from_this()] { self->Deliver(); });
  }
  void Deliver() {
    while (handler_ != nullptr && !paused_ && !inbox_.empty()) {
      const std::span<char> buffer = handler_->ReadBuffer();
      const size_t size = std::min(buffer.size(), inbox_.size());
      std::copy_n(inbox_.data(), size, buffer.data());
      inbox_.erase(0, size);
      handler_->OnRead(size);
    }
    if (handler_ != nullptr && !paused_ && inbox_.empty() && peer_closed_) {
      std::exchange(handler_, nullptr)->OnClosed({v1::NETWORK_EXCEPTION, "closed by peer"});
    }
  }

  EventLoop& loop_;
  StreamHandler* handler_ = nullptr;
  std::string inbox_;
  bool paused_ = false;
  bool peer_closed_ = false;
};

class MemoryStream final : public Stream {
 public:
  explicit MemoryStream(std::shared_ptr<MemorySocket> socket) : socket_(std::move(socket)) {}
  ~MemoryStream() override { Close(); }
  void Start(StreamHandler* handler) override { socket_->Start(handler); }
  void Write(std::string bytes) override {
    if (auto peer = socket_->peer.lock(); peer && !closed_) peer->Receive(std::move(bytes));
  }
  size_t unsent_bytes() const override { return 0; }
  void PauseReading() override { socket_->Pause(true); }
  void ResumeReading() override { socket_->Pause(false); }
  void CloseAfterWrites() override { Close(); }
  void Close() override {
    if (std::exchange(closed_, true)) return;
    socket_->Detach();
    if (auto peer = socket_->peer.lock()) peer->PeerClosed();
  }
  const std::string& peer() const override { return peer_; }
  Duration TakeCallTime() override { return {}; }

 private:
  std::shared_ptr<MemorySocket> socket_;
  bool closed_ = false;
  std::string peer_ = "memory";
};

class MemoryTransport final : public Transport {
 public:
  Result<std::unique_ptr<Listener>> Listen(EventLoop&, const Endpoint& endpoint,
                                           AcceptCallback on_accept) override {
    listeners_[endpoint] = std::move(on_accept);
    return std::make_unique<MemoryListener>(*this, endpoint);
  }
  Task<Result<std::unique_ptr<Stream>>> Connect(EventLoop& loop, Endpoint endpoint, MonoTime,
                                                std::stop_token) override {
    co_await Sleep(loop, 1ms, "connect");
    auto found = listeners_.find(endpoint);
    if (found == listeners_.end())
      co_return Fail(v1::NETWORK_EXCEPTION, "connect {}: refused", ToString(endpoint));
    auto ours = std::make_shared<MemorySocket>(loop);
    auto theirs = std::make_shared<MemorySocket>(loop);
    ours->peer = theirs;
    theirs->peer = ours;
    sockets_.push_back(ours);
    sockets_.push_back(theirs);
    found->second(std::make_unique<Pending>(theirs));
    co_return std::make_unique<MemoryStream>(ours);
  }

 private:
  class Pending final : public PendingStream {
   public:
    explicit Pending(std::shared_ptr<MemorySocket> socket) : socket_(std::move(socket)) {}
    std::unique_ptr<Stream> Attach(EventLoop&) override { return std::make_unique<MemoryStream>(socket_); }

   private:
    std::shared_ptr<MemorySocket> socket_;
  };
  class MemoryListener final : public Listener {
   public:
    MemoryListener(MemoryTransport& transport, Endpoint endpoint)
        : transport_(transport), endpoint_(endpoint) {}
    ~MemoryListener() override { transport_.listeners_.erase(endpoint_); }
    Endpoint endpoint() const override { return endpoint_; }

   private:
    MemoryTransport& transport_;
    Endpoint endpoint_;
  };

  std::map<Endpoint, AcceptCallback> listeners_;
  std::deque<std::shared_ptr<MemorySocket>> sockets_;  // kept, so that a closed one still tells its peer
};

class MemoryEnvironment final : public Environment, Clock, Random {
 public:
  ~MemoryEnvironment() override = default;
  Clock& clock() override { return *this; }
  Random& random() override { return *this; }
  FileSystem& files() override { LOG(FATAL) << "a client has no files"; }
  Transport& transport() override { return transport_; }
  Coordination& coordination() override { LOG(FATAL) << "a client does not need ZooKeeper"; }
  BlockingPool& blocking_pool() override { LOG(FATAL) << "a client has no blocking work"; }
  std::unique_ptr<LoopThread> StartLoop(std::string) override { LOG(FATAL) << "there is one loop"; }
  WallMillis WallNow() const override { return 1'700'000'000'000 + ToMillis(loop.Now().time_since_epoch()); }
  uint64_t Next() override { return state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL; }

  // Runs the loop until the task has ended and returns its value.
  template <typename R>
  R Run(Task<R> task) {
    std::optional<R> value;
    Scope scope(loop, "test");
    auto finish = [](Task<R> body, std::optional<R>* out) -> Task<void> {
      out->emplace(co_await std::move(body));
    };
    scope.Spawn("test", finish(std::move(task), &value));
    while (scope.running() > 0) CHECK(loop.Step()) << "the task waits and nothing can wake it";
    return std::move(*value);
  }
  void Run(Task<void> task) {
    auto wrap = [](Task<void> body) -> Task<bool> {
      co_await std::move(body);
      co_return true;
    };
    Run<bool>(wrap(std::move(task)));
  }
  // Runs the loop for a span of virtual time.
  void RunFor(Duration span) {
    auto wait = [](MemoryLoop& l, Duration d) -> Task<void> { co_await Sleep(l, d, "test"); };
    Run(wait(loop, span));
  }

  MemoryLoop loop;

 private:
  MemoryTransport transport_;
  uint64_t state_ = 42;
};

}  // namespace tidemark::testing
