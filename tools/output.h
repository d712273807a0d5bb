// What became of the output: a write to stdout that failed is remembered, so that no command ends as if its
// output had arrived. One thread of one process.
#pragma once

#include <string_view>

namespace tidemark {

// Writes to stdout. False: nobody reads any more, and the command is to end quietly.
bool Print(std::string_view text);

// True: nobody can read what would be written. Asked by commands that wait, perhaps for ever, for something
// to write.
bool ReaderIsGone();

// The errno of a write to stdout that failed.
void NoteOutputError(int error);
// Of the first one; 0 when all was written. EPIPE: whoever read it has seen enough.
int OutputError();

}  // namespace tidemark
