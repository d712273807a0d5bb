#include "tools/output.h"

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

void NoteOutputError(int error) {
  if (first_error == 0) first_error = error == 0 ? EIO : error;
}

int OutputError() { return first_error; }

}  // namespace tidemark
