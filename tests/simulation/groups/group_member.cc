#include "tests/simulation/groups/group_member.h"

#include <algorithm>

#include "common/async/wait.h"
#include "tests/simulation/runs/run_clients.h"

namespace tidemark {
namespace {

std::vector<PartitionIndex> Numbers(const std::vector<TopicPartition>& partitions) {
  std::vector<PartitionIndex> out;
  for (const TopicPartition& at : partitions) out.push_back(at.partition);
  return out;
}

}  // namespace

Task<void> RunMember::Run(SimProcess* process) {
  process_ = process;
  ConsumerOptions options;
  options.client = RunClientOptions(settings_.brokers);
  // As by default: a commit that is not answered in that time shows that its connection is dead.
  options.client.request_timeout = 10s;
  options.client.client_id = settings_.name;
  options.group_id = "readers";
  options.auto_offset_reset = settings_.reset;
  options.session_timeout = 4s;
  options.max_poll_interval = 20s;
  options.enable_auto_commit = settings_.commits == CommitWay::kAuto;
  options.auto_commit_interval = 400ms;
  options.max_poll_records = 20;
  Cluster cluster(*process, process->main_loop(), options.client);
  GroupConsumer consumer(cluster, options, this);
  consumer_ = &consumer;
  id_ = consumer.member_id();
  const Result<> subscribed =
      settings_.by_pattern ? consumer.SubscribePattern("ord.*s") : consumer.Subscribe({settings_.topic});
  CHECK(subscribed) << ToString(subscribed.error());
  while (!stop_ && !failed_) co_await PollAndProcess(consumer);
  co_await Finish(consumer);
  consumer_ = nullptr;
  co_await cluster.Close();
  stopped_ = true;
}

void RunMember::Killed() {
  consumer_ = nullptr;
  witness_->Gone(id_);
}

Task<void> RunMember::PollAndProcess(GroupConsumer& consumer) {
  EventLoop& loop = process_->main_loop();
  Random& random = process_->random();
  witness_->Processed(id_);
  const auto batch = co_await consumer.Poll(loop.Now() + 300ms);
  if (!batch) {
    // Nothing that is committed gets lost here, so nobody is to be told that it was.
    const bool false_alarm = batch.error().code == v1::LOG_TRUNCATED;
    if (false_alarm || ClassOf(batch.error().code) == v1::ERROR_CLASS_FIX_REQUEST) failed_ = batch.error();
    co_return (void) co_await Sleep(loop, 50ms, "after a poll that failed");
  }
  for (const ConsumedRecord& record : batch->records) {
    const auto value = record.view.value ? std::string(*record.view.value) : std::string();
    witness_->Given(id_, batch->partition, record.view.offset, value);
    processed_[batch->partition] = record.view.offset + 1;
  }
  // Fast, or with work for each poll; now and then so long that heartbeats must go on without it.
  const uint64_t pace = random.Next() % 64;
  if (pace == 0) (void)co_await Sleep(loop, 6s, "long work");
  if (pace % 4 == 1) (void)co_await Sleep(loop, std::chrono::milliseconds(pace), "work");
  if (settings_.commits == CommitWay::kAuto || ++polls_ % 3 != 0) co_return;
  witness_->Processed(id_);
  const OffsetsToCommit offsets = Uncommitted();
  if (offsets.empty()) co_return;
  if (settings_.commits == CommitWay::kAsync) {
    consumer.CommitAsync(offsets, [this, offsets](const Result<>& result) {
      if (result) NoteCommitted(offsets);
    });
  } else if (co_await consumer.CommitSync(offsets)) {
    NoteCommitted(offsets);
  }
}

Task<void> RunMember::Finish(GroupConsumer& consumer) {
  witness_->Processed(id_);
  if (settings_.commits != CommitWay::kAuto) {
    const OffsetsToCommit offsets = Uncommitted();
    if (!offsets.empty() && co_await consumer.CommitSync(offsets)) NoteCommitted(offsets);
  }
  last_held_.clear();
  closed_ = co_await consumer.Close(40s);
  if (settings_.commits != CommitWay::kAuto || !*closed_) co_return;
  OffsetsToCommit committed;
  for (const auto& [partition, end] : last_held_) committed[{settings_.topic, partition}].offset = end;
  NoteCommitted(committed);
}

OffsetsToCommit RunMember::Uncommitted() const {
  OffsetsToCommit out;
  for (const auto& [partition, end] : processed_) out[{settings_.topic, partition}].offset = end;
  return out;
}

void RunMember::NoteCommitted(const OffsetsToCommit& offsets) {
  for (const auto& [at, what] : offsets) witness_->Committed(at.partition, what.offset);
}

void RunMember::Forget(const std::vector<TopicPartition>& partitions) {
  for (const TopicPartition& at : partitions) processed_.erase(at.partition);
}

Task<void> RunMember::OnAssigned(std::vector<TopicPartition> partitions) {
  const GroupWitness::Seen self{
      id_, [this](PartitionIndex partition) {
        const auto held = consumer_ == nullptr ? GroupConsumer::Partitions() : consumer_->assignment();
        return std::ranges::count(held, TopicPartition{settings_.topic, partition}) > 0;
      }};
  witness_->Assigned(self, consumer_->member_epoch(), Numbers(partitions));
  co_return;
}

Task<void> RunMember::OnRevoked(std::vector<TopicPartition> partitions) {
  if (settings_.slow_listener) (void)co_await Sleep(process_->main_loop(), 700ms, "a slow listener");
  if (settings_.commits == CommitWay::kSync) {
    witness_->Processed(id_);
    OffsetsToCommit offsets = Uncommitted();
    std::erase_if(offsets, [&](const auto& one) { return std::ranges::count(partitions, one.first) == 0; });
    if (!offsets.empty() && co_await consumer_->CommitSync(offsets)) NoteCommitted(offsets);
  }
  for (const TopicPartition& at : partitions) {
    if (processed_.contains(at.partition)) last_held_[at.partition] = processed_[at.partition];
  }
  Forget(partitions);
  witness_->Revoked(id_, Numbers(partitions));
}

Task<void> RunMember::OnLost(std::vector<TopicPartition> partitions, Error) {
  for (const TopicPartition& at : partitions) last_held_.erase(at.partition);
  Forget(partitions);
  witness_->Lost(id_, Numbers(partitions));
  co_return;
}

}  // namespace tidemark
