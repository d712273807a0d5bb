// FileSystem: the seam to disks. Calls are synchronous; whoever calls decides whether a loop may (page-cache
// appends, NOWAIT reads, small stats) or a blocking-pool thread must (sync, open, list, remove, cold reads).
// The real one is common/io/posix_file_system.h; the simulated one (tests/simulation) forgets what was not
// synced, tears writes and fails on demand. Both pass tests/unit/io's contract suite.
//
// Errors: IO_ERROR with path, call and errno text; NOT_FOUND for a missing path; DISK_FULL for ENOSPC and
// EDQUOT, and for EMFILE and ENFILE (the message tells them apart): a lack that passes, nothing is wrong with
// the disk. Files are never mapped: a mapped page of a full or truncated file kills the process.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace tidemark {

// An open file. Positional calls are thread-safe with respect to each other (as pread and pwrite are).
class File {
 public:
  virtual ~File() = default;

  // Reads up to buffer.size() bytes at `position`; fewer only at the end of the file.
  virtual Result<size_t> ReadAt(uint64_t position, std::span<char> buffer) = 0;
  // As ReadAt, but only what is in the page cache: returns the bytes that could be read without blocking,
  // which may be fewer than there are (0 when the first page is cold). `*would_block` says that the read
  // stopped for that reason.
  virtual Result<size_t> ReadAtNowait(uint64_t position, std::span<char> buffer, bool* would_block) = 0;
  enum class Advice { kWillNeed, kDontNeed };
  // A hint about a range and the page cache: it is going to be read soon, or no more. May block for a moment
  // on the disk's queue (pool thread). Never fails and never changes what is read.
  virtual void Advise(uint64_t position, uint64_t length, Advice advice) = 0;
  // Writes all pieces, one after the other, at `position`. On error an unknown prefix may have been written.
  virtual Result<> WriteAt(uint64_t position, std::span<const std::string_view> pieces) = 0;
  // fdatasync: data and size are durable when it returns ok. After an error nothing is known and it must not
  // be retried: it is never DISK_FULL, whatever the disk said.
  virtual Result<> Sync() = 0;
  virtual Result<> Truncate(uint64_t size) = 0;
  virtual Result<uint64_t> Size() const = 0;
  // False: the file was removed, or another took its name. Whoever closes it last frees what it holds, which
  // takes long where that is much.
  virtual bool HasName() const = 0;
  virtual const std::string& path() const = 0;

  Result<> WriteAt(uint64_t position, std::string_view bytes) {
    return WriteAt(position, std::span(&bytes, 1));
  }
};

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // read-write; created if missing
  kCreateNew,  // read-write; must not exist
};

// Held while the object lives; also remembers the holder's pid in the file.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  virtual Result<> Rename(const std::string& from,
                          const std::string& to) = 0;    // replaces; not durable before SyncDirectory
  virtual Result<> Remove(const std::string& path) = 0;  // one file or empty directory
  virtual Result<> CreateDirectories(const std::string& path) = 0;  // with parents; ok if it exists
  virtual Result<std::vector<DirectoryEntry>> List(
      const std::string& path) = 0;  // sorted by name, without . and ..
  // Makes creations, renames and removals in the directory durable. DISK_FULL: no descriptor was left to open
  // it with, and nothing was synced.
  virtual Result<> SyncDirectory(const std::string& path) = 0;
  // From now on errors of writing back to the file system that holds `path` are reported by SyncFileSystem;
  // what is to be synced by it is written after this.
  virtual Result<> PrepareSyncFileSystem(const std::string& path) = 0;
  // Makes everything written so far to the file system that holds `path` durable. After an
  // error nothing is known, and it is the answer to every later call.
  virtual Result<> SyncFileSystem(const std::string& path) = 0;
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
  // Locks `path` (created if missing, mode 0600) for this process and writes its pid into it. When another
  // process holds it: POLICY_VIOLATION with the holder's pid in the message.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// Whole-file helpers over any FileSystem (common/io/small_file.cc).
Result<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t max_bytes = 64 << 20);
// Temp file, sync, rename, sync of the directory: after ok the new content survives a power cut; after an
// error or a crash the old content or the new one is there, never a mix.
Result<> WriteFileDurably(FileSystem& fs, const std::string& path, std::string_view content);
// The two halves of it, for many files with one sync between: the temporary file, not synced; its rename, not
// durable yet.
Result<> WriteTemporary(FileSystem& fs, const std::string& path, std::string_view content);
Result<> RenameTemporary(FileSystem& fs, const std::string& path);
// Removes a directory with all in it.
Result<> RemoveAll(FileSystem& fs, const std::string& path);
// Kinds of small files carry a checksum line at their end: "crc32c <8 hex digits>\n" over all before it.
std::string WithChecksum(std::string_view content);
// The content without its checksum line; CORRUPT_MESSAGE when it is missing or wrong.
Result<std::string> VerifyChecksum(std::string_view content, const std::string& path);

}  // namespace tidemark
