// Recovery: from the files of a partition's folder to the state of a Log. Blocking: pool thread; logs are
// recovered in parallel. After a clean stop nothing is scanned but the few batches after the last index
// entry, and of segments before the last one only the names are read.
//
// What was flushed and what was not. The recovery point R is a durable lower bound of what was flushed. A
// flush makes a whole prefix of the log durable, so an acknowledged batch and all before it are intact after
// any crash or power cut; what was never synced may be there, be cut anywhere, or have holes (a later page on
// disk, an earlier one not). Hence:
//   - A bad batch at or above R is where the synced prefix has ended: the log is cut there and the number of
//     good batches after it (the hole's far side) is reported. Nothing acknowledged goes, because
//     acknowledged batches above R lie before the first bad one.
//   - Where the log begins is told twice, by the checkpoint of its start and by the epoch table, and nothing
//     below the first segment that stays is removed before both say so: what lies between them, or the one
//     that can be read, and the first segment that is there is a missing file too (log_front.h). It is
//     repaired as any damaged range.
//   - A bad batch below R, a missing file below R, or a log that ends below R is rot: nothing is cut. In a
//     segment that ends below R it is noted range by range when the segment is surveyed, as after a clean
//     stop, and the rest of the log goes on; else damage is set.
//   - When R is unknown (its checkpoint file is damaged, so rot is about) a bad batch with a good one after
//     it is damage too; with nothing good after it it is a torn tail.
//   - A sector that cannot be read is damage of its log too, above R as below it: what it holds is not known,
//     and the directory's other logs have nothing to do with it.
// What was found above R may only be in the page cache, so it is synced before the log counts it as flushed;
// and written again before that, because after a failed sync the page cache takes for clean what never
// reached the disk.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "broker/log/log.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

struct RecoveryInput {
  std::string folder;
  PartitionKey key;
  uint32_t index_interval_bytes = 4096;
  // Empty: unknown. A partition that a readable checkpoint does not name has 0.
  std::optional<Offset> recovery_point;
  Offset log_start = 0;
  bool log_start_known = true;
  Offset high_watermark = 0;
  // The last stop was a clean one: segments below the recovery point are not looked at (Segment::surveyed).
  bool clean = false;
  // Stopped: CANCELLED, with the files as good as they were.
  std::stop_token stop;
};

struct Recovered {
  Log::State state;
  // What a person should know: tails cut, indexes and tables rebuilt, damage. One sentence each.
  std::vector<std::string> notes;
  uint64_t scanned_bytes = 0;
};

// Errors are those of the disk; whatever the files hold is a state.
Result<Recovered> RecoverLog(FileSystem& files, const RecoveryInput& input);

// Creates an empty active segment's file; its directory entry is not synced yet.
Result<std::shared_ptr<Segment>> CreateSegment(FileSystem& files, const std::string& folder,
                                               Offset base_offset);

}  // namespace tidemark
