// RotExplorer: log directories damaged while no broker runs on them, over and over. A history of random
// operations leaves a directory; each trial takes a copy of it, flips bits in, cuts off or removes files of
// any kind, looks at it as `tidemark-dump-log --verify` does, opens it as a broker does, reads everything
// there is and scrubs it.
//
// What must hold: no read answers with a byte that was not there before; what was there is answered, or its
// absence is told (damage, a warning in the log, a start that is refused); after the scrub and the writes
// that it asks for, offline verification finds nothing wrong that the broker does not know. A violation is a
// fatal CHECK.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/env/sim_disk_tree.h"
#include "tests/simulation/log_property/log_machine.h"
#include "tests/simulation/log_property/partition_run.h"

namespace tidemark {

struct RotCounts {
  uint64_t trials = 0;
  uint64_t flips = 0;
  uint64_t truncations = 0;
  uint64_t removals = 0;
  // By what kind of file was damaged.
  uint64_t in_segments = 0;
  uint64_t in_indexes = 0;
  uint64_t in_checkpoints = 0;
  uint64_t in_epochs = 0;
  uint64_t in_metadata = 0;
  uint64_t in_identity = 0;
  uint64_t in_marks = 0;  // files whose content says nothing
  // What was made of it.
  uint64_t starts_refused = 0;
  uint64_t logs_refused = 0;
  uint64_t logs_damaged = 0;    // given up whole, nothing is served
  uint64_t ranges_damaged = 0;  // everything else is served
  uint64_t indexes_rebuilt = 0;
  uint64_t tails_cut = 0;
  uint64_t healed_silently = 0;  // made anew at any start
  uint64_t warnings = 0;
  uint64_t verify_findings = 0;
  uint64_t batches_read = 0;
  uint64_t reads_refused = 0;
  void Add(const RotCounts& other);
};
std::string ToString(const RotCounts& counts);

class WarningCounter;

class RotExplorer {
 public:
  explicit RotExplorer(uint64_t seed);
  ~RotExplorer();
  RotCounts Run(uint64_t trials);

 private:
  enum class Kind { kSegment, kIndex, kCheckpoint, kEpochs, kMetadata, kIdentity, kMark };
  enum class How { kFlip, kCut, kRemove };
  struct Hurt {
    std::string path;
    Kind kind = Kind::kMark;
    How how = How::kFlip;
    uint64_t position = 0;  // first byte that is not as it was
    std::string before;
  };
  // A partition as it was.
  struct Original {
    PartitionKey key;
    std::string topic;
    Offset start = 0;
    Offset end = 0;
    std::map<Offset, std::string> batches;  // by base offset, also those below the start
  };
  struct Base {
    std::shared_ptr<SimTree> tree;
    std::vector<Original> partitions;
    // What is told of it as it is.
    std::vector<std::string> findings;  // of verification
    std::vector<std::string> warnings;
  };

  Base MakeBase(bool clean);
  void Learn(Base* base);
  static void NoteBatches(const SimDisk& disk, Original* original);
  static Kind KindOf(const std::string& path);
  void CountHurt(const Hurt& hurt);
  std::vector<Hurt> Damage(SimDisk& disk);
  void Try(const Base& base);
  std::vector<std::string> Verify(LogMachine& machine);
  Task<void> OpenAndCheck(LogMachine& machine, const Base& base);
  Task<void> CheckLog(LogMachine& machine, const Original& original);
  Task<void> CheckReads(const Original& original, Log* log);
  Task<void> Scrub(Log* log);
  static bool Matters(const Hurt& hurt, const Base& base);
  static std::string Describe(const Hurt& hurt);
  void CheckKnown(const Hurt& hurt, LogMachine& machine, const Base& base) const;

  const uint64_t seed_;
  SimRandom random_;
  LogConfig config_;
  std::unique_ptr<WarningCounter> warnings_;
  RotCounts counts_;
  bool points_hurt_ = false;  // of the trial: a checkpoint file is not as it was
  uint64_t told_ = 0;         // of the trial: refused starts and logs, damaged logs and ranges
};

}  // namespace tidemark
