// Offline verification of logs: `tidemark-dump-log --verify`. Reads only; needs no broker and no lock. Beside
// a running broker it may see a batch that is half written: that is a note, because the recovery points are
// read before the logs and only what lies above them may be incomplete. What its compaction and retention do
// between two reads looks like holes: a partition with damage whose files have changed since they were listed
// is looked at again, up to a few times. Blocking calls; any thread.
//
// Damage is what a broker that is killed at any instant does not leave behind: a bad batch below the flushed
// point or with a good one after it, a log that ends below its flushed point, a hole between segments, a
// sealed segment that was flushed and whose index contradicts it, a small file with a wrong checksum. All
// else that is worth a word is a note: the broker mends it at its next start. A loss of power may leave a bad
// batch with a good one after it, or a hole, above the flushed point: that is damage which says so. Offsets
// that are missing between two good batches, or before the end that a segment was sealed with, are a note:
// compaction leaves them.
#pragma once

#include <cstddef>
#include <string>

#include "common/io/file_system.h"
#include "common/result.h"
#include "tools/dump_log_text.h"
#include "tools/progress.h"

namespace tidemark {

struct VerifySummary {
  size_t partitions = 0;
  size_t batches = 0;
  size_t damage = 0;  // lines told as damage
  // Of it what lies above the flushed point, where a loss of power (never a mere kill) leaves the like.
  size_t above_flushed = 0;
  size_t notes = 0;
};

// `path`: a log directory, a partition's folder, or one file of such a folder. Tells a line per partition and
// per finding ("damage: PATH: ...", "note: PATH: ..."), then the verdict: "No damage found" or "damage: N
// problems"; with `json` one object a line. Errors: the path is none of these (INVALID_REQUEST) or cannot be
// read. `bar` follows the bytes of logs that have been read.
Result<VerifySummary> VerifyPath(FileSystem& files, const std::string& path, const TextSink& out,
                                 bool json = false, Progress* bar = nullptr);

}  // namespace tidemark
