// Loading: a new leader reads its partition's groups back before it serves them. In pieces, so that the shard
// goes on serving others.
#include <glog/logging.h>

#include "broker/group/group_coordinator.h"

namespace tidemark {
namespace {

constexpr Duration kRetry = 200ms;
constexpr Duration kCommitPatience = 10s;

}  // namespace

Task<void> GroupCoordinator::Load(std::shared_ptr<Led> led) {
  const MonoTime begun = loop_.Now();
  const std::string name = fmt::format("{}-{}", kOffsetsTopic, led->key.partition);
  Partition* partition = LeaderOf(*led);
  if (partition == nullptr) co_return;
  // What the log holds now is either committed in this epoch or lost with the leadership: all of it counts,
  // and is waited for. Nobody but this coordinator appends to it.
  const Offset end = partition->log_end();
  for (;;) {
    const Result<> read = co_await Read(led, end);
    if (read) break;
    if (scope_.stopping() || LeaderOf(*led) == nullptr) co_return;
    LOG_EVERY_T(WARNING, 10) << name << ": groups cannot be read yet: " << ToString(read.error());
    led->groups.clear();
    if (co_await Sleep(loop_, kRetry, "group load retry", scope_.stop_token()) == WaitOutcome::kStopped)
      co_return;
  }
  if (LeaderOf(*led) == nullptr) co_return;
  co_await Finish(led);
  if (!led->ready) co_return;
  const int64_t millis = ToMillis(loop_.Now() - begun);
  ++counters_.loads;
  counters_.load_millis += static_cast<uint64_t>(millis);
  if (!led->groups.empty()) {
    LOG(INFO) << name << ": coordinates " << led->groups.size() << " groups in epoch " << led->epoch
              << ", read up to " << end << " in " << millis << " ms";
  }
  topics_changed_.NotifyAll();
}

Task<Result<>> GroupCoordinator::Read(std::shared_ptr<Led> led, Offset end) {
  Partition* partition = LeaderOf(*led);
  if (partition == nullptr) co_return Fail(v1::NOT_COORDINATOR);
  TM_CO_RETURN_IF_ERROR(
      co_await partition->WaitCommitted(end, led->epoch, loop_.Now() + kCommitPatience, scope_.stop_token()));
  for (Offset at = 0; at < end;) {
    partition = LeaderOf(*led);
    if (partition == nullptr || scope_.stopping()) co_return Fail(v1::NOT_COORDINATOR);
    at = std::max(at, partition->log_start());
    if (at >= end) break;
    auto read = co_await partition->ReadForConsumer(at, led->epoch, options_.load_bytes);
    // The log start may have moved on meanwhile.
    if (!read && read.error().code == v1::OFFSET_OUT_OF_RANGE) continue;
    if (!read) co_return std::unexpected(read.error());
    if (led->stale) co_return Fail(v1::NOT_COORDINATOR);
    auto scan = ScanGroupBatches(read->records, at, scratch_, [&led](const GroupRecord& record) {
      auto& slot = led->groups[record.group];
      if (slot == nullptr) slot = std::make_unique<Slot>(record.group);
      (void)slot->group.Apply(record);
      if (slot->group.gone()) led->groups.erase(record.group);
    });
    if (!scan) co_return std::unexpected(scan.error());
    if (scan->next <= at)
      co_return Fail(v1::CORRUPT_MESSAGE, "nothing can be read at offset {} of {}", at, end);
    at = scan->next;
    counters_.loaded_records += scan->records;
    counters_.bad_records += scan->bad;
    if (scan->bad > 0)
      LOG(ERROR) << scan->bad << " records of groups mean nothing, first: " << scan->first_bad;
    co_await Yield("group load");
  }
  co_return Result<>{};
}

Task<void> GroupCoordinator::Finish(std::shared_ptr<Led> led) {
  if (topics_dirty_) (void)RefreshTopics();
  const uint64_t topics = resolver_.version();
  std::vector<std::string> ids;
  for (const auto& [id, slot] : led->groups) ids.push_back(id);
  for (const std::string& id : ids) {
    while (LeaderOf(*led) != nullptr) {
      const Result<> sound = Repair(*led, *led->groups.at(id));
      if (sound) break;
      LOG_EVERY_T(WARNING, 10) << "group '" << id << "' cannot be served yet: " << ToString(sound.error());
      if (co_await Sleep(loop_, kRetry, "group load retry", scope_.stop_token()) == WaitOutcome::kStopped)
        co_return;
      if (topics_dirty_) (void)RefreshTopics();
    }
    Recount(*led, *led->groups.at(id));
    DropIfGone(*led, id);
    co_await Yield("group load");
  }
  // The change of role may have been noted during the last pause.
  if (LeaderOf(*led) == nullptr) co_return;
  led->ready = true;
  // Nobody was heard until now.
  RestartTimers(*led);
  // Groups that were looked at first may have missed a change of topics since.
  topics_again_ |= resolver_.version() != topics;
  if (topics_again_) topics_changed_.NotifyAll();
}

// What a group needs before it can be served: no two members that may hold one partition. What else there is
// to do may fail and is done later.
Result<> GroupCoordinator::Repair(Led& led, Slot& slot) {
  const std::vector<std::string> contradict = slot.group.FinishLoad();
  if (!contradict.empty()) {
    // Those that stay would be assigned nothing.
    if (!topics_known_) return Fail(v1::COORDINATOR_LOAD_IN_PROGRESS, "the cluster's topics are not known");
    GroupChange change(slot.group);
    LOG_EVERY_T(ERROR, 10) << "group '" << slot.group.id() << "': records of " << contradict.size()
                           << " members contradict each other; they are fenced";
    FenceMembers(contradict, Scene(), change);
    TM_RETURN_IF_ERROR(Write(led, slot, change));
  }
  if (!topics_known_) return {};
  GroupChange change(slot.group);
  OnGroupTopics(Scene(), change);
  topics_again_ |= !Write(led, slot, change);
  // The rest is forgotten while it is served.
  topics_again_ |= ForgetDeletedTopics(led, slot).value_or(true);
  return {};
}

// The sessions and rebalance time-outs of all members begin anew.
void GroupCoordinator::RestartTimers(Led& led) {
  for (const auto& [id, slot] : led.groups) {
    RestartGroupTimers(slot->group, loop_.Now());
    Schedule(led, *slot, NextGroupTime(slot->group));
  }
}

}  // namespace tidemark
