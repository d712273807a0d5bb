// LogVerifier: the work of `tidemark-dump-log --verify` (dump_log_verify.h) on a log directory or a partition
// folder: reads, judges and tells. It writes nothing, and may be used beside a running broker. One call's, on
// the calling thread.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "broker/log/checkpoints.h"
#include "broker/log/partition_files.h"
#include "broker/log/verify.h"
#include "tools/dump_log_verify.h"

namespace tidemark {

// Of a segment's log and index files; empty: not there.
using FileSizes = std::array<std::optional<uint64_t>, 3>;

class LogVerifier {
 public:
  LogVerifier(FileSystem& files, const TextSink& out, bool json, Progress* bar)
      : files_(files), out_(out), json_(json), bar_(bar != nullptr && bar->shown() ? bar : nullptr) {}

  Result<> Directory(const std::string& path, const std::vector<DirectoryEntry>& entries);
  // Of one segment only when `only` is given.
  Result<> Partition(const std::string& path, std::optional<Offset> only = std::nullopt);
  void JudgeIdentity(const std::string& directory, const std::vector<DirectoryEntry>& entries);
  // Of a directory that holds logs: all of these files are there before the first of them.
  void TellMissingCheckpoints();
  // The checkpoints of a log directory; before any of its partitions is read, because recovery points only
  // rise while a log is appended to.
  void LoadCheckpoints(const std::string& directory);
  // All that will be read of a partition, for the bar. What cannot be is told when its turn comes.
  void Expect(const std::string& folder, std::optional<Offset> only = std::nullopt);
  const VerifySummary& Finish();

 private:
  template <typename... Args>
  void Damage(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
    ++summary_.damage;
    Tell("damage", where, fmt::format(format, std::forward<Args>(args)...));
  }
  void DamageOfLog(const std::string& path, bool above_flushed, const std::string& what);
  template <typename... Args>
  void Note(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
    ++summary_.notes;
    Tell("note", where, fmt::format(format, std::forward<Args>(args)...));
  }
  void Tell(const char* kind, const std::string& where, const std::string& what);
  void Out(const std::string& text) {
    if (holding_) {
      held_.push_back(text);
    } else {
      out_(text);
    }
  }
  Result<SegmentReport> ReadSegment(const PartitionFolder& folder, Offset base);
  // What was read of a partition, and as which files: what has not changed is not read again.
  struct Read {
    FileSizes sizes;
    bool swap = false;
    SegmentReport report;
  };
  using Reads = std::map<Offset, Read>;
  FileSizes SizesOf(const PartitionFolder& folder, Offset base);
  Result<> LookAt(const PartitionFolder& folder, std::optional<Offset> only, Reads* reads);
  // A running broker was at work since the folder was listed.
  bool Changed(const PartitionFolder& folder, std::optional<Offset> only, const Reads& reads);
  void TellPartition(const std::string& path, const std::vector<SegmentReport>& reports,
                     std::optional<Offset> flushed);
  // The segment at `i` and what lies between it and the next.
  void JudgeInOrder(const PartitionFolder& folder, const std::vector<SegmentReport>& reports, size_t i,
                    std::optional<Offset> only, std::optional<Offset> flushed);

  Result<std::optional<PartitionFolder>> OpenFolder(const std::string& path);
  // The one incarnation of the topic that the checkpoints know; for a folder that does not tell itself.
  std::optional<TopicId> TopicFromCheckpoints(const std::string& folder_name) const;
  const CheckpointTable& RecoveryPoints() const {
    return *checkpoints_.tables[static_cast<size_t>(CheckpointKind::kRecoveryPoint)];
  }
  // Empty: unknown.
  std::optional<Offset> FlushedPoint(const PartitionFolder& folder) const;
  void JudgeSegment(const PartitionFolder& folder, const SegmentReport& report, bool something_after,
                    std::optional<Offset> flushed);

  FileSystem& files_;
  const TextSink& out_;
  const bool json_;
  Progress* const bar_;
  uint64_t expected_bytes_ = 0;
  uint64_t read_bytes_ = 0;
  VerifySummary summary_;
  // What is told of a partition is held back until it is known to be so.
  bool holding_ = false;
  std::vector<std::string> held_;
  bool gone_ = false;  // a segment was listed and is not there
  // What lies before the first segment that is there.
  void JudgeFront(const std::string& path, const PartitionFolder& folder, std::optional<Offset> flushed);
  std::optional<CheckpointTable> ReadAgain(CheckpointKind kind) const;
  std::optional<Offset> FrontIsMissing(const PartitionFolder& folder, std::optional<Offset> flushed) const;

  std::string checkpoints_of_;  // a log directory
  CheckpointTables checkpoints_;
};

}  // namespace tidemark
