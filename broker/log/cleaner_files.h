// How compacted segments take the place of those they were made from, so that a crash at any step leaves the
// old ones, the new one, or what FinishSwaps makes into the new one. Blocking calls: pool thread.
//
//   1. `<base>.log.cleaned` and its indexes are written and synced, at leisure;
//   2. they are renamed to `.swap` (the log last) and the folder is synced: from here on the new one counts;
//   3. the old segments but the first one's log file are removed, their indexes with them, and the folder is
//      synced: none of them may come back beside the new one;
//   4. the `.swap` files are renamed to their names, the log first (it replaces the old first one), and the
//      folder is synced.
// What recovery finds: `.cleaned` is removed; a `.log.swap` is gone through with from step 3 on, the range it
// covers being told by its batches; one that has rotted meanwhile is judged by swap_decision.h; index files
// in `.swap` are removed, indexes can be rebuilt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/swap_decision.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

inline constexpr std::string_view kCleanedSuffix = ".cleaned";
inline constexpr std::string_view kSwapSuffix = ".swap";
// A segment that is written anew may become larger than one that is appended to (kMaxSegmentBytes): a batch
// grows by the time that compaction writes into it when it first meets a tombstone there, and where it
// compresses less well than its producer. Were such a segment left as it is, its old values would stay while
// a tombstone behind it goes, so a log with one could not be compacted at all. None comes near to twice its
// size, and positions in an index, of 32 bits, reach that far.
inline constexpr uint64_t kMaxRewrittenBytes = (1ull << 32) - 1;

// Creates and syncs the index files of step 1.
Result<> WriteCleanedIndex(FileSystem& files, const std::string& path_prefix, const std::string& offsets,
                           const std::string& times);
// Removes the `.cleaned` files of a segment, and index files that were on their way to be swapped in.
Result<> RemoveCleaned(FileSystem& files, const std::string& path_prefix);

// Step 2. DISK_FULL: nothing has changed.
Result<> CommitSwap(FileSystem& files, const std::string& folder, const std::string& path_prefix);
// Steps 3 and 4. `others`: the path prefixes of the replaced segments but the first.
Result<> CompleteSwap(FileSystem& files, const std::string& folder, const std::string& path_prefix,
                      const std::vector<std::string>& others);

// What the next start makes of the swap of the segment `base`; `bases` are the segments in the folder,
// rising. NOT_FOUND: there is none. CORRUPT_MESSAGE: it has a sector that cannot be read, which is damage of
// the log: what lies in it and behind it is not known.
struct SwapPlan {
  SwapDecision decision;
  bool whole = false;
  Offset end = 0;  // one past its last readable offset
};
Result<SwapPlan> PlanSwap(FileSystem& files, const std::string& folder, const PartitionKey& key, Offset base,
                          const std::vector<Offset>& bases);

// Before a log is opened: ends what a crash has interrupted. Notes say what was done, a sentence each.
Result<> FinishSwaps(FileSystem& files, const std::string& folder, const PartitionKey& key,
                     std::vector<std::string>* notes);

}  // namespace tidemark
