// SimDisk: a host's disk. It survives processes, knows for each file what was written and what is synced and
// for each directory which changes are, and forgets the rest when power is lost: any subset of unsynced
// writes, torn at sector or byte borders; unsynced truncations may or may not have happened; of the unsynced
// changes of a directory a prefix survives, and a rename is there whole or not at all.
//
// SimFileSystem is one process's view of it. After the process was killed its calls still answer (the code on
// the stack runs on) but on a copy that nobody else sees.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/io/file_system.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

enum class DiskOp {
  kOpen,
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kRename,
  kRemove,
  kMakeDirectory,
  kList,
  kSyncDirectory,
  kLock
};
inline constexpr size_t kDiskOps = 11;
std::string_view ToString(DiskOp op);

// kHang: the call never returns. Work of the blocking pool that makes it never ends; a loop that makes it
// stands still with its whole process, which can then only be killed.
enum class DiskFault { kIoError, kNoSpace, kReadOnly, kHang };

// What is to fail: the nth op (1: the next) of this kind on a path that contains `path`; `times` of them in a
// row.
struct DiskFailure {
  DiskOp op = DiskOp::kWrite;
  std::string path;
  DiskFault fault = DiskFault::kIoError;
  int nth = 1;
  int times = 1;
};

class SimTree;

class SimDisk {
 public:
  SimDisk(SimWorld& world, std::string host);
  ~SimDisk();

  void Fail(DiskFailure failure) { failures_.push_back(std::move(failure)); }
  void ClearFailures() { failures_.clear(); }
  // Bytes that files may hold in all; none: no limit.
  void SetCapacity(std::optional<uint64_t> bytes) { capacity_ = bytes; }
  // How often a NOWAIT read meets a cold page.
  void SetColdReadChance(double chance) { cold_read_chance_ = chance; }
  // Called before every op that changes something or makes it durable; may kill the process: the op is then
  // without effect.
  using Hook = std::function<void(DiskOp, const std::string& path)>;
  void SetHook(Hook hook) { hook_ = std::move(hook); }
  uint64_t count(DiskOp op) const { return counts_[static_cast<size_t>(op)]; }

  // What File::Advise was told of, per file: position and length.
  using Advised = std::map<std::string, std::vector<std::pair<uint64_t, uint64_t>>>;
  const Advised& will_need() const { return will_need_; }
  const Advised& dont_need() const { return dont_need_; }

  // Files that a loop closed after they had been removed: a real disk frees their blocks then, and the loop
  // stands still meanwhile.
  const std::vector<std::string>& freed_on_loops() const { return freed_on_loops_; }

  // For tests: looks at and damages what is there, past all processes.
  std::optional<std::string> Content(const std::string& path) const;
  // What would be there if all that is unsynced were lost.
  std::optional<std::string> DurableContent(const std::string& path) const;
  std::vector<std::string> Paths() const;  // of all files, sorted
  bool FlipBit(const std::string& path, uint64_t bit);
  bool SetContent(const std::string& path, std::string content);  // durable at once; the file must exist
  void RemovePath(const std::string& path);                       // durable at once

  // A copy of all there is, with what is synced and what is not; and a disk that becomes such a copy. Not
  // while a process lives on the host.
  std::shared_ptr<SimTree> Snapshot() const;
  void Restore(std::shared_ptr<SimTree> tree);

  // The rest is for the parts of the world.
  void PowerLoss();
  // The process is gone: its locks are free. `running`: code of it is still on the stack and keeps a copy.
  void ProcessGone(int pid, bool running);

 private:
  friend class SimFileSystem;
  friend class SimFile;
  friend class SimFileLock;

  SimWorld& world_;
  std::string host_;
  std::shared_ptr<SimTree> tree_;
  std::list<DiskFailure> failures_;
  std::optional<uint64_t> capacity_;
  double cold_read_chance_ = 0.02;
  Hook hook_;
  uint64_t counts_[kDiskOps] = {};
  Advised will_need_, dont_need_;
  std::vector<std::string> freed_on_loops_;
  std::map<std::string, int> locks_;  // path -> pid of the holder
};

class SimFileSystem final : public FileSystem {
 public:
  SimFileSystem(SimDisk& disk, SimProcess& process);
  ~SimFileSystem() override;

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<bool> Exists(const std::string& path) override;
  Result<> Rename(const std::string& from, const std::string& to) override;
  Result<> Remove(const std::string& path) override;
  Result<> CreateDirectories(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override;
  Result<> SyncDirectory(const std::string& path) override;
  Result<> PrepareSyncFileSystem(const std::string& path) override;
  Result<> SyncFileSystem(const std::string& path) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  friend class SimFile;
  // Counts the op, lets the hook see it, and says whether it is to fail.
  Result<> Begin(DiskOp op, const std::string& path);
  void Hang();
  SimDisk& disk_;
  SimProcess& process_;
  std::shared_ptr<SimTree> tree_;
  bool stuck_ = false;  // a call on a loop hangs: what is left on the stack works on a copy
};

}  // namespace tidemark
