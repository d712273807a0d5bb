#include "common/net/tcp_transport.h"

#include <event2/event.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "common/net/socket.h"
#include "common/net/tcp_stream.h"

namespace tidemark {
namespace {

constexpr int kAcceptsPerEvent = 64;
constexpr Duration kAcceptPause = 100ms;  // when file descriptors or memory ran out

class TcpPendingStream final : public PendingStream {
 public:
  TcpPendingStream(Socket socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}
  std::unique_ptr<Stream> Attach(EventLoop& loop) override {
    loop.CheckOwner();
    CHECK(socket_.valid()) << "attached twice";
    return std::make_unique<TcpStream>(RequireLibeventLoop(loop), std::move(socket_), std::move(peer_));
  }

 private:
  Socket socket_;
  std::string peer_;
};

class TcpListener final : public Listener {
 public:
  TcpListener(LibeventLoop& loop, Socket socket, Transport::AcceptCallback on_accept)
      : loop_(loop),
        socket_(std::move(socket)),
        endpoint_(ToEndpoint(LocalAddress(socket_.fd()))),
        on_accept_(std::move(on_accept)) {
    event_ = event_new(loop_.base(), socket_.fd(), EV_READ | EV_PERSIST, OnReadable, this);
    CHECK(event_ != nullptr);
    CHECK_EQ(event_add(event_, nullptr), 0);
  }
  ~TcpListener() override {
    loop_.CheckOwner();
    *alive_ = false;
    loop_.CancelTimer(pause_timer_);
    event_free(event_);
  }
  Endpoint endpoint() const override { return endpoint_; }

 private:
  static void OnReadable(int, short, void* self) {
    LibeventLoop& loop = static_cast<TcpListener*>(self)->loop_;
    static_cast<TcpListener*>(self)->Accept();
    loop.FinishCallback();
  }

  void Accept() {
    const std::shared_ptr<bool> alive = alive_;  // the callback may destroy the listener
    for (int i = 0; i < kAcceptsPerEvent && *alive; ++i) {
      SocketAddress address;
      address.size = sizeof address.storage;
      Socket accepted(accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&address.storage), &address.size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!accepted.valid()) {
        const int error = errno;
        if (error == ECONNABORTED || error == EINTR) continue;
        if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) Pause(error);
        return;
      }
      SetConnectionOptions(accepted.fd());
      on_accept_(std::make_unique<TcpPendingStream>(std::move(accepted), ToString(ToEndpoint(address))));
    }
  }

  // The connection stays in the backlog and the socket readable: without a pause the loop would spin.
  void Pause(int error) {
    if (pauses_++ % 100 == 0) {
      LOG(WARNING) << "listener " << ToString(endpoint_) << " cannot accept: " << ErrnoText(error)
                   << "; tries again";
    }
    event_del(event_);
    pause_timer_ = loop_.StartTimerAfter(kAcceptPause, [this] {
      pause_timer_ = 0;
      event_add(event_, nullptr);
    });
  }

  LibeventLoop& loop_;
  Socket socket_;
  const Endpoint endpoint_;
  Transport::AcceptCallback on_accept_;
  event* event_ = nullptr;
  TimerId pause_timer_ = 0;
  uint64_t pauses_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Waits until a connecting socket is writable, which is when the outcome is known.
class ConnectEvent {
 public:
  ConnectEvent(LibeventLoop& loop, int fd, Waiter& waiter) : loop_(loop), waiter_(waiter) {
    event_ = event_new(loop.base(), fd, EV_WRITE, OnWritable, this);
    CHECK(event_ != nullptr);
    CHECK_EQ(event_add(event_, nullptr), 0);
  }
  ~ConnectEvent() { event_free(event_); }
  ConnectEvent(const ConnectEvent&) = delete;
  ConnectEvent& operator=(const ConnectEvent&) = delete;

 private:
  static void OnWritable(int, short, void* pointer) {
    auto* self = static_cast<ConnectEvent*>(pointer);
    LibeventLoop& loop = self->loop_;
    self->waiter_.Wake();
    loop.FinishCallback();
  }
  LibeventLoop& loop_;
  Waiter& waiter_;
  event* event_ = nullptr;
};

Task<Result<Socket>> ConnectTo(LibeventLoop& loop, SocketAddress address, MonoTime deadline,
                               std::stop_token stop) {
  const std::string name = ToString(ToEndpoint(address));
  TM_CO_ASSIGN_OR_RETURN(Socket socket, NewSocket(address.storage.ss_family));
  SetConnectionOptions(socket.fd());
  int error = 0;
  if (connect(socket.fd(), address.get(), address.size) != 0) error = errno;
  if (error == EINPROGRESS) {
    Waiter waiter(loop, "connect", deadline, std::move(stop));
    ConnectEvent event(loop, socket.fd(), waiter);
    const WaitOutcome outcome = co_await waiter;
    if (outcome == WaitOutcome::kStopped) co_return Fail(v1::CANCELLED, "connect {}: given up", name);
    if (outcome == WaitOutcome::kTimedOut)
      co_return Fail(v1::NETWORK_EXCEPTION, "connect {}: no answer in time", name);
    socklen_t size = sizeof error;
    if (getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  }
  if (error == 0 && IsConnectedToItself(socket.fd())) error = ECONNREFUSED;
  if (error != 0) co_return Fail(v1::NETWORK_EXCEPTION, "connect {}: {}", name, ErrnoText(error));
  co_return socket;
}

using Addresses = std::vector<SocketAddress>;

// The resolver cannot be interrupted: a caller that gives up leaves it behind on its pool thread.
Task<Result<Addresses>> ResolveOnPool(BlockingPool& pool, EventLoop& loop, Endpoint endpoint,
                                      MonoTime deadline, std::stop_token stop) {
  OneShot<Result<Addresses>> slot(loop);
  pool.Submit([slot, endpoint, home = loop.handle()]() mutable {
    Result<Addresses> found = Resolve(endpoint);
    home->Post([slot = std::move(slot), found = std::move(found)]() mutable { slot.Set(std::move(found)); });
  });
  Result<Result<Addresses>> answer = co_await slot.Wait("resolve", deadline, std::move(stop));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == v1::CANCELLED)
    co_return Fail(v1::CANCELLED, "resolve {}: given up", ToString(endpoint));
  co_return Fail(v1::NETWORK_EXCEPTION, "resolve {}: no answer in time", ToString(endpoint));
}

}  // namespace

Result<std::unique_ptr<Listener>> TcpTransport::Listen(EventLoop& loop, const Endpoint& endpoint,
                                                       AcceptCallback on_accept) {
  loop.CheckOwner();
  LibeventLoop& libevent_loop = RequireLibeventLoop(loop);
  TM_ASSIGN_OR_RETURN(Socket socket, ListenOn(endpoint));
  return std::make_unique<TcpListener>(libevent_loop, std::move(socket), std::move(on_accept));
}

Task<Result<std::unique_ptr<Stream>>> TcpTransport::Connect(EventLoop& loop, Endpoint endpoint,
                                                            MonoTime deadline, std::stop_token stop) {
  loop.CheckOwner();
  LibeventLoop& libevent_loop = RequireLibeventLoop(loop);
  Addresses addresses = ParseNumeric(endpoint);
  if (addresses.empty()) {
    TM_CO_ASSIGN_OR_RETURN(addresses, co_await ResolveOnPool(pool_, loop, endpoint, deadline, stop));
  }
  Error last{v1::NETWORK_EXCEPTION, fmt::format("resolve {}: no address", ToString(endpoint))};
  for (size_t i = 0; i < addresses.size(); ++i) {
    // Each address gets its share of the time, so that one that swallows packets does not hide the next.
    MonoTime share = deadline;
    if (deadline != kNoDeadline) {
      const MonoTime now = loop.Now();
      share = now + (deadline - now) / static_cast<int64_t>(addresses.size() - i);
    }
    Result<Socket> socket = co_await ConnectTo(libevent_loop, addresses[i], share, stop);
    if (socket) {
      co_return std::make_unique<TcpStream>(libevent_loop, std::move(*socket),
                                            ToString(ToEndpoint(addresses[i])));
    }
    last = std::move(socket).error();
    if (last.code == v1::CANCELLED) break;
  }
  if (addresses.size() > 0 && last.code == v1::NETWORK_EXCEPTION) {
    last.message = fmt::format("{} ({})", last.message, ToString(endpoint));
  }
  co_return std::unexpected(std::move(last));
}

}  // namespace tidemark
