// Recipes over a ZkSession that everybody needs. Coroutines of the session's loop; each is idempotent, so
// after an unknown outcome it is simply run again.
#pragma once

#include <string>
#include <string_view>

#include "common/zk/coordination.h"

namespace tidemark {

// Creates `path` and its missing parents as persistent nodes without data.
Task<ZkResult<>> EnsurePath(ZkSession& session, std::string path);

// Ensures all of zkpath::Persistent(): one round trip where they are there.
Task<ZkResult<>> EnsurePersistentPaths(ZkSession& session);

// The error for a person: "getting /brokers/ids: NO_NODE".
std::string DescribeZk(ZkCode code, std::string_view doing, std::string_view path);

}  // namespace tidemark
