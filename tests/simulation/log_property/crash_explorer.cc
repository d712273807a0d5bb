#include "tests/simulation/log_property/crash_explorer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "tests/simulation/log_property/log_machine.h"

namespace tidemark {
namespace {

constexpr size_t kOperationsRecorded = 40;  // of each partition
// A boundary with at most so many states is tried exhaustively.
constexpr size_t kExhaustible = 64;
// What a kill leaves is always verified offline, of the rest one state in so many.
constexpr uint64_t kVerified = 4;

std::vector<std::string> Directories() { return {"/data"}; }

// Goes through all sequences of choices, like an odometer.
class EveryChoice {
 public:
  std::function<size_t(size_t)> Start() {
    at_ = 0;
    return [this](size_t possibilities) {
      if (at_ == digits_.size()) digits_.push_back({0, possibilities});
      return digits_[at_++].value;
    };
  }
  // False when all were tried.
  bool Next() {
    while (!digits_.empty() && ++digits_.back().value >= digits_.back().possibilities) digits_.pop_back();
    return !digits_.empty();
  }

 private:
  struct Digit {
    size_t value;
    size_t possibilities;
  };
  std::vector<Digit> digits_;
  size_t at_ = 0;
};

}  // namespace

void CrashCounts::Add(const CrashCounts& other) {
  states += other.states;
  boundaries += other.boundaries;
  exhausted += other.exhausted;
  recovery_crashes += other.recovery_crashes;
  verified += other.verified;
}

std::string ToString(const CrashCounts& c) {
  return fmt::format("states={} boundaries={} exhausted={} recovery_crashes={} verified={}", c.states,
                     c.boundaries, c.exhausted, c.recovery_crashes, c.verified);
}

CrashExplorer::CrashExplorer(uint64_t seed)
    : seed_(seed),
      random_(seed * 0x2545f491),
      config_{.segment_bytes = 1500,
              .segment_time = 10s,
              .index_interval_bytes = 256,
              .compaction = {.enabled = true, .max_lag = {}, .delete_retention = 5s}},
      partitions_(1 + random_.Below(2)) {
  if (random_.Chance(0.3)) config_.durability = AckDurability::kReplicated;
}

std::vector<std::unique_ptr<PartitionRun>> CrashExplorer::MakeRuns(LogMachine& machine) {
  std::vector<std::unique_ptr<PartitionRun>> runs;
  for (size_t i = 0; i < partitions_; ++i) {
    std::array<uint8_t, TopicId::kSize> id{};
    id.fill(static_cast<uint8_t>(i + 1));
    runs.push_back(std::make_unique<PartitionRun>(machine, random_, log_counts_, PartitionKey{TopicId(id), 0},
                                                  fmt::format("t{}", i), config_));
  }
  return runs;
}

Task<void> CrashExplorer::RecordedWork() {
  const auto opened = co_await machine_->Open();
  CHECK(opened) << ToString(opened.error());
  if (random_.Chance(0.5)) machine_->logs().Start();
  for (const auto& run : runs_) co_await run->Open(Rot::kNone);
  for (size_t i = 0; i < kOperationsRecorded; ++i) {
    for (const auto& run : runs_) co_await run->RandomOperation();
  }
}

void CrashExplorer::Record() {
  LogMachine machine(seed_, Directories());
  machine_ = &machine;
  runs_ = MakeRuns(machine);
  machine.disk().SetHook([this](DiskOp op, const std::string& path) {
    Moment moment{fmt::format("{} {}", ToString(op), path), machine_->disk().Snapshot(), {}};
    for (const auto& run : runs_) moment.models.push_back(run->model());
    moments_.push_back(std::move(moment));
  });
  // Two lives, so that a start with something to recover is among it.
  for (int life = 0; life < 2; ++life) {
    machine.Boot();
    CHECK(machine.Run([this] { return RecordedWork(); }));
    for (const auto& run : runs_) run->ForgetLog();
    if (life == 1) {
      const auto clean = machine.CloseCleanly();
      CHECK(clean && *clean);
      for (const auto& run : runs_) run->NoteCleanClose();
    } else {
      CHECK(machine.Close());
    }
  }
  Moment last{"after the clean close", machine.disk().Snapshot(), {}};
  for (const auto& run : runs_) last.models.push_back(run->model());
  moments_.push_back(std::move(last));
  machine.disk().SetHook({});
  runs_.clear();
  machine_ = nullptr;
}

bool CrashExplorer::OpenAndCompare(LogMachine& machine, std::vector<std::unique_ptr<PartitionRun>>& runs) {
  machine.Boot();
  return machine.Run([&]() -> Task<void> {
    const auto opened = co_await machine.Open();
    if (!machine.alive()) co_return;
    CHECK(opened) << ToString(opened.error());
    for (const auto& run : runs) {
      co_await run->Open(Rot::kNone);
      if (!machine.alive()) co_return;
    }
  });
}

void CrashExplorer::VerifyOffline(LogMachine& machine, const Moment& moment, AfterCrash crash) {
  ++counts_.verified;
  const auto damage = OfflineDamage(machine.disk(), Directories().front(), crash);
  CHECK(!damage) << "a crash before " << moment.what << " is called damage:\n" << *damage;
}

void CrashExplorer::Try(const Moment& moment, const std::shared_ptr<SimTree>& state, AfterCrash crash) {
  ++counts_.states;
  const uint64_t seed = random_.Next();
  VLOG(1) << "crash before " << moment.what;
  LogMachine machine(seed, Directories());
  machine.disk().Restore(state->Clone());
  const bool verified = crash == AfterCrash::kKill || counts_.states % kVerified == 0;
  if (verified) VerifyOffline(machine, moment, crash);
  auto runs = MakeRuns(machine);
  for (size_t i = 0; i < runs.size(); ++i) runs[i]->model() = moment.models[i];
  if (random_.Chance(0.25)) {  // the machine goes down again while it recovers
    machine.disk().SetHook([&machine, left = 1 + random_.Below(20)](DiskOp, const std::string&) mutable {
      if (--left == 0) machine.process().Kill(true);
    });
    if (OpenAndCompare(machine, runs)) {
      CHECK(machine.Close());
    } else {
      ++counts_.recovery_crashes;
      machine.Kill(true);
    }
    machine.disk().SetHook({});
  }
  CHECK(OpenAndCompare(machine, runs));
  std::vector<std::pair<Offset, Offset>> once;
  for (const auto& run : runs) once.emplace_back(run->log()->start_offset(), run->log()->end_offset());
  CHECK(machine.Close());
  machine.disk().PowerLoss();  // what recovery left is on disk
  if (verified) VerifyOffline(machine, moment, AfterCrash::kKill);
  CHECK(OpenAndCompare(machine, runs));
  for (size_t i = 0; i < runs.size(); ++i) {
    // A start that is not in its checkpoint yet may fall again, to what it was known to be.
    CHECK_LE(runs[i]->log()->start_offset(), once[i].first) << "recovery twice is not the same as once";
    CHECK_EQ(runs[i]->log()->end_offset(), once[i].second) << "recovery twice is not the same as once";
  }
  if (random_.Chance(0.25)) {  // and the log goes on
    CHECK(machine.Run([&]() -> Task<void> {
      for (const auto& run : runs) {
        co_await run->AppendAsLeader();
        co_await run->AwaitFlush();
      }
    }));
    CHECK(machine.Close());
    machine.disk().PowerLoss();
    CHECK(OpenAndCompare(machine, runs));
  }
  CHECK(machine.Close());
}

void CrashExplorer::Explore(const Moment& moment, uint64_t states) {
  ++counts_.boundaries;
  const auto consider = [&](const std::shared_ptr<SimTree>& state,
                            AfterCrash crash = AfterCrash::kPowerLoss) {
    if (seen_.insert(state->Digest()).second) Try(moment, state, crash);
  };
  consider(moment.tree->Clone(), AfterCrash::kKill);
  EveryChoice choice;
  std::vector<std::shared_ptr<SimTree>> all;
  bool more = true;
  while (more && all.size() <= kExhaustible) {
    all.push_back(moment.tree->Clone()->AfterCrash(choice.Start()));
    more = choice.Next();
  }
  if (!more) {
    ++counts_.exhausted;
    for (const auto& state : all) consider(state);
    return;
  }
  for (uint64_t i = 0; i < states; ++i) {
    if (i % 2 == 0) {
      consider(moment.tree->Clone()->AfterPowerLoss(random_));
    } else {
      consider(moment.tree->Clone()->AfterCrash(
          [this](size_t possibilities) { return static_cast<size_t>(random_.Below(possibilities)); }));
    }
  }
}

CrashCounts CrashExplorer::Run(uint64_t states) {
  Record();
  const uint64_t each = std::max<uint64_t>(1, states / moments_.size());
  for (const Moment& moment : moments_) Explore(moment, each);
  return counts_;
}

}  // namespace tidemark
