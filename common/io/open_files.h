// How many descriptors the process may have open, and what they go to. Called once by main, before anything
// is opened.
#pragma once

#include <cstddef>

namespace tidemark {

// Raises the process's soft limit of open files to its hard one; returns the limit in force.
size_t RaiseOpenFilesLimit();

// How a broker spends its limit: segment files that stay open (which may go a quarter above), connections,
// and a reserve for everything else (indexes, small files, ZooKeeper, logs).
struct OpenFilesBudget {
  size_t log_files = 0;
  size_t connections = 0;
};
// `log_files` 0: chosen, two fifths of the limit.
OpenFilesBudget DivideOpenFiles(size_t limit, size_t log_files);

}  // namespace tidemark
