// MemoryFiles: a FileSystem of plain strings for fuzz targets: nothing fails, nothing is lost, nothing waits.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/io/file_system.h"

namespace tidemark {

class MemoryFile final : public File {
 public:
  MemoryFile(std::string path, std::shared_ptr<std::string> bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}

  Result<size_t> ReadAt(uint64_t position, std::span<char> buffer) override {
    if (position >= bytes_->size()) return 0;
    return bytes_->copy(buffer.data(), buffer.size(), position);
  }
  Result<size_t> ReadAtNowait(uint64_t position, std::span<char> buffer, bool* would_block) override {
    *would_block = false;
    return ReadAt(position, buffer);
  }
  Result<> WriteAt(uint64_t position, std::span<const std::string_view> pieces) override {
    for (const std::string_view piece : pieces) {
      if (bytes_->size() < position + piece.size()) bytes_->resize(position + piece.size());
      bytes_->replace(position, piece.size(), piece);
      position += piece.size();
    }
    return {};
  }
  Result<> Sync() override { return {}; }
  Result<> Truncate(uint64_t size) override {
    bytes_->resize(size);
    return {};
  }
  void Advise(uint64_t, uint64_t, Advice) override {}
  Result<uint64_t> Size() const override { return bytes_->size(); }
  bool HasName() const override { return true; }
  const std::string& path() const override { return path_; }

 private:
  std::string path_;
  std::shared_ptr<std::string> bytes_;
};

class MemoryFiles final : public FileSystem {
 public:
  std::string& operator[](const std::string& path) {
    auto& bytes = files_[path];
    if (!bytes) bytes = std::make_shared<std::string>();
    return *bytes;
  }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    const bool there = files_.contains(path);
    if (!there && (mode == OpenMode::kRead || mode == OpenMode::kReadWrite)) return Missing(path);
    if (there && mode == OpenMode::kCreateNew) return Fail(v1::IO_ERROR, "{} exists", path);
    (*this)[path];
    return std::make_unique<MemoryFile>(path, files_[path]);
  }
  Result<bool> Exists(const std::string& path) override { return files_.contains(path); }
  Result<> Rename(const std::string& from, const std::string& to) override {
    if (!files_.contains(from)) return Missing(from);
    files_[to] = files_[from];
    files_.erase(from);
    return {};
  }
  Result<> Remove(const std::string& path) override {
    if (files_.erase(path) == 0) return Missing(path);
    return {};
  }
  Result<> CreateDirectories(const std::string&) override { return {}; }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    std::vector<DirectoryEntry> entries;
    for (const auto& [name, bytes] : files_) {
      if (name.starts_with(path + "/")) entries.push_back({name.substr(path.size() + 1), false});
    }
    return entries;
  }
  Result<> SyncDirectory(const std::string&) override { return {}; }
  Result<> PrepareSyncFileSystem(const std::string&) override { return {}; }
  Result<> SyncFileSystem(const std::string&) override { return {}; }
  Result<uint64_t> FreeBytes(const std::string&) override { return 1ull << 40; }
  Result<std::unique_ptr<FileLock>> Lock(const std::string&) override { return std::make_unique<FileLock>(); }

 private:
  static std::unexpected<Error> Missing(const std::string& path) { return Fail(v1::NOT_FOUND, "{}", path); }

  std::map<std::string, std::shared_ptr<std::string>> files_;
};

}  // namespace tidemark
