// ListOffsets for the broker itself: what its own partitions answer, asked from any loop. See
// list_offsets_handler.cc, which serves the request too.
#pragma once

#include <stop_token>

#include "broker/server/broker_context.h"
#include "common/async/task.h"

namespace tidemark {

// On `home`'s thread. Shards that do not answer until the deadline, or the stop, leave REQUEST_TIMED_OUT.
Task<v1::ListOffsetsResponse> ListOffsetsHere(BrokerContext& context, EventLoop& home,
                                              v1::ListOffsetsRequest request, MonoTime deadline,
                                              std::stop_token stop);

}  // namespace tidemark
