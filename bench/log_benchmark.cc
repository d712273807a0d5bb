// Append and read of 64 KiB batches through the real Log, and the bare system calls that move the same bytes:
// both in one run, on the same file system. Files lie in a directory of their own under TMPDIR (default
// /tmp).
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "broker/log/log_dirs.h"
#include "broker/log/shard_logs.h"
#include "common/env/client_runtime.h"
#include "common/env/real_environment.h"
#include "common/record/builder.h"

namespace tidemark {
namespace {

constexpr size_t kBatchBytes = 64 << 10;
// A file is begun anew after so much, so that a run of any length needs little disk and stays in the page
// cache.
constexpr uint64_t kFileBytes = 256u << 20;

FinishedBatch Build() {
  BatchBuilder builder(kBatchBytes);
  const std::string value(1024, 'v');
  for (size_t size = 0; size + value.size() < kBatchBytes; size += value.size()) {
    CHECK(builder.Append(std::nullopt, value, 1'700'000'000'000));
  }
  auto batch = builder.Finish(v1::COMPRESSION_NONE);
  CHECK(batch);
  return std::move(*batch);
}

UnstampedBatch Unstamped(const FinishedBatch& batch) {
  return {batch.body, batch.body_crc, batch.record_count - 1, batch.max_timestamp};
}

class TempDirectory {
 public:
  TempDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "tidemark-bench-XXXXXX").string();
    CHECK(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// One open log on a loop of its own. Calls made by Run are made on the loop.
class OpenedLog {
 public:
  OpenedLog() : runtime_(env_) {
    runtime_.Run([this]() -> Task<void> {
      auto dirs = co_await LogDirs::Open(env_, runtime_.loop(), {directory_.path()});
      CHECK(dirs) << ToString(dirs.error());
      dirs_ = std::move(*dirs);
      const auto bound = co_await dirs_->Bind(0, "bench");
      CHECK(bound) << ToString(bound.error());
      logs_ = std::make_unique<ShardLogs>(*dirs_, runtime_.loop());
      LogConfig config;
      // As at ack.durability=replicated: the append does not wait for the disk.
      config.durability = AckDurability::kReplicated;
      std::array<uint8_t, TopicId::kSize> id{};
      id.fill(7);
      auto log = co_await logs_->OpenOrCreate({TopicId(id), 0}, "bench", config);
      CHECK(log) << ToString(log.error());
      log_ = *log;
    });
  }
  ~OpenedLog() {
    runtime_.Run([this]() -> Task<void> {
      co_await logs_->Close();
      logs_.reset();
      co_await dirs_->Close();
      dirs_.reset();
    });
  }
  ClientRuntime& runtime() { return runtime_; }
  Log& log() { return *log_; }

  void AppendOne(const FinishedBatch& batch) {
    const UnstampedBatch unstamped = Unstamped(batch);
    const auto appended = log_->AppendAsLeader(std::span(&unstamped, 1), 0, 1'700'000'000'000);
    CHECK(appended) << ToString(appended.error());
  }
  Task<void> Clear() {
    const auto done = co_await log_->RestartAt(log_->end_offset());
    CHECK(done) << ToString(done.error());
  }

 private:
  TempDirectory directory_;
  RealEnvironment env_;
  ClientRuntime runtime_;
  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<ShardLogs> logs_;
  Log* log_ = nullptr;
};

void AppendThroughLog(benchmark::State& state) {
  const FinishedBatch batch = Build();
  OpenedLog opened;
  opened.runtime().Run([&]() -> Task<void> {
    for (auto _ : state) {
      if (opened.log().size_bytes() > kFileBytes) {
        state.PauseTiming();
        co_await opened.Clear();
        state.ResumeTiming();
      }
      opened.AppendOne(batch);
    }
  });
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch.body.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * batch.record_count);
}
BENCHMARK(AppendThroughLog)->UseRealTime();

// What an append finds where it writes: nothing, as Tidemark's segments do; space that was allocated before;
// an old file's pages; an old file that is on the disk alone, as segments are that have outlived their
// retention.
enum class Space { kNew, kAllocated, kRecycled, kRecycledCold };

void Prepare(int file, Space space) {
  constexpr off_t kWhole = kFileBytes + (1 << 20);
  if (space == Space::kNew || space == Space::kAllocated) CHECK_EQ(ftruncate(file, 0), 0);
  if (space == Space::kAllocated) CHECK_EQ(posix_fallocate(file, 0, kWhole), 0);
  if (space != Space::kRecycled && space != Space::kRecycledCold) return;
  if (lseek(file, 0, SEEK_END) < kWhole) {
    const std::string piece(1 << 20, 'o');
    for (off_t at = 0; at < kWhole; at += static_cast<off_t>(piece.size()))
      CHECK_EQ(pwrite(file, piece.data(), piece.size(), at), static_cast<ssize_t>(piece.size()));
  }
  if (space == Space::kRecycledCold) {
    CHECK_EQ(fdatasync(file), 0);
    CHECK_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
  }
}

void AppendByPwritev(benchmark::State& state) {
  const Space space = static_cast<Space>(state.range(0));
  const FinishedBatch batch = Build();
  const TempDirectory directory;
  const int file = open((directory.path() + "/raw").c_str(), O_CREAT | O_RDWR, 0644);
  CHECK_GE(file, 0);
  Prepare(file, space);
  uint64_t at = 0;
  char prefix[48] = {};
  for (auto _ : state) {
    if (at > kFileBytes) {
      state.PauseTiming();
      Prepare(file, space);
      at = 0;
      state.ResumeTiming();
    }
    iovec pieces[2] = {{prefix, sizeof prefix}, {const_cast<char*>(batch.body.data()), batch.body.size()}};
    const ssize_t n = pwritev(file, pieces, 2, static_cast<off_t>(at));
    CHECK_EQ(n, static_cast<ssize_t>(sizeof prefix + batch.body.size()));
    at += static_cast<uint64_t>(n);
  }
  close(file);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch.body.size()));
}
BENCHMARK(AppendByPwritev)
    ->ArgName("space")
    ->Arg(static_cast<int>(Space::kNew))
    ->Arg(static_cast<int>(Space::kAllocated))
    ->Arg(static_cast<int>(Space::kRecycled))
    ->Arg(static_cast<int>(Space::kRecycledCold))
    ->UseRealTime();

// Reads of the given size, one after the other, of what this process appended: from the page cache.
void ReadThroughLog(benchmark::State& state) {
  const FinishedBatch batch = Build();
  const size_t size = static_cast<size_t>(state.range(0));
  OpenedLog opened;
  uint64_t bytes = 0;
  opened.runtime().Run([&]() -> Task<void> {
    while (opened.log().size_bytes() < kFileBytes) opened.AppendOne(batch);
    Offset at = 0;
    for (auto _ : state) {
      auto read = co_await opened.log().Read(at, opened.log().end_offset(), size);
      CHECK(read) << ToString(read.error());
      bytes += read->bytes.size();
      at = read->next_offset >= opened.log().end_offset() ? 0 : read->next_offset;
      benchmark::DoNotOptimize(read->bytes.data());
    }
  });
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(ReadThroughLog)->Arg(256 << 10)->Arg(1 << 20)->UseRealTime();

// The same bytes, appended in the same pieces: what a read costs depends on how the page cache was filled
// (one write of 1 MiB leaves larger folios than sixteen of 64 KiB).
void ReadByPread(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  const FinishedBatch batch = Build();
  const size_t piece = BatchPrefixBytes(batch.body.size()) + batch.body.size();
  const TempDirectory directory;
  const int file = open((directory.path() + "/raw").c_str(), O_CREAT | O_RDWR, 0644);
  CHECK_GE(file, 0);
  std::string buffer(std::max(size, piece), 'v');
  for (uint64_t at = 0; at < kFileBytes + piece; at += piece) {
    CHECK_EQ(pwrite(file, buffer.data(), piece, static_cast<off_t>(at)), static_cast<ssize_t>(piece));
  }
  uint64_t at = 0;
  for (auto _ : state) {
    CHECK_EQ(pread(file, buffer.data(), size, static_cast<off_t>(at)), static_cast<ssize_t>(size));
    at = at + size >= kFileBytes ? 0 : at + size;
    benchmark::DoNotOptimize(buffer.data());
  }
  close(file);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * size));
}
BENCHMARK(ReadByPread)->Arg(256 << 10)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace tidemark
