#include "client/fetched_records.h"

#include <algorithm>
#include <optional>

#include "common/record/batch.h"

namespace tidemark::internal {

Result<> VerifyFetched(std::string_view records, const TopicId& topic, PartitionIndex index,
                       std::string_view partition, GoodRecords* good) {
  size_t& position = good->bytes;
  Offset* const next = &good->next;
  std::optional<Offset> last;
  while (position < records.size()) {
    BatchView batch;
    std::string why;
    const BatchParse parse = ParseBatch(records.substr(position), &batch, nullptr, &why);
    if (parse == BatchParse::kNeedMore && position > 0) break;
    if (parse != BatchParse::kOk) {
      return Fail(v1::CORRUPT_MESSAGE, "{} at offset {}: {}", partition, *next,
                  why.empty() ? "the batch is cut short" : why);
    }
    if (auto whole = VerifyBatch(batch, topic, index); !whole)
      return Fail(v1::CORRUPT_MESSAGE, "{} at offset {}: {}", partition, *next, whole.error().message);
    auto info = ParseBody(batch.body);
    if (!info)
      return Fail(v1::CORRUPT_MESSAGE, "{} at offset {}: {}", partition, *next, info.error().message);
    const Offset end = batch.base_offset + info->last_offset_delta + 1;
    if (end <= batch.base_offset || (last && batch.base_offset < *last)) {
      return Fail(v1::CORRUPT_MESSAGE, "{} at offset {}: a batch from {} to {} follows offset {}", partition,
                  *next, batch.base_offset, end - 1, last.value_or(0));
    }
    last = end;
    *next = std::max(*next, end);
    if (good->changes.empty() || good->changes.back().first != batch.leader_epoch)
      good->changes.emplace_back(batch.leader_epoch, batch.base_offset);
    position += batch.bytes.size();
  }
  return {};
}

}  // namespace tidemark::internal
