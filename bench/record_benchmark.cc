// Record encode, batch validation, record reading, checksums: 64 KiB batches of 1 KiB and of 100-byte
// records.
#include <benchmark/benchmark.h>
#include <glog/logging.h>

#include <string>

#include "common/record/builder.h"
#include "common/record/crc32c.h"
#include "common/record/reader.h"
#include "common/record/validate.h"

namespace tidemark {
namespace {

constexpr size_t kBatchBytes = 64 << 10;

FinishedBatch Build(size_t value_bytes, v1::Compression codec) {
  BatchBuilder builder(kBatchBytes);
  const std::string value(value_bytes, 'v');
  for (size_t size = 0; size + value_bytes < kBatchBytes; size += value_bytes) {
    builder.Append(std::nullopt, value, 1'700'000'000'000);
  }
  auto batch = builder.Finish(codec);
  CHECK(batch.has_value());
  return std::move(*batch);
}

void SetRates(benchmark::State& state, const FinishedBatch& batch) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch.body.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * batch.record_count);
}

void EncodeBatch(benchmark::State& state) {
  const FinishedBatch shape = Build(static_cast<size_t>(state.range(0)), v1::COMPRESSION_NONE);
  for (auto _ : state)
    benchmark::DoNotOptimize(Build(static_cast<size_t>(state.range(0)), v1::COMPRESSION_NONE));
  SetRates(state, shape);
}
BENCHMARK(EncodeBatch)->Arg(100)->Arg(1024);

void ValidateBatch(benchmark::State& state) {
  const FinishedBatch batch =
      Build(static_cast<size_t>(state.range(0)), static_cast<v1::Compression>(state.range(1)));
  ScratchBuffer scratch;
  for (auto _ : state) {
    auto info = ValidateProducerBatch(batch.body, batch.body_crc, {}, scratch);
    CHECK(info.has_value());
    benchmark::DoNotOptimize(info->record_count);
  }
  SetRates(state, batch);
}
BENCHMARK(ValidateBatch)
    ->ArgsProduct({{100, 1024}, {v1::COMPRESSION_NONE, v1::COMPRESSION_LZ4, v1::COMPRESSION_ZSTD}});

void ReadRecords(benchmark::State& state) {
  const FinishedBatch batch = Build(static_cast<size_t>(state.range(0)), v1::COMPRESSION_NONE);
  const BodyInfo info = *ParseBody(batch.body);
  for (auto _ : state) {
    RecordReader reader(info.records, info, 0, 0);
    RecordView record;
    while (reader.Next(&record)) benchmark::DoNotOptimize(record.value->data());
  }
  SetRates(state, batch);
}
BENCHMARK(ReadRecords)->Arg(100)->Arg(1024);

void Checksum(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'c');
  for (auto _ : state) benchmark::DoNotOptimize(Crc32c(bytes));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(Checksum)->Arg(100)->Arg(kBatchBytes);

}  // namespace
}  // namespace tidemark
