#include "tests/simulation/env/sim_disk.h"

#include <algorithm>

#include <glog/logging.h>

#include "tests/simulation/env/sim_disk_tree.h"
#include "tests/simulation/env/sim_process.h"

namespace tidemark {
namespace {

constexpr size_t kMaxName = 255;  // bytes, as of Linux

constexpr uint64_t kUnlimitedFree = 1ull << 40;
constexpr std::string_view kOpNames[kDiskOps] = {"open",     "read",           "write",  "sync",
                                                 "truncate", "rename",         "remove", "mkdir",
                                                 "list",     "sync directory", "lock"};

std::unexpected<Error> Missing(const std::string& path, std::string_view call) {
  return Fail(v1::NOT_FOUND, "{}: {}: No such file or directory", path, call);
}

// Whether a loop is what runs now, and not the pool.
bool OnLoop(const SimWorld& world, SimProcess& process) {
  return world.current_loop() != nullptr && !process.pool().working();
}

// For a call that is the blocking pool's: a real loop would stand still until the disk has answered, and with
// it all that its shard serves. No broker has a reason to, not in its start and stop either. A loop may open,
// append to and truncate a file (of which it asks the page cache only) and read what ReadAtNowait has.
void CheckMayBlock(const SimWorld& world, SimProcess& process, DiskOp op, const std::string& path) {
  CHECK(!OnLoop(world, process)) << "loop '" << world.current_loop()->name()
                                 << "' waits for a disk: " << ToString(op) << " " << path;
}

}  // namespace

std::string_view ToString(DiskOp op) { return kOpNames[static_cast<size_t>(op)]; }

SimDisk::SimDisk(SimWorld& world, std::string host)
    : world_(world), host_(std::move(host)), tree_(std::make_shared<SimTree>()) {}
SimDisk::~SimDisk() = default;

std::optional<std::string> SimDisk::Content(const std::string& path) const {
  const auto node = tree_->Find(path);
  if (!node || node->directory) return std::nullopt;
  return node->data;
}

std::optional<std::string> SimDisk::DurableContent(const std::string& path) const {
  const auto node = tree_->FindDurable(path);
  if (!node || node->directory) return std::nullopt;
  return node->durable;
}

std::vector<std::string> SimDisk::Paths() const { return tree_->Paths(); }

bool SimDisk::FlipBit(const std::string& path, uint64_t bit) {
  const auto node = tree_->Find(path);
  if (!node || bit / 8 >= node->data.size()) return false;
  const auto flip = [&](std::string& bytes) {
    if (bit / 8 < bytes.size()) bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  };
  flip(node->data);
  flip(node->durable);
  return true;
}

bool SimDisk::SetContent(const std::string& path, std::string content) {
  const auto node = tree_->Find(path);
  if (!node || node->directory) return false;
  node->data = node->durable = std::move(content);
  node->unsynced.clear();
  return true;
}

void SimDisk::RemovePath(const std::string& path) {
  std::string name;
  const auto parent = tree_->Parent(path, &name);
  if (!parent || !parent->entries.contains(name)) return;
  tree_->SetEntry(parent, name, nullptr);
  tree_->SyncDirectory(parent.get());
}

std::shared_ptr<SimTree> SimDisk::Snapshot() const { return tree_->Clone(); }

void SimDisk::Restore(std::shared_ptr<SimTree> tree) { tree_ = std::move(tree); }

void SimDisk::PowerLoss() { tree_ = tree_->AfterPowerLoss(world_.random()); }

void SimDisk::ProcessGone(int pid, bool running) {
  std::erase_if(locks_, [&](const auto& lock) { return lock.second == pid; });
  if (running) tree_ = tree_->Clone();
}

class SimFile final : public File {
 public:
  SimFile(SimFileSystem& fs, std::string path, std::shared_ptr<SimNode> node, bool writable)
      : fs_(fs), path_(std::move(path)), node_(std::move(node)), writable_(writable) {}
  ~SimFile() override {
    if (OnLoop(fs_.disk_.world_, fs_.process_) && fs_.process_.alive() && !node_->named)
      fs_.disk_.freed_on_loops_.push_back(path_);
  }

  Result<size_t> ReadAt(uint64_t position, std::span<char> buffer) override {
    CheckMayBlock(fs_.disk_.world_, fs_.process_, DiskOp::kRead, path_);
    TM_RETURN_IF_ERROR(fs_.Begin(DiskOp::kRead, path_));
    return Copy(position, buffer);
  }

  Result<size_t> ReadAtNowait(uint64_t position, std::span<char> buffer, bool* would_block) override {
    *would_block = false;
    TM_RETURN_IF_ERROR(fs_.Begin(DiskOp::kRead, path_));
    SimRandom& random = fs_.disk_.world_.random();
    const size_t there =
        position < node_->data.size() ? std::min(buffer.size(), node_->data.size() - position) : 0;
    if (there == 0 || !random.Chance(fs_.disk_.cold_read_chance_)) return Copy(position, buffer);
    *would_block = true;
    return Copy(position, buffer.first(random.Chance(0.5) ? 0 : random.Below(there)));
  }

  // What is cold is drawn anew at each read; the disk only remembers what was asked.
  void Advise(uint64_t position, uint64_t length, Advice advice) override {
    if (!fs_.process_.alive()) return;
    auto& advised = advice == Advice::kWillNeed ? fs_.disk_.will_need_ : fs_.disk_.dont_need_;
    advised[path_].emplace_back(position, length);
  }

  Result<> WriteAt(uint64_t position, std::span<const std::string_view> pieces) override {
    if (!writable_) return Fail(v1::IO_ERROR, "{}: write: Bad file descriptor", path_);
    std::string bytes;
    for (const std::string_view piece : pieces) bytes += piece;
    SimDisk& disk = fs_.disk_;
    if (auto begun = fs_.Begin(DiskOp::kWrite, path_); !begun) {
      node_->Write(position, std::string_view(bytes).substr(0, disk.world_.random().Below(bytes.size() + 1)));
      return begun;
    }
    if (disk.capacity_) {
      const uint64_t used = fs_.tree_->TotalBytes();
      const uint64_t end = std::max<uint64_t>(node_->data.size(), position + bytes.size());
      const uint64_t more = end - node_->data.size();
      // What is written over is there already.
      if (more > 0 && used + more > *disk.capacity_) {
        const uint64_t room = *disk.capacity_ > used ? *disk.capacity_ - used : 0;
        const uint64_t fits = bytes.size() - std::min<uint64_t>(bytes.size(), more - room);
        node_->Write(position, std::string_view(bytes).substr(0, fits));
        return Fail(v1::DISK_FULL, "{}: write: No space left on device", path_);
      }
    }
    node_->Write(position, bytes);
    return {};
  }

  Result<> Sync() override {
    CheckMayBlock(fs_.disk_.world_, fs_.process_, DiskOp::kSync, path_);
    if (auto begun = fs_.Begin(DiskOp::kSync, path_); !begun) {
      // As Linux does: what could not be written is marked clean, so a later sync succeeds without it.
      node_->durable = node_->AfterPowerLoss(fs_.disk_.world_.random());
      node_->unsynced.clear();
      return begun;
    }
    node_->Sync();
    return {};
  }

  Result<> Truncate(uint64_t size) override {
    if (!writable_) return Fail(v1::IO_ERROR, "{}: truncate: Invalid argument", path_);
    TM_RETURN_IF_ERROR(fs_.Begin(DiskOp::kTruncate, path_));
    node_->Truncate(size);
    return {};
  }

  Result<uint64_t> Size() const override { return node_->data.size(); }
  bool HasName() const override { return node_->named; }
  const std::string& path() const override { return path_; }

 private:
  size_t Copy(uint64_t position, std::span<char> buffer) const {
    if (position >= node_->data.size()) return 0;
    return node_->data.copy(buffer.data(), buffer.size(), position);
  }

  SimFileSystem& fs_;
  std::string path_;
  std::shared_ptr<SimNode> node_;
  bool writable_;
};

class SimFileLock final : public FileLock {
 public:
  SimFileLock(SimDisk& disk, std::string path, int pid) : disk_(disk), path_(std::move(path)), pid_(pid) {}
  ~SimFileLock() override {
    if (auto it = disk_.locks_.find(path_); it != disk_.locks_.end() && it->second == pid_)
      disk_.locks_.erase(it);
  }

 private:
  SimDisk& disk_;
  std::string path_;
  int pid_;
};

SimFileSystem::SimFileSystem(SimDisk& disk, SimProcess& process)
    : disk_(disk), process_(process), tree_(disk.tree_) {}
SimFileSystem::~SimFileSystem() = default;

Result<> SimFileSystem::Begin(DiskOp op, const std::string& path) {
  if (!process_.alive() || stuck_) return {};  // on a copy that nobody else sees
  ++disk_.counts_[static_cast<size_t>(op)];
  if (disk_.hook_ && op != DiskOp::kRead && op != DiskOp::kList && op != DiskOp::kOpen) {
    SimDisk::Hook hook = disk_.hook_;  // it may replace itself
    hook(op, path);
    if (!process_.alive()) return {};
  }
  for (auto it = disk_.failures_.begin(); it != disk_.failures_.end(); ++it) {
    if (it->op != op || path.find(it->path) == std::string::npos) continue;
    if (--it->nth > 0) continue;
    const DiskFault fault = it->fault;
    if (--it->times <= 0) disk_.failures_.erase(it);
    switch (fault) {
      case DiskFault::kIoError:
        return Fail(v1::IO_ERROR, "{}: {}: Input/output error", path, ToString(op));
      case DiskFault::kNoSpace:
        return Fail(op == DiskOp::kSync ? v1::IO_ERROR : v1::DISK_FULL, "{}: {}: No space left on device",
                    path, ToString(op));
      case DiskFault::kReadOnly:
        return Fail(v1::IO_ERROR, "{}: {}: Read-only file system", path, ToString(op));
      case DiskFault::kHang:
        Hang();
        return {};
    }
  }
  return {};
}

void SimFileSystem::Hang() {
  if (process_.pool().working()) throw SimHungCall();
  stuck_ = true;
  disk_.tree_ = disk_.tree_->Clone();
  process_.Pause();
}

Result<std::unique_ptr<File>> SimFileSystem::Open(const std::string& path, OpenMode mode) {
  TM_RETURN_IF_ERROR(Begin(DiskOp::kOpen, path));
  std::shared_ptr<SimNode> node = tree_->Find(path);
  if (node && node->directory) return Fail(v1::IO_ERROR, "{}: open: Is a directory", path);
  if (node && mode == OpenMode::kCreateNew) return Fail(v1::IO_ERROR, "{}: open: File exists", path);
  if (!node) {
    std::string name;
    const auto parent = tree_->Parent(path, &name);
    if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite || !parent) return Missing(path, "open");
    node = std::make_shared<SimNode>();
    tree_->SetEntry(parent, name, node);
  }
  return std::make_unique<SimFile>(*this, path, std::move(node), mode != OpenMode::kRead);
}

Result<bool> SimFileSystem::Exists(const std::string& path) { return tree_->Find(path) != nullptr; }

Result<> SimFileSystem::Rename(const std::string& from, const std::string& to) {
  CheckMayBlock(disk_.world_, process_, DiskOp::kRename, from);
  TM_RETURN_IF_ERROR(Begin(DiskOp::kRename, from));
  std::string from_name, to_name;
  const auto from_dir = tree_->Parent(from, &from_name);
  const auto to_dir = tree_->Parent(to, &to_name);
  if (!from_dir || !to_dir || !from_dir->entries.contains(from_name))
    return Missing(from + " -> " + to, "rename");
  if (to_name.size() > kMaxName) return Fail(v1::IO_ERROR, "{}: rename: File name too long", to);
  if (from_dir == to_dir && from_name == to_name) return {};
  const auto node = from_dir->entries.at(from_name);
  if (auto it = to_dir->entries.find(to_name); it != to_dir->entries.end()) {
    const SimNode& target = *it->second;
    if (target.directory != node->directory) {
      return Fail(v1::IO_ERROR, "{}: rename: {}", to,
                  target.directory ? "Is a directory" : "Not a directory");
    }
    if (target.directory && !target.entries.empty())
      return Fail(v1::IO_ERROR, "{}: rename: Directory not empty", to);
  }
  tree_->Rename(from_dir, from_name, to_dir, to_name);
  return {};
}

Result<> SimFileSystem::Remove(const std::string& path) {
  CheckMayBlock(disk_.world_, process_, DiskOp::kRemove, path);
  TM_RETURN_IF_ERROR(Begin(DiskOp::kRemove, path));
  std::string name;
  const auto parent = tree_->Parent(path, &name);
  if (!parent || !parent->entries.contains(name)) return Missing(path, "remove");
  if (!parent->entries.at(name)->entries.empty())
    return Fail(v1::IO_ERROR, "{}: remove: Directory not empty", path);
  tree_->SetEntry(parent, name, nullptr);
  return {};
}

Result<> SimFileSystem::CreateDirectories(const std::string& path) {
  CheckMayBlock(disk_.world_, process_, DiskOp::kMakeDirectory, path);
  TM_RETURN_IF_ERROR(Begin(DiskOp::kMakeDirectory, path));
  std::string at;
  for (const std::string& part : SimTree::Split(path)) {
    const auto parent = tree_->Find(at);
    at += "/" + part;
    if (auto it = parent->entries.find(part); it != parent->entries.end()) {
      if (!it->second->directory) return Fail(v1::IO_ERROR, "{}: mkdir: Not a directory", at);
      continue;
    }
    if (part.size() > kMaxName) return Fail(v1::IO_ERROR, "{}: mkdir: File name too long", at);
    auto node = std::make_shared<SimNode>();
    node->directory = true;
    tree_->SetEntry(parent, part, std::move(node));
  }
  return {};
}

Result<std::vector<DirectoryEntry>> SimFileSystem::List(const std::string& path) {
  CheckMayBlock(disk_.world_, process_, DiskOp::kList, path);
  TM_RETURN_IF_ERROR(Begin(DiskOp::kList, path));
  const auto node = tree_->Find(path);
  if (!node) return Missing(path, "list");
  if (!node->directory) return Fail(v1::IO_ERROR, "{}: list: Not a directory", path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, child] : node->entries) entries.push_back({name, child->directory});
  return entries;
}

Result<> SimFileSystem::SyncDirectory(const std::string& path) {
  CheckMayBlock(disk_.world_, process_, DiskOp::kSyncDirectory, path);
  TM_RETURN_IF_ERROR(Begin(DiskOp::kSyncDirectory, path));
  const auto node = tree_->Find(path);
  if (!node) return Missing(path, "sync directory");
  tree_->SyncDirectory(node.get());
  return {};
}

Result<> SimFileSystem::PrepareSyncFileSystem(const std::string& path) {
  if (!tree_->Find(path)) return Missing(path, "syncfs");
  return {};
}

Result<> SimFileSystem::SyncFileSystem(const std::string& path) {
  CheckMayBlock(disk_.world_, process_, DiskOp::kSync, path);
  TM_RETURN_IF_ERROR(Begin(DiskOp::kSync, path));
  if (!tree_->Find(path)) return Missing(path, "syncfs");
  tree_->SyncAll();
  return {};
}

Result<uint64_t> SimFileSystem::FreeBytes(const std::string& path) {
  if (!tree_->Find(path)) return Missing(path, "statvfs");
  if (!disk_.capacity_) return kUnlimitedFree;
  const uint64_t used = tree_->TotalBytes();
  return *disk_.capacity_ > used ? *disk_.capacity_ - used : 0;
}

Result<std::unique_ptr<FileLock>> SimFileSystem::Lock(const std::string& path) {
  TM_RETURN_IF_ERROR(Begin(DiskOp::kLock, path));
  if (process_.alive()) {
    if (auto it = disk_.locks_.find(path); it != disk_.locks_.end()) {
      return Fail(v1::POLICY_VIOLATION, "{} is locked by process {}", path, it->second);
    }
  }
  auto node = tree_->Find(path);
  if (!node) {
    std::string name;
    const auto parent = tree_->Parent(path, &name);
    if (!parent) return Missing(path, "lock");
    node = std::make_shared<SimNode>();
    tree_->SetEntry(parent, name, node);
  }
  node->Truncate(0);
  node->Write(0, std::to_string(process_.pid()) + "\n");
  if (process_.alive()) disk_.locks_[path] = process_.pid();
  return std::make_unique<SimFileLock>(disk_, path, process_.pid());
}

}  // namespace tidemark
