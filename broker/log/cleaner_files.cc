#include "broker/log/cleaner_files.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

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

namespace {

// Of a file that a crash may have left. Behind a bad place it goes on with the next good batch; `unreadable`
// is set where the disk does not give the bytes, and what follows is not looked at.
Result<SegmentCoverage> ReadCoverage(FileSystem& files, const std::string& path, const PartitionKey& key,
                                     Offset base, std::optional<Error>* unreadable) {
  TM_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  SegmentCoverage out{.base = base, .readable = {}, .whole = size > 0};
  BatchScanner scanner(*file, key, 0, size);
  BatchView batch;
  BodyInfo info;
  for (BatchScanner::Step step; (step = scanner.Next(&batch, &info)) != BatchScanner::Step::kEnd;) {
    if (step == BatchScanner::Step::kIoError) {
      *unreadable = scanner.error();
      out.whole = false;
      break;
    }
    if (step == BatchScanner::Step::kBad) {
      out.whole = false;
      if (!scanner.Resync(scanner.BytesToSkip(out.end()))) break;
      continue;
    }
    const Offset next = batch.base_offset + info.last_offset_delta + 1;
    if (batch.base_offset != out.end()) out.whole = false;
    if (batch.base_offset < out.end() || next <= batch.base_offset) continue;
    if (out.readable.empty() || batch.base_offset > out.end()) {
      out.readable.push_back({.first = batch.base_offset, .end = next});
    } else {
      out.readable.back().end = next;
    }
    out.end_position = scanner.next_position();
  }
  return out;
}

// In an order that leaves either log after a crash at any step: the decision is made again then, and has not
// changed.
Result<> FinishSwap(FileSystem& files, const std::string& folder, const PartitionKey& key, Offset base,
                    std::vector<Offset>* bases, std::vector<std::string>* notes) {
  const std::string prefix = SegmentPathPrefix(folder, base);
  const std::string swap = Named(prefix, ".log", kSwapSuffix);
  TM_ASSIGN_OR_RETURN(const SwapPlan plan, PlanSwap(files, folder, key, base, *bases));
  if (!plan.decision.take) {
    notes->push_back(fmt::format("{} is damaged and removed: the segments it stands for are there", swap));
    // The new one's index may be in place already.
    TM_RETURN_IF_ERROR(RemoveIndexFiles(files, prefix));
    TM_RETURN_IF_ERROR(files.SyncDirectory(folder));
    TM_RETURN_IF_ERROR(files.Remove(swap));
    return files.SyncDirectory(folder);
  }
  notes->push_back(plan.whole
                       ? fmt::format("compaction of offsets {} to {} gone through with", base, plan.end)
                       : fmt::format("{} is damaged and taken as it is, up to offset {}", swap, plan.end));
  if (plan.decision.cut) {
    TM_ASSIGN_OR_RETURN(const auto file, files.Open(swap, OpenMode::kReadWrite));
    TM_RETURN_IF_ERROR(file->Truncate(*plan.decision.cut));
    TM_RETURN_IF_ERROR(file->Sync());
  }
  std::vector<std::string> others;
  for (const Offset other : plan.decision.replaced) others.push_back(SegmentPathPrefix(folder, other));
  TM_RETURN_IF_ERROR(CompleteSwap(files, folder, prefix, others));
  std::erase_if(*bases, [&](Offset each) {
    return each == base || std::ranges::binary_search(plan.decision.replaced, each);
  });
  bases->insert(std::ranges::upper_bound(*bases, base), base);
  return {};
}

}  // namespace

Result<SwapPlan> PlanSwap(FileSystem& files, const std::string& folder, const PartitionKey& key, Offset base,
                          const std::vector<Offset>& bases) {
  const std::string path = Named(SegmentPathPrefix(folder, base), ".log", kSwapSuffix);
  std::optional<Error> unreadable;
  TM_ASSIGN_OR_RETURN(const SegmentCoverage swap, ReadCoverage(files, path, key, base, &unreadable));
  if (unreadable) return Fail(v1::CORRUPT_MESSAGE, "{}", unreadable->message);
  SwapPlan plan{.decision = {.take = true, .replaced = {}, .cut = {}}, .whole = true, .end = swap.end()};
  if (IsWholeSwap(swap, bases)) {
    plan.decision.replaced = ReplacedBy(swap, bases);
    return plan;
  }
  plan.whole = false;
  std::vector<SegmentCoverage> old;
  for (const Offset each : bases) {
    if (each < base || each >= swap.end()) continue;
    const std::string log = Named(SegmentPathPrefix(folder, each), ".log");
    TM_ASSIGN_OR_RETURN(SegmentCoverage coverage, ReadCoverage(files, log, key, each, &unreadable));
    old.push_back(std::move(coverage));
  }
  plan.decision = DecideDamagedSwap(swap, old, bases);
  return plan;
}

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
  std::ranges::sort(bases);
  for (const Offset base : swaps) TM_RETURN_IF_ERROR(FinishSwap(files, folder, key, base, &bases, notes));
  return {};
}

}  // namespace tidemark
