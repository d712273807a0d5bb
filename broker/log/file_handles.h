// FileHandles: which segment files of one shard are open, and which of them are closed when there are too
// many. Owned by ShardLogs, loop-affine.
//
// Invariants: no more than the capacity stay open, but for files with bytes that were never synced: those are
// not closed before they are (a descriptor opened later may not be told of a write-back error of theirs).
// When such files fill the capacity, the owner is asked to flush them; appends that would open more than a
// quarter above it are refused until it has.
// The choice is second chance: a file that was used since it was last looked at is kept for another round.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "broker/log/segment.h"

namespace tidemark {

class FileHandles {
 public:
  // `flush` is asked to flush the logs of all dirty files; called in the middle of appends, so it only asks.
  FileHandles(size_t capacity, std::function<void()> flush);

  // The segment's file has just been opened. Closes others where there are too many; this one stays open
  // until the next call.
  void NoteOpen(const std::shared_ptr<Segment>& segment);
  static void NoteUse(Segment& segment) { segment.handle.used = true; }
  // Some files are no longer dirty.
  void NoteFlushed() { look_again_at_ = 0; }
  // Whether a file that is going to be dirty may be opened.
  bool HasRoom();

  // Files open, or closed by their logs meanwhile.
  size_t size() const { return listed_.size(); }
  size_t capacity() const { return capacity_; }
  // A smaller one closes files as others are opened.
  void SetCapacity(size_t capacity) {
    capacity_ = capacity < 1 ? 1 : capacity;
    look_again_at_ = 0;
  }

 private:
  // Closes what may be closed, but for `keep`.
  void Sweep(const Segment* keep);

  size_t capacity_;
  std::function<void()> flush_;
  // In the order they are looked at; each segment at most once.
  std::deque<std::weak_ptr<Segment>> listed_;
  // After a look that found dirty files only: the next one is worth its while when there are so many, or
  // after a flush.
  size_t look_again_at_ = 0;
};

}  // namespace tidemark
