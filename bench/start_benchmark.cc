// Opening the logs of a broker: time, memory and open files with 1, 1,000 and 20,000 partitions after a clean
// stop, and the scan of one log after an unclean one (bytes per second of one core, from the page cache).
// Files lie in a directory of their own under TMPDIR (default /tmp).
#include <benchmark/benchmark.h>
#include <glog/logging.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "broker/log/log_dirs.h"
#include "broker/log/recovery.h"
#include "broker/log/shard_logs.h"
#include "common/env/client_runtime.h"
#include "common/env/real_environment.h"
#include "common/record/builder.h"

namespace tidemark {
namespace {

constexpr WallMillis kNow = 1'700'000'000'000;

double ResidentMiB() {
  std::ifstream in("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  in >> total >> resident;
  return static_cast<double>(resident) * 4096 / (1 << 20);
}

double OpenFiles() {
  return static_cast<double>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TopicId BenchTopic() {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes.fill(9);
  return TopicId(bytes);
}

// The logs of one directory, on a loop of their own.
class BenchLogs {
 public:
  explicit BenchLogs(std::string path) : path_(std::move(path)), runtime_(env_) {
    runtime_.Run([this]() -> Task<void> {
      auto dirs = co_await LogDirs::Open(env_, runtime_.loop(), {path_});
      CHECK(dirs) << ToString(dirs.error());
      dirs_ = std::move(*dirs);
      CHECK(co_await dirs_->Bind(0, "bench"));
      logs_ = std::make_unique<ShardLogs>(*dirs_, runtime_.loop(), ShardLogsOptions{.recovery_threads = 2});
    });
  }
  void OpenAll(PartitionIndex count) {
    runtime_.Run([this, count]() -> Task<void> {
      LogConfig config;
      config.durability = AckDurability::kReplicated;
      for (PartitionIndex i = 0; i < count; ++i) {
        auto log = co_await logs_->OpenOrCreate({BenchTopic(), i}, "bench", config);
        CHECK(log) << ToString(log.error());
        last_ = *log;
      }
    });
  }
  void AppendToLast(const FinishedBatch& batch, uint64_t bytes) {
    runtime_.Run([&]() -> Task<void> {
      const UnstampedBatch unstamped{batch.body, batch.body_crc, batch.record_count - 1, batch.max_timestamp};
      while (last_->size_bytes() < bytes) CHECK(last_->AppendAsLeader(std::span(&unstamped, 1), 0, kNow));
      co_return;
    });
  }
  void Close(bool clean) {
    runtime_.Run([this, clean]() -> Task<void> {
      if (clean) {
        CHECK(co_await logs_->CloseCleanly());
      } else {
        co_await logs_->Close();
      }
      logs_.reset();
      if (clean) {
        CHECK(co_await dirs_->CloseCleanly());
      } else {
        co_await dirs_->Close();
      }
      dirs_.reset();
    });
  }

 private:
  std::string path_;
  RealEnvironment env_;
  ClientRuntime runtime_;
  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<ShardLogs> logs_;
  Log* last_ = nullptr;
};

class BenchFolder {
 public:
  BenchFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "tidemark-bench-XXXXXX").string();
    CHECK(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~BenchFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

FinishedBatch BuildBatch(size_t bytes) {
  BatchBuilder builder(bytes);
  const std::string value(std::min<size_t>(bytes / 2, 1024), 'v');
  for (size_t size = 0; size + value.size() < bytes; size += value.size()) {
    CHECK(builder.Append(std::nullopt, value, kNow));
  }
  return std::move(*builder.Finish(v1::COMPRESSION_NONE));
}

void OpenAfterACleanStop(benchmark::State& state) {
  const auto count = static_cast<PartitionIndex>(state.range(0));
  const BenchFolder folder;
  {
    BenchLogs logs(folder.path());
    logs.OpenAll(count);
    logs.Close(true);
  }
  for (auto _ : state) {
    const double before = ResidentMiB();
    BenchLogs logs(folder.path());
    logs.OpenAll(count);
    state.counters["MiB"] = ResidentMiB() - before;
    state.counters["files"] = OpenFiles();
    state.PauseTiming();
    logs.Close(true);
    state.ResumeTiming();
  }
}
BENCHMARK(OpenAfterACleanStop)
    ->Arg(1)
    ->Arg(1000)
    ->Arg(20000)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// One log of 512 MiB whose recovery point says nothing, in batches of the given size.
void ScanAfterAnUncleanStop(benchmark::State& state) {
  constexpr uint64_t kBytes = 512u << 20;
  const FinishedBatch batch = BuildBatch(static_cast<size_t>(state.range(0)));
  const BenchFolder folder;
  {
    BenchLogs logs(folder.path());
    logs.OpenAll(1);
    logs.AppendToLast(batch, kBytes);
    logs.Close(false);
  }
  for (auto _ : state) {
    RealEnvironment env;
    RecoveryInput input{.folder = folder.path() + "/bench-0", .key = {BenchTopic(), 0}, .recovery_point = 0};
    const auto recovered = RecoverLog(env.files(), input);
    CHECK(recovered && recovered->scanned_bytes >= kBytes);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes));
}
BENCHMARK(ScanAfterAnUncleanStop)->Arg(64 << 10)->Arg(1 << 10)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidemark
