#include "broker/log/scrubber.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <glog/logging.h>

#include "broker/log/scrub_cursor.h"
#include "broker/log/shard_logs.h"
#include "common/async/wait.h"

namespace tidemark {
namespace {

constexpr size_t kScrubPieceBytes = 1 << 20;
constexpr size_t kMinPieceBytes = 64 << 10;
constexpr Duration kShortestPause = 1ms;
// Between two looks for logs that are due; the first look waits as long, so that a start is not slowed.
constexpr Duration kLookInterval = 60s;

}  // namespace

ScrubCounters& ScrubCounters::operator+=(const ScrubCounters& other) {
  bytes += other.bytes;
  logs += other.logs;
  damaged += other.damaged;
  indexes_rebuilt += other.indexes_rebuilt;
  return *this;
}

Scrubber::Scrubber(EventLoop& loop, ScrubOptions options, ShardLogs& shard)
    : loop_(loop), options_(options), shard_(shard) {}

std::vector<PartitionKey> Scrubber::Due() {
  std::erase_if(scrubbed_, [this](const auto& entry) { return shard_.Find(entry.first) == nullptr; });
  std::vector<PartitionKey> due;
  for (Log* log : shard_.All()) {
    if (log->damage() || log->failure()) continue;
    const auto last = scrubbed_.find(log->key());
    if (last == scrubbed_.end() || loop_.Now() - last->second >= options_.interval) due.push_back(log->key());
  }
  return due;
}

Task<void> Scrubber::Run(std::stop_token stop) {
  if (options_.bytes_per_second == 0) co_return;
  while (co_await Sleep(loop_, std::min(kLookInterval, options_.interval), "scrub interval", stop) !=
         WaitOutcome::kStopped) {
    const std::vector<PartitionKey> due = Due();
    for (const PartitionKey& key : due) {
      co_await ScrubLog(key, stop);
      if (stop.stop_requested()) co_return;
    }
  }
}

Task<void> Scrubber::ScrubLog(PartitionKey key, std::stop_token stop) {
  const auto cursor = std::make_shared<ScrubCursor>();
  const size_t piece = std::clamp<size_t>(options_.bytes_per_second, kMinPieceBytes, kScrubPieceBytes);
  while (true) {
    // Found again each time: it may have been closed meanwhile.
    Log* log = shard_.Find(key);
    if (log == nullptr) co_return;
    const auto progress = co_await log->Scrub(cursor, piece);
    if (!progress) co_return;  // it is closed, set aside or out of service; or there is no room for a file
    counters_.damaged += progress->damaged;
    counters_.bytes += progress->bytes;
    counters_.indexes_rebuilt += progress->index_rebuilt;
    if (progress->done) {
      ++counters_.logs;
      scrubbed_[key] = loop_.Now();
    }
    const auto pause = std::max<Duration>(
        kShortestPause,
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
            static_cast<double>(progress->bytes) / static_cast<double>(options_.bytes_per_second))));
    if (co_await Sleep(loop_, pause, "scrub pause", stop) == WaitOutcome::kStopped) co_return;
    if (progress->done) co_return;
  }
}

}  // namespace tidemark
