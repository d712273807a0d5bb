// What a verification says of a log directory: its small files and which folders there are.
#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "broker/log/log_directory.h"
#include "broker/log/move_folders.h"
#include "broker/log/move_verdict.h"
#include "tools/log_verifier.h"

namespace tidemark {

void LogVerifier::LoadCheckpoints(const std::string& directory) {
  checkpoints_of_ = directory;
  for (size_t kind = 0; kind < kCheckpointKinds; ++kind) {
    const std::string path =
        fmt::format("{}/{}", directory, CheckpointFileName(static_cast<CheckpointKind>(kind)));
    const auto bytes = ReadFile(files_, path);
    checkpoints_.missing[kind] = !bytes && bytes.error().code == v1::NOT_FOUND;
    if (checkpoints_.missing[kind]) continue;
    auto table =
        bytes ? DecodeCheckpoint(*bytes, path) : Result<CheckpointTable>(std::unexpected(bytes.error()));
    if (table) {
      checkpoints_.tables[kind] = std::move(*table);
    } else {
      Damage(path, "{}", table.error().message);
    }
  }
}

void LogVerifier::TellMissingCheckpoints() {
  for (size_t kind = 0; kind < kCheckpointKinds; ++kind) {
    if (!checkpoints_.missing[kind]) continue;
    Damage(fmt::format("{}/{}", checkpoints_of_, CheckpointFileName(static_cast<CheckpointKind>(kind))),
           "is missing: a directory has it before its first log; its offsets count as unknown");
  }
}

// The broker starts from either of the two files and writes them anew; it refuses a directory with logs or
// checkpoints and neither.
void LogVerifier::JudgeIdentity(const std::string& directory, const std::vector<DirectoryEntry>& entries) {
  const bool used = std::ranges::any_of(entries, [](const DirectoryEntry& e) {
    return e.is_directory ? ParsePartitionFolderName(e.name).has_value()
                          : e.name.ends_with("-offset-checkpoint");
  });
  std::vector<std::string> missing;
  for (const std::string_view name : {kIdentityName, kIdentityCopyName}) {
    const std::string path = fmt::format("{}/{}", directory, name);
    const auto bytes = ReadFile(files_, path);
    if (!bytes && bytes.error().code == v1::NOT_FOUND) {
      missing.push_back(path);
      continue;
    }
    const auto identity =
        bytes ? DecodeIdentity(*bytes, path) : Result<DirectoryIdentity>(std::unexpected(bytes.error()));
    if (!identity) Damage(path, "{}", identity.error().message);
  }
  if (missing.size() == 1) Note(missing[0], "is missing; the next start writes it from the other one");
  if (missing.size() < 2) return;
  if (used) {
    Damage(missing[0], "is missing, and so is its copy: the broker does not start on this directory");
  } else {
    Note(missing[0], "is missing: no broker has used this directory yet, or it is not a log directory");
  }
}

Result<> LogVerifier::Directory(const std::string& path, const std::vector<DirectoryEntry>& entries) {
  const auto has = [&](std::string_view name) {
    return std::ranges::any_of(entries, [&](const DirectoryEntry& e) { return e.name == name; });
  };
  JudgeIdentity(path, entries);
  LoadCheckpoints(path);
  if (!has(kCleanShutdownName)) {
    Note(path, "no {} mark: a broker is running on it, or it stopped uncleanly", kCleanShutdownName);
  }
  const bool has_logs = std::ranges::any_of(entries, [](const DirectoryEntry& entry) {
    return entry.is_directory && ParsePartitionFolderName(entry.name);
  });
  if ((has(kIdentityName) || has(kIdentityCopyName)) && has_logs) TellMissingCheckpoints();
  for (const DirectoryEntry& entry : entries) {
    const bool read = entry.is_directory && !NameBeforeSetAside(entry.name) &&
                      ParsePartitionFolderName(entry.name).has_value();
    if (read) Expect(path + "/" + entry.name);
  }
  std::set<std::string> moved_here;
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory) continue;
    const std::string folder = path + "/" + entry.name;
    const auto move = ParseMoveFolder(path, entry.name);
    if (NameBeforeSetAside(entry.name)) {
      Note(folder, "was put out of service by the broker; it is not verified (name it to do so)");
    } else if (ParsePartitionFolderName(entry.name)) {
      TM_RETURN_IF_ERROR(Partition(folder));
    } else if (move) {
      const MoveVerdict verdict = JudgeMoveFolder(files_, path, *move);
      Note(folder, "{}", verdict.what);
      if (!verdict.is_log) continue;
      moved_here.insert(PartitionFolderName(move->topic, move->partition));
      Expect(folder);
      TM_RETURN_IF_ERROR(Partition(folder));
    } else {
      Note(folder, "is not named like a partition (topic-0)");
    }
  }
  if (!checkpoints_.Has(CheckpointKind::kRecoveryPoint)) return {};
  for (const auto& [key, entry] : RecoveryPoints()) {
    const std::string name = PartitionFolderName(entry.topic, key.partition);
    if (entry.offset == 0 || entry.offset == kUnknownCheckpoint || has(name) || moved_here.contains(name))
      continue;
    Note(path, "the recovery point of {} is {}, but there is no such folder: deleted, or lost", name,
         entry.offset);
  }
  return {};
}

}  // namespace tidemark
