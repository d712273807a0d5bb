#include "tests/simulation/log_property/log_history.h"

#include <algorithm>

#include <fmt/format.h>
#include <glog/logging.h>

namespace tidemark {
namespace {

constexpr size_t kManyPartitions = 66;  // more dirty files in a round than the threshold of syncfs

std::vector<std::string> DirectoriesOf(uint64_t seed) {
  if (seed % 3 == 0) return {"/data", "/more"};
  return {"/data"};
}

TopicId TopicOf(size_t i) {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes.fill(static_cast<uint8_t>(i + 1));
  return TopicId(bytes);
}

uint64_t UsedBytes(const SimDisk& disk) {
  uint64_t bytes = 0;
  for (const std::string& path : disk.Paths()) bytes += disk.Content(path).value_or("").size();
  return bytes;
}

}  // namespace

LogHistory::LogHistory(uint64_t seed) : random_(seed * 0x51ed2701), machine_(seed, DirectoriesOf(seed)) {
  const size_t partitions = seed % 16 == 5 ? kManyPartitions : 1 + random_.Below(4);
  LogConfig config{.segment_bytes = 1500,
                   .segment_time = 10s,
                   .index_interval_bytes = 256,
                   .compaction = {.enabled = true, .max_lag = {}, .delete_retention = 5s}};
  if (random_.Chance(0.3)) config.durability = AckDurability::kReplicated;
  for (size_t i = 0; i < partitions; ++i) {
    runs_.push_back(std::make_unique<PartitionRun>(machine_, random_, counts_, PartitionKey{TopicOf(i), 0},
                                                   fmt::format("t{}", i), config));
  }
}

LogCounts LogHistory::Run(uint64_t operations) {
  while (counts_.operations < operations) Live();
  return counts_;
}

void LogHistory::SetSick(bool sick) {
  sick_ = sick;
  for (const auto& run : runs_) {
    run->set_disk_sick(sick);
    if (!sick) run->set_reads_fail(false);
  }
}

void LogHistory::PlanKill() {
  power_loss_ = random_.Chance(0.5);
  if (!random_.Chance(0.65)) return;
  // Often early: within the start and the recovery.
  const uint64_t at = 1 + random_.Below(random_.Chance(0.3) ? 30 : 300 + 10 * runs_.size());
  machine_.disk().SetHook([this, left = at](DiskOp, const std::string&) mutable {
    if (--left == 0) machine_.process().Kill(power_loss_);
  });
}

void LogHistory::PlanDiskFaults() {
  constexpr DiskOp kOps[] = {DiskOp::kWrite,  DiskOp::kSync,          DiskOp::kTruncate, DiskOp::kRename,
                             DiskOp::kRemove, DiskOp::kSyncDirectory, DiskOp::kOpen,     DiskOp::kRead};
  constexpr DiskFault kFaults[] = {DiskFault::kIoError, DiskFault::kReadOnly, DiskFault::kHang};
  if (random_.Chance(0.15)) {
    SetSick(true);
    const DiskOp op = kOps[random_.Below(std::size(kOps))];
    VLOG(1) << "the disk is to fail: " << ToString(op);
    for (const auto& run : runs_) run->set_reads_fail(op == DiskOp::kRead);
    machine_.disk().Fail({.op = op,
                          .path = random_.Chance(0.5) ? "/data" : "",
                          .fault = kFaults[random_.Below(std::size(kFaults))],
                          .nth = 1 + static_cast<int>(random_.Below(100)),
                          .times = random_.Chance(0.5) ? 1 : 1000});
  }
  if (random_.Chance(0.12)) {
    SetSick(true);
    machine_.disk().SetCapacity(UsedBytes(machine_.disk()) + random_.Below(15'000));
  }
}

// From some moment on no call returns any more; somebody then kills the process.
void LogHistory::PlanHang() {
  if (!random_.Chance(0.05)) return;
  SetSick(true);
  ++counts_.hangs;
  SimProcess* process = &machine_.process();
  machine_.world().After(random_.Between(0s, 3s), [process] {
    if (process->alive()) process->pool().SetHung(true);
  });
}

Task<void> LogHistory::Work(PartitionRun* run, size_t operations, std::shared_ptr<size_t> working) {
  for (size_t i = 0; i < operations && machine_.alive() && !run->failed(); ++i)
    co_await run->RandomOperation();
  --*working;
}

Task<void> LogHistory::OpenAndWork() {
  const auto opened = co_await machine_.Open();
  if (!machine_.alive()) co_return;
  if (!opened) {
    CHECK(sick_ || (rot_ && rot_->first.ends_with("meta.properties"))) << ToString(opened.error());
    refused_ = true;
    co_return;
  }
  if (random_.Chance(0.5)) machine_.logs().Start();
  for (const auto& run : runs_) {
    co_await run->Open(RotFor(*run));
    if (!machine_.alive()) co_return;
  }
  const size_t operations = random_.Below(runs_.size() > 10 ? 20 : 80);
  auto working = std::make_shared<size_t>(runs_.size());
  for (const auto& run : runs_) {
    machine_.process().Spawn(
        "partition", [this, run = run.get(), operations, working] { return Work(run, operations, working); });
  }
  while (*working > 0) co_await Sleep(machine_.process().main_loop(), 1ms, "partitions at work");
}

Rot LogHistory::RotFor(const PartitionRun& run) const {
  if (!rot_) return Rot::kNone;
  if (rot_->first.ends_with("recovery-point-offset-checkpoint")) return Rot::kInRecoveryPoint;
  const bool in_log =
      rot_->first.ends_with(".log") && rot_->first.find("/" + run.topic() + "-") != std::string::npos;
  return in_log ? Rot::kInLog : Rot::kElsewhere;
}

void LogHistory::Live() {
  ++counts_.lives;
  machine_.Boot();
  // One thing at a time: what a flipped bit explains, no fault of the disk may hide.
  if (!rot_) {
    PlanKill();
    PlanDiskFaults();
    PlanHang();
  }
  if (sick_) {
    // Whatever hangs, it ends.
    SimProcess* process = &machine_.process();
    machine_.world().After(600s, [this, process] {
      if (process->alive()) process->Kill(power_loss_);
    });
  }
  VLOG(1) << "life " << counts_.lives << (sick_ ? " on a sick disk" : "") << (rot_ ? " after rot" : "");
  EndLife(machine_.Run([this] { return OpenAndWork(); }));
  VLOG(1) << "life " << counts_.lives << " has ended"
          << (power_loss_ ? ", with the power if it was killed" : "");
  for (const auto& run : runs_) run->ForgetLog();
  machine_.disk().SetHook({});
  machine_.disk().ClearFailures();
  machine_.disk().SetCapacity(std::nullopt);
  SetSick(false);
  if (std::exchange(refused_, false) && rot_) {
    // As its operator would: the file is restored.
    ++counts_.flips_seen;
    CHECK(machine_.disk().FlipBit(rot_->first, rot_->second));
  }
  rot_.reset();
  if (random_.Chance(0.1)) FlipSomeBit();
}

void LogHistory::EndLife(bool finished) {
  if (!finished) {
    ++(power_loss_ ? counts_.power_losses : counts_.kills);
    VLOG(1) << "killed";
    machine_.Kill(power_loss_);
    return;
  }
  if (sick_ && random_.Chance(0.5)) {  // it recovers in time, or not
    machine_.disk().ClearFailures();
    machine_.disk().SetCapacity(std::nullopt);
  }
  if (!refused_ && random_.Chance(0.4)) {
    const auto clean = machine_.CloseCleanly();
    if (!clean) {
      ++(power_loss_ ? counts_.power_losses : counts_.kills);
      machine_.Kill(power_loss_);
      return;
    }
    CHECK(*clean || sick_) << "a clean close that was none";
    if (*clean) {
      ++counts_.clean_closes;
      for (const auto& run : runs_) run->NoteCleanClose();
    }
    if (power_loss_) machine_.disk().PowerLoss();
    return;
  }
  if (random_.Chance(0.3) && machine_.Close()) {
    if (power_loss_) machine_.disk().PowerLoss();
  } else {
    machine_.Kill(power_loss_);
  }
  ++(power_loss_ ? counts_.power_losses : counts_.kills);
}

// Any bit of any file, below all caches.
void LogHistory::FlipSomeBit() {
  const std::vector<std::string> paths = machine_.disk().Paths();
  if (paths.empty()) return;
  const std::string& path = paths[random_.Below(paths.size())];
  const uint64_t bytes = machine_.disk().Content(path).value_or("").size();
  if (bytes == 0) return;
  rot_ = {path, random_.Below(bytes * 8)};
  CHECK(machine_.disk().FlipBit(rot_->first, rot_->second));
  ++counts_.flips;
  VLOG(1) << "bit " << rot_->second << " of " << path << " flipped";
}

}  // namespace tidemark
