// RunMember: a group consumer as an application in a process of its own. It processes what it is given at its
// own pace, commits in one of three ways, and tells the witness of everything. The process keeps it; the run
// reads its notes and never destroys it while the process runs.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "client/group_consumer.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/groups/group_witness.h"

namespace tidemark {

enum class CommitWay { kAuto, kSync, kAsync };

class RunMember final : public RebalanceListener {
 public:
  struct Settings {
    std::string name;
    std::string topic;
    int brokers = 1;
    CommitWay commits = CommitWay::kAuto;
    bool by_pattern = false;
    bool slow_listener = false;
    OffsetReset reset = OffsetReset::kEarliest;
  };
  RunMember(Settings settings, GroupWitness* witness) : settings_(std::move(settings)), witness_(witness) {}

  Task<void> Run(SimProcess* process);

  // From outside.
  void Stop() { stop_ = true; }
  // For good: the process was killed.
  void Killed();
  bool stopped() const { return stopped_; }
  const std::string& name() const { return settings_.name; }
  const std::string& id() const { return id_; }
  // How its close ended.
  const std::optional<Result<>>& closed() const { return closed_; }
  // What a Poll failed with that no retry mends.
  const std::optional<Error>& failed() const { return failed_; }

 private:
  Task<void> OnAssigned(std::vector<TopicPartition> partitions) override;
  Task<void> OnRevoked(std::vector<TopicPartition> partitions) override;
  Task<void> OnLost(std::vector<TopicPartition> partitions, Error why) override;

  Task<void> PollAndProcess(GroupConsumer& consumer);
  Task<void> Finish(GroupConsumer& consumer);
  OffsetsToCommit Uncommitted() const;
  void NoteCommitted(const OffsetsToCommit& offsets);
  void Forget(const std::vector<TopicPartition>& partitions);

  const Settings settings_;
  GroupWitness* const witness_;
  SimProcess* process_ = nullptr;
  GroupConsumer* consumer_ = nullptr;
  std::string id_;
  std::map<PartitionIndex, Offset> processed_;  // next offset to read, of what it holds
  std::map<PartitionIndex, Offset> last_held_;  // the same, as of the last revocation
  uint64_t polls_ = 0;
  bool stop_ = false;
  bool stopped_ = false;
  std::optional<Result<>> closed_;
  std::optional<Error> failed_;
};

}  // namespace tidemark
