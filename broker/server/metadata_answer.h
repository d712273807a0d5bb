// The topics of an answer to Metadata, as one snapshot of the cluster has them. Pure.
#pragma once

#include <cstddef>

#include "broker/server/cluster_snapshot.h"
#include "common/result.h"

namespace tidemark {

// Adds the topics asked for: each once, however often and by whatever names and ids it is named. What is not
// there is told once, too: by its id where one is given, else by its name. MESSAGE_TOO_LARGE: the topics come
// to more than `most_bytes`; no more was built than that and one topic.
Result<> FillMetadata(const ClusterSnapshot& snapshot, const v1::MetadataRequest& request, size_t most_bytes,
                      v1::MetadataResponse* out);

}  // namespace tidemark
