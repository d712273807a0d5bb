#include "broker/server/log_cleaner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <glog/logging.h>

#include "broker/server/shard.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

// A log whose pass failed (a full disk, too many open files) is tried again after this.
constexpr Duration kPauseAfterFailure = std::chrono::minutes(1);
// How long a shard may take to say what it has.
constexpr Duration kLookPatience = 30s;

// What one shard has for a cleaner.
struct ShardDirt {
  struct Due {
    PartitionKey key;
    CleanDecision decision;
  };
  std::vector<Due> due;
  size_t uncleanable = 0;
  double max_dirty_ratio = 0;
};

// On the shard. Makes known what a decision about the log needs; null when the log has gone.
Task<Log*> LookInto(Shard& shard, PartitionKey key, WallMillis now) {
  Log* log = shard.logs()->Find(key);
  if (log != nullptr && !log->surveyed()) (void)co_await log->Survey();
  std::optional<Offset> asked;
  while (!shard.scope().stopping() && (log = shard.logs()->Find(key)) != nullptr) {
    const std::optional<Offset> wanted = log->DecideCleaning(now).append_time_wanted;
    // What cannot be read is asked for again at the next look.
    if (!wanted || wanted == asked || !co_await log->LearnAppendTime(*wanted)) break;
    asked = wanted;
  }
  co_return shard.scope().stopping() ? nullptr : shard.logs()->Find(key);
}

// On the shard.
Task<ShardDirt> LookOn(Shard& shard, WallMillis now) {
  ShardDirt out;
  if (shard.logs() == nullptr || shard.scope().stopping()) co_return out;
  std::vector<PartitionKey> compacted;
  for (Log* log : shard.logs()->All()) {
    if (log->config().compaction.enabled) compacted.push_back(log->key());
  }
  for (const PartitionKey& key : compacted) {
    // Looking into old segments suspends; the log may be gone afterwards.
    Log* log = shard.scope().stopping() ? nullptr : co_await LookInto(shard, key, now);
    if (log == nullptr) continue;
    if (log->compaction_blocked()) ++out.uncleanable;
    const CleanDecision decision = log->DecideCleaning(now);
    // It is cleaned at one of the next looks, when it is on disk.
    if (decision.roll_active) (void)log->RollActive();
    out.max_dirty_ratio = std::max(out.max_dirty_ratio, decision.dirty_ratio);
    if (decision.due) out.due.push_back({key, decision});
  }
  co_return out;
}

// On the shard. The throttle is held: whoever asked may have gone.
Task<Result<CleanReport>> CleanOn(Shard& shard, PartitionKey key, CleanTools tools,
                                  std::shared_ptr<CleanerThrottle> throttle) {
  Log* log = shard.logs() == nullptr || shard.scope().stopping() ? nullptr : shard.logs()->Find(key);
  if (log == nullptr) co_return Fail(v1::CANCELLED, "the log is not here any more");
  if (const Partition* partition = shard.table()->Find(key)) {
    tools.keep_tombstones_from = partition->TombstonesWantedFrom();
  }
  tools.throttle = throttle.get();
  tools.stop = shard.scope().stop_token();
  const std::string name = fmt::format("{}-{}", log->topic(), key.partition);
  auto report = co_await log->Clean(tools);
  if (report && report->to > report->from) {
    LOG(INFO) << name << ": compacted offsets " << report->from << " to " << report->to << ", "
              << report->keys << " keys; " << report->segments_before << " segments became "
              << report->segments_after << ", " << report->bytes_freed << " bytes and "
              << report->records_dropped << " records (" << report->records_without_key
              << " without a key) are gone";
  } else if (!report && report.error().code != v1::CANCELLED) {
    LOG(ERROR) << name << ": compaction failed: " << ToString(report.error());
  }
  co_return report;
}

}  // namespace

LogCleaner::LogCleaner(BrokerContext& context, Scope& scope)
    : context_(context), scope_(scope), changed_(context.control_loop) {}

void LogCleaner::Start() {
  last_look_ = context_.control_loop.Now();
  Apply();
}

void LogCleaner::Apply() {
  const CleanerConfig& config = context_.live->cleaner;
  threads_ = config.enabled ? config.threads : 0;
  *rate_ = config.bytes_per_second && threads_ > 0 ? *config.bytes_per_second / threads_ : 0;
  for (uint32_t i = 0; i < threads_; ++i) {
    if (running_.insert(i).second) scope_.Spawn("log cleaner", Work(i));
  }
  changed_.NotifyAll();
}

Task<void> LogCleaner::Work(uint32_t number) {
  const auto throttle = std::make_shared<CleanerThrottle>(rate_);
  EventLoop& loop = context_.control_loop;
  while (!scope_.stopping() && number < threads_) {
    const std::optional<Chosen> chosen = co_await Choose();
    if (chosen) {
      co_await CleanOne(*chosen, throttle);
      continue;
    }
    const MonoTime next = loop.Now() + std::max<Duration>(context_.live->cleaner.backoff, 1ms);
    (void)co_await changed_.Wait("log cleaner", next, scope_.stop_token());
  }
  running_.erase(number);
}

Task<std::optional<LogCleaner::Chosen>> LogCleaner::Choose() {
  EventLoop& loop = context_.control_loop;
  std::optional<Chosen> best;
  CleanDecision best_decision;
  size_t uncleanable = 0;
  double max_dirty_ratio = 0;
  const WallMillis now = context_.env.clock().WallNow();
  for (size_t i = 0; i < context_.shards.size() && !scope_.stopping(); ++i) {
    Shard& shard = *context_.shards[i];
    const auto dirt = co_await CallOn<ShardDirt>(
        loop, shard.loop(), shard.scope(), "compaction: look", [&shard, now] { return LookOn(shard, now); },
        loop.Now() + kLookPatience, scope_.stop_token());
    if (!dirt) continue;
    uncleanable += dirt->uncleanable;
    max_dirty_ratio = std::max(max_dirty_ratio, dirt->max_dirty_ratio);
    for (const ShardDirt::Due& due : dirt->due) {
      const auto held_back = not_before_.find(due.key);
      if (held_back != not_before_.end() && loop.Now() < held_back->second) continue;
      if (in_work_.contains(due.key) || (best && !MoreUrgent(due.decision, best_decision))) continue;
      best = {i, due.key};
      best_decision = due.decision;
    }
  }
  uncleanable_ = uncleanable;
  max_dirty_ratio_ = max_dirty_ratio;
  last_look_ = loop.Now();
  co_return best;
}

Task<void> LogCleaner::CleanOne(Chosen chosen, std::shared_ptr<CleanerThrottle> throttle) {
  // Another cleaner may have chosen it while this one was still asking.
  if (!in_work_.insert(chosen.key).second) co_return;
  Shard& shard = *context_.shards[chosen.shard];
  const CleanerConfig config = context_.live->cleaner;
  Random& random = context_.env.random();
  const CleanTools tools{.hash_key = {random.Next(), random.Next()},
                         .map_bytes = config.dedupe_buffer_bytes / std::max<uint32_t>(threads_, 1),
                         .load_factor = config.load_factor,
                         .now = context_.env.clock().WallNow()};
  const auto answer = co_await CallOn<Result<CleanReport>>(
      context_.control_loop, shard.loop(), shard.scope(), "compaction",
      [&shard, key = chosen.key, tools, throttle] { return CleanOn(shard, key, tools, throttle); },
      kNoDeadline, scope_.stop_token());
  in_work_.erase(chosen.key);
  if (!answer) co_return;
  const MonoTime now = context_.control_loop.Now();
  std::erase_if(not_before_, [&](const auto& entry) { return entry.second <= now; });
  const Result<CleanReport>& report = *answer;
  if (!report) {
    ++failed_;
    not_before_[chosen.key] =
        now + (report.error().code == v1::CANCELLED ? config.backoff : kPauseAfterFailure);
    co_return;
  }
  ++passes_;
  bytes_read_ += report->bytes_read;
  bytes_written_ += report->bytes_written;
  bytes_freed_ += report->bytes_freed;
  records_dropped_ += report->records_dropped;
  // Nothing could be done after all: not again at once.
  if (report->to == report->from) not_before_[chosen.key] = now + config.backoff;
}

void LogCleaner::AddMetrics(Exposition* out) const {
  out->Counter("tidemark_cleaner_passes_total", passes_);
  out->Counter("tidemark_cleaner_failed_passes_total", failed_);
  out->Counter("tidemark_cleaner_read_bytes_total", bytes_read_);
  out->Counter("tidemark_cleaner_written_bytes_total", bytes_written_);
  out->Counter("tidemark_cleaner_freed_bytes_total", bytes_freed_);
  out->Counter("tidemark_cleaner_dropped_records_total", records_dropped_);
  out->Gauge("tidemark_cleaner_uncleanable_partitions", static_cast<double>(uncleanable_));
  out->Gauge("tidemark_cleaner_max_dirty_ratio", max_dirty_ratio_);
  const Duration since = threads_ == 0 ? Duration::zero() : context_.control_loop.Now() - last_look_;
  out->Gauge("tidemark_cleaner_seconds_since_last_run", static_cast<double>(ToMillis(since)) / 1000);
}

}  // namespace tidemark
