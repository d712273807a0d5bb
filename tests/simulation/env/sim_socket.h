// SimSocket: one end of a simulated connection: the kernel's part (what is on the wire, unacknowledged,
// received and not read) and the user's (what is queued, who reads). The network owns it while the kernel
// knows it; the user's stream may hold it longer. Each end holds the state of the direction it sends in.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "common/net/transport.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

// Bytes in order; taking from the front does not move the rest each time.
class ByteQueue {
 public:
  void Add(std::string_view bytes) { bytes_ += bytes; }
  std::string Take(size_t size) {
    std::string front = bytes_.substr(at_, size);
    at_ += size;
    if (at_ > bytes_.size() / 2) {
      bytes_.erase(0, at_);
      at_ = 0;
    }
    return front;
  }
  size_t size() const { return bytes_.size() - at_; }
  bool empty() const { return size() == 0; }
  void clear() {
    bytes_.clear();
    at_ = 0;
  }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

class SimSocket : public std::enable_shared_from_this<SimSocket> {
 public:
  SimSocket(SimWorld& world, uint64_t id, uint64_t peer_id, SimProcess* process, std::string host,
            std::string peer_host, std::string peer_name);

  // The user's calls.
  void Attach(SimLoop* loop) { loop_ = loop; }
  void Start(StreamHandler* handler);
  void Write(std::string bytes);
  void SetPaused(bool paused);
  void CloseAfterWrites();
  void Close();
  size_t unsent_bytes() const { return unsent_.size(); }
  const std::string& peer_name() const { return peer_name_; }
  Duration TakeCallTime();

  // The kernel's.
  uint64_t id() const { return id_; }
  uint64_t peer_id() const { return peer_id_; }
  SimProcess* process() const { return process_; }
  const std::string& host() const { return host_; }
  const std::string& peer_host() const { return peer_host_; }
  // The connection has broken at this end: the kernel forgets it, the user is told.
  void Break(std::string why);
  // The owner is dead: its queued bytes are lost, nobody reads; what is on the wire still goes.
  void OwnerGone();
  // Links or hosts have changed: stalled things go on, silent peers are timed.
  void PathsChanged();

 private:
  struct Segment {
    MonoTime arrival;
    std::string bytes;
    bool fin = false;
    bool reset = false;
  };

  std::shared_ptr<SimSocket> Peer() const;
  bool Known() const;  // to the kernel
  void Pump();
  void Push(Segment segment);
  void ScheduleDelivery(Duration extra);
  void Deliver();
  void Receive(Segment segment);
  void SendAck();
  void OnAck(uint64_t received, uint64_t read);
  bool Outstanding() const { return !unsent_.empty() || !wire_.empty() || acked_ < sent_; }
  void WatchProgress();
  void CheckProgress();
  void ScheduleRead();
  void ReadAfter(Duration delay);
  void DoRead();
  void End(std::string why);
  void ScheduleDrained();

  SimWorld& world_;
  const uint64_t id_;
  const uint64_t peer_id_;
  SimProcess* process_;
  const std::string host_;
  const std::string peer_host_;
  const std::string peer_name_;
  SimLoop* loop_ = nullptr;

  // Sending.
  ByteQueue unsent_;
  std::deque<Segment> wire_;
  MonoTime last_arrival_;
  bool delivery_pending_ = false;
  bool close_when_sent_ = false;
  bool fin_sent_ = false;
  bool drain_wanted_ = false;
  bool flush_pending_ = false;
  uint64_t sent_ = 0;       // bytes put on the wire
  uint64_t acked_ = 0;      // of those, known to have arrived
  uint64_t peer_read_ = 0;  // of those, known to have been read
  std::optional<MonoTime> no_progress_since_;
  bool progress_check_pending_ = false;
  std::optional<MonoTime> broken_since_;

  // Receiving.
  StreamHandler* handler_ = nullptr;
  bool closed_ = false;  // by the user, or ended
  bool paused_ = false;
  bool read_pending_ = false;
  ByteQueue received_;  // and not read
  uint64_t received_total_ = 0;
  uint64_t read_total_ = 0;
  bool fin_received_ = false;
  std::optional<std::string> broken_;

  bool timed_ = false;
  uint64_t bytes_timed_ = 0;  // read and sent, of which the user was told how long they took
};

}  // namespace tidemark
