#include "tests/simulation/env/sim_socket.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/env/sim_network.h"

namespace tidemark {
namespace {

// A stalled connection is tried again within this time after its path is whole.
constexpr Duration kRetransmit = 400ms;
// A peer that knows the connection no more is found out within this time after the path is whole.
constexpr Duration kProbe = 5s;
// Within this time a process that stood still looks at all that came meanwhile.
constexpr Duration kBacklog = 100us;

}  // namespace

SimSocket::SimSocket(SimWorld& world, uint64_t id, uint64_t peer_id, SimProcess* process, std::string host,
                     std::string peer_host, std::string peer_name)
    : world_(world),
      id_(id),
      peer_id_(peer_id),
      process_(process),
      host_(std::move(host)),
      peer_host_(std::move(peer_host)),
      peer_name_(std::move(peer_name)),
      last_arrival_(world.Now()) {}

std::shared_ptr<SimSocket> SimSocket::Peer() const { return world_.network().FindSocket(peer_id_); }
bool SimSocket::Known() const { return world_.network().FindSocket(id_) != nullptr; }

void SimSocket::Start(StreamHandler* handler) {
  CHECK(handler_ == nullptr && !closed_) << "a stream starts once";
  handler_ = handler;
  ScheduleRead();
}

void SimSocket::Write(std::string bytes) {
  if (closed_ || broken_ || bytes.empty() || (process_ != nullptr && !process_->alive())) return;
  unsent_.Add(bytes);
  drain_wanted_ = true;
  WatchProgress();
  if (flush_pending_) return;
  flush_pending_ = true;
  loop_->Schedule(world_.Now() + 1us, [self = shared_from_this()] {
    self->flush_pending_ = false;
    self->Pump();
  });
}

Duration SimSocket::TakeCallTime() {
  const uint64_t before = std::exchange(bytes_timed_, read_total_ + sent_);
  if (!std::exchange(timed_, true)) return {};
  return (bytes_timed_ - before) * world_.network().options().call_time_per_byte;
}

void SimSocket::SetPaused(bool paused) {
  paused_ = paused;
  ScheduleRead();
}

void SimSocket::CloseAfterWrites() {
  if (closed_) return;
  closed_ = true;
  handler_ = nullptr;
  if (!Known()) return;
  close_when_sent_ = true;
  Pump();
}

void SimSocket::Close() {
  if (closed_ && !close_when_sent_) return;
  closed_ = true;
  handler_ = nullptr;
  if (!Known() || fin_sent_) return;
  unsent_.clear();
  fin_sent_ = true;
  // As TCP: closing with unread bytes resets.
  Push({.fin = received_.empty(), .reset = !received_.empty()});
}

void SimSocket::OwnerGone() {
  process_ = nullptr;
  close_when_sent_ = true;
  Close();
}

void SimSocket::Pump() {
  const SimNetworkOptions& options = world_.network().options();
  while (!unsent_.empty() && sent_ - peer_read_ < options.window_bytes && !fin_sent_) {
    size_t size =
        std::min<size_t>({unsent_.size(), options.window_bytes - (sent_ - peer_read_), options.piece_bytes});
    if (world_.random().Chance(0.3)) size = 1 + world_.random().Below(size);
    Segment segment{.bytes = unsent_.Take(size)};
    sent_ += size;
    Push(std::move(segment));
  }
  if (!unsent_.empty()) return;
  if (close_when_sent_ && !fin_sent_) {
    fin_sent_ = true;
    Push({.fin = true});
  }
  if (drain_wanted_) ScheduleDrained();
}

void SimSocket::ScheduleDrained() {
  if (handler_ == nullptr) return;
  loop_->Schedule(world_.Now() + 1us, [self = shared_from_this()] {
    if (self->handler_ == nullptr || !self->drain_wanted_ || !self->unsent_.empty()) return;
    self->drain_wanted_ = false;
    self->handler_->OnDrained();
  });
}

void SimSocket::Push(Segment segment) {
  segment.arrival = std::max(last_arrival_, world_.Now() + world_.network().Latency(host_, peer_host_));
  last_arrival_ = segment.arrival;
  wire_.push_back(std::move(segment));
  WatchProgress();
  ScheduleDelivery({});
}

void SimSocket::ScheduleDelivery(Duration extra) {
  if (delivery_pending_ || wire_.empty()) return;
  delivery_pending_ = true;
  world_.At(std::max(wire_.front().arrival, world_.Now() + extra), [self = shared_from_this()] {
    self->delivery_pending_ = false;
    self->Deliver();
  });
}

void SimSocket::Deliver() {
  SimNetwork& network = world_.network();
  if (wire_.empty() || !Known()) return;
  if (!network.Reachable(host_, peer_host_)) return;  // until the paths change
  const std::shared_ptr<SimSocket> peer = Peer();
  if (!peer) {
    // The other kernel knows nothing of this connection and says so.
    wire_.clear();
    if (fin_sent_) return network.ForgetSocket(id_);
    world_.After(network.Latency(peer_host_, host_), [self = shared_from_this()] {
      if (self->world_.network().Reachable(self->peer_host_, self->host_))
        self->Break("connection reset by peer");
    });
    return;
  }
  Segment segment = std::move(wire_.front());
  wire_.pop_front();
  const bool last = segment.fin || segment.reset;
  peer->Receive(std::move(segment));
  if (last) return network.ForgetSocket(id_);
  ScheduleDelivery({});
}

void SimSocket::Receive(Segment segment) {
  if (segment.reset) return Break("connection reset by peer");
  if (segment.fin) {
    fin_received_ = true;
    // Nobody is there to answer it: both ends are closed now.
    if (closed_ && fin_sent_ && wire_.empty()) world_.network().ForgetSocket(id_);
    return ScheduleRead();
  }
  world_.network().CountDelivered(segment.bytes.size());
  received_total_ += segment.bytes.size();
  if (closed_) {
    read_total_ = received_total_;  // thrown away
  } else {
    received_.Add(segment.bytes);
    ScheduleRead();
  }
  SendAck();
}

void SimSocket::SendAck() {
  SimNetwork& network = world_.network();
  world_.After(network.Latency(host_, peer_host_),
               [self = shared_from_this(), received = received_total_, read = read_total_] {
                 if (!self->world_.network().Reachable(self->host_, self->peer_host_)) return;
                 if (auto peer = self->Peer()) peer->OnAck(received, read);
               });
}

void SimSocket::OnAck(uint64_t received, uint64_t read) {
  if (received > acked_ || read > peer_read_) {
    acked_ = std::max(acked_, received);
    peer_read_ = std::max(peer_read_, read);
    no_progress_since_.reset();
  }
  WatchProgress();
  Pump();
}

void SimSocket::WatchProgress() {
  if (!Outstanding()) {
    no_progress_since_.reset();
    return;
  }
  if (!no_progress_since_) no_progress_since_ = world_.Now();
  if (progress_check_pending_) return;
  progress_check_pending_ = true;
  world_.At(*no_progress_since_ + world_.network().options().user_timeout, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->CheckProgress();
  });
}

void SimSocket::CheckProgress() {
  progress_check_pending_ = false;
  if (!Known() || !no_progress_since_ || !Outstanding()) return;
  if (world_.Now() - *no_progress_since_ >= world_.network().options().user_timeout) {
    return Break("connection timed out");
  }
  WatchProgress();
}

void SimSocket::PathsChanged() {
  SimNetwork& network = world_.network();
  if (!network.Reachable(host_, peer_host_) || !network.Reachable(peer_host_, host_)) {
    if (broken_since_) return;
    broken_since_ = world_.Now();
    world_.After(network.options().keepalive_timeout, [weak = weak_from_this(), since = world_.Now()] {
      auto self = weak.lock();
      if (self && self->Known() && self->broken_since_ == since) self->Break("connection timed out");
    });
  } else if (broken_since_) {
    broken_since_.reset();
  }
  if (network.Reachable(host_, peer_host_)) {
    ScheduleDelivery(world_.random().Between(1ms, kRetransmit));
    if (received_total_ > 0) SendAck();
    if (!Peer()) {
      world_.After(world_.random().Between(1ms, kProbe), [weak = weak_from_this()] {
        auto self = weak.lock();
        if (!self || !self->Known() || self->Peer()) return;
        SimNetwork& net = self->world_.network();
        if (!net.Reachable(self->host_, self->peer_host_) || !net.Reachable(self->peer_host_, self->host_))
          return;
        self->Break("connection reset by peer");
      });
    }
  }
}

void SimSocket::Break(std::string why) {
  if (broken_) return;
  broken_ = std::move(why);
  unsent_.clear();
  wire_.clear();
  world_.network().ForgetSocket(id_);
  ScheduleRead();
}

void SimSocket::ScheduleRead() {
  if (handler_ == nullptr || read_pending_) return;
  // A stream that reads nothing does not see its peer close; one that breaks is always told.
  if (paused_ && !broken_) return;
  if (received_.empty() && !fin_received_ && !broken_) return;
  read_pending_ = true;
  ReadAfter(world_.random().Between(1us, 10us));
}

void SimSocket::ReadAfter(Duration delay) {
  const MonoTime when = world_.Now() + delay;
  loop_->Schedule(when, [self = shared_from_this(), when] {
    // A process that goes on after it stood still finds many streams with something to read, and reads them
    // in any order: also a connection that its peer has given up after the one that it made instead.
    if (self->world_.Now() > when) return self->ReadAfter(self->world_.random().Between(1us, kBacklog));
    self->read_pending_ = false;
    self->DoRead();
  });
}

void SimSocket::DoRead() {
  if (handler_ == nullptr) return;
  if (!received_.empty() && !paused_) {
    std::span<char> buffer = handler_->ReadBuffer();
    CHECK(!buffer.empty());
    size_t size = std::min(buffer.size(), received_.size());
    if (world_.random().Chance(0.1)) size = 1 + world_.random().Below(size);
    received_.Take(size).copy(buffer.data(), size);
    read_total_ += size;
    SendAck();  // the window opens
    handler_->OnRead(size);
    return ScheduleRead();
  }
  if (broken_) return End(*broken_);
  if (fin_received_ && received_.empty() && !paused_) End("closed by peer");
}

void SimSocket::End(std::string why) {
  StreamHandler* handler = std::exchange(handler_, nullptr);
  Close();
  handler->OnClosed(Error{v1::NETWORK_EXCEPTION, std::move(why)});
}

}  // namespace tidemark
