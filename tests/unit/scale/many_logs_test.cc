// What logs cost by their number: open files, calls and wakeups while idle, a clean start, memory. Everything
// is counted in a simulated world, for 200 logs and for ten times as many; nothing is timed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/log/log_dirs.h"
#include "broker/log/shard_logs.h"
#include "common/record/builder.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/unit/scale/counted_files.h"
#include "tests/unit/scale/heap.h"

namespace tidemark {
namespace {

constexpr size_t kFewLogs = 200;
constexpr size_t kManyLogs = 2000;

TopicId OrdersId() {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes.fill(7);
  return TopicId(bytes);
}

FinishedBatch OneBatch() {
  BatchBuilder builder;
  CHECK(builder.Append("key", std::string(500, 'v'), 1000));
  return std::move(*builder.Finish(v1::COMPRESSION_NONE));
}

// One process at a time, one shard on its main loop, logs orders-0 to orders-(n-1).
class ManyLogs {
 public:
  explicit ManyLogs(size_t count) : count_(count) {
    options_.recovery_threads = 16;
    config_.segment_bytes = 600;  // each batch begins a segment
    config_.index_interval_bytes = 256;
    config_.durability = AckDurability::kReplicated;
  }
  ~ManyLogs() {
    if (logs_) Close();
  }

  SimWorld& world() { return world_; }
  ShardLogsOptions& options() { return options_; }
  ShardLogs& logs() { return *logs_; }
  const FileCounts& counts() const { return env_->counts(); }
  size_t segments() const {
    size_t all = 0;
    for (const Log* log : open_) all += log->segment_count();
    return all;
  }

  // The directory only, without its logs.
  void Start() {
    process_ = &world_.StartProcess("b1");
    env_ = std::make_shared<CountedEnvironment>(*process_);
    process_->Keep(env_);
    process_->Await([this] { return OpenDirectory(); });
  }
  // Asked for together: while recoveries wait the background does not look at what they leave out.
  void OpenAll() {
    open_.reserve(count_);
    for (PartitionIndex i = 0; i < count_; ++i) process_->Spawn("open", [this, i] { return OpenOne(i); });
    CHECK(world_.RunUntil([this] { return open_.size() == count_; }, 600s));
  }
  // One batch to each; what finds no room is tried again when a flush has made some.
  void AppendToAll() {
    process_->Await([this] { return AppendToEach(); });
  }
  void StartRounds() {
    process_->Await([this]() -> Task<void> {
      logs_->Start();
      co_return;
    });
  }
  void Close() {
    open_.clear();
    CHECK(process_->Await([this] { return logs_->CloseCleanly(); }));
    logs_.reset();
    CHECK(process_->Await([this] { return dirs_->CloseCleanly(); }));
    dirs_.reset();
    env_.reset();
    process_->Exit();
  }
  // Logs of so many segments each, closed cleanly.
  void Fill(size_t segments) {
    Start();
    OpenAll();
    for (size_t i = 0; i < segments; ++i) AppendToAll();
    CHECK_EQ(this->segments(), count_ * segments);
    Close();
  }

 private:
  Task<void> OpenDirectory() {
    auto opened = co_await LogDirs::Open(*env_, process_->main_loop(), {"/data"});
    CHECK(opened) << ToString(opened.error());
    dirs_ = std::move(*opened);
    CHECK((co_await dirs_->Bind(1, "cluster")).has_value());
    logs_ = std::make_unique<ShardLogs>(*dirs_, process_->main_loop(), options_);
  }
  Task<void> OpenOne(PartitionIndex i) {
    const auto log = co_await logs_->OpenOrCreate({OrdersId(), i}, "orders", config_);
    CHECK(log) << ToString(log.error());
    open_.push_back(*log);
  }
  Task<void> AppendToEach() {
    const UnstampedBatch unstamped{batch_.body, batch_.body_crc, batch_.record_count - 1,
                                   batch_.max_timestamp};
    for (Log* log : open_) {
      while (!log->AppendAsLeader(std::span(&unstamped, 1), 0, 5000)) {
        CHECK(!log->failure());
        (void)co_await Sleep(process_->main_loop(), 1ms, "room for a file");
      }
    }
  }

  const size_t count_;
  const FinishedBatch batch_ = OneBatch();
  SimWorld world_{1};
  LogConfig config_;
  ShardLogsOptions options_;
  SimProcess* process_ = nullptr;
  std::shared_ptr<CountedEnvironment> env_;
  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<ShardLogs> logs_;
  std::vector<Log*> open_;
};

class LogsByNumber : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Logs, LogsByNumber, testing::Values(kFewLogs, kManyLogs));

TEST_P(LogsByNumber, NoMoreFilesAreOpenThanTheCacheHolds) {
  constexpr size_t kCache = 64;
  // Beside the segments': small files that are written, files that the pool syncs.
  constexpr size_t kPassing = 16;
  ManyLogs logs(GetParam());
  logs.options().open_files = kCache;
  logs.Start();
  logs.OpenAll();
  for (int round = 0; round < 5; ++round) logs.AppendToAll();
  EXPECT_GE(logs.segments(), 5 * GetParam());
  EXPECT_LE(logs.counts().most_open, kCache + kCache / 4 + kPassing);
  logs.world().RunFor(120s);
  EXPECT_LE(logs.counts().open, kCache + kCache / 4) << "what was dirty is closed when another is opened";
}

struct Idle {
  uint64_t calls = 0;
  uint64_t events = 0;
};

Idle IdleFor(size_t count, Duration duration) {
  ManyLogs logs(count);
  logs.Start();
  logs.StartRounds();
  logs.OpenAll();
  logs.AppendToAll();
  // Flushed in the background, checkpointed, and looked at by the scrubber, each log once.
  logs.world().RunFor(600s);
  const Idle before{logs.counts().calls, logs.world().events_run()};
  logs.world().RunFor(duration);
  return {logs.counts().calls - before.calls, logs.world().events_run() - before.events};
}

TEST(IdleLogsByNumber, CallNothingAndWakeNobody) {
  const Idle few = IdleFor(kFewLogs, 1800s);
  const Idle many = IdleFor(kManyLogs, 1800s);
  EXPECT_EQ(few.calls, 0u);
  EXPECT_EQ(many.calls, 0u);
  EXPECT_EQ(many.events, few.events) << "rounds look at logs that changed, and sleep";
  EXPECT_LT(many.events, 1000u);
}

struct Beginning {
  uint64_t calls = 0;
  uint64_t opens = 0;
  int64_t heap = 0;
  size_t open = 0;
};

Beginning CleanStart(size_t count, size_t segments) {
  ManyLogs logs(count);
  logs.Fill(segments);
  logs.Start();
  const FileCounts before = logs.counts();
  const auto heap = static_cast<int64_t>(HeapBytes());
  logs.OpenAll();
  CHECK_EQ(logs.segments(), count * segments);
  const FileCounts& now = logs.counts();
  return {now.calls - before.calls, now.opens - before.opens, static_cast<int64_t>(HeapBytes()) - heap,
          now.open};
}

TEST(CleanStartByNumber, OfTenTimesTheSegmentsOpensAndCallsNoMore) {
  const Beginning few = CleanStart(kFewLogs, 5);
  const Beginning many = CleanStart(kFewLogs, 50);
  EXPECT_EQ(many.opens, few.opens);
  EXPECT_EQ(many.calls, few.calls);
  EXPECT_EQ(many.open, few.open);
  const int64_t of_segment = (many.heap - few.heap) / static_cast<int64_t>(kFewLogs * 45);
  RecordProperty("bytes_per_segment", static_cast<int>(of_segment));
  EXPECT_LT(of_segment, 600);
}

TEST(CleanStartByNumber, OfTenTimesTheLogsCostsEachOfThemTheSame) {
  const Beginning few = CleanStart(kFewLogs, 3);
  const Beginning many = CleanStart(kManyLogs, 3);
  EXPECT_EQ(many.opens * kFewLogs, few.opens * kManyLogs);
  EXPECT_EQ(many.calls * kFewLogs, few.calls * kManyLogs);
  EXPECT_EQ(many.open, few.open) << "a log that was only opened keeps no file";
  EXPECT_LE(many.opens, 10 * kManyLogs);
  const int64_t of_log = many.heap / static_cast<int64_t>(kManyLogs);
  RecordProperty("bytes_per_log", static_cast<int>(of_log));
  EXPECT_LT(of_log, 6000);
}

}  // namespace
}  // namespace tidemark
