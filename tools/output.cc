#include "tools/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace tidemark {
namespace {

int first_error = 0;

}  // namespace

bool Print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return true;
  NoteOutputError(errno);
  return false;
}

void SayLine(std::string_view line) { fmt::print(stderr, "{}\n", Printable(line)); }

bool ReaderIsGone() {
  pollfd out{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  // The other end of a pipe was closed; files and terminals are never in this state.
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

void NoteOutputError(int error) {
  if (first_error == 0) first_error = error == 0 ? EIO : error;
}

int OutputError() { return first_error; }

}  // namespace tidemark
