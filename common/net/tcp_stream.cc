#include "common/net/tcp_stream.h"

#include <event2/event.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace tidemark {
namespace {

constexpr size_t kMaxPieces = 64;     // of one writev
constexpr size_t kReadsPerEvent = 8;  // then others get their turn
constexpr Duration kLinger = 5s;      // for the last bytes of a closing connection
constexpr Duration kDrain = 1s;       // for the peer to close, so that it reads our last bytes before a reset

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

LibeventLoop& RequireLibeventLoop(EventLoop& loop) {
  auto* libevent_loop = dynamic_cast<LibeventLoop*>(&loop);
  CHECK(libevent_loop != nullptr) << "TCP needs a libevent loop, '" << loop.name() << "' is none";
  return *libevent_loop;
}

TcpConnection::TcpConnection(LibeventLoop& loop, Socket socket, std::string peer)
    : loop_(loop), socket_(std::move(socket)), peer_(std::move(peer)) {
  read_event_ = event_new(loop_.base(), socket_.fd(), EV_READ | EV_PERSIST, OnReadable, this);
  write_event_ = event_new(loop_.base(), socket_.fd(), EV_WRITE | EV_PERSIST, OnWritable, this);
  CHECK(read_event_ != nullptr && write_event_ != nullptr);
}

TcpConnection::~TcpConnection() {
  Close();
  event_free(read_event_);
  event_free(write_event_);
}

void TcpConnection::WatchReads(bool on) {
  if (on == watching_reads_) return;
  watching_reads_ = on;
  CHECK_EQ(on ? event_add(read_event_, nullptr) : event_del(read_event_), 0);
}

void TcpConnection::WatchWrites(bool on) {
  if (on == watching_writes_) return;
  watching_writes_ = on;
  CHECK_EQ(on ? event_add(write_event_, nullptr) : event_del(write_event_), 0);
}

void TcpConnection::Start(StreamHandler* handler) {
  loop_.CheckOwner();
  CHECK(handler_ == nullptr) << "a stream is started once";
  if (state_ != State::kOpen) return;
  handler_ = handler;
  if (!paused_) WatchReads(true);
  if (!queue_.empty()) ScheduleFlush();
}

void TcpConnection::Write(std::string bytes) {
  if (state_ != State::kOpen || bytes.empty()) return;
  unsent_ += bytes.size();
  queue_.push_back(std::move(bytes));
  ScheduleFlush();
}

void TcpConnection::PauseReading() {
  paused_ = true;
  if (state_ == State::kOpen) WatchReads(false);
}

void TcpConnection::ResumeReading() {
  paused_ = false;
  if (state_ == State::kOpen && handler_ != nullptr) WatchReads(true);
}

void TcpConnection::CloseAfterWrites() {
  if (state_ != State::kOpen) return;
  state_ = State::kLastWrites;
  handler_ = nullptr;
  WatchReads(false);
  // The timer holds the connection, so that it lives on without its stream; it always ends by this timer or
  // Close().
  linger_timer_ = loop_.StartTimerAfter(kLinger, [self = shared_from_this()] {
    self->linger_timer_ = 0;
    self->Close();
  });
  if (queue_.empty()) {
    FinishSending();
  } else {
    ScheduleFlush();
  }
}

void TcpConnection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  handler_ = nullptr;
  WatchReads(false);
  WatchWrites(false);
  queue_.clear();
  unsent_ = 0;
  front_sent_ = 0;
  socket_.Reset();
  // May release the last reference to this connection: nothing after it.
  loop_.CancelTimer(std::exchange(linger_timer_, 0));
}

void TcpConnection::Abandon() {
  handler_ = nullptr;
  if (state_ == State::kOpen) Close();
}

void TcpConnection::OnReadable(int, short, void* pointer) {
  auto self = static_cast<TcpConnection*>(pointer)->shared_from_this();
  LibeventLoop& loop = self->loop_;
  if (self->state_ == State::kDraining) {
    self->ReadAndDiscard();
  } else {
    self->Read();
  }
  self.reset();
  loop.FinishCallback();
}

void TcpConnection::OnWritable(int, short, void* pointer) {
  auto self = static_cast<TcpConnection*>(pointer)->shared_from_this();
  LibeventLoop& loop = self->loop_;
  self->Flush();
  self.reset();
  loop.FinishCallback();
}

void TcpConnection::Read() {
  for (size_t reads = 0; reads < kReadsPerEvent && state_ == State::kOpen && watching_reads_; ++reads) {
    const std::span<char> buffer = handler_->ReadBuffer();
    CHECK(!buffer.empty()) << "a read buffer has at least one byte";
    const MonoTime begun = CallBegins();
    const ssize_t n = recv(socket_.fd(), buffer.data(), buffer.size(), 0);
    CallEnded(begun);
    if (n < 0) {
      if (!WouldBlock(errno)) Break({v1::NETWORK_EXCEPTION, ErrnoText(errno)});
      return;
    }
    if (n == 0) return Break({v1::NETWORK_EXCEPTION, "closed by peer"});
    handler_->OnRead(static_cast<size_t>(n));
    loop_.FinishCallback();
    if (static_cast<size_t>(n) < buffer.size()) return;  // most likely empty now; poll tells if not
  }
}

void TcpConnection::ReadAndDiscard() {
  std::array<char, 16384> waste;
  const ssize_t n = recv(socket_.fd(), waste.data(), waste.size(), 0);
  if (n == 0 || (n < 0 && !WouldBlock(errno))) Close();
}

void TcpConnection::ScheduleFlush() {
  if (flush_scheduled_ || watching_writes_) return;
  flush_scheduled_ = true;
  loop_.AtTurnEnd([self = shared_from_this()] {
    self->flush_scheduled_ = false;
    self->Flush();
  });
}

void TcpConnection::Flush() {
  if (state_ != State::kOpen && state_ != State::kLastWrites) return;
  if (queue_.empty()) return WatchWrites(false);
  if (const int error = SendQueued(); error != 0) return Break({v1::NETWORK_EXCEPTION, ErrnoText(error)});
  WatchWrites(!queue_.empty());
  if (!queue_.empty()) return;
  if (state_ == State::kLastWrites) return FinishSending();
  if (handler_ != nullptr) handler_->OnDrained();
}

int TcpConnection::SendQueued() {
  while (!queue_.empty()) {
    std::array<iovec, kMaxPieces> pieces;
    const size_t count = std::min(queue_.size(), kMaxPieces);
    size_t total = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t skip = i == 0 ? front_sent_ : 0;
      pieces[i] = {queue_[i].data() + skip, queue_[i].size() - skip};
      total += pieces[i].iov_len;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const MonoTime begun = CallBegins();
    const ssize_t n = sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
    CallEnded(begun);
    if (n < 0) return WouldBlock(errno) ? 0 : errno;
    DropSent(static_cast<size_t>(n));
    if (static_cast<size_t>(n) < total) return 0;
  }
  return 0;
}

void TcpConnection::DropSent(size_t bytes) {
  unsent_ -= bytes;
  while (bytes > 0) {
    const size_t left = queue_.front().size() - front_sent_;
    if (bytes < left) {
      front_sent_ += bytes;
      return;
    }
    bytes -= left;
    front_sent_ = 0;
    queue_.pop_front();
  }
}

// All is handed to the kernel. Closing now, with unread bytes in the socket, would send a reset that may
// overtake the last answer; so only our direction ends, and what the peer still sends is thrown away for a
// moment.
void TcpConnection::FinishSending() {
  state_ = State::kDraining;
  WatchWrites(false);
  shutdown(socket_.fd(), SHUT_WR);
  WatchReads(true);
  auto self = shared_from_this();  // the timer held the other reference
  loop_.CancelTimer(linger_timer_);
  linger_timer_ = loop_.StartTimerAfter(kDrain, [self] {
    self->linger_timer_ = 0;
    self->Close();
  });
}

void TcpConnection::Break(Error reason) {
  StreamHandler* handler = handler_;
  Close();
  if (handler != nullptr) handler->OnClosed(reason);
}

}  // namespace tidemark
