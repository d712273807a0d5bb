#include "broker/log/segment.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace tidemark {
namespace {

constexpr size_t kNameDigits = 20;

Result<> RemoveIfThere(FileSystem& files, const std::string& path) {
  auto removed = files.Remove(path);
  if (!removed && removed.error().code == v1::NOT_FOUND) return {};
  return removed;
}

}  // namespace

std::string SegmentPathPrefix(const std::string& directory, Offset base_offset) {
  return fmt::format("{}/{:020d}", directory, base_offset);
}

std::optional<Offset> ParseSegmentName(std::string_view name, std::string_view suffix) {
  if (name.size() != kNameDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  Offset offset = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kNameDigits, offset);
  if (error != std::errc() || end != name.data() + kNameDigits) return std::nullopt;
  return offset;
}

Result<> RemoveSegmentFiles(FileSystem& files, const std::string& path_prefix) {
  TM_RETURN_IF_ERROR(RemoveIndexFiles(files, path_prefix));
  return RemoveIfThere(files, path_prefix + ".log");
}

Result<> RemoveIndexFiles(FileSystem& files, const std::string& path_prefix) {
  TM_RETURN_IF_ERROR(RemoveIfThere(files, path_prefix + ".index"));
  return RemoveIfThere(files, path_prefix + ".timeindex");
}

}  // namespace tidemark
