// What the operating system says of this process, under the names that Prometheus' client libraries give it.
// Read from /proc, which does not wait for disks; any thread.
#pragma once

#include "common/metrics/exposition.h"

namespace tidemark {

// Adds what can be read.
void AddProcessMetrics(Exposition* out);

}  // namespace tidemark
