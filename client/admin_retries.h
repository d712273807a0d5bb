// Whether what a repeated admin call finds is the work of an earlier try whose answer was lost: it cannot be
// told for certain, so what is there is compared with what was asked. Pure.
#pragma once

#include "common/result.h"
#include "tidemark/v1/admin_api.pb.h"
#include "tidemark/v1/client_api.pb.h"

namespace tidemark {

// Empty: `there` is as asked; else the difference, as "it has 3 partitions". `configs` is what the topic
// itself sets.
std::string DifferenceFrom(const v1::CreateTopicsRequest::Topic& wish, const v1::TopicMetadata& there,
                           const std::map<std::string, std::string>& configs);
std::string DifferenceFrom(const v1::CreatePartitionsRequest::Topic& wish, const v1::TopicMetadata& there);

// Topics that a repeated deletion does not find are gone by it.
void KnowOwnDeletions(v1::DeleteTopicsResponse* response);

}  // namespace tidemark
