#include "broker/replica/high_watermark.h"

#include <algorithm>

#include "common/fault.h"

namespace tidemark {

Offset CountedEnd(const ReplicaEnds& ends, const AckTerms& terms) {
  if (!terms.flushed_ends_count() || TM_BUG("ack-before-flush")) return ends.log_end;
  const Offset flushed = std::min(ends.flushed_end, ends.log_end);
  if (terms.durability == AckDurability::kSynced) return flushed;
  const Offset ahead =
      std::min<Offset>(ends.log_end - flushed, std::max<uint64_t>(terms.flush_messages, 1) - 1);
  return flushed + ahead;
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
