// A process's file system that counts: every call, and how many files are open. For tests that compare what
// many logs cost with what few do.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/env/environment.h"
#include "common/io/file_system.h"

namespace tidemark {

struct FileCounts {
  uint64_t calls = 0;  // of the file system and of its files, all of them
  uint64_t opens = 0;  // of them
  size_t open = 0;     // now
  size_t most_open = 0;
};

class CountedFile final : public File {
 public:
  CountedFile(std::unique_ptr<File> file, std::shared_ptr<FileCounts> counts)
      : file_(std::move(file)), counts_(std::move(counts)) {
    counts_->most_open = std::max(counts_->most_open, ++counts_->open);
  }
  ~CountedFile() override { --counts_->open; }

  Result<size_t> ReadAt(uint64_t position, std::span<char> buffer) override {
    return Count().ReadAt(position, buffer);
  }
  Result<size_t> ReadAtNowait(uint64_t position, std::span<char> buffer, bool* would_block) override {
    return Count().ReadAtNowait(position, buffer, would_block);
  }
  void Advise(uint64_t position, uint64_t length, Advice advice) override {
    Count().Advise(position, length, advice);
  }
  Result<> WriteAt(uint64_t position, std::span<const std::string_view> pieces) override {
    return Count().WriteAt(position, pieces);
  }
  Result<> Sync() override { return Count().Sync(); }
  Result<> Truncate(uint64_t size) override { return Count().Truncate(size); }
  Result<uint64_t> Size() const override { return Count().Size(); }
  bool HasName() const override { return Count().HasName(); }
  const std::string& path() const override { return file_->path(); }

 private:
  File& Count() const {
    ++counts_->calls;
    return *file_;
  }
  std::unique_ptr<File> file_;
  std::shared_ptr<FileCounts> counts_;
};

class CountedFiles final : public FileSystem {
 public:
  explicit CountedFiles(FileSystem& files) : files_(files) {}
  const FileCounts& counts() const { return *counts_; }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    ++counts_->opens;
    TM_ASSIGN_OR_RETURN(auto file, Count().Open(path, mode));
    return std::make_unique<CountedFile>(std::move(file), counts_);
  }
  Result<bool> Exists(const std::string& path) override { return Count().Exists(path); }
  Result<> Rename(const std::string& from, const std::string& to) override {
    return Count().Rename(from, to);
  }
  Result<> Remove(const std::string& path) override { return Count().Remove(path); }
  Result<> CreateDirectories(const std::string& path) override { return Count().CreateDirectories(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override { return Count().List(path); }
  Result<> SyncDirectory(const std::string& path) override { return Count().SyncDirectory(path); }
  Result<> PrepareSyncFileSystem(const std::string& path) override {
    return Count().PrepareSyncFileSystem(path);
  }
  Result<> SyncFileSystem(const std::string& path) override { return Count().SyncFileSystem(path); }
  Result<uint64_t> FreeBytes(const std::string& path) override { return Count().FreeBytes(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override { return Count().Lock(path); }

 private:
  FileSystem& Count() {
    ++counts_->calls;
    return files_;
  }
  FileSystem& files_;
  std::shared_ptr<FileCounts> counts_ = std::make_shared<FileCounts>();
};

// The outside world of a process, with its files counted.
class CountedEnvironment final : public Environment {
 public:
  explicit CountedEnvironment(Environment& env) : env_(env), files_(env.files()) {}
  const FileCounts& counts() const { return files_.counts(); }

  Clock& clock() override { return env_.clock(); }
  Random& random() override { return env_.random(); }
  FileSystem& files() override { return files_; }
  Transport& transport() override { return env_.transport(); }
  Coordination& coordination() override { return env_.coordination(); }
  BlockingPool& blocking_pool() override { return env_.blocking_pool(); }
  std::unique_ptr<LoopThread> StartLoop(std::string name) override { return env_.StartLoop(std::move(name)); }

 private:
  Environment& env_;
  CountedFiles files_;
};

}  // namespace tidemark
