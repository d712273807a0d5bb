// One log directory's identity file and contents as they are found at the start. Blocking calls: pool thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/log/checkpoints.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

inline constexpr std::string_view kIdentityName = "meta.properties";
inline constexpr std::string_view kIdentityCopyName = "meta.properties.copy";
inline constexpr std::string_view kCleanShutdownName = "clean-shutdown";
// There from a directory's first use until every replica that this broker is to have is accounted for: while
// it is there, a log that is missing may have been lost with the directory's predecessor.
inline constexpr std::string_view kNewDirectoryName = "new-directory";

// meta.properties.
struct DirectoryIdentity {
  BrokerId broker = kNoBroker;
  std::string cluster_id;
  std::string directory_id;
  // Of all directories that the broker keeps logs in: id to path. Each names them all, so that one which is
  // taken out of log.dirs is missed. The paths are for people.
  std::map<std::string, std::string> directories;
};

std::string EncodeIdentity(const DirectoryIdentity& identity);
// From either of its two files, the first when it is good; NOT_FOUND when neither is there. `stale` says that
// the two are to be written anew. Changes nothing.
Result<DirectoryIdentity> ReadIdentity(FileSystem& files, const std::string& directory, bool* stale);
// POLICY_VIOLATION for Kafka's file or one of a later format, CORRUPT_MESSAGE for a damaged one.
Result<DirectoryIdentity> DecodeIdentity(const std::string& bytes, const std::string& path);
// Twice, meta.properties first: where that one is damaged or missing the copy is read.
Result<> WriteIdentity(FileSystem& files, const std::string& directory, const DirectoryIdentity& identity);

struct FoundFolder {
  std::string path;
  std::string topic;
  PartitionIndex partition = 0;
  std::optional<TopicId> topic_id;
  // A checkpoint of its directory names it, with its topic: it is no copy that a person has put there.
  bool checkpointed = false;
};

// A folder of a replica that was on its way to another directory (move_folders.h).
struct MoveFolder {
  std::string path;
  std::string topic;
  PartitionIndex partition = 0;
  std::optional<TopicId> topic_id;
  std::string id;          // of the move
  bool is_future = false;  // the copy, else the former log
};

struct OpenedDirectory {
  std::unique_ptr<FileLock> lock;
  std::optional<DirectoryIdentity> identity;  // empty: never used before
  bool identity_stale = false;                // one of its two files is to be written anew
  bool clean_mark = false;
  bool new_mark = false;    // kNewDirectoryName
  uint64_t held_bytes = 0;  // in the reserve file
  CheckpointTables checkpoints;
  std::vector<FoundFolder> found;
  std::vector<MoveFolder> moves;
};

// Whether another path leads to a directory that this process has locked. False where that cannot be told.
bool IsSameDirectory(FileSystem& files, const std::string& locked, const std::string& other);

// Creates the directory if missing, refuses what is not ours (POLICY_VIOLATION), locks it
// (KAFKA_STORAGE_ERROR: somebody holds the lock), reads it, finishes deletions.
Result<OpenedDirectory> OpenLogDirectory(FileSystem& files, const std::string& path);

}  // namespace tidemark
