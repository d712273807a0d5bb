#include "broker/log/log_front.h"

#include <algorithm>

namespace tidemark {

std::optional<Offset> MissingFront(const FrontWitnesses& witnesses) {
  if (witnesses.taken_away) return std::nullopt;
  if (!witnesses.checkpoint && !witnesses.table_begin) return std::nullopt;
  // No record of the log was ever on disk.
  if (witnesses.table_readable && !witnesses.table_begin) return std::nullopt;
  const Offset begin = std::max(witnesses.checkpoint.value_or(0), witnesses.table_begin.value_or(0));
  if (begin >= witnesses.first_base) return std::nullopt;
  if (witnesses.recovery_point && begin >= *witnesses.recovery_point) return std::nullopt;
  return begin;
}

}  // namespace tidemark
