// Life of a coordinator: roles, time, topics and expiry.
#include "broker/group/group_coordinator.h"

#include <glog/logging.h>

#include <algorithm>

namespace tidemark {
namespace {

// Groups worked on before the loop serves others.
constexpr size_t kGroupsAtOnce = 20;
constexpr size_t kExpireAtOnce = 1000;
// Between two looks at the cluster's topics.
constexpr Duration kTopicsInterval = 1s;
// A timer that is later than this means that the process stood still, and that nobody could be heard
// meanwhile.
constexpr Duration kStall = 2s;
// After a change that could not be appended.
constexpr Duration kTryAgain = 1s;

}  // namespace

GroupCounters& GroupCounters::operator+=(const GroupCounters& other) {
  loads += other.loads;
  loaded_records += other.loaded_records;
  bad_records += other.bad_records;
  load_millis += other.load_millis;
  heartbeats += other.heartbeats;
  for (size_t i = 0; i < rebalances.size(); ++i) rebalances[i] += other.rebalances[i];
  fenced_members += other.fenced_members;
  committed_offsets += other.committed_offsets;
  refused_offsets += other.refused_offsets;
  expired_offsets += other.expired_offsets;
  refused_for_memory += other.refused_for_memory;
  return *this;
}

GroupCoordinator::GroupCoordinator(EventLoop& loop, const Clock& clock, ReplicaTable& table,
                                   GroupCoordinatorOptions options, TopicsSource topics)
    : loop_(loop),
      clock_(clock),
      table_(table),
      options_(std::move(options)),
      topics_source_(std::move(topics)),
      scope_(loop, "group coordinator"),
      role_changed_(loop),
      due_changed_(loop),
      topics_changed_(loop) {}

GroupCoordinator::~GroupCoordinator() {
  CHECK(scope_.running() == 0) << "a group coordinator was destroyed before it was closed";
}

void GroupCoordinator::Start() {
  scope_.Spawn("group roles", Watch());
  scope_.Spawn("group time", Clockwork());
  scope_.Spawn("group retention", RetentionRounds());
  scope_.Spawn("group topics", FollowTopics());
}

Task<void> GroupCoordinator::Close() {
  co_await scope_.Close();
  for (const PartitionKey& key : watched_) {
    if (Partition* partition = table_.Find(key)) partition->RemoveWatcher(this);
  }
  watched_.clear();
  led_.clear();
}

void GroupCoordinator::OnReplicaMade(Partition& partition) {
  if (partition.topic() != kOffsetsTopic || scope_.stopping()) return;
  if (!watched_.insert(partition.key()).second) return;
  partition.AddWatcher(this);
  changed_.insert(partition.key());
  role_changed_.NotifyAll();
}

void GroupCoordinator::OnPartitionChange(const PartitionKey& key, PartitionChange change) {
  if (change != PartitionChange::kRole && change != PartitionChange::kGone) return;
  if (change == PartitionChange::kGone) watched_.erase(key);
  if (const auto led = led_.find(key); led != led_.end()) led->second->stale = true;
  changed_.insert(key);
  role_changed_.NotifyAll();
}

Task<void> GroupCoordinator::Watch() {
  while (!scope_.stopping()) {
    if (changed_.empty()) (void)co_await role_changed_.Wait("group roles", kNoDeadline, scope_.stop_token());
    for (const PartitionKey& key : std::exchange(changed_, {})) Review(key);
  }
}

void GroupCoordinator::Review(const PartitionKey& key) {
  Partition* partition = table_.Find(key);
  const bool leading = partition != nullptr && partition->leading() && partition->leader_epoch();
  auto led = led_.find(key);
  if (led != led_.end() && led->second->stale) {
    if (!led->second->groups.empty()) {
      LOG(INFO) << kOffsetsTopic << "-" << key.partition << ": " << led->second->groups.size()
                << " groups of epoch " << led->second->epoch << " are given up";
    }
    led_.erase(led);
    led = led_.end();
  }
  if (!leading || led != led_.end() || scope_.stopping()) return;
  auto fresh = std::make_shared<Led>();
  fresh->key = key;
  fresh->epoch = *partition->leader_epoch();
  led_[key] = fresh;
  scope_.Spawn("group load", Load(std::move(fresh)));
}

// Lets the loop serve others.
Task<void> GroupCoordinator::Yield(const char* name) {
  (void)co_await Sleep(loop_, Duration(1), name, scope_.stop_token());
}

MonoTime GroupCoordinator::NextDue() const {
  MonoTime next = kNoDeadline;
  for (const auto& [key, led] : led_) {
    if (!led->stale && !led->due.empty()) next = std::min(next, led->due.begin()->first);
  }
  return next;
}

Task<void> GroupCoordinator::Clockwork() {
  while (!scope_.stopping()) {
    const MonoTime next = NextDue();
    if (next > loop_.Now()) {
      const WaitOutcome outcome = co_await due_changed_.Wait("group time", next, scope_.stop_token());
      if (outcome != WaitOutcome::kTimedOut) continue;
    }
    const Duration late = loop_.Now() - next;
    if (late > kStall) {
      LOG(WARNING) << "the group coordinator stood still for " << ToMillis(late)
                   << " ms; members get that time back";
      for (const auto& [key, led] : led_) {
        for (const auto& [id, slot] : led->groups) ForgiveStall(slot->group, late);
      }
    }
    co_await RunDue(loop_.Now());
  }
}

Task<void> GroupCoordinator::RunDue(MonoTime now) {
  std::vector<std::pair<PartitionKey, std::string>> due;
  for (const auto& [key, led] : led_) {
    for (const auto& [when, group] : led->due) {
      if (when > now) break;
      due.emplace_back(key, group);
    }
  }
  size_t done = 0;
  for (const auto& [key, id] : due) {
    if (++done % kGroupsAtOnce == 0) co_await Yield("group time");
    const auto led = led_.find(key);
    if (led == led_.end()) continue;
    Slot* slot = FindGroup(*led->second, id);
    if (slot == nullptr) continue;
    const auto fresh = Ready(key);
    GroupChange change(slot->group);
    if (fresh) OnGroupTime(Scene(), change);
    const Result<> written = fresh ? Write(**fresh, *slot, change) : Result<>(std::unexpected(fresh.error()));
    if (!written) {
      if (fresh) {
        LOG_EVERY_T(WARNING, 10) << "group '" << id << "' cannot be changed: " << ToString(written.error());
      }
      Schedule(*led->second, *slot, loop_.Now() + kTryAgain);
      continue;
    }
    Schedule(*led->second, *slot, NextGroupTime(slot->group));
    DropIfGone(*led->second, id);
  }
}

std::vector<std::pair<PartitionKey, std::string>> GroupCoordinator::AllGroups() const {
  std::vector<std::pair<PartitionKey, std::string>> all;
  for (const auto& [key, led] : led_) {
    if (!led->ready || led->stale) continue;
    for (const auto& [id, slot] : led->groups) all.emplace_back(key, id);
  }
  return all;
}

Task<void> GroupCoordinator::ForEachGroup(const char* name, std::function<bool(Led&, Slot&)> step) {
  size_t done = 0;
  for (const auto& [key, id] : AllGroups()) {
    for (bool more = false, first = true; more || first; first = false) {
      if (more || ++done % kGroupsAtOnce == 0) co_await Yield(name);
      if (scope_.stopping()) co_return;
      more = false;
      const auto led = Ready(key);
      if (!led) continue;
      if (Slot* slot = FindGroup(**led, id)) more = step(**led, *slot);
      DropIfGone(**led, id);
    }
  }
}

Task<void> GroupCoordinator::RetentionRounds() {
  while (co_await Sleep(loop_, options_.retention_check_interval, "group retention", scope_.stop_token()) !=
         WaitOutcome::kStopped) {
    co_await ForEachGroup("group retention", [this](Led& led, Slot& slot) {
      GroupChange change(slot.group);
      const size_t expired = ExpireOffsets(Scene(), kExpireAtOnce, change);
      if (!Write(led, slot, change)) return false;  // the next round tries again
      counters_.expired_offsets += expired;
      return expired == kExpireAtOnce;
    });
  }
}

void GroupCoordinator::OnTopicsChanged() {
  topics_dirty_ = true;
  topics_changed_.NotifyAll();
}

// True when the picture differs from the one before.
bool GroupCoordinator::RefreshTopics() {
  if (!topics_dirty_) return false;
  topics_read_ = loop_.Now();
  std::shared_ptr<const GroupTopics> topics = topics_source_();
  if (topics == nullptr) return false;
  topics_dirty_ = false;
  const bool first = !std::exchange(topics_known_, true);
  const bool changed = resolver_.SetTopics(std::move(topics));
  // Until now nobody could be served, nor heard.
  if (first) {
    for (const auto& [key, led] : led_) {
      if (led->ready) RestartTimers(*led);
    }
  }
  return changed;
}

Result<bool> GroupCoordinator::ForgetDeletedTopics(Led& led, Slot& slot) {
  GroupChange change(slot.group);
  const size_t removed = RemoveDeletedTopics(Scene(), kExpireAtOnce, change);
  TM_RETURN_IF_ERROR(Write(led, slot, change));
  return removed == kExpireAtOnce;
}

Task<void> GroupCoordinator::FollowTopics() {
  uint64_t passed = 0;  // version of the topics that the groups were told of
  while (!scope_.stopping()) {
    const bool look = topics_dirty_ && !led_.empty();
    if (look && loop_.Now() - topics_read_ >= kTopicsInterval) (void)RefreshTopics();
    if (resolver_.version() == passed && !topics_again_) {
      if (look) {
        (void)co_await Sleep(loop_, kTopicsInterval, "group topics", scope_.stop_token());
      } else {
        (void)co_await topics_changed_.Wait("group topics", kNoDeadline, scope_.stop_token());
      }
      continue;
    }
    passed = resolver_.version();
    topics_again_ = false;
    co_await ForEachGroup("group topics", [this](Led& led, Slot& slot) {
      GroupChange change(slot.group);
      OnGroupTopics(Scene(), change);
      topics_again_ |= !Write(led, slot, change);
      const Result<bool> more = ForgetDeletedTopics(led, slot);
      topics_again_ |= !more;
      return more.value_or(false);
    });
    if (topics_again_) (void)co_await Sleep(loop_, kTopicsInterval, "group topics", scope_.stop_token());
  }
}

Task<CommittedPositions> GroupCoordinator::Positions(size_t most) {
  CommittedPositions out;
  std::set<std::string> told;  // a group may get its first member between the two rounds
  for (const bool with_members : {true, false}) {
    co_await ForEachGroup("group positions", [this, &out, &told, most, with_members](Led& led, Slot& slot) {
      if (slot.group.members().empty() == with_members || !told.insert(slot.group.id()).second) return false;
      size_t looked_at = 0;
      for (const auto& [key, stored] : slot.group.offsets()) {
        if (out.positions.size() >= most) break;
        ++looked_at;
        std::string topic = resolver_.topics().NameOf(key.topic);
        // What is committed of a topic that is gone lags behind nothing.
        if (topic.empty()) continue;
        out.positions.push_back({.group = slot.group.id(),
                                 .topic = std::move(topic),
                                 .at = key,
                                 .offset = stored.offset,
                                 .place = led.key,
                                 .epoch = led.epoch});
      }
      out.left_out += slot.group.offsets().size() - looked_at;
      return false;
    });
  }
  co_return out;
}

GroupGauges GroupCoordinator::Gauges() const {
  GroupGauges out;
  out.bytes = BytesOfGroups();
  out.bytes_limit = options_.groups.max_bytes;
  for (const auto& [key, led] : led_) {
    if (led->stale) continue;
    ++out.partitions;
    out.loading += led->ready ? 0 : 1;
    if (led->ready) out.serving[key] = led->epoch;
    for (const auto& [id, slot] : led->groups) {
      ++out.groups[StateOf(slot->group)];
      out.members += slot->group.members().size();
      out.offsets += slot->group.offsets().size();
    }
  }
  return out;
}

}  // namespace tidemark
