#include "tests/simulation/bit_rot/rot_explorer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/checkpoints.h"
#include "broker/log/log_directory.h"
#include "common/record/batch.h"
#include "tests/simulation/bit_rot/warning_counter.h"

namespace tidemark {
namespace {

constexpr size_t kPartitions = 3;
constexpr size_t kOperations = 120;  // of each partition
constexpr const char* kDirectory = "/data";

PartitionKey KeyOf(size_t partition) {
  std::array<uint8_t, TopicId::kSize> id{};
  id.fill(static_cast<uint8_t>(partition + 1));
  return {TopicId(id), 0};
}

}  // namespace

void RotCounts::Add(const RotCounts& other) {
  trials += other.trials;
  flips += other.flips;
  truncations += other.truncations;
  removals += other.removals;
  in_segments += other.in_segments;
  in_indexes += other.in_indexes;
  in_checkpoints += other.in_checkpoints;
  in_epochs += other.in_epochs;
  in_metadata += other.in_metadata;
  in_identity += other.in_identity;
  in_marks += other.in_marks;
  starts_refused += other.starts_refused;
  logs_refused += other.logs_refused;
  logs_damaged += other.logs_damaged;
  ranges_damaged += other.ranges_damaged;
  indexes_rebuilt += other.indexes_rebuilt;
  tails_cut += other.tails_cut;
  healed_silently += other.healed_silently;
  warnings += other.warnings;
  verify_findings += other.verify_findings;
  batches_read += other.batches_read;
  reads_refused += other.reads_refused;
}

std::string ToString(const RotCounts& c) {
  return fmt::format(
      "trials={} flips={} truncations={} removals={} in_segments={} in_indexes={} in_checkpoints={} "
      "in_epochs={} "
      "in_metadata={} in_identity={} in_marks={} starts_refused={} logs_refused={} logs_damaged={} "
      "ranges_damaged={} indexes_rebuilt={} tails_cut={} healed_silently={} warnings={} verify_findings={} "
      "batches_read={} "
      "reads_refused={}",
      c.trials, c.flips, c.truncations, c.removals, c.in_segments, c.in_indexes, c.in_checkpoints,
      c.in_epochs, c.in_metadata, c.in_identity, c.in_marks, c.starts_refused, c.logs_refused, c.logs_damaged,
      c.ranges_damaged, c.indexes_rebuilt, c.tails_cut, c.healed_silently, c.warnings, c.verify_findings,
      c.batches_read, c.reads_refused);
}

RotExplorer::RotExplorer(uint64_t seed)
    : seed_(seed),
      random_(seed * 0x9e3779b1),
      config_{.segment_bytes = 1500,
              .segment_time = 10s,
              .index_interval_bytes = 256,
              .compaction = {.enabled = seed % 2 == 0, .max_lag = {}, .delete_retention = 5s}},
      warnings_(std::make_unique<WarningCounter>()) {}

RotExplorer::~RotExplorer() = default;

RotExplorer::Kind RotExplorer::KindOf(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name.ends_with(".log")) return Kind::kSegment;
  if (name.ends_with(".index") || name.ends_with(".timeindex")) return Kind::kIndex;
  if (name == "leader-epoch-checkpoint") return Kind::kEpochs;
  if (name == "partition.metadata") return Kind::kMetadata;
  if (name == kIdentityName || name == kIdentityCopyName) return Kind::kIdentity;
  for (size_t kind = 0; kind < kCheckpointKinds; ++kind) {
    if (name == CheckpointFileName(static_cast<CheckpointKind>(kind))) return Kind::kCheckpoint;
  }
  CHECK(name == "clean-shutdown" || name == "new-directory" || name == "reserve" || name == ".lock")
      << "a kind of file that nothing is known of: " << path;
  return Kind::kMark;
}

// What lies below the log start may be there or not, and may come back.
void RotExplorer::NoteBatches(const SimDisk& disk, Original* original) {
  const std::string folder = fmt::format("{}/{}-{}/", kDirectory, original->topic, original->key.partition);
  for (const std::string& path : disk.Paths()) {
    if (!path.starts_with(folder) || !path.ends_with(".log")) continue;
    const std::string content = *disk.Content(path);
    std::string_view rest = content;
    while (!rest.empty()) {
      BatchView batch;
      CHECK(ParseBatch(rest, &batch, nullptr, nullptr) == BatchParse::kOk) << path;
      original->batches[batch.base_offset] = std::string(rest.substr(0, batch.total_bytes()));
      rest.remove_prefix(batch.total_bytes());
    }
  }
}

RotExplorer::Base RotExplorer::MakeBase(bool clean) {
  LogMachine machine(seed_, {kDirectory});
  LogCounts ignored;
  std::vector<std::unique_ptr<PartitionRun>> runs;
  Base base;
  for (size_t i = 0; i < kPartitions; ++i) {
    base.partitions.push_back({.key = KeyOf(i), .topic = fmt::format("t{}", i)});
    runs.push_back(
        std::make_unique<PartitionRun>(machine, random_, ignored, KeyOf(i), fmt::format("t{}", i), config_));
  }
  // Two lives: the second one ends without any change but to what was asked for, so that all is at rest.
  for (int life = 0; life < 2; ++life) {
    machine.Boot();
    CHECK(machine.Run([&]() -> Task<void> {
      const auto opened = co_await machine.Open();
      CHECK(opened) << ToString(opened.error());
      for (const auto& run : runs) co_await run->Open(Rot::kNone);
      for (size_t i = 0; life == 0 && i < kOperations; ++i) {
        for (const auto& run : runs) co_await run->RandomOperation();
      }
      for (size_t i = 0; i < kPartitions; ++i) {
        co_await runs[i]->AwaitFlush();
        const Log& log = *runs[i]->log();
        base.partitions[i].start = log.start_offset();
        base.partitions[i].end = log.end_offset();
      }
      CHECK(co_await machine.logs().Checkpoint());
    }));
    for (const auto& run : runs) run->ForgetLog();
    if (life == 1 && !clean) {
      CHECK(machine.Close());
    } else {
      const auto closed = machine.CloseCleanly();
      CHECK(closed && *closed);
      for (const auto& run : runs) run->NoteCleanClose();
    }
  }
  for (Original& original : base.partitions) NoteBatches(machine.disk(), &original);
  base.tree = machine.disk().Snapshot();
  return base;
}

RotCounts RotExplorer::Run(uint64_t trials) {
  std::vector<Base> bases;
  for (const bool clean : {true, false}) {
    bases.push_back(MakeBase(clean));
    // As it is, nothing is told but that it was not stopped.
    Learn(&bases.back());
  }
  for (uint64_t i = 0; i < trials; ++i) Try(bases[i % bases.size()]);
  return counts_;
}

}  // namespace tidemark
