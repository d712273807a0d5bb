// Offline reading of a partition's folder: every batch with its place in the file, every problem in a
// sentence. Changes nothing and needs no lock; what a running broker appends meanwhile may show as a cut
// tail. Blocking calls. The offline comparison of replicas and the dump tool stand on this, so it shares no
// state with the running log.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/log/epoch_table.h"
#include "common/io/file_system.h"
#include "common/record/batch.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

struct PartitionFolder {
  std::string path;
  std::string topic;  // from the folder's name
  PartitionKey key;
  std::vector<Offset> segments;  // base offsets, rising
  std::optional<EpochTable> epochs;
  // Of these, segments whose bytes are in `<base>.log.swap`: a crash has interrupted a compaction or a
  // repair, which the next start goes through with (cleaner_files.h). What they stand for is not listed.
  std::set<Offset> swaps;
  bool taken_away = false;            // files below the log start are being removed
  std::vector<std::string> problems;  // metadata or epoch table unreadable
  // Where the bytes of a segment are.
  std::string LogPath(Offset base) const;
};

// CORRUPT_MESSAGE when the folder's name or its partition.metadata does not say which partition it is, unless
// `topic` is given.
Result<PartitionFolder> ReadPartitionFolder(FileSystem& files, const std::string& path,
                                            std::optional<TopicId> topic = std::nullopt);

// A batch as it lies in a segment file; views are valid during the call.
struct StoredBatch {
  uint64_t position = 0;
  BatchView batch;
  BodyInfo body;
  Offset last_offset() const { return batch.base_offset + body.last_offset_delta; }
};

struct SegmentReport {
  Offset base_offset = 0;
  // One past the last good batch, or where the segment was sealed.
  Offset end_offset = 0;
  uint64_t file_bytes = 0;
  uint64_t good_bytes = 0;
  size_t batches = 0;
  uint64_t records = 0;
  bool sealed = false;
  std::vector<std::string> problems;
  // Where the good batches before the first of `problems` that is of batches end: below it none is wrong.
  std::optional<Offset> good_to;
  // The first of `problems` after which no good batch follows in the file, or that the file does not end as
  // it was sealed: what an unclean stop leaves, unless it was flushed.
  std::optional<size_t> tail_problem;
  // How many of `problems`, the last ones, concern the index files only.
  size_t index_problems = 0;

  // Of the batches; `end_offset` is where the good ones before it end.
  void AddProblem(std::string what) {
    if (!good_to) good_to = end_offset;
    problems.push_back(std::move(what));
  }
};

// Visits the good batches of one segment in order; after a bad place it goes on at the next good batch and
// reports the bad place. Checks checksums, offsets, epochs, and the index files against the batches. Fails
// only when the file cannot be read.
Result<SegmentReport> VerifySegment(FileSystem& files, const PartitionFolder& folder, Offset base_offset,
                                    const std::function<void(const StoredBatch&)>& visit = {});

}  // namespace tidemark
