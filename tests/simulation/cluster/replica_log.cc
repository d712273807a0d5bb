#include <fmt/format.h>

#include "common/record/reader.h"
#include "tests/simulation/cluster/checkers.h"

namespace tidemark {
namespace {

Result<LoggedBatch> Decode(const BatchView& view, const TopicId& topic, PartitionIndex partition) {
  TM_RETURN_IF_ERROR(VerifyBatch(view, topic, partition));
  ScratchBuffer scratch;
  TM_ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(view, scratch));
  LoggedBatch batch{.base_offset = view.base_offset,
                    .last_offset = view.base_offset + reader.info().last_offset_delta,
                    .epoch = view.leader_epoch,
                    .bytes = std::string(view.bytes)};
  RecordView record;
  while (reader.Next(&record)) {
    batch.records.push_back({.offset = record.offset,
                             .value = std::string(record.value.value_or("")),
                             .key = record.key ? std::optional(std::string(*record.key)) : std::nullopt,
                             .tombstone = !record.value});
  }
  if (reader.error()) return std::unexpected(*reader.error());
  return batch;
}

}  // namespace

DiskLog ReadDiskLog(const SimDisk& disk, const std::string& directory, BrokerId broker,
                    const std::string& topic, const TopicId& topic_id, PartitionIndex partition,
                    Offset high_watermark, Violations* violations) {
  DiskLog log{.broker = broker, .topic = topic, .partition = partition, .high_watermark = high_watermark};
  bool first = true;
  for (const std::string& path : disk.Paths()) {  // sorted: segments in order of their base offsets
    if (!path.starts_with(directory + "/") || !path.ends_with(".log")) continue;
    const std::string content = *disk.Content(path);
    std::string_view rest = content;
    for (;;) {
      BatchView view;
      size_t needed = 0;
      std::string why;
      const BatchParse parse = ParseBatch(rest, &view, &needed, &why);
      if (parse == BatchParse::kEnd || parse == BatchParse::kPadding || parse == BatchParse::kZeros) break;
      auto batch = parse == BatchParse::kOk ? Decode(view, topic_id, partition)
                                            : Result<LoggedBatch>(Fail(v1::CORRUPT_MESSAGE, "{}", why));
      if (!batch) {
        if (log.end() < high_watermark) {
          violations->push_back(
              fmt::format("{} on broker {}: unreadable at offset {}, below high watermark {}: {}", path,
                          broker, log.end(), high_watermark, batch.error().message));
        }
        return log;
      }
      if (first) log.start = batch->base_offset;
      first = false;
      log.batches.push_back(std::move(*batch));
      rest.remove_prefix(view.bytes.size());
    }
  }
  return log;
}

}  // namespace tidemark
