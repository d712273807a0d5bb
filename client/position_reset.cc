#include "client/position_reset.h"

#include <fmt/format.h>

namespace tidemark {

std::string ToString(const PositionReset& reset) {
  const std::string where = fmt::format("{}-{}", reset.topic, reset.partition);
  const std::string why =
      reset.gone() > 0
          ? fmt::format("{}: offset {} is gone, the log begins at {}: {} deleted before {} read", where,
                        reset.asked, reset.log_start,
                        reset.gone() == 1 ? "1 offset was" : fmt::format("{} offsets were", reset.gone()),
                        reset.gone() == 1 ? "it was" : "they were")
          : fmt::format("{}: offset {} is not in the log, which begins at {}", where, reset.asked,
                        reset.log_start);
  const bool latest = reset.policy == OffsetReset::kLatest;
  std::string text = fmt::format("{}; reading goes on at {} (auto.offset.reset={})", why, reset.now,
                                 latest ? "latest" : "earliest");
  if (latest && reset.passed_over() > 0)
    text += fmt::format(", and {} offsets that are there are passed over", reset.passed_over());
  return text;
}

}  // namespace tidemark
