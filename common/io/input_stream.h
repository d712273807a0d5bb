// InputStream: what a person names as input, read from front to back to its end: a file, a pipe (<(command),
// /dev/stdin), a terminal. Unlike a File it has no size and no positions. Reads block until somebody writes.
// Moved, not copied; one owner, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/result.h"

namespace tidemark {

class InputStream {
 public:
  // NOT_FOUND, IO_ERROR with path, call and errno text.
  static Result<InputStream> Open(const std::string& path);
  InputStream(InputStream&& other) noexcept;
  InputStream& operator=(InputStream&&) = delete;
  ~InputStream();

  // How many bytes came, at least one; 0: the end. IO_ERROR, also of a directory.
  Result<size_t> Read(std::span<char> buffer);

 private:
  InputStream(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_;
  std::string path_;
};

// All of it. IO_ERROR: there are more than `max_bytes`.
Result<std::string> ReadToEnd(const std::string& path, uint64_t max_bytes = 64u << 20);

}  // namespace tidemark
