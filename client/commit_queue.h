// CommitQueue: the commits of one member, one request at a time, so that a commit that is tried again never
// undoes a newer one. What waits is merged: the newest offset of a partition counts. Owned by a group
// consumer; loop-affine.
//
// Invariants: at most one commit is under way; a partition that was let go (Drop) is in no request that is
// begun later, so that its next owner, or this member's next time with it, is never undone.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <set>
#include <vector>

#include "client/backoff.h"
#include "client/coordinator_link.h"
#include "client/offset_commits.h"
#include "common/async/scope.h"

namespace tidemark::internal {

class CommitQueue {
 public:
  // As whom to commit; empty: not in the group now.
  struct Committer {
    std::string member_id;
    std::string instance_id;
    int32_t epoch = 0;
  };
  struct Hooks {
    std::function<std::optional<Committer>()> committer;
    std::function<void(const CommitItems&)> committed;  // durable, and none newer waits
    std::function<void()> fenced;                       // the coordinator does not know the member as it is
  };
  CommitQueue(Cluster& cluster, CoordinatorLink& link, Hooks hooks);

  // Ends when all are committed, or with the first error: of the whole, of a partition, REQUEST_TIMED_OUT (or
  // the passing error that lasted) at the deadline. Passing errors of a partition are tried again, too; that
  // a topic is unknown, for a few seconds: to a coordinator that has just begun to be one, metadata may come
  // late.
  Task<Result<>> Commit(CommitItems items, MonoTime deadline);
  // Waits until nothing of these partitions waits to be committed.
  Task<void> Settle(std::set<PartitionKey> keys, MonoTime deadline);
  // They are this member's no more: commits of them that have not ended fail with `why`.
  void Drop(const std::set<PartitionKey>& keys, const Error& why);
  // The member has lost everything.
  void DropAll(const Error& why);
  Task<void> Close();

 private:
  struct Job {
    Job(EventLoop& loop, CommitItems what, MonoTime until)
        : items(std::move(what)), begun(loop.Now()), deadline(until), done(loop) {}
    CommitItems items;  // those without an outcome
    MonoTime begun;
    MonoTime deadline;
    std::optional<Error> error;    // the first
    std::optional<Error> passing;  // the last that was tried again
    OneShot<Result<>> done;
  };
  using JobPtr = std::shared_ptr<Job>;

  Task<void> Run();
  Task<void> Round();
  CommitItems Wanted() const;
  bool Conclude(const std::vector<JobPtr>& served, const CommitItems& sent,
                const v1::OffsetCommitResponse& answer);
  bool MayPass(const Job& job, const PartitionKey& key, const Error& error) const;
  bool Refused(const std::vector<JobPtr>& served, const Error& error);
  void EndJobs();
  void FailAll(const Error& why);
  void TimeOut();

  Cluster& cluster_;
  CoordinatorLink& link_;
  const Hooks hooks_;
  Scope scope_;
  Notifier changed_;  // a job came or ended
  Backoff backoff_;
  std::list<JobPtr> jobs_;  // oldest first
};

}  // namespace tidemark::internal
