#include "common/io/posix_file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>

namespace tidemark {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0750;

std::unexpected<Error> ErrnoError(std::string_view call, const std::string& path, int error) {
  const std::string text = std::error_code(error, std::generic_category()).message();
  if (error == ENOENT) return Fail(v1::NOT_FOUND, "{} {}: {}", call, path, text);
  const bool lack = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE;
  if (lack) return Fail(v1::DISK_FULL, "{} {}: {}", call, path, text);
  return Fail(v1::IO_ERROR, "{} {}: {}", call, path, text);
}

// No failure of a sync is a lack that passes, whatever its number: the pages may be gone.
std::unexpected<Error> SyncError(std::string_view call, const std::string& path, int error) {
  return Fail(v1::IO_ERROR, "{} {}: {}", call, path,
              std::error_code(error, std::generic_category()).message());
}

template <typename F>
auto RetryInterrupted(F call) {
  while (true) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<Descriptor> OpenDescriptor(const std::string& path, int flags) {
  const int fd = RetryInterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileMode); });
  if (fd < 0) return ErrnoError("open", path, errno);
  return Descriptor(fd);
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<size_t> ReadAt(uint64_t position, std::span<char> buffer) override {
    size_t done = 0;
    while (done < buffer.size()) {
      const ssize_t n = RetryInterrupted([&] {
        return ::pread(fd_.get(), buffer.data() + done, buffer.size() - done,
                       static_cast<off_t>(position + done));
      });
      if (n < 0) return ErrnoError("pread", path_, errno);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Result<size_t> ReadAtNowait(uint64_t position, std::span<char> buffer, bool* would_block) override {
    *would_block = false;
    size_t done = 0;
    while (done < buffer.size()) {
      iovec piece{buffer.data() + done, buffer.size() - done};
      const ssize_t n = RetryInterrupted(
          [&] { return ::preadv2(fd_.get(), &piece, 1, static_cast<off_t>(position + done), RWF_NOWAIT); });
      if (n < 0) {
        // A file system that does not know NOWAIT is treated as always cold.
        if (errno != EAGAIN && errno != EOPNOTSUPP) return ErrnoError("preadv2", path_, errno);
        *would_block = true;
        break;
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  void Advise(uint64_t position, uint64_t length, Advice advice) override {
    const int how = advice == Advice::kWillNeed ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED;
    (void)::posix_fadvise(fd_.get(), static_cast<off_t>(position), static_cast<off_t>(length), how);
  }

  using File::WriteAt;
  Result<> WriteAt(uint64_t position, std::span<const std::string_view> pieces) override {
    // IOV_MAX pieces per call; a short write resumes in the middle of a piece.
    constexpr size_t kBatch = 256;
    static_assert(kBatch <= IOV_MAX);
    std::array<iovec, kBatch> vector;
    size_t piece = 0;
    size_t offset = 0;  // within pieces[piece]
    while (true) {
      size_t count = 0;
      for (size_t i = piece; i < pieces.size() && count < kBatch; ++i) {
        const std::string_view rest = pieces[i].substr(i == piece ? offset : 0);
        if (!rest.empty()) vector[count++] = {const_cast<char*>(rest.data()), rest.size()};
      }
      if (count == 0) return {};
      const ssize_t n = RetryInterrupted([&] {
        return ::pwritev(fd_.get(), vector.data(), static_cast<int>(count), static_cast<off_t>(position));
      });
      if (n < 0) return ErrnoError("pwritev", path_, errno);
      if (n == 0) return Fail(v1::IO_ERROR, "pwritev {}: wrote nothing", path_);
      position += static_cast<uint64_t>(n);
      for (size_t left = static_cast<size_t>(n); left > 0;) {
        const size_t step = std::min(left, pieces[piece].size() - offset);
        left -= step;
        offset += step;
        if (offset == pieces[piece].size()) {
          ++piece;
          offset = 0;
        }
      }
    }
  }

  Result<> Sync() override {
    if (RetryInterrupted([&] { return ::fdatasync(fd_.get()); }) < 0)
      return SyncError("fdatasync", path_, errno);
    return {};
  }

  Result<> Truncate(uint64_t size) override {
    if (RetryInterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }) < 0) {
      return ErrnoError("ftruncate", path_, errno);
    }
    return {};
  }

  Result<uint64_t> Size() const override {
    struct stat info;
    if (::fstat(fd_.get(), &info) < 0) return ErrnoError("fstat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  bool HasName() const override {
    struct stat info;
    return ::fstat(fd_.get(), &info) == 0 && info.st_nlink > 0;
  }

  const std::string& path() const override { return path_; }

 private:
  Descriptor fd_;
  std::string path_;
};

// An open-file-description lock: released by the kernel when the process dies, also by SIGKILL, and refused
// to a second open in the same process too.
class PosixLock final : public FileLock {
 public:
  explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}
  ~PosixLock() override {
    // The pid goes with the lock, so that nobody reads a dead one as a live one.
    if (::ftruncate(fd_.get(), 0) < 0) return;
  }

 private:
  Descriptor fd_;
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_RDWR;
    if (mode == OpenMode::kRead) flags = O_RDONLY;
    if (mode == OpenMode::kCreate) flags |= O_CREAT;
    if (mode == OpenMode::kCreateNew) flags |= O_CREAT | O_EXCL;
    TM_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, flags));
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  Result<bool> Exists(const std::string& path) override {
    struct stat info;
    if (::stat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoError("stat", path, errno);
  }

  Result<> Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) < 0) return ErrnoError("rename", from, errno);
    return {};
  }

  Result<> Remove(const std::string& path) override {
    if (::unlink(path.c_str()) == 0) return {};
    if (errno != EISDIR && errno != EPERM) return ErrnoError("unlink", path, errno);
    if (::rmdir(path.c_str()) < 0) return ErrnoError("rmdir", path, errno);
    return {};
  }

  Result<> CreateDirectories(const std::string& path) override {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string prefix = path.substr(0, end);
      if (::mkdir(prefix.c_str(), kDirectoryMode) < 0) {
        if (errno != EEXIST) return ErrnoError("mkdir", prefix, errno);
        struct stat info;
        if (::stat(prefix.c_str(), &info) < 0) return ErrnoError("stat", prefix, errno);
        if (!S_ISDIR(info.st_mode)) return ErrnoError("mkdir", prefix, ENOTDIR);
      }
      if (end == std::string::npos) return {};
    }
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) return ErrnoError("opendir", path, errno);
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(directory, ::closedir);
    std::vector<DirectoryEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(directory);
      if (entry == nullptr) {
        if (errno != 0) return ErrnoError("readdir", path, errno);
        break;
      }
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      bool is_directory = entry->d_type == DT_DIR;
      if (entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK) {
        struct stat info;
        is_directory = ::stat((path + "/" + name).c_str(), &info) == 0 && S_ISDIR(info.st_mode);
      }
      entries.push_back({std::move(name), is_directory});
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
  }

  Result<> SyncDirectory(const std::string& path) override {
    TM_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDONLY | O_DIRECTORY));
    if (RetryInterrupted([&] { return ::fsync(fd.get()); }) < 0) return SyncError("fsync", path, errno);
    return {};
  }

  // syncfs reports the write-back errors of the file system since its descriptor was opened or last told of
  // one, to one caller only. So a descriptor is kept per path, opened before what it is to report on is
  // written (one opened just for the call could miss an error that somebody else has been told of), its
  // callers come one after the other, and an error told to one of them is told to all that follow.
  Result<> PrepareSyncFileSystem(const std::string& path) override {
    TM_ASSIGN_OR_RETURN(SyncTarget * target, TargetOf(path));
    (void)target;
    return {};
  }

  Result<> SyncFileSystem(const std::string& path) override {
    TM_ASSIGN_OR_RETURN(SyncTarget * target, TargetOf(path));
    const std::lock_guard guard(target->mutex);
    if (target->failure) return std::unexpected(*target->failure);
    if (RetryInterrupted([&] { return ::syncfs(target->fd.get()); }) < 0) {
      target->failure = SyncError("syncfs", path, errno).error();
      return std::unexpected(*target->failure);
    }
    return {};
  }

  Result<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs info;
    if (RetryInterrupted([&] { return ::statvfs(path.c_str(), &info); }) < 0) {
      return ErrnoError("statvfs", path, errno);
    }
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    TM_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDWR | O_CREAT));
    if (::fchmod(fd.get(), kFileMode) < 0) return ErrnoError("fchmod", path, errno);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (RetryInterrupted([&] { return ::fcntl(fd.get(), F_OFD_SETLK, &lock); }) < 0) {
      if (errno != EAGAIN && errno != EACCES) return ErrnoError("lock", path, errno);
      std::array<char, 32> text{};
      const ssize_t n = ::pread(fd.get(), text.data(), text.size() - 1, 0);
      std::string pid(text.data(), n > 0 ? static_cast<size_t>(n) : 0);
      pid.erase(std::find_if(pid.begin(), pid.end(), [](char c) { return c < '0' || c > '9'; }), pid.end());
      return Fail(v1::POLICY_VIOLATION, "{} is locked by process {}", path, pid.empty() ? "unknown" : pid);
    }
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd.get(), 0) < 0) return ErrnoError("ftruncate", path, errno);
    // The lock holds without the pid, for which a full disk may have no room.
    const ssize_t written = ::pwrite(fd.get(), pid.data(), pid.size(), 0);
    if (written < 0 && errno != ENOSPC && errno != EDQUOT) return ErrnoError("pwrite", path, errno);
    return std::make_unique<PosixLock>(std::move(fd));
  }

 private:
  struct SyncTarget {
    explicit SyncTarget(Descriptor descriptor) : fd(std::move(descriptor)) {}
    Descriptor fd;
    std::mutex mutex;
    std::optional<Error> failure;
  };

  Result<SyncTarget*> TargetOf(const std::string& path) {
    const std::lock_guard guard(mutex_);
    std::unique_ptr<SyncTarget>& target = sync_targets_[path];
    if (target) return target.get();
    auto fd = OpenDescriptor(path, O_RDONLY);
    if (!fd) {
      sync_targets_.erase(path);
      return std::unexpected(std::move(fd).error());
    }
    target = std::make_unique<SyncTarget>(std::move(*fd));
    return target.get();
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<SyncTarget>> sync_targets_;
};

}  // namespace

std::unique_ptr<FileSystem> MakePosixFileSystem() { return std::make_unique<PosixFileSystem>(); }

}  // namespace tidemark
