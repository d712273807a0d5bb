// Recovery of a whole partition folder. The input is a little program that writes files (good batches,
// anything else, damage) and says what the checkpoints hold; whatever it wrote, the log that comes out is
// one, and is the same when it is recovered again.
#include <cstdint>
#include <memory>
#include <string>

#include <glog/logging.h>

#include "broker/log/partition_files.h"
#include "broker/log/recovery.h"
#include "broker/log/verify.h"
#include "common/record/builder.h"
#include "tests/fuzz/memory_files.h"

namespace {

using namespace tidemark;

const PartitionKey kKey{TopicId(std::array<uint8_t, 16>{1, 2, 3}), 0};

class FolderWriter {
 public:
  FolderWriter(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  // Runs the program.
  RecoveryInput Write(MemoryFiles& files) {
    RecoveryInput input{.folder = "/p", .key = kKey, .index_interval_bytes = 1u + Byte()};
    input.recovery_point = 0;
    while (at_ < end_) Step(files, &input);
    return input;
  }

 private:
  uint8_t Byte() { return at_ < end_ ? *at_++ : 0; }
  std::string Bytes(size_t count) {
    count = std::min(count, static_cast<size_t>(end_ - at_));
    std::string out(reinterpret_cast<const char*>(at_), count);
    at_ += count;
    return out;
  }

  void Step(MemoryFiles& files, RecoveryInput* input) {
    std::string& log = files[prefix_ + ".log"];
    switch (Byte() % 14) {
      case 0:  // a segment where the last one ends
      case 1:
        Seal(files);
        NewSegment(next_);
        files[prefix_ + ".log"];
        break;
      case 2:  // or somewhere
        NewSegment(Byte());
        files[prefix_ + ".log"];
        break;
      case 3:
      case 4:
      case 5:
        AppendBatch(&log);
        break;
      case 6:
        log += Bytes(Byte());
        break;
      case 7:
        if (!log.empty()) log[(Byte() | Byte() << 8) % log.size()] ^= static_cast<char>(1 << Byte() % 8);
        break;
      case 8:
        log.resize(log.size() - std::min<size_t>(log.size(), Byte()));
        break;
      case 9:
        files[prefix_ + (Byte() % 2 == 0 ? ".index" : ".timeindex")] += Bytes(Byte());
        break;
      case 10:
        files[EpochFilePath("/p")] =
            Byte() % 2 == 0 ? EncodeEpochTable(epochs_) : WithChecksum(Bytes(Byte()));
        break;
      case 11:
        input->recovery_point = next_ + Byte() % 3;
        break;
      case 12:
        input->recovery_point.reset();
        break;
      default:
        input->log_start = Byte();
        input->high_watermark = Byte();
        files["/p/" + Bytes(Byte() % 32)] = Bytes(Byte());
    }
  }

  void NewSegment(Offset base) {
    prefix_ = SegmentPathPrefix("/p", base);
    next_ = base;
    index_ = SegmentIndex(base);
  }

  void Seal(MemoryFiles& files) {
    files[prefix_ + ".index"] =
        index_.EncodeOffsets(0) + index_.SealOffsets(next_, files[prefix_ + ".log"].size());
    files[prefix_ + ".timeindex"] = index_.EncodeTimes(0) + index_.SealTimes();
  }

  void AppendBatch(std::string* log) {
    BatchBuilder builder;
    const uint8_t shape = Byte();
    const uint32_t records = 1 + shape % 3;
    for (uint32_t i = 0; i < records; ++i) {
      CHECK(builder.Append(std::nullopt, std::string_view("value").substr(0, shape / 3 % 5), 1000 + shape));
    }
    const auto batch = builder.Finish(v1::COMPRESSION_NONE);
    epoch_ += shape >= 250;
    index_.OnBatch(next_, log->size(), 1000 + shape, 1);
    if (!epochs_.latest() || *epochs_.latest() <= epoch_) epochs_.Begin(epoch_, next_);
    *log += StampBatch(batch->body, batch->body_crc, next_, epoch_, 5000, kKey.topic, kKey.partition).view();
    *log += batch->body;
    next_ += records;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  std::string prefix_ = SegmentPathPrefix("/p", 0);
  Offset next_ = 0;
  SegmentIndex index_{0};
  LeaderEpoch epoch_ = 0;
  EpochTable epochs_;
};

void CheckState(const Log::State& state) {
  CHECK(!state.segments.empty());
  CHECK_LE(state.start, state.end);
  CHECK(state.high_watermark >= state.start && state.high_watermark <= state.end);
  for (size_t i = 0; i < state.segments.size(); ++i) {
    if (i > 0) CHECK_LT(state.segments[i - 1]->base_offset, state.segments[i]->base_offset);
    const bool last = i + 1 == state.segments.size();
    if (!state.damage) CHECK_EQ(state.segments[i]->sealed, !last);
  }
  const auto& epochs = state.epochs.entries();
  for (size_t i = 1; i < epochs.size(); ++i) {
    CHECK(epochs[i - 1].epoch < epochs[i].epoch && epochs[i - 1].start < epochs[i].start);
  }
  if (!state.damage && !epochs.empty()) CHECK_LE(epochs.back().start, state.end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  MemoryFiles files;
  RecoveryInput input = FolderWriter(data, size).Write(files);
  auto recovered = RecoverLog(files, input);
  CHECK(recovered) << ToString(recovered.error());
  CheckState(recovered->state);
  if (recovered->state.damage) {
    CHECK(!recovered->notes.empty());
  } else {
    const Offset start = recovered->state.start;
    const Offset end = recovered->state.end;
    input.recovery_point = end;
    input.log_start = start;
    const auto again = RecoverLog(files, input);
    CHECK(again) << ToString(again.error());
    CHECK(!again->state.damage) << again->state.damage->message;
    CHECK_GE(again->state.start, start);  // a table that had to be rebuilt begins with the first batch
    CHECK_EQ(again->state.end, end);
    CheckState(again->state);
  }
  // The verifier reads whatever there is.
  if (const auto folder = ReadPartitionFolder(files, "/p", kKey.topic)) {
    for (const Offset base : folder->segments) (void)VerifySegment(files, *folder, base);
  }
  return 0;
}
