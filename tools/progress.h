// Progress: a bar at stderr for work that may take longer than about a second. Owned by the function that
// does the work; used by one thread at a time (the main thread, or the client's loop while main waits in
// Run).
//
// Nothing is ever written unless stderr is a terminal that can be written over (TERM is set and not "dumb");
// nothing in the first half second, at most ten times a second after it, never wider than the terminal. It is
// plain characters and '\r': no colours, no escape sequences. Before anything else is printed the owner calls
// Clear(); the destructor does, so the line is gone when the work is done and its report follows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"
#include "tools/progress_line.h"

namespace tidemark {

// Where bars are drawn.
class ProgressScreen {
 public:
  virtual ~ProgressScreen() = default;
  // Nothing: there is none, or not now (the program is in the background).
  virtual std::optional<size_t> Columns() = 0;
  virtual void Write(std::string_view text) = 0;
};

// The terminal at stderr; null where there is none, or one that cannot show a bar.
ProgressScreen* TerminalAtStderr();

// What is still to be read of standard input; 0: it is no file.
uint64_t BytesLeftInStdin();

class Progress {
 public:
  // `total` 0: nobody knows. `clock` and `screen` (null: no bar) outlive it.
  Progress(const Clock& clock, std::string what, ProgressUnit unit, uint64_t total,
           ProgressScreen* screen = TerminalAtStderr());
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { Clear(); }

  // Whether there is a bar: whoever has to go to trouble for the numbers need not without.
  bool shown() const { return screen_ != nullptr; }
  void SetTotal(uint64_t total) { state_.total = total; }
  // So much is done; draws when it is time.
  void Set(uint64_t done) {
    state_.done = done;
    if (screen_ != nullptr) Draw();
  }
  void Add(uint64_t more) { Set(state_.done + more); }
  // Time goes by.
  void Tick() { Set(state_.done); }
  // Takes the line away. The next Set draws it again.
  void Clear();

 private:
  void Draw();

  const Clock& clock_;
  ProgressScreen* const screen_;
  ProgressState state_;
  ProgressRate rate_;
  WallMillis begun_ = 0;
  WallMillis drawn_at_ = 0;
  size_t drawn_ = 0;  // characters that stand there now
};

}  // namespace tidemark
