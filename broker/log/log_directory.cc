#include "broker/log/log_directory.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/disk_space.h"
#include "broker/log/move_folders.h"
#include "broker/log/partition_files.h"

namespace tidemark {
namespace {

constexpr std::string_view kFormat = "tidemark-1";
constexpr uint64_t kMaxIdentityBytes = 64 << 10;
constexpr std::string_view kTemporary = ".tmp";
constexpr std::string_view kDoomed = "-delete";
constexpr std::string_view kSessionName = "zookeeper-session";  // by LogDirs::WriteSmall
constexpr std::string_view kDirectoryKey = "log.directory.";    // and the id

std::map<std::string, std::string> ParseProperties(const std::string& text) {
  std::map<std::string, std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const size_t equals = line.find('=');
    if (line.starts_with('#') || equals == std::string::npos) continue;
    out[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return out;
}

// What a directory without our meta.properties must not hold: log data, somebody's or ours.
Result<> RefuseForeignData(FileSystem& files, const std::string& path,
                           const std::vector<DirectoryEntry>& entries) {
  std::string foreign;
  for (const auto& entry : entries) {
    const bool log = entry.is_directory && ParsePartitionFolderName(entry.name);
    if (log && ReadPartitionMetadata(files, path + "/" + entry.name)) {
      return Fail(v1::POLICY_VIOLATION,
                  "log directory {} holds Tidemark's log '{}', but meta.properties and its copy are lost: "
                  "restore one of them, or move the directory aside for a new one, which is filled anew from "
                  "other replicas",
                  path, entry.name);
    }
    const bool file =
        !entry.is_directory && (entry.name.ends_with("-offset-checkpoint") ||
                                entry.name == ".kafka_cleanshutdown" || entry.name.ends_with(".log"));
    if (log || file) foreign = entry.name;
  }
  if (foreign.empty()) return {};
  return Fail(
      v1::POLICY_VIOLATION,
      "log directory {} holds '{}' but no meta.properties of Tidemark: it is Apache Kafka's or another "
      "program's; give log.dirs an empty directory",
      path, foreign);
}

Result<> CreateIfMissing(FileSystem& files, const std::string& path) {
  TM_ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (exists) return {};
  TM_RETURN_IF_ERROR(files.CreateDirectories(path));
  const size_t slash = path.rfind('/');
  return files.SyncDirectory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

// What WriteFileDurably leaves when it is cut off, of a file that the broker keeps in a log directory itself.
bool IsOurTemporary(std::string_view name) {
  if (!name.ends_with(kTemporary)) return false;
  name.remove_suffix(kTemporary.size());
  for (size_t kind = 0; kind < kCheckpointKinds; ++kind) {
    if (name == CheckpointFileName(static_cast<CheckpointKind>(kind))) return true;
  }
  return name == kIdentityName || name == kIdentityCopyName || name == kCleanShutdownName ||
         name == kNewDirectoryName || name == kSessionName;
}

// A folder whose deletion was cut off: a partition's with a random word (its end may be cut where names would
// be too long), or a move's.
bool IsDoomed(const std::string& directory, std::string_view name) {
  if (!name.ends_with(kDoomed)) return false;
  name.remove_suffix(kDoomed.size());
  if (ParseMoveFolder(directory, std::string(name))) return true;
  constexpr size_t kWord = 16;
  if (name.size() < kWord + 2 || name[name.size() - kWord - 1] != '.') return false;
  return name.substr(name.size() - kWord).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsCheckpointed(const CheckpointTables& checkpoints, const PartitionKey& key, const std::string& topic) {
  return std::ranges::any_of(checkpoints.tables, [&](const std::optional<CheckpointTable>& table) {
    if (!table) return false;
    const auto entry = table->find(key);
    return entry != table->end() && entry->second.topic == topic;
  });
}

// The size of the reserve file, given back first when the file system has run full.
Result<uint64_t> OpenReserve(FileSystem& files, const std::string& path) {
  const auto file = files.Open(fmt::format("{}/{}", path, kReserveName), OpenMode::kReadWrite);
  if (!file && file.error().code == v1::NOT_FOUND) return 0;
  if (!file) return std::unexpected(file.error());
  TM_ASSIGN_OR_RETURN(const uint64_t held, (*file)->Size());
  TM_ASSIGN_OR_RETURN(const uint64_t free, files.FreeBytes(path));
  const SpaceLimits limits{.reserve = held};
  if (DecideReserve({.free = free, .held = held}, limits) != ReserveStep::kGiveBack) return held;
  LOG(WARNING) << "log directory " << path << " is full: its reserve of " << held << " bytes is given back";
  TM_RETURN_IF_ERROR((*file)->Truncate(0));
  return 0;
}

}  // namespace

std::string EncodeIdentity(const DirectoryIdentity& identity) {
  std::string text = fmt::format("version={}\nbroker.id={}\ncluster.id={}\ndirectory.id={}\n", kFormat,
                                 identity.broker, identity.cluster_id, identity.directory_id);
  for (const auto& [id, path] : identity.directories) {
    const bool one_line = path.find('\n') == std::string::npos;
    text += fmt::format("{}{}={}\n", kDirectoryKey, id, one_line ? path : "?");
  }
  return WithChecksum(text);
}

Result<DirectoryIdentity> DecodeIdentity(const std::string& bytes, const std::string& path) {
  auto properties = ParseProperties(bytes);
  const std::string version = properties["version"];
  if (version == "0" || version == "1") {
    return Fail(v1::POLICY_VIOLATION,
                "{} says version={}: the directory holds Apache Kafka's data, which Tidemark cannot read; "
                "give log.dirs "
                "an empty directory",
                path, version);
  }
  TM_RETURN_IF_ERROR(VerifyChecksum(bytes, path));
  if (version != kFormat) {
    return Fail(v1::POLICY_VIOLATION, "{} says version={}, this program knows {}", path, version, kFormat);
  }
  DirectoryIdentity identity{.cluster_id = properties["cluster.id"],
                             .directory_id = properties["directory.id"]};
  const std::string& broker = properties["broker.id"];
  const auto [end, error] = std::from_chars(broker.data(), broker.data() + broker.size(), identity.broker);
  if (error != std::errc() || end != broker.data() + broker.size() || identity.cluster_id.empty() ||
      identity.directory_id.empty()) {
    return Fail(v1::CORRUPT_MESSAGE, "{} lacks broker.id, cluster.id or directory.id", path);
  }
  for (auto& [key, value] : properties) {
    if (key.starts_with(kDirectoryKey)) identity.directories[key.substr(kDirectoryKey.size())] = value;
  }
  return identity;
}

Result<> WriteIdentity(FileSystem& files, const std::string& directory, const DirectoryIdentity& identity) {
  const std::string bytes = EncodeIdentity(identity);
  TM_RETURN_IF_ERROR(WriteFileDurably(files, fmt::format("{}/{}", directory, kIdentityName), bytes));
  return WriteFileDurably(files, fmt::format("{}/{}", directory, kIdentityCopyName), bytes);
}

Result<DirectoryIdentity> ReadIdentity(FileSystem& files, const std::string& directory, bool* stale) {
  const auto read = [&](std::string_view name, std::string* bytes) -> Result<DirectoryIdentity> {
    const std::string path = fmt::format("{}/{}", directory, name);
    TM_ASSIGN_OR_RETURN(*bytes, ReadFile(files, path, kMaxIdentityBytes));
    return DecodeIdentity(*bytes, path);
  };
  std::string bytes;
  std::string copied;
  auto identity = read(kIdentityName, &bytes);
  auto copy = read(kIdentityCopyName, &copied);
  // A crash between the two writes leaves a copy that is one behind.
  *stale = !identity || !copy || bytes != copied;
  if (!copy && copy.error().code == v1::CORRUPT_MESSAGE) LOG(WARNING) << ToString(copy.error());
  if (identity) return identity;
  const ErrorCode code = identity.error().code;
  if (!copy) {
    const bool only_copy = code == v1::NOT_FOUND && copy.error().code != v1::NOT_FOUND;
    return only_copy ? copy : identity;
  }
  // Kafka's file, and a disk that does not answer, are not read around.
  if (code != v1::NOT_FOUND && code != v1::CORRUPT_MESSAGE) return identity;
  LOG(WARNING) << directory << "/" << kIdentityCopyName << " is used: " << ToString(identity.error());
  return copy;
}

// Through a file that is seen by both names and that the next start would remove.
bool IsSameDirectory(FileSystem& files, const std::string& locked, const std::string& other) {
  const std::string probe = fmt::format("/{}{}", kNewDirectoryName, kTemporary);
  const auto before = files.Exists(other + probe);
  if (!before || *before) return false;
  if (!WriteTemporary(files, fmt::format("{}/{}", locked, kNewDirectoryName), "")) return false;
  const auto after = files.Exists(other + probe);
  if (auto removed = files.Remove(locked + probe); !removed) LOG(WARNING) << ToString(removed.error());
  return after && *after;
}

Result<OpenedDirectory> OpenLogDirectory(FileSystem& files, const std::string& path) {
  OpenedDirectory out;
  TM_RETURN_IF_ERROR(CreateIfMissing(files, path));
  // Before the lock: what is not ours is not touched. Reading races with nobody, as only the first start
  // writes it.
  TM_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, files.List(path));
  auto identity = ReadIdentity(files, path, &out.identity_stale);
  if (!identity && identity.error().code != v1::NOT_FOUND)
    return std::unexpected(std::move(identity).error());
  if (!identity) TM_RETURN_IF_ERROR(RefuseForeignData(files, path, entries));
  if (identity) out.identity = std::move(*identity);
  auto lock = files.Lock(path + "/.lock");
  if (!lock) {
    if (lock.error().code != v1::POLICY_VIOLATION) return std::unexpected(std::move(lock).error());
    return Fail(v1::KAFKA_STORAGE_ERROR, "log directory {} is in use: {}", path, lock.error().message);
  }
  out.lock = std::move(*lock);
  TM_RETURN_IF_ERROR(files.PrepareSyncFileSystem(path));
  // On a full disk the reserve makes room for what opening the logs may have to write.
  TM_ASSIGN_OR_RETURN(out.held_bytes, OpenReserve(files, path));
  // Again under the lock: another process may have been at work.
  TM_ASSIGN_OR_RETURN(entries, files.List(path));
  out.checkpoints = Checkpoints::Load(files, path);
  for (const auto& entry : entries) {
    const std::string child = path + "/" + entry.name;
    if (!entry.is_directory) {
      if (entry.name == kCleanShutdownName) out.clean_mark = true;
      if (entry.name == kNewDirectoryName) out.new_mark = true;
      if (IsOurTemporary(entry.name)) TM_RETURN_IF_ERROR(files.Remove(child));
      continue;
    }
    if (IsDoomed(path, entry.name)) {
      TM_RETURN_IF_ERROR(RemoveAll(files, child));
      continue;
    }
    if (NameBeforeSetAside(entry.name)) {
      LOG(WARNING) << "set aside earlier and not used: " << child;
      continue;
    }
    auto move = ParseMoveFolder(path, entry.name);
    const auto name = ParsePartitionFolderName(entry.name);
    if (!name && !move) continue;
    auto id = ReadPartitionMetadata(files, child);
    if (move) {
      if (id) move->topic_id = *id;
      out.moves.push_back(std::move(*move));
      continue;
    }
    if (!id) LOG(WARNING) << child << ": topic id not known: " << ToString(id.error());
    const bool checkpointed = id && IsCheckpointed(out.checkpoints, {*id, name->second}, name->first);
    out.found.push_back(
        {child, name->first, name->second, id ? std::optional(*id) : std::nullopt, checkpointed});
  }
  for (size_t i = 0; i < kCheckpointKinds; ++i) {
    if (!out.checkpoints.missing[i]) continue;
    if (out.identity && (!out.found.empty() || !out.moves.empty())) {
      LOG(ERROR) << path << "/" << CheckpointFileName(static_cast<CheckpointKind>(i))
                 << " is missing, its offsets count as unknown";
    } else {
      out.checkpoints.tables[i].emplace();
    }
  }
  // Opens the descriptor that syncfs reports errors through, before anything is written.
  TM_RETURN_IF_ERROR(files.SyncFileSystem(path));
  return out;
}

}  // namespace tidemark
