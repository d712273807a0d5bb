// The per-directory checkpoint files: recovery point, high watermark, log start, compaction of each
// partition. Kafka's names and first three columns; the fourth is the topic id, because a re-created topic
// must not inherit an offset:
//
//   0                                 version
//   2                                 number of lines that follow
//   orders 0 1234 AAAA...             topic, partition, offset, topic id
//   orders 1 99 AAAA...
//   crc32c 0123abcd
//
// Checkpoints is the one writer of a directory's files. It belongs to the home loop of LogDirs; shards
// send it changes and wait until they are durable. Changes that come while a write is under way share the
// next write.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/async/blocking_pool.h"
#include "common/async/scope.h"
#include "common/async/wait.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

// kCleanerOffset: compacted below; kDroppedTombstones: every tombstone that compaction has dropped was below.
enum class CheckpointKind : uint8_t {
  kRecoveryPoint,
  kHighWatermark,
  kLogStart,
  kCleanerOffset,
  kDroppedTombstones
};
inline constexpr size_t kCheckpointKinds = 5;

std::string_view CheckpointFileName(CheckpointKind kind);

// Stands in a file (as -1) where an earlier file could not be read.
inline constexpr Offset kUnknownCheckpoint = ~Offset{0};

struct CheckpointEntry {
  std::string topic;
  Offset offset = 0;
  bool operator==(const CheckpointEntry&) const = default;
};
using CheckpointTable = std::map<PartitionKey, CheckpointEntry>;

// The tables of a directory. An absent table could not be read: what it held is unknown, not zero.
struct CheckpointTables {
  std::array<std::optional<CheckpointTable>, kCheckpointKinds> tables;
  // There was no file. A directory gets all of them before its first log: where there are logs, it was lost.
  std::array<bool, kCheckpointKinds> missing{};
  // NOT_FOUND: the table is readable and has no such partition. CORRUPT_MESSAGE: the table is not readable,
  // or was not at an earlier start and nothing has been noted for the partition since.
  Result<Offset> Find(CheckpointKind kind, const PartitionKey& key) const;
  bool Has(CheckpointKind kind) const { return tables[static_cast<size_t>(kind)].has_value(); }
};

// `offset` empty removes the partition's line.
struct CheckpointChange {
  CheckpointKind kind = CheckpointKind::kRecoveryPoint;
  PartitionKey key;
  std::string topic;
  std::optional<Offset> offset;
};

std::string EncodeCheckpoint(const CheckpointTable& table);
Result<CheckpointTable> DecodeCheckpoint(std::string_view bytes, const std::string& path);

class Checkpoints {
 public:
  // `loop` is the home loop; `scope` lives on it and ends only after the last Update.
  Checkpoints(FileSystem& files, BlockingPool& pool, EventLoop& loop, std::string directory);

  // Reads one directory's files (pool thread). Whether a missing file is an empty table is for the caller to
  // know.
  static CheckpointTables Load(FileSystem& files, const std::string& directory);

  // Starts from what was loaded; an absent table starts empty. The next Update, be it an empty one, writes
  // the files that are missing.
  void Reset(const CheckpointTables& loaded);
  // After Reset, of a table that was not readable: keeps it unknown over further starts for this partition.
  void KeepUnknown(CheckpointKind kind, const PartitionKey& key, std::string topic);

  // Applies the changes and returns when the files hold them durably. After a failure every call fails.
  Task<Result<>> Update(std::vector<CheckpointChange> changes);

  bool Has(CheckpointKind kind, const PartitionKey& key) const;

 private:
  Task<Result<>> WriteDirty();

  FileSystem& files_;
  BlockingPool& pool_;
  EventLoop& loop_;
  std::string directory_;
  std::array<CheckpointTable, kCheckpointKinds> tables_;
  std::array<bool, kCheckpointKinds> dirty_{};
  std::optional<Error> failure_;
  // Changes applied, and changes known durable, as running numbers.
  uint64_t applied_ = 0;
  uint64_t durable_ = 0;
  bool writing_ = false;
  Notifier written_;
};

}  // namespace tidemark
