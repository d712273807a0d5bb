#include "broker/replica/high_watermark.h"

#include <algorithm>

#include "common/fault.h"

namespace tidemark {

Offset CountedEnd(const ReplicaEnds& ends, AckDurability durability) {
  if (durability == AckDurability::kReplicated || TM_BUG("ack-before-flush")) return ends.log_end;
  return std::min(ends.flushed_end, ends.log_end);
}

size_t RequiredInSync(uint32_t min_insync_replicas, size_t replica_count) {
  return std::max<size_t>(1, std::min<size_t>(min_insync_replicas, replica_count));
}

Offset NextHighWatermark(Offset current, std::span<const std::optional<Offset>> counted_ends,
                         size_t committed_isr_size, size_t required_in_sync) {
  if (committed_isr_size < required_in_sync || counted_ends.empty()) return current;
  Offset least = counted_ends.front().value_or(0);
  for (const std::optional<Offset>& end : counted_ends) least = std::min(least, end.value_or(0));
  return std::max(current, least);
}

Offset AdoptedHighWatermark(Offset own, Offset leaders, Offset own_log_end) {
  return std::max(own, std::min(leaders, own_log_end));
}

}  // namespace tidemark
