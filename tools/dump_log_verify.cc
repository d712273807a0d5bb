#include "tools/dump_log_verify.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "broker/log/checkpoints.h"
#include "broker/log/log_directory.h"
#include "broker/log/log_front.h"
#include "broker/log/partition_files.h"
#include "broker/log/segment.h"
#include "broker/log/verify.h"
#include "tools/log_verifier.h"

namespace tidemark {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string FileNameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// A running broker changes a partition's files while they are read. What looks damaged is looked at again so
// often, as long as the files have changed since.
constexpr int kMostLooks = 8;

using Json = nlohmann::ordered_json;

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The base offset of a segment's file, whichever of the three it is.
std::optional<Offset> SegmentOf(const std::string& name) {
  for (const std::string_view suffix : {".log", ".index", ".timeindex"}) {
    if (const auto base = ParseSegmentName(name, suffix)) return base;
  }
  return std::nullopt;
}

}  // namespace

void LogVerifier::Tell(const char* kind, const std::string& where, const std::string& what) {
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

void LogVerifier::DamageOfLog(const std::string& path, bool above_flushed, const std::string& what) {
  if (!above_flushed) return Damage(path, "{}", what);
  ++summary_.above_flushed;
  Damage(path, "{}; above the flushed point, where a loss of power leaves the like: the broker cuts it off",
         what);
}

void LogVerifier::Expect(const std::string& folder, std::optional<Offset> only) {
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

Result<SegmentReport> LogVerifier::ReadSegment(const PartitionFolder& folder, Offset base) {
  if (bar_ == nullptr) return VerifySegment(files_, folder, base);
  auto report = VerifySegment(files_, folder, base, [this](const StoredBatch& batch) {
    bar_->Set(read_bytes_ + batch.position + batch.batch.total_bytes());
  });
  if (report) read_bytes_ += report->file_bytes;
  bar_->Set(read_bytes_);
  return report;
}

std::optional<TopicId> LogVerifier::TopicFromCheckpoints(const std::string& folder_name) const {
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

std::optional<Offset> LogVerifier::FlushedPoint(const PartitionFolder& folder) const {
  const auto found = checkpoints_.Find(CheckpointKind::kRecoveryPoint, folder.key);
  if (found) return *found;
  if (found.error().code == v1::NOT_FOUND) return 0;
  return std::nullopt;
}

Result<std::optional<PartitionFolder>> LogVerifier::OpenFolder(const std::string& path) {
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
    const auto topic = TopicFromCheckpoints(FileNameOf(path));
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
void LogVerifier::JudgeSegment(const PartitionFolder& folder, const SegmentReport& report,
                               bool something_after, std::optional<Offset> flushed) {
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

void LogVerifier::TellPartition(const std::string& path, const std::vector<SegmentReport>& reports,
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

void LogVerifier::JudgeInOrder(const PartitionFolder& folder, const std::vector<SegmentReport>& reports,
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

std::optional<CheckpointTable> LogVerifier::ReadAgain(CheckpointKind kind) const {
  const std::string path = fmt::format("{}/{}", checkpoints_of_, CheckpointFileName(kind));
  const auto bytes = ReadFile(files_, path);
  auto table = bytes ? DecodeCheckpoint(*bytes, path) : std::unexpected(bytes.error());
  if (!table) return std::nullopt;
  return std::move(*table);
}

std::optional<Offset> LogVerifier::FrontIsMissing(const PartitionFolder& folder,
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

void LogVerifier::JudgeFront(const std::string& path, const PartitionFolder& folder,
                             std::optional<Offset> flushed) {
  if (!FrontIsMissing(folder, flushed)) return;
  // A running broker may have deleted old records since the checkpoints were read.
  checkpoints_.tables[static_cast<size_t>(CheckpointKind::kLogStart)] = ReadAgain(CheckpointKind::kLogStart);
  const auto begin = FrontIsMissing(folder, flushed);
  if (!begin) return;
  Damage(path, "offsets {} to {} are missing: no segment before {} is there", *begin,
         folder.segments.front() - 1, folder.segments.front());
}

FileSizes LogVerifier::SizesOf(const PartitionFolder& folder, Offset base) {
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

bool LogVerifier::Changed(const PartitionFolder& folder, std::optional<Offset> only, const Reads& reads) {
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
Result<> LogVerifier::Partition(const std::string& path, std::optional<Offset> only) {
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

Result<> LogVerifier::LookAt(const PartitionFolder& folder, std::optional<Offset> only, Reads* reads) {
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

const VerifySummary& LogVerifier::Finish() {
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

Result<VerifySummary> VerifyPath(FileSystem& files, const std::string& given, const TextSink& out, bool json,
                                 Progress* bar) {
  std::string path = given;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  TM_ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return Fail(v1::NOT_FOUND, "there is no {}", path);
  LogVerifier verifier(files, out, json, bar);
  if (const auto base = SegmentOf(FileNameOf(path))) {
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
