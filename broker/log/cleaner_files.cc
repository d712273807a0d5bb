#include "broker/log/cleaner_files.h"

#include <array>
#include <optional>

#include <fmt/format.h>

#include "broker/log/batch_scan.h"
#include "broker/log/segment.h"

namespace tidemark {
namespace {

constexpr std::array<std::string_view, 3> kKinds = {".log", ".index", ".timeindex"};

std::string Named(const std::string& prefix, std::string_view kind, std::string_view suffix = {}) {
  return fmt::format("{}{}{}", prefix, kind, suffix);
}

Result<> RemoveIfThere(FileSystem& files, const std::string& path) {
  auto removed = files.Remove(path);
  if (!removed && removed.error().code == v1::NOT_FOUND) return {};
  return removed;
}

Result<> RenameIfThere(FileSystem& files, const std::string& from, const std::string& to) {
  auto renamed = files.Rename(from, to);
  if (!renamed && renamed.error().code == v1::NOT_FOUND) return {};
  return renamed;
}

}  // namespace

// The index files are only there when no crash lies between.
Result<> CompleteSwap(FileSystem& files, const std::string& folder, const std::string& prefix,
                      const std::vector<std::string>& others) {
  TM_RETURN_IF_ERROR(RemoveIndexFiles(files, prefix));
  for (const std::string& other : others) TM_RETURN_IF_ERROR(RemoveSegmentFiles(files, other));
  TM_RETURN_IF_ERROR(files.SyncDirectory(folder));
  for (const std::string_view kind : kKinds) {
    TM_RETURN_IF_ERROR(RenameIfThere(files, Named(prefix, kind, kSwapSuffix), Named(prefix, kind)));
  }
  return files.SyncDirectory(folder);
}

Result<std::optional<Offset>> EndOfSegment(FileSystem& files, const std::string& path,
                                           const PartitionKey& key, Offset base) {
  TM_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  BatchScanner scanner(*file, key, 0, size);
  BatchView batch;
  BodyInfo info;
  Offset end = base;
  while (true) {
    switch (scanner.Next(&batch, &info)) {
      case BatchScanner::Step::kBatch:
        if (batch.base_offset != end) return std::nullopt;
        end = batch.base_offset + info.last_offset_delta + 1;
        break;
      case BatchScanner::Step::kEnd:
        if (end == base) return std::nullopt;
        return end;
      case BatchScanner::Step::kBad:
        return std::nullopt;
      case BatchScanner::Step::kIoError:
        return Fail(v1::CORRUPT_MESSAGE, "{}", scanner.error().message);
    }
  }
}

namespace {

Result<> FinishSwap(FileSystem& files, const std::string& folder, const PartitionKey& key, Offset base,
                    const std::vector<Offset>& bases, std::vector<std::string>* notes) {
  const std::string prefix = SegmentPathPrefix(folder, base);
  const std::string swap = Named(prefix, ".log", kSwapSuffix);
  TM_ASSIGN_OR_RETURN(const auto end, EndOfSegment(files, swap, key, base));
  if (!end) {
    // It was whole on disk when it got its name. Where the segments it stands for are still there they are
    // the log; where they are not, the damage is found at its place.
    TM_ASSIGN_OR_RETURN(const bool old_there, files.Exists(Named(prefix, ".log")));
    notes->push_back(fmt::format("{} is damaged and {}", swap, old_there ? "removed" : "taken as it is"));
    if (old_there) {
      TM_RETURN_IF_ERROR(files.Remove(swap));
    } else {
      TM_RETURN_IF_ERROR(files.Rename(swap, Named(prefix, ".log")));
    }
    return files.SyncDirectory(folder);
  }
  std::vector<std::string> others;
  for (const Offset other : bases) {
    if (other > base && other < *end) others.push_back(SegmentPathPrefix(folder, other));
  }
  notes->push_back(fmt::format("compaction of offsets {} to {} gone through with", base, *end));
  return CompleteSwap(files, folder, prefix, others);
}

}  // namespace

Result<> WriteCleanedIndex(FileSystem& files, const std::string& path_prefix, const std::string& offsets,
                           const std::string& times) {
  const auto write_one = [&](std::string_view kind, const std::string& bytes) -> Result<> {
    TM_ASSIGN_OR_RETURN(const auto file,
                        files.Open(Named(path_prefix, kind, kCleanedSuffix), OpenMode::kCreateNew));
    TM_RETURN_IF_ERROR(file->WriteAt(0, bytes));
    return file->Sync();
  };
  TM_RETURN_IF_ERROR(write_one(".index", offsets));
  return write_one(".timeindex", times);
}

Result<> RemoveCleaned(FileSystem& files, const std::string& path_prefix) {
  for (const std::string_view kind : kKinds) {
    TM_RETURN_IF_ERROR(RemoveIfThere(files, Named(path_prefix, kind, kCleanedSuffix)));
    if (kind != ".log") TM_RETURN_IF_ERROR(RemoveIfThere(files, Named(path_prefix, kind, kSwapSuffix)));
  }
  return {};
}

Result<> CommitSwap(FileSystem& files, const std::string& folder, const std::string& path_prefix) {
  // The log last: without it the others mean nothing.
  for (const std::string_view kind : {".index", ".timeindex", ".log"}) {
    TM_RETURN_IF_ERROR(
        files.Rename(Named(path_prefix, kind, kCleanedSuffix), Named(path_prefix, kind, kSwapSuffix)));
  }
  auto synced = files.SyncDirectory(folder);
  // Whether the swap is on disk is not known: no refusal that something could go on after.
  if (!synced) return Fail(v1::IO_ERROR, "{}", synced.error().message);
  return {};
}

Result<> FinishSwaps(FileSystem& files, const std::string& folder, const PartitionKey& key,
                     std::vector<std::string>* notes) {
  TM_ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  std::vector<Offset> bases;
  std::vector<Offset> swaps;
  for (const auto& entry : entries) {
    if (entry.is_directory) continue;
    if (const auto base = ParseSegmentName(entry.name, ".log")) bases.push_back(*base);
    const auto swap = ParseSegmentName(entry.name, ".log.swap");
    if (swap) {
      swaps.push_back(*swap);
    } else if (entry.name.ends_with(kCleanedSuffix) || entry.name.ends_with(kSwapSuffix)) {
      TM_RETURN_IF_ERROR(files.Remove(folder + "/" + entry.name));
    }
  }
  for (const Offset base : swaps) TM_RETURN_IF_ERROR(FinishSwap(files, folder, key, base, bases, notes));
  return {};
}

}  // namespace tidemark
