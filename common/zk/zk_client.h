// The real Coordination: ZooKeeper's multi-threaded C client (3.8.0 of Debian).
//
// Each session has a thread of its own that opens and closes the handle (both block: name look-ups, joining
// the library's threads) and sleeps in between. The library's threads only copy answers and post them to the
// session's loop; the loop only makes asynchronous calls, and none after it has asked for the close. Contexts
// handed to the library are owned by the session's core and are freed when answered, or when the handle is
// closed for good.
#pragma once

#include <memory>

#include "common/zk/coordination.h"

namespace tidemark {

std::unique_ptr<Coordination> MakeZooKeeperCoordination();

}  // namespace tidemark
