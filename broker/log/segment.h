// Segment: one segment file of a log and what is known of it. Plain state, owned and changed by its Log on
// the log's loop; the File is shared with pool threads that read or sync it, which touch nothing else of it.
//
// Invariants: `size` bytes of the file are whole batches, what lies past them is not part of the log; exactly
// the last segment of a log has no seal; a sealed segment's index leaves memory once its index files are
// durable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "broker/log/segment_index.h"
#include "common/io/file_system.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// FileHandles' mark on a segment. A copy of the segment has none.
struct HandleMark {
  HandleMark() = default;
  HandleMark(const HandleMark&) {}
  HandleMark& operator=(const HandleMark&) {
    listed = used = false;
    return *this;
  }
  bool listed = false;  // among the open ones
  bool used = false;    // since it was last looked at
};

struct Segment {
  Offset base_offset = 0;
  // Directory and number, without suffix: "<dir>/00000000000000000042".
  std::string path_prefix;
  // Null while the file is not open (FileHandles).
  std::shared_ptr<File> file;
  HandleMark handle;
  uint64_t size = 0;
  // Size and timestamps are known. Not set for an old segment after a clean start until Log::Survey has been
  // at it: nothing may be concluded from them before.
  bool surveyed = true;
  // Bytes before this were there when the log was opened and are verified whole when read; what comes after
  // was checked on its way in.
  uint64_t trusted_from = 0;
  // Append time of the first batch; rolling by time counts from here.
  std::optional<WallMillis> first_append_time;
  // Append time of the last batch; empty when this process has not seen it.
  std::optional<WallMillis> last_append_time;
  WallMillis max_timestamp = kNoTimestamp;
  Offset max_timestamp_offset = 0;

  // Engaged until the segment is sealed and its index files are durable.
  std::optional<SegmentIndex> index;
  size_t entries_written = 0;  // of `index`, in the files
  bool index_files_stale =
      false;  // the files hold other things than `index` and are rewritten from the start
  bool sealed = false;
  // Bytes not known to be on disk; the directory entry too when `entry_synced` is not set.
  bool dirty = false;
  // Bytes that were dirty are in a flush under way; with `dirty` the file is not to be closed.
  bool flushing = false;
  bool entry_synced = true;

  std::string log_path() const { return path_prefix + ".log"; }
};

// "<directory>/<20 digits>".
std::string SegmentPathPrefix(const std::string& directory, Offset base_offset);
// The base offset of "<20 digits>.log" (or another suffix); empty for any other name.
std::optional<Offset> ParseSegmentName(std::string_view name, std::string_view suffix);
// What the file of a segment below the log start is renamed to until it is removed.
inline constexpr std::string_view kDeletedSuffix = ".deleted";
// Removes .log, .index and .timeindex, those that exist: the log file last, so that what is left after a
// crash is either whole or has no index.
Result<> RemoveSegmentFiles(FileSystem& files, const std::string& path_prefix);
Result<> RemoveIndexFiles(FileSystem& files, const std::string& path_prefix);

}  // namespace tidemark
