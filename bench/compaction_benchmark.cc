// One compaction pass over a log of 256 MiB in the page cache: bytes of log per second, by real time and by
// CPU time of the process. Records of 200 bytes, each key written ten times, in batches of 64 KiB. Files lie
// in a directory of their own under TMPDIR (default /tmp).
#include <benchmark/benchmark.h>
#include <glog/logging.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include "broker/log/log_dirs.h"
#include "broker/log/shard_logs.h"
#include "common/env/client_runtime.h"
#include "common/env/real_environment.h"
#include "common/record/builder.h"

namespace tidemark {
namespace {

constexpr WallMillis kWhen = 1'700'000'000'000;
constexpr uint64_t kLogBytes = 256u << 20;
constexpr size_t kValueBytes = 180;
constexpr uint64_t kWritesOfEachKey = 10;

// A compacted log on a loop of its own, made anew for each pass.
class CompactionBench {
 public:
  explicit CompactionBench(v1::Compression codec) : codec_(codec), runtime_(env_) {
    std::string path = (std::filesystem::temp_directory_path() / "tidemark-bench-XXXXXX").string();
    CHECK(mkdtemp(path.data()) != nullptr);
    path_ = path;
    runtime_.Run([this] { return Fill(); });
  }
  ~CompactionBench() {
    runtime_.Run([this]() -> Task<void> {
      co_await logs_->Close();
      logs_.reset();
      co_await dirs_->Close();
      dirs_.reset();
    });
    std::filesystem::remove_all(path_);
  }

  CleanReport Pass() {
    CleanReport report;
    runtime_.Run([&]() -> Task<void> {
      CleanerThrottle unlimited(std::nullopt);
      const CleanTools tools{.hash_key = {1, 2}, .throttle = &unlimited, .now = kWhen};
      auto done = co_await log_->Clean(tools);
      CHECK(done) << ToString(done.error());
      report = *done;
    });
    return report;
  }

 private:
  Task<void> Fill() {
    auto dirs = co_await LogDirs::Open(env_, runtime_.loop(), {path_});
    CHECK(dirs) << ToString(dirs.error());
    dirs_ = std::move(*dirs);
    CHECK(co_await dirs_->Bind(0, "bench"));
    logs_ = std::make_unique<ShardLogs>(*dirs_, runtime_.loop());
    LogConfig config{.segment_bytes = 64u << 20,
                     .durability = AckDurability::kReplicated,
                     .compaction = {.enabled = true, .max_lag = {}}};
    std::array<uint8_t, TopicId::kSize> id{};
    id.fill(7);
    auto log = co_await logs_->OpenOrCreate({TopicId(id), 0}, "bench", config);
    CHECK(log) << ToString(log.error());
    log_ = *log;
    const uint64_t keys = kLogBytes / (kValueBytes + 20) / kWritesOfEachKey;
    for (uint64_t next = 0; log_->size_bytes() < kLogBytes;) AppendBatch(keys, &next);
    CHECK(log_->RollActive());
    while (log_->flush_needed()) {
      log_->RequestFlush();
      co_await Sleep(runtime_.loop(), 1ms, "flush");
    }
    log_->SetHighWatermark(log_->end_offset());
  }

  void AppendBatch(uint64_t keys, uint64_t* next) {
    BatchBuilder builder(64 << 10);
    std::string value;
    for (size_t bytes = 0; bytes + kValueBytes + 40 < (64 << 10); bytes += kValueBytes + 20) {
      // A permutation of the keys, over and over.
      const std::string key = fmt::format("key-{:010}", *next * 7919 % keys);
      // As long compressed as not.
      value.resize(kValueBytes);
      for (char& byte : value) byte = static_cast<char>((state_ = state_ * 6364136223846793005u + 1) >> 56);
      CHECK(builder.Append(key, value, kWhen));
      ++*next;
    }
    const auto batch = builder.Finish(codec_);
    CHECK(batch);
    const UnstampedBatch unstamped{batch->body, batch->body_crc, batch->record_count - 1,
                                   batch->max_timestamp};
    CHECK(log_->AppendAsLeader(std::span(&unstamped, 1), 0, kWhen));
  }

  const v1::Compression codec_;
  uint64_t state_ = 1;
  std::string path_;
  RealEnvironment env_;
  ClientRuntime runtime_;
  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<ShardLogs> logs_;
  Log* log_ = nullptr;
};

void CompactionPass(benchmark::State& state) {
  CleanReport report;
  for (auto _ : state) {
    state.PauseTiming();
    auto bench = std::make_unique<CompactionBench>(static_cast<v1::Compression>(state.range(0)));
    state.ResumeTiming();
    report = bench->Pass();
    state.PauseTiming();
    bench.reset();
    state.ResumeTiming();
  }
  CHECK_GT(report.records_dropped, 0u);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kLogBytes));
  state.counters["written_MiB"] = static_cast<double>(report.bytes_written) / (1 << 20);
  state.counters["keys"] = static_cast<double>(report.keys);
  state.counters["map_MiB"] = static_cast<double>(report.map_bytes) / (1 << 20);
}
BENCHMARK(CompactionPass)
    ->ArgName("codec")
    ->Arg(v1::COMPRESSION_NONE)
    ->Arg(v1::COMPRESSION_LZ4)
    ->Iterations(3)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidemark
