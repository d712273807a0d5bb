#include "broker/log/verify.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "broker/log/batch_scan.h"
#include "broker/log/cleaner_files.h"
#include "broker/log/move_folders.h"
#include "broker/log/partition_files.h"
#include "broker/log/segment.h"

namespace tidemark {
namespace {

// A batch as the index files see it.
struct IndexedBatch {
  Offset base_offset = 0;
  WallMillis max_timestamp = kNoTimestamp;  // up to and with it
};

WallMillis TimestampOf(const StoredBatch& stored) {
  const bool by_append = stored.body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME;
  return by_append ? stored.batch.append_time : stored.body.max_timestamp;
}

// Every entry of the index files must name a batch that is there, and the greatest timestamp up to it.
void VerifyIndex(FileSystem& files, const std::string& prefix, Offset base,
                 const std::map<uint64_t, IndexedBatch>& batches, SegmentReport* report) {
  const auto offsets = ReadFile(files, prefix + ".index");
  const auto times = ReadFile(files, prefix + ".timeindex");
  if (!offsets || !times) {
    if (report->sealed) report->problems.push_back("index files are missing");
    return;
  }
  const SegmentIndex index = SegmentIndex::Decode(base, *offsets, *times);
  for (size_t i = 0; i < index.size(); ++i) {
    const auto& entry = index.offsets()[i];
    const auto batch = batches.find(entry.position);
    if (batch == batches.end() || batch->second.base_offset != base + entry.relative_offset) {
      report->problems.push_back(fmt::format("index entry (offset {}, byte {}) points at no batch",
                                             base + entry.relative_offset, entry.position));
    } else if (batch->second.max_timestamp != index.times()[i].timestamp) {
      report->problems.push_back(fmt::format("time index says {} up to offset {}, the batches say {}",
                                             index.times()[i].timestamp, batch->second.base_offset,
                                             batch->second.max_timestamp));
    }
  }
  const size_t expected = index.size() + (report->sealed ? 1 : 0);
  if (offsets->size() != expected * SegmentIndex::kOffsetEntryBytes ||
      times->size() != expected * SegmentIndex::kTimeEntryBytes) {
    report->problems.push_back(fmt::format("only {} entries of the index are good", index.size()));
  }
}

// Lets the `.swap` files that the next start goes through with stand for the segments that they replace.
Result<> TakeSwaps(FileSystem& files, const std::vector<Offset>& swaps, PartitionFolder* folder) {
  std::ranges::sort(folder->segments);
  for (const Offset base : swaps) {
    auto plan = PlanSwap(files, folder->path, folder->key, base, folder->segments);
    // A running broker has just gone through with it.
    if (!plan && plan.error().code == v1::NOT_FOUND) continue;
    // The start leaves a log alone whose swap has a sector that cannot be read.
    if (!plan && plan.error().code == v1::CORRUPT_MESSAGE) {
      folder->problems.push_back(plan.error().message);
      continue;
    }
    if (!plan) return std::unexpected(plan.error());
    if (!plan->decision.take) continue;  // removed at the next start: what it stands for is the log
    std::erase_if(folder->segments, [&](Offset each) {
      return each == base || std::ranges::binary_search(plan->decision.replaced, each);
    });
    folder->segments.insert(std::ranges::upper_bound(folder->segments, base), base);
    folder->swaps.insert(base);
  }
  return {};
}

}  // namespace

std::string PartitionFolder::LogPath(Offset base) const {
  return SegmentPathPrefix(path, base) + ".log" +
         (swaps.contains(base) ? std::string(kSwapSuffix) : std::string());
}

Result<PartitionFolder> ReadPartitionFolder(FileSystem& files, const std::string& path,
                                            std::optional<TopicId> topic) {
  PartitionFolder out{.path = path};
  while (out.path.size() > 1 && out.path.ends_with('/')) out.path.pop_back();
  std::string name = out.path.substr(out.path.rfind('/') + 1);
  // Folders that were set aside, or are part of a move, can be looked at too.
  if (const auto before = NameBeforeSetAside(name)) name.resize(before->size());
  if (const auto move = ParseMoveFolder("", name)) name = PartitionFolderName(move->topic, move->partition);
  const auto parsed = ParsePartitionFolderName(name);
  if (!parsed) return Fail(v1::CORRUPT_MESSAGE, "'{}' is not named like a partition (topic-0)", name);
  out.topic = parsed->first;
  out.key.partition = parsed->second;
  auto id = ReadPartitionMetadata(files, out.path);
  if (!id && !topic) return std::unexpected(std::move(id).error());
  if (!id) out.problems.push_back(id.error().message);
  out.key.topic = id ? *id : *topic;
  TM_ASSIGN_OR_RETURN(const auto entries, files.List(out.path));
  std::vector<Offset> swaps;
  for (const auto& entry : entries) {
    if (const auto base = ParseSegmentName(entry.name, ".log")) out.segments.push_back(*base);
    if (const auto swap = ParseSegmentName(entry.name, ".log.swap")) swaps.push_back(*swap);
    if (entry.name.ends_with(kDeletedSuffix)) out.taken_away = true;
  }
  TM_RETURN_IF_ERROR(TakeSwaps(files, swaps, &out));
  auto epochs = ReadEpochTable(files, out.path);
  if (epochs) out.epochs = std::move(*epochs);
  if (!epochs && epochs.error().code != v1::NOT_FOUND) out.problems.push_back(epochs.error().message);
  return out;
}

Result<SegmentReport> VerifySegment(FileSystem& files, const PartitionFolder& folder, Offset base_offset,
                                    const std::function<void(const StoredBatch&)>& visit) {
  const std::string prefix = SegmentPathPrefix(folder.path, base_offset);
  TM_ASSIGN_OR_RETURN(const auto file, files.Open(folder.LogPath(base_offset), OpenMode::kRead));
  SegmentReport report{.base_offset = base_offset, .end_offset = base_offset};
  TM_ASSIGN_OR_RETURN(report.file_bytes, file->Size());
  // The index files beside a swap are of what it replaces.
  const bool indexed = !folder.swaps.contains(base_offset);
  const auto seal = indexed ? ReadSeal(files, prefix, base_offset) : std::nullopt;
  report.sealed = seal.has_value();
  std::map<uint64_t, IndexedBatch> positions;
  WallMillis max_timestamp = kNoTimestamp;
  LeaderEpoch epoch = 0;
  BatchScanner scanner(*file, folder.key, 0, report.file_bytes);
  StoredBatch stored;
  bool after_bad = false;
  while (true) {
    const auto step = scanner.Next(&stored.batch, &stored.body);
    if (step == BatchScanner::Step::kIoError) return std::unexpected(scanner.error());
    if (step == BatchScanner::Step::kEnd) break;
    if (step == BatchScanner::Step::kBad) {
      const uint64_t bad = scanner.position();
      const bool more = scanner.Resync(scanner.BytesToSkip(report.end_offset));
      after_bad = true;
      if (!report.tail_problem) report.tail_problem = report.problems.size();
      report.AddProblem(fmt::format("byte {}: {}; {} bytes skipped", bad, scanner.error().message,
                                    (more ? scanner.next_position() : report.file_bytes) - bad));
      if (!more) break;
      continue;
    }
    stored.position = scanner.position();
    report.tail_problem.reset();
    // Compaction leaves no gaps either. What a bad place held was told with it.
    const bool follows = stored.batch.base_offset == report.end_offset ||
                         (after_bad && stored.batch.base_offset > report.end_offset);
    after_bad = false;
    if (!follows) {
      report.AddProblem(fmt::format("byte {}: batch {} where {} was expected", stored.position,
                                    stored.batch.base_offset, report.end_offset));
    }
    if (stored.batch.leader_epoch < epoch) {
      report.AddProblem(
          fmt::format("byte {}: epoch {} after epoch {}", stored.position, stored.batch.leader_epoch, epoch));
    }
    const auto listed = folder.epochs ? folder.epochs->EpochAt(stored.batch.base_offset) : std::nullopt;
    if (listed && *listed > stored.batch.leader_epoch) {
      report.AddProblem(fmt::format("batch {} has epoch {}, the epoch table says {}",
                                    stored.batch.base_offset, stored.batch.leader_epoch, *listed));
    }
    epoch = stored.batch.leader_epoch;
    max_timestamp = std::max(max_timestamp, TimestampOf(stored));
    positions.emplace(stored.position, IndexedBatch{stored.batch.base_offset, max_timestamp});
    report.end_offset = stored.last_offset() + 1;
    report.good_bytes += stored.batch.total_bytes();
    report.records += stored.body.record_count;
    ++report.batches;
    if (visit) visit(stored);
  }
  if (seal && (seal->end < report.end_offset || seal->size != report.file_bytes)) {
    if (!report.tail_problem) report.tail_problem = report.problems.size();
    report.AddProblem(fmt::format("sealed as {} bytes up to offset {}, found {} up to {}", seal->size,
                                  seal->end, report.file_bytes, report.end_offset));
  }
  if (seal && report.problems.empty()) report.end_offset = seal->end;
  const size_t of_batches = report.problems.size();
  if (indexed) VerifyIndex(files, prefix, base_offset, positions, &report);
  report.index_problems = report.problems.size() - of_batches;
  return report;
}

}  // namespace tidemark
