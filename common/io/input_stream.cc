#include "common/io/input_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace tidemark {
namespace {

std::unexpected<Error> Failed(std::string_view call, const std::string& path, int error) {
  return Fail(error == ENOENT ? v1::NOT_FOUND : v1::IO_ERROR, "{} {}: {}", call, path,
              std::error_code(error, std::generic_category()).message());
}

}  // namespace

Result<InputStream> InputStream::Open(const std::string& path) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) return Failed("open", path, errno);
  return InputStream(descriptor, path);
}

InputStream::InputStream(InputStream&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

InputStream::~InputStream() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<size_t> InputStream::Read(std::span<char> buffer) {
  while (true) {
    const ssize_t n = ::read(descriptor_, buffer.data(), buffer.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return Failed("read", path_, errno);
  }
}

Result<std::string> ReadToEnd(const std::string& path, uint64_t max_bytes) {
  TM_ASSIGN_OR_RETURN(InputStream stream, InputStream::Open(path));
  std::string content;
  char buffer[64 << 10];
  while (true) {
    TM_ASSIGN_OR_RETURN(const size_t n, stream.Read(buffer));
    if (n == 0) return content;
    if (n > max_bytes - content.size())
      return Fail(v1::IO_ERROR, "{} has more than the {} bytes expected", path, max_bytes);
    content.append(buffer, n);
  }
}

}  // namespace tidemark
