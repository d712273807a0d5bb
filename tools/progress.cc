#include "tools/progress.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tidemark {
namespace {

constexpr WallMillis kQuietFor = 500;
constexpr WallMillis kBetweenDraws = 100;
constexpr size_t kUsualColumns = 80;

class Terminal final : public ProgressScreen {
 public:
  std::optional<size_t> Columns() override {
    // In the background it would write into what the foreground shows.
    const pid_t foreground = ::tcgetpgrp(STDERR_FILENO);
    if (foreground != -1 && foreground != ::getpgrp()) return std::nullopt;
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualColumns;
    return size.ws_col;
  }
  void Write(std::string_view text) override {
    // What waits to be shown on stdout comes first.
    std::fflush(stdout);
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  }
};

}  // namespace

ProgressScreen* TerminalAtStderr() {
  static Terminal terminal;
  if (::isatty(STDERR_FILENO) != 1) return nullptr;
  const char* term = std::getenv("TERM");
  if (term == nullptr || *term == '\0' || std::string_view(term) == "dumb") return nullptr;
  return &terminal;
}

uint64_t BytesLeftInStdin() {
  struct stat info{};
  if (::fstat(STDIN_FILENO, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  const off_t at = ::lseek(STDIN_FILENO, 0, SEEK_CUR);
  return at >= 0 && at < info.st_size ? static_cast<uint64_t>(info.st_size - at) : 0;
}

Progress::Progress(const Clock& clock, std::string what, ProgressUnit unit, uint64_t total,
                   ProgressScreen* screen)
    : clock_(clock), screen_(screen), state_{.what = std::move(what), .unit = unit, .total = total} {
  if (screen_ == nullptr) return;
  begun_ = clock_.WallNow();
  drawn_at_ = begun_;
  rate_.Note(0, 0);
}

void Progress::Draw() {
  const WallMillis now = clock_.WallNow();
  // A clock that is set back begins anew.
  if (now < drawn_at_) drawn_at_ = now;
  if (now < begun_) begun_ = now;
  if (now - begun_ < kQuietFor || now - drawn_at_ < kBetweenDraws) return;
  drawn_at_ = now;
  state_.elapsed_ms = static_cast<uint64_t>(now - begun_);
  rate_.Note(state_.done, state_.elapsed_ms);
  state_.per_second = rate_.per_second();
  const std::optional<size_t> columns = screen_->Columns();
  // A character in the last column would begin a line that '\r' does not go back from.
  if (!columns || *columns < 2) return;
  std::string text = ProgressLine(state_, *columns - 1);
  const size_t length = text.size();
  const size_t leftover = std::min(drawn_, *columns - 1);
  if (length < leftover) text.append(leftover - length, ' ');
  drawn_ = length;
  screen_->Write("\r" + text);
}

void Progress::Clear() {
  if (drawn_ == 0) return;
  const size_t columns = screen_->Columns().value_or(0);
  // In the background now: the line is the foreground's.
  if (columns >= 2) screen_->Write("\r" + std::string(std::min(drawn_, columns - 1), ' ') + "\r");
  drawn_ = 0;
}

}  // namespace tidemark
