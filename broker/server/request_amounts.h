// Whether a request asks for more than one request may (common/request_limits.h). Pure; before anything is
// done.
#pragma once

#include "common/result.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

// INVALID_REQUEST says what there is too much of, how much it is and how much is allowed. Fetch and
// requests about groups, but for ListGroups, are judged where they are served.
Result<> CheckAmountAsked(const v1::Request& request);

}  // namespace tidemark
