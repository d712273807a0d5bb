// What became of the output: a write to stdout that failed is remembered, so that no command ends as if its
// output had arrived. One thread of one process.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "common/utf8.h"

namespace tidemark {

// Writes to stdout. False: nobody reads any more, and the command is to end quietly.
bool Print(std::string_view text);

// Writes a line to stderr, as Printable (common/utf8.h) has it: what others chose, such as the id of a group
// in an error of its coordinator, cannot command the terminal or begin a line of its own.
void SayLine(std::string_view line);
template <typename... Args>
void Say(fmt::format_string<Args...> format, Args&&... args) {
  SayLine(fmt::format(format, std::forward<Args>(args)...));
}

// The same on stdout.
template <typename... Args>
void PrintLine(fmt::format_string<Args...> format, Args&&... args) {
  (void)Print(Printable(fmt::format(format, std::forward<Args>(args)...)) + "\n");
}

// "1 member", "2 members".
std::string Counted(std::integral auto count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// True: nobody can read what would be written. Asked by commands that wait, perhaps for ever, for something
// to write.
bool ReaderIsGone();

// The errno of a write to stdout that failed.
void NoteOutputError(int error);
// Of the first one; 0 when all was written. EPIPE: whoever read it has seen enough.
int OutputError();

}  // namespace tidemark
