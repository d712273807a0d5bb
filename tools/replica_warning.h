// What is said of a new topic that has fewer replicas than default.replication.factor wants, because fewer
// brokers were live when it was made. Main thread.
#pragma once

#include <optional>
#include <string>

#include "tidemark/v1/admin_api.pb.h"
#include "tidemark/v1/client_api.pb.h"
#include "tools/session.h"

namespace tidemark {

// Pure: `cluster` tells the live brokers and, by the replicas of its topics, those that there are besides.
// Nothing when the topic has as many replicas as it would have with all of them.
std::optional<std::string> FewReplicas(const v1::CreateTopicsResponse::Topic& created,
                                       const v1::MetadataResponse& cluster);

// Warns on stderr of a topic that was made without a number of replicas; not where the controller's
// default.replication.factor is a number, which is then what was wanted.
void WarnOfFewReplicas(ToolSession& session, const v1::CreateTopicsRequest& request,
                       const v1::CreateTopicsResponse::Topic& created);

}  // namespace tidemark
