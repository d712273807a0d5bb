// RecoveryQueue: in what order the logs of one shard are recovered, and how many at once. Loop-affine.
// The order: urgent ones (internal topics), then as they were asked for (whoever asks names those it leads
// first). Few at once, so that the pool has threads left for the flushes of the logs that serve already.
//
// RecoveryProgress is what all shards of a broker together have done; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "common/async/task.h"
#include "common/async/wait.h"
#include "common/time.h"

namespace tidemark {

class RecoveryProgress {
 public:
  struct Figures {
    uint64_t asked = 0;
    uint64_t done = 0;
    uint64_t scanned_bytes = 0;
    std::optional<Duration> left;  // estimate; empty before the first is done
    bool under_way() const { return done < asked; }
  };

  void Ask(MonoTime now);
  // Bytes of batches that were read and checked.
  void Finish(uint64_t scanned_bytes);
  Figures At(MonoTime now) const;

 private:
  std::atomic<uint64_t> asked_ = 0;
  std::atomic<uint64_t> done_ = 0;
  std::atomic<uint64_t> scanned_ = 0;
  std::atomic<int64_t> since_ = 0;  // of the monotonic clock, when there was nothing to do before
  std::atomic<uint64_t> done_before_ = 0;
};

// "120 of 200 logs recovered, 1200 MB scanned, about 3 s left".
std::string ToString(const RecoveryProgress::Figures& figures);

class RecoveryQueue {
 public:
  class Turn {
   public:
    explicit Turn(RecoveryQueue* queue) : queue_(queue) {}
    Turn(Turn&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (queue_ != nullptr) queue_->Release();
    }

   private:
    RecoveryQueue* queue_;
  };

  RecoveryQueue(EventLoop& loop, size_t at_once) : loop_(loop), free_(at_once) { CHECK_GT(at_once, 0u); }
  ~RecoveryQueue() { CHECK(urgent_.empty() && others_.empty()) << "logs still wait for their recovery"; }
  RecoveryQueue(const RecoveryQueue&) = delete;
  RecoveryQueue& operator=(const RecoveryQueue&) = delete;

  // Empty after Close().
  Task<std::optional<Turn>> Acquire(bool urgent);
  // Nobody gets a turn any more; those who wait are told at once.
  void Close();
  bool waiting() const { return !urgent_.empty() || !others_.empty(); }

 private:
  struct Place {
    explicit Place(EventLoop& loop) : waiter(loop, "turn to recover") {}
    Waiter waiter;
    bool granted = false;
  };
  void Release();

  EventLoop& loop_;
  size_t free_;
  bool closed_ = false;
  std::list<Place*> urgent_;
  std::list<Place*> others_;
};

}  // namespace tidemark
