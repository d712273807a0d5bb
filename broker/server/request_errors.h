// Which errors a response tells, for the count of failed requests by API: that of its header and those of its
// parts (topics, partitions, groups), found by following only the fields that lead to an `Error error`. Costs
// some tens of nanoseconds per part, nothing per record.
#pragma once

#include <vector>

#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

// Each code once, in the order met; empty when all went well.
std::vector<v1::ErrorCode> ErrorsOf(const v1::Response& response);

}  // namespace tidemark
