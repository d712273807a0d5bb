#include "client/commit_queue.h"

#include <algorithm>

namespace tidemark::internal {
namespace {

// A commit that has not been answered for so long is sent again: the coordinator may be elsewhere by now.
constexpr Duration kLongestCommitTry = 10s;
// How long a coordinator may not know a topic before that is believed. A release of partitions waits for it.
constexpr Duration kUnknownCommitGrace = 5s;

}  // namespace

CommitQueue::CommitQueue(Cluster& cluster, CoordinatorLink& link, Hooks hooks)
    : cluster_(cluster),
      link_(link),
      hooks_(std::move(hooks)),
      scope_(cluster.loop(), "commits"),
      changed_(cluster.loop()),
      backoff_(cluster.options()) {
  scope_.Spawn("commits", Run());
}

Task<Result<>> CommitQueue::Commit(CommitItems items, MonoTime deadline) {
  if (items.empty()) co_return Result<>();
  if (scope_.stopping()) co_return Fail(v1::CANCELLED, "the consumer is closed");
  const auto job = std::make_shared<Job>(cluster_.loop(), std::move(items), deadline);
  jobs_.push_back(job);
  changed_.NotifyAll();
  // Every job is ended: by its outcome, its deadline, a loss, or the close.
  auto ended = co_await job->done.Wait("commit");
  if (!ended) co_return std::unexpected(std::move(ended.error()));
  co_return *ended;
}

Task<void> CommitQueue::Settle(std::set<PartitionKey> keys, MonoTime deadline) {
  const auto waits = [&] {
    return std::ranges::any_of(jobs_, [&](const JobPtr& job) {
      return std::ranges::any_of(job->items, [&](const auto& item) { return keys.contains(item.first); });
    });
  };
  while (waits()) {
    if (co_await changed_.Wait("end of commits", deadline, scope_.stop_token()) != WaitOutcome::kReady) break;
  }
}

void CommitQueue::Drop(const std::set<PartitionKey>& keys, const Error& why) {
  for (const JobPtr& job : jobs_) {
    const size_t dropped =
        std::erase_if(job->items, [&](const auto& item) { return keys.contains(item.first); });
    if (dropped > 0 && !job->error) job->error = why;
  }
  EndJobs();
}

void CommitQueue::DropAll(const Error& why) { FailAll(why); }

Task<void> CommitQueue::Close() {
  scope_.RequestStop();
  FailAll({v1::CANCELLED, "the consumer is closed"});
  co_await scope_.Close();
}

void CommitQueue::FailAll(const Error& why) {
  for (const JobPtr& job : jobs_) {
    if (!job->error) job->error = why;
    job->items.clear();
  }
  EndJobs();
}

// Ends jobs of which nothing is open any more.
void CommitQueue::EndJobs() {
  const size_t before = jobs_.size();
  std::erase_if(jobs_, [](const JobPtr& job) {
    if (!job->items.empty()) return false;
    Result<> result;
    if (job->error) result = std::unexpected(*job->error);
    job->done.Set(std::move(result));
    return true;
  });
  if (jobs_.size() != before) changed_.NotifyAll();
}

void CommitQueue::TimeOut() {
  const MonoTime now = cluster_.loop().Now();
  for (const JobPtr& job : jobs_) {
    if (job->deadline > now) continue;
    if (!job->error) job->error = job->passing;
    if (!job->error) {
      job->error = Error{v1::REQUEST_TIMED_OUT,
                         fmt::format("offsets of group '{}' were not committed in time", link_.group())};
    }
    job->items.clear();
  }
  EndJobs();
}

CommitItems CommitQueue::Wanted() const {
  CommitItems wanted;
  for (const JobPtr& job : jobs_) {
    for (const auto& [key, item] : job->items) wanted[key] = item;
  }
  // The others are in the next request: these are in none then.
  if (wanted.size() > kMostPartitionsAsked)
    wanted.erase(std::next(wanted.begin(), kMostPartitionsAsked), wanted.end());
  return wanted;
}

// Whether a partition's error is worth another try for that job.
bool CommitQueue::MayPass(const Job& job, const PartitionKey& key, const Error& error) const {
  const MonoTime now = cluster_.loop().Now();
  if (!IsRetriable(error.code) || job.deadline <= now) return false;
  if (error.code != v1::UNKNOWN_TOPIC_ID && error.code != v1::UNKNOWN_TOPIC_OR_PARTITION) return true;
  const TopicPicture* picture = cluster_.Find(job.items.at(key).topic);
  return now - job.begun < kUnknownCommitGrace && (picture == nullptr || picture->id == key.topic);
}

// What was sent has its outcomes; a job that asked for an older offset of a partition is served by the newer
// one. True when something is to be tried again.
bool CommitQueue::Conclude(const std::vector<JobPtr>& served, const CommitItems& sent,
                           const v1::OffsetCommitResponse& answer) {
  CommitItems committed;
  bool again = false;
  for (const auto& [key, outcome] : ReadCommit(sent, answer)) {
    for (const JobPtr& job : served) {
      if (!job->items.contains(key)) continue;  // let go meanwhile
      if (!outcome && MayPass(*job, key, outcome.error())) {
        job->passing = outcome.error();
        again = true;
        continue;
      }
      job->items.erase(key);
      if (outcome) {
        committed.insert({key, sent.at(key)});
      } else if (!job->error) {
        job->error = outcome.error();
        if (job->error->message.empty())
          job->error->message = std::string(ErrorMeaning(outcome.error().code));
      }
    }
  }
  std::erase_if(committed, [&](const auto& item) {
    return std::ranges::any_of(jobs_, [&](const JobPtr& job) { return job->items.contains(item.first); });
  });
  hooks_.committed(committed);
  EndJobs();
  return again;
}

// True when it is worth another try.
bool CommitQueue::Refused(const std::vector<JobPtr>& served, const Error& error) {
  const bool fenced = ClassOf(error.code) == v1::ERROR_CLASS_REJOIN || error.code == v1::FENCED_INSTANCE_ID;
  // With a stale epoch the answer of a heartbeat is on its way, or lost.
  if (fenced || error.code == v1::STALE_MEMBER_EPOCH) hooks_.fenced();
  const bool again = IsRetriable(error.code);
  const MonoTime now = cluster_.loop().Now();
  for (const JobPtr& job : served) {
    if (again && job->deadline > now) continue;
    if (!job->error) job->error = error;
    job->items.clear();
  }
  EndJobs();
  return again;
}

Task<void> CommitQueue::Run() {
  const std::stop_token stop = scope_.stop_token();
  while (!stop.stop_requested()) {
    TimeOut();
    if (jobs_.empty()) {
      co_await changed_.Wait("commits to do", kNoDeadline, stop);
    } else {
      co_await Round();
    }
  }
}

Task<void> CommitQueue::Round() {
  const auto committer = hooks_.committer();
  if (!committer) {
    FailAll({v1::UNKNOWN_MEMBER_ID, fmt::format("this consumer is not in group '{}' now", link_.group())});
    co_return;
  }
  const CommitItems sent = Wanted();
  const std::vector<JobPtr> served(jobs_.begin(), jobs_.end());
  v1::Request request;
  v1::OffsetCommitRequest* commit = request.mutable_offset_commit();
  commit->set_group_id(link_.group());
  commit->set_member_id(committer->member_id);
  commit->set_instance_id(committer->instance_id);
  commit->set_member_epoch(committer->epoch);
  FillCommit(sent, commit);
  MonoTime first = cluster_.loop().Now() + std::min(kLongestCommitTry, cluster_.options().request_timeout);
  for (const JobPtr& job : served) first = std::min(first, job->deadline);
  auto response = co_await link_.Try(
      std::move(request), std::max<Duration>(first - cluster_.loop().Now(), 1ms), scope_.stop_token());
  if (scope_.stopping()) co_return;
  const bool again =
      response ? Conclude(served, sent, response->offset_commit()) : Refused(served, response.error());
  if (!again) backoff_.Reset();
  if (again && !jobs_.empty()) {
    co_await Sleep(cluster_.loop(), backoff_.Next(cluster_.env().random()), "retry of a commit",
                   scope_.stop_token());
  }
}

}  // namespace tidemark::internal
