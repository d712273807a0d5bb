// Places in a log as people write them: "start", "42", "-10", "@2026-01-02T03:04", "@-2h". Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

struct LogPlace {
  enum class Kind {
    kStart,
    kEnd,
    kOffset,    // value
    kFromEnd,   // value records before the end
    kTimestamp  // the first record as young as value, in milliseconds since 1970
  } kind = Kind::kEnd;
  int64_t value = 0;
};

// "start" ("earliest", "beginning"), "end" ("latest"), N, -N, @TIME. TIME is milliseconds since 1970, a date
// or a date with a time (UTC: 2026-01-02T03:04:05), or so long ago (-90s, -30m, -2h, -1d). INVALID_REQUEST
// shows the forms.
Result<LogPlace> ParseLogPlace(const std::string& text, WallMillis now);

// "0,2,5-7"; INVALID_REQUEST.
Result<std::vector<PartitionIndex>> ParsePartitions(const std::string& text);

}  // namespace tidemark
