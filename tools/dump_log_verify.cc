#include "tools/dump_log_verify.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "broker/log/checkpoints.h"
#include "broker/log/log_directory.h"
#include "broker/log/log_front.h"
#include "broker/log/move_folders.h"
#include "broker/log/move_verdict.h"
#include "broker/log/partition_files.h"
#include "broker/log/segment.h"
#include "broker/log/verify.h"

namespace tidemark {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// A running broker changes a partition's files while they are read. What looks damaged is looked at again so
// often, as long as the files have changed since.
constexpr int kMostLooks = 8;

// Of a segment's log and index files; empty: not there.
using FileSizes = std::array<std::optional<uint64_t>, 3>;

using Json = nlohmann::ordered_json;

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

class Verifier {
 public:
  Verifier(FileSystem& files, const TextSink& out, bool json, Progress* bar)
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

void Verifier::Tell(const char* kind, const std::string& where, const std::string& what) {
  if (!json_) {
    Out(fmt::format("{}: {}: {}\n", kind, where, what));
    return;
  }
  Json json = {{"type", kind}, {"path", where}, {"position", nullptr}, {"message", what}};
  // "byte 42: ..."
  unsigned long long position = 0;
  if (std::sscanf(what.c_str(), "byte %llu:", &position) == 1) json["position"] = position;
  Out(Line(json));
}

void Verifier::DamageOfLog(const std::string& path, bool above_flushed, const std::string& what) {
  if (!above_flushed) return Damage(path, "{}", what);
  ++summary_.above_flushed;
  Damage(path, "{}; above the flushed point, where a loss of power leaves the like: the broker cuts it off",
         what);
}

void Verifier::Expect(const std::string& folder, std::optional<Offset> only) {
  if (bar_ == nullptr) return;
  const auto entries = files_.List(folder);
  if (!entries) return;
  for (const DirectoryEntry& entry : *entries) {
    const auto base = ParseSegmentName(entry.name, ".log");
    if (!base || (only && *base != *only)) continue;
    const auto file = files_.Open(folder + "/" + entry.name, OpenMode::kRead);
    const Result<uint64_t> size = file ? (*file)->Size() : 0;
    expected_bytes_ += size.value_or(0);
  }
  bar_->SetTotal(expected_bytes_);
}

Result<SegmentReport> Verifier::ReadSegment(const PartitionFolder& folder, Offset base) {
  if (bar_ == nullptr) return VerifySegment(files_, folder, base);
  auto report = VerifySegment(files_, folder, base, [this](const StoredBatch& batch) {
    bar_->Set(read_bytes_ + batch.position + batch.batch.total_bytes());
  });
  if (report) read_bytes_ += report->file_bytes;
  bar_->Set(read_bytes_);
  return report;
}

void Verifier::LoadCheckpoints(const std::string& directory) {
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

void Verifier::TellMissingCheckpoints() {
  for (size_t kind = 0; kind < kCheckpointKinds; ++kind) {
    if (!checkpoints_.missing[kind]) continue;
    Damage(fmt::format("{}/{}", checkpoints_of_, CheckpointFileName(static_cast<CheckpointKind>(kind))),
           "is missing: a directory has it before its first log; its offsets count as unknown");
  }
}

std::optional<TopicId> Verifier::TopicFromCheckpoints(const std::string& folder_name) const {
  const auto parsed = ParsePartitionFolderName(folder_name);
  if (!parsed || !checkpoints_.Has(CheckpointKind::kRecoveryPoint)) return std::nullopt;
  std::optional<TopicId> found;
  for (const auto& [key, entry] : RecoveryPoints()) {
    if (entry.topic != parsed->first || key.partition != parsed->second) continue;
    if (found) return std::nullopt;  // two incarnations: either may be meant
    found = key.topic;
  }
  return found;
}

std::optional<Offset> Verifier::FlushedPoint(const PartitionFolder& folder) const {
  const auto found = checkpoints_.Find(CheckpointKind::kRecoveryPoint, folder.key);
  if (found) return *found;
  if (found.error().code == v1::NOT_FOUND) return 0;
  return std::nullopt;
}

Result<std::optional<PartitionFolder>> Verifier::OpenFolder(const std::string& path) {
  auto folder = ReadPartitionFolder(files_, path);
  if (!folder && folder.error().code != v1::IO_ERROR) {
    const std::string why = folder.error().message;
    TM_ASSIGN_OR_RETURN(const auto entries, files_.List(path));
    const bool has_log =
        std::ranges::any_of(entries, [](const DirectoryEntry& e) { return e.name.ends_with(".log"); });
    if (!has_log) {
      Note(path, "{}; it holds no log: its creation was cut off", why);
      return std::optional<PartitionFolder>();
    }
    const auto topic = TopicFromCheckpoints(NameOf(path));
    if (topic) folder = ReadPartitionFolder(files_, path, topic);
    if (!topic) {
      Damage(path, "{}; no batch can be checked without its topic id", why);
      return std::optional<PartitionFolder>();
    }
  }
  if (!folder) return std::unexpected(std::move(folder).error());
  for (const std::string& problem : folder->problems) Damage(path, "{}", problem);
  return std::optional(std::move(*folder));
}

// Tells the problems of one segment, each as what it is.
void Verifier::JudgeSegment(const PartitionFolder& folder, const SegmentReport& report, bool something_after,
                            std::optional<Offset> flushed) {
  const std::string prefix = SegmentPathPrefix(folder.path, report.base_offset);
  const size_t of_batches = report.problems.size() - report.index_problems;
  // Sealed or not: a loss of power may spare the seal and take what was sealed.
  const bool may_be_torn = !something_after && report.end_offset >= flushed.value_or(0);
  const bool above_flushed = flushed && report.good_to && *report.good_to >= *flushed;
  for (size_t i = 0; i < of_batches; ++i) {
    const bool in_tail = report.tail_problem && i >= *report.tail_problem;
    if (in_tail && may_be_torn) {
      Note(folder.LogPath(report.base_offset),
           "{}; an unclean stop leaves this above the flushed point, the broker cuts it off",
           report.problems[i]);
    } else {
      DamageOfLog(folder.LogPath(report.base_offset), above_flushed, report.problems[i]);
    }
  }
  for (size_t i = of_batches; i < report.problems.size(); ++i) {
    if (report.sealed && report.end_offset <= flushed.value_or(0) && !above_flushed) {
      Damage(prefix + ".index", "{}", report.problems[i]);
    } else {
      Note(prefix + ".index", "{}; the broker rebuilds it", report.problems[i]);
    }
  }
}

void Verifier::TellPartition(const std::string& path, const std::vector<SegmentReport>& reports,
                             std::optional<Offset> flushed) {
  uint64_t records = 0;
  size_t batches = 0;
  for (const SegmentReport& report : reports) {
    records += report.records;
    batches += report.batches;
  }
  summary_.batches += batches;
  if (reports.empty()) return;
  const Offset begin = reports.front().base_offset;
  const Offset end = reports.back().end_offset;
  if (json_) {
    Json json = {{"type", "partition"}, {"path", path},        {"segments", reports.size()},
                 {"batches", batches},  {"records", records},  {"baseOffset", begin},
                 {"endOffset", end},    {"flushedTo", nullptr}};
    if (flushed) json["flushedTo"] = *flushed;
    Out(Line(json));
    return;
  }
  Out(fmt::format("{}: {} segments, {} batches, {} records, offsets {} to {}{}\n", path, reports.size(),
                  batches, records, begin, end,
                  flushed ? fmt::format(", flushed to {} at least", *flushed) : ""));
}

void Verifier::JudgeInOrder(const PartitionFolder& folder, const std::vector<SegmentReport>& reports,
                            size_t i, std::optional<Offset> only, std::optional<Offset> flushed) {
  const SegmentReport& report = reports[i];
  const bool something_after = std::any_of(reports.begin() + static_cast<ptrdiff_t>(i) + 1, reports.end(),
                                           [](const SegmentReport& later) { return later.batches > 0; }) ||
                               (only && *only != folder.segments.back());
  JudgeSegment(folder, report, something_after, flushed);
  if (i + 1 == reports.size()) return;
  const std::string prefix = SegmentPathPrefix(folder.path, report.base_offset);
  const Offset next = reports[i + 1].base_offset;
  if (!report.sealed && !folder.swaps.contains(report.base_offset))
    Note(prefix + ".index", "is missing or behind its log; the broker rebuilds it");
  // A bad place before the end has been told already.
  if (report.tail_problem || report.end_offset == next) return;
  if (report.end_offset < next && !something_after && report.end_offset >= flushed.value_or(0)) {
    Note(folder.LogPath(report.base_offset),
         "ends at offset {}, the next segment begins at {} and is empty; a loss of power leaves this above "
         "the "
         "flushed point, the broker goes on at {}",
         report.end_offset, next, report.end_offset);
  } else {
    DamageOfLog(folder.LogPath(report.base_offset), flushed && report.end_offset >= *flushed,
                fmt::format("ends at offset {}, but the next segment begins at {}", report.end_offset, next));
  }
}

std::optional<CheckpointTable> Verifier::ReadAgain(CheckpointKind kind) const {
  const std::string path = fmt::format("{}/{}", checkpoints_of_, CheckpointFileName(kind));
  const auto bytes = ReadFile(files_, path);
  auto table = bytes ? DecodeCheckpoint(*bytes, path) : std::unexpected(bytes.error());
  if (!table) return std::nullopt;
  return std::move(*table);
}

std::optional<Offset> Verifier::FrontIsMissing(const PartitionFolder& folder,
                                               std::optional<Offset> flushed) const {
  if (folder.segments.empty()) return std::nullopt;
  FrontWitnesses witnesses{.first_base = folder.segments.front(),
                           .checkpoint = {},
                           .table_readable = folder.epochs.has_value(),
                           .table_begin = {},
                           .recovery_point = flushed,
                           .taken_away = folder.taken_away};
  const auto start = checkpoints_.Find(CheckpointKind::kLogStart, folder.key);
  if (start || start.error().code == v1::NOT_FOUND) witnesses.checkpoint = start.value_or(0);
  if (folder.epochs && !folder.epochs->entries().empty())
    witnesses.table_begin = folder.epochs->entries().front().start;
  return MissingFront(witnesses);
}

void Verifier::JudgeFront(const std::string& path, const PartitionFolder& folder,
                          std::optional<Offset> flushed) {
  if (!FrontIsMissing(folder, flushed)) return;
  // A running broker may have deleted old records since the checkpoints were read.
  checkpoints_.tables[static_cast<size_t>(CheckpointKind::kLogStart)] = ReadAgain(CheckpointKind::kLogStart);
  const auto begin = FrontIsMissing(folder, flushed);
  if (!begin) return;
  Damage(path, "offsets {} to {} are missing: no segment before {} is there", *begin,
         folder.segments.front() - 1, folder.segments.front());
}

FileSizes Verifier::SizesOf(const PartitionFolder& folder, Offset base) {
  const std::string prefix = SegmentPathPrefix(folder.path, base);
  const std::array<std::string, 3> paths = {folder.LogPath(base), prefix + ".index", prefix + ".timeindex"};
  FileSizes sizes;
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto file = files_.Open(paths[i], OpenMode::kRead);
    const Result<uint64_t> size = file ? (*file)->Size() : std::unexpected(file.error());
    if (size) sizes[i] = *size;
  }
  return sizes;
}

bool Verifier::Changed(const PartitionFolder& folder, std::optional<Offset> only, const Reads& reads) {
  const auto now = ReadPartitionFolder(files_, folder.path, folder.key.topic);
  if (!now || now->segments != folder.segments || now->swaps != folder.swaps) return true;
  const bool same_epochs =
      now->epochs.has_value() == folder.epochs.has_value() &&
      (!now->epochs || EncodeEpochTable(*now->epochs) == EncodeEpochTable(*folder.epochs));
  if (!same_epochs) return true;
  return std::ranges::any_of(folder.segments, [&](Offset base) {
    if (only && base != *only) return false;
    const auto read = reads.find(base);
    return read == reads.end() || read->second.sizes != SizesOf(folder, base);
  });
}

// Compaction, retention and appends of a running broker change files between the listing and the reading, and
// while they are read: what looks like damage then is damage only if it stays.
Result<> Verifier::Partition(const std::string& path, std::optional<Offset> only) {
  const VerifySummary before = summary_;
  Reads reads;
  for (int look = 1;; ++look) {
    summary_ = before;
    ++summary_.partitions;
    held_.clear();
    gone_ = false;
    holding_ = true;
    const auto opened = OpenFolder(path);
    const Result<> looked = !opened    ? Result<>(std::unexpected(opened.error()))
                            : !*opened ? Result<>()
                                       : LookAt(**opened, only, &reads);
    holding_ = false;
    if (!looked) {
      const auto there = files_.Exists(path);
      if (!there || *there) return looked;
      summary_ = before;
      Note(path, "is not there any more: a running broker has deleted or moved it");
      return {};
    }
    const bool odd = gone_ || summary_.damage > before.damage;
    if (odd && look < kMostLooks && *opened && Changed(**opened, only, reads)) {
      // Recovery points fall where a log is truncated.
      if (auto again = ReadAgain(CheckpointKind::kRecoveryPoint))
        checkpoints_.tables[static_cast<size_t>(CheckpointKind::kRecoveryPoint)] = std::move(again);
      continue;
    }
    for (const std::string& text : held_) out_(text);
    return {};
  }
}

Result<> Verifier::LookAt(const PartitionFolder& folder, std::optional<Offset> only, Reads* reads) {
  const std::string& path = folder.path;
  const std::optional<Offset> flushed = FlushedPoint(folder);
  std::vector<SegmentReport> reports;
  for (const Offset base : folder.segments) {
    if (only && base != *only) continue;
    const bool swap = folder.swaps.contains(base);
    const FileSizes sizes = SizesOf(folder, base);
    const auto known = reads->find(base);
    if (known != reads->end() && known->second.sizes == sizes && known->second.swap == swap &&
        known->second.report.problems.empty()) {
      reports.push_back(known->second.report);
      continue;
    }
    auto report = ReadSegment(folder, base);
    if (known != reads->end()) reads->erase(known);
    // Retention of a running broker may remove a segment while it is looked at.
    if (!report && report.error().code == v1::NOT_FOUND) {
      gone_ = true;
      continue;
    }
    if (!report) {
      Damage(folder.LogPath(base), "cannot be read: {}", report.error().message);
      continue;
    }
    reads->emplace(base, Read{.sizes = sizes, .swap = swap, .report = *report});
    reports.push_back(std::move(*report));
  }
  TellPartition(path, reports, flushed);
  for (const Offset base : folder.swaps) {
    Note(folder.LogPath(base),
         "a crash has interrupted its taking the place of older files; the next start "
         "goes through with it");
  }
  if (!folder.epochs && folder.problems.empty() &&
      std::ranges::any_of(reports, [](const SegmentReport& report) { return report.batches > 0; })) {
    Note(EpochFilePath(folder.path), "is missing; the broker rebuilds it from the batches");
  }
  if (!only) JudgeFront(path, folder, flushed);
  for (size_t i = 0; i < reports.size(); ++i) JudgeInOrder(folder, reports, i, only, flushed);
  const Offset end = reports.empty() ? 0 : reports.back().end_offset;
  const bool told = !reports.empty() && reports.back().tail_problem.has_value();
  if (flushed && !only && end < *flushed && !told) {
    Damage(path, "ends at offset {}, but was flushed up to {}", end, *flushed);
  }
  return {};
}

// The broker starts from either of the two files and writes them anew; it refuses a directory with logs or
// checkpoints and neither.
void Verifier::JudgeIdentity(const std::string& directory, const std::vector<DirectoryEntry>& entries) {
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

Result<> Verifier::Directory(const std::string& path, const std::vector<DirectoryEntry>& entries) {
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

const VerifySummary& Verifier::Finish() {
  if (json_) {
    out_(Line({{"type", "verdict"},
               {"partitions", summary_.partitions},
               {"batches", summary_.batches},
               {"damage", summary_.damage},
               {"notes", summary_.notes}}));
    return summary_;
  }
  out_(summary_.damage == 0
           ? std::string("No damage found\n")
           : fmt::format("damage: {} problem{}\n", summary_.damage, summary_.damage == 1 ? "" : "s"));
  return summary_;
}

// The base offset of a segment's file, whichever of the three it is.
std::optional<Offset> SegmentOf(const std::string& name) {
  for (const std::string_view suffix : {".log", ".index", ".timeindex"}) {
    if (const auto base = ParseSegmentName(name, suffix)) return base;
  }
  return std::nullopt;
}

}  // namespace

Result<VerifySummary> VerifyPath(FileSystem& files, const std::string& given, const TextSink& out, bool json,
                                 Progress* bar) {
  std::string path = given;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  TM_ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return Fail(v1::NOT_FOUND, "there is no {}", path);
  Verifier verifier(files, out, json, bar);
  if (const auto base = SegmentOf(NameOf(path))) {
    const std::string folder = ParentOf(path);
    verifier.LoadCheckpoints(ParentOf(folder));
    verifier.Expect(folder, base);
    TM_RETURN_IF_ERROR(verifier.Partition(folder, base));
    return verifier.Finish();
  }
  auto entries = files.List(path);
  const auto is_file = [&](std::string_view name) {
    return std::ranges::any_of(*entries,
                               [&](const DirectoryEntry& e) { return !e.is_directory && e.name == name; });
  };
  const auto is_ours = [](const DirectoryEntry& e) {
    return e.is_directory && ParsePartitionFolderName(e.name).has_value();
  };
  if (entries && (is_file("meta.properties") || std::ranges::any_of(*entries, is_ours))) {
    TM_RETURN_IF_ERROR(verifier.Directory(path, *entries));
    return verifier.Finish();
  }
  const bool has_segment = entries && std::ranges::any_of(*entries, [](const DirectoryEntry& e) {
                             return SegmentOf(e.name).has_value();
                           });
  if (entries && (has_segment || is_file("partition.metadata"))) {
    verifier.LoadCheckpoints(ParentOf(path));
    verifier.Expect(path);
    TM_RETURN_IF_ERROR(verifier.Partition(path));
    return verifier.Finish();
  }
  return Fail(v1::INVALID_REQUEST,
              "{} is neither a log directory nor a partition's folder (topic-0) nor a .log file", path);
}

}  // namespace tidemark
