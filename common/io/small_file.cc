#include <charconv>

#include "common/io/file_system.h"
#include "common/record/crc32c.h"

namespace tidemark {
namespace {

constexpr std::string_view kChecksumWord = "crc32c ";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr size_t kChecksumLineBytes = kChecksumWord.size() + 8 + 1;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A temporary file beside `path` with the content, not synced.
Result<std::unique_ptr<File>> OpenTemporary(FileSystem& fs, const std::string& path,
                                            std::string_view content) {
  TM_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                      fs.Open(path + std::string(kTemporarySuffix), OpenMode::kCreate));
  TM_RETURN_IF_ERROR(file->Truncate(0));  // what an earlier crash left
  TM_RETURN_IF_ERROR(file->WriteAt(0, content));
  return file;
}

}  // namespace

Result<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t max_bytes) {
  TM_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > max_bytes)
    return Fail(v1::IO_ERROR, "{} has {} bytes, more than the {} expected", path, size, max_bytes);
  std::string content(size, '\0');
  TM_ASSIGN_OR_RETURN(const size_t read, file->ReadAt(0, content));
  content.resize(read);
  return content;
}

Result<> WriteFileDurably(FileSystem& fs, const std::string& path, std::string_view content) {
  {
    TM_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, OpenTemporary(fs, path, content));
    TM_RETURN_IF_ERROR(file->Sync());
  }
  TM_RETURN_IF_ERROR(RenameTemporary(fs, path));
  return fs.SyncDirectory(ParentOf(path));
}

Result<> WriteTemporary(FileSystem& fs, const std::string& path, std::string_view content) {
  TM_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, OpenTemporary(fs, path, content));
  return {};
}

Result<> RenameTemporary(FileSystem& fs, const std::string& path) {
  return fs.Rename(path + std::string(kTemporarySuffix), path);
}

Result<> RemoveAll(FileSystem& fs, const std::string& path) {
  TM_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, fs.List(path));
  for (const DirectoryEntry& entry : entries) {
    const std::string child = path + "/" + entry.name;
    if (entry.is_directory) {
      TM_RETURN_IF_ERROR(RemoveAll(fs, child));
    } else {
      TM_RETURN_IF_ERROR(fs.Remove(child));
    }
  }
  return fs.Remove(path);
}

std::string WithChecksum(std::string_view content) {
  std::string out(content);
  if (!out.empty() && out.back() != '\n') out += '\n';
  fmt::format_to(std::back_inserter(out), "{}{:08x}\n", kChecksumWord, Crc32c(out));
  return out;
}

Result<std::string> VerifyChecksum(std::string_view content, const std::string& path) {
  if (content.size() < kChecksumLineBytes || content.back() != '\n') {
    return Fail(v1::CORRUPT_MESSAGE, "{} does not end with its checksum line", path);
  }
  const std::string_view covered = content.substr(0, content.size() - kChecksumLineBytes);
  const std::string_view line = content.substr(covered.size());
  if (!line.starts_with(kChecksumWord) || (!covered.empty() && covered.back() != '\n')) {
    return Fail(v1::CORRUPT_MESSAGE, "{} does not end with its checksum line", path);
  }
  const std::string_view digits = line.substr(kChecksumWord.size(), 8);
  uint32_t stated = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), stated, 16);
  // As it is written and no other way.
  if (error != std::errc() || end != digits.data() + digits.size() ||
      fmt::format("{:08x}", stated) != digits) {
    return Fail(v1::CORRUPT_MESSAGE, "{} has a malformed checksum '{}'", path, digits);
  }
  if (const uint32_t actual = Crc32c(covered); actual != stated) {
    return Fail(v1::CORRUPT_MESSAGE, "{} has checksum {:08x}, its content gives {:08x}", path, stated,
                actual);
  }
  return std::string(covered);
}

}  // namespace tidemark
