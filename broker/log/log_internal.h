// The two guards that the Log's own .cc files share. Loop-affine, live in coroutine frames.
#pragma once

#include "broker/log/log.h"

namespace tidemark {

// An operation that suspends keeps the log alive: Quiesce waits for it.
class Log::Operation {
 public:
  explicit Operation(Log& log) : log_(log) { ++log_.operations_; }
  ~Operation() {
    if (--log_.operations_ == 0) log_.changed_.NotifyAll();
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

 private:
  Log& log_;
};

// Made right after LockForChange succeeded.
class Log::Change {
 public:
  explicit Change(Log& log) : log_(log) { CHECK(log_.changing_); }
  ~Change() {
    log_.changing_ = false;
    log_.truncating_ = false;
    log_.NoteChange();
    log_.changed_.NotifyAll();
    if (log_.flush_wanted_) {
      log_.flush_wanted_ = false;
      log_.RequestFlush();
    }
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  Log& log_;
};

}  // namespace tidemark
