#include "common/zk/zk_recipes.h"

#include <fmt/format.h>

#include "common/zk/zk_paths.h"

namespace tidemark {
namespace {

// Creates one node; that it is there already is fine.
Task<ZkResult<>> EnsureNode(ZkSession& session, std::string path) {
  const ZkResult<ZkCreated> created = co_await session.Create(ZkCreate{std::move(path), "", {}});
  if (!created && created.error() != ZkCode::kNodeExists) co_return std::unexpected(created.error());
  co_return ZkResult<>();
}

}  // namespace

Task<ZkResult<>> EnsurePath(ZkSession& session, std::string path) {
  // The node itself first: in nearly every case it or its parent is there.
  ZkResult<> made = co_await EnsureNode(session, path);
  if (made || made.error() != ZkCode::kNoNode) co_return made;
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    made = co_await EnsureNode(session, path.substr(0, at));
    if (!made) co_return made;
  }
  co_return co_await EnsureNode(session, path);
}

Task<ZkResult<>> EnsurePersistentPaths(ZkSession& session) {
  // One multi finds out in one round trip that all is there, which is so at every start but the first.
  std::vector<ZkOp> checks;
  for (const std::string& path : zkpath::Persistent()) checks.emplace_back(ZkCheck{path, kAnyVersion});
  const ZkResult<std::vector<ZkOpResult>> checked = co_await session.Multi(std::move(checks));
  if (!checked) co_return std::unexpected(checked.error());
  bool all_there = true;
  for (const ZkOpResult& result : *checked) all_there = all_there && result.code == ZkCode::kOk;
  if (all_there) co_return ZkResult<>();
  for (const std::string& path : zkpath::Persistent()) {
    const ZkResult<> made = co_await EnsurePath(session, path);
    if (!made) co_return made;
  }
  co_return ZkResult<>();
}

std::string DescribeZk(ZkCode code, std::string_view doing, std::string_view path) {
  return fmt::format("{} {}: {}", doing, path, ToString(code));
}

}  // namespace tidemark
