#include "tests/simulation/env/sim_zk_tree.h"

#include <fmt/format.h>
#include <glog/logging.h>

namespace tidemark {
namespace {

bool IsSequential(ZkCreateMode mode) {
  return mode == ZkCreateMode::kPersistentSequential || mode == ZkCreateMode::kEphemeralSequential;
}
bool IsEphemeral(ZkCreateMode mode) {
  return mode == ZkCreateMode::kEphemeral || mode == ZkCreateMode::kEphemeralSequential;
}

}  // namespace

ZkTree::ZkTree() {
  nodes_["/"].children.insert("zookeeper");
  nodes_["/zookeeper"];
}

std::string ZkTree::ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool ZkTree::IsValidPath(const std::string& path) {
  if (path == "/") return true;
  if (path.empty() || path[0] != '/') return false;
  for (size_t at = 1; at <= path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, slash - at);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string::npos) return false;
    at = slash + 1;
  }
  return path.back() != '/';
}

ZkStat ZkTree::StatOf(const Node& node) const {
  ZkStat stat = node.stat;
  stat.num_children = static_cast<int32_t>(node.children.size());
  stat.cversion = node.creates * 2 - stat.num_children;  // creations and deletions
  return stat;
}

void ZkTree::Remember(const std::string& path, Undo* undo) const {
  if (undo->contains(path)) return;
  const auto it = nodes_.find(path);
  (*undo)[path] = it == nodes_.end() ? std::nullopt : std::optional(it->second);
}

ZkOpResult ZkTree::Do(const ZkCreate& op, int64_t session, Undo* undo, Outcome* out) {
  // A sequential's name may end in a slash: the number is the whole name.
  const std::string probe = IsSequential(op.mode) ? op.path + "0" : op.path;
  if (!IsValidPath(probe) || op.path == "/") return {.code = ZkCode::kInvalidArguments};
  const std::string parent_path = ParentOf(op.path);
  const auto parent = nodes_.find(parent_path);
  if (parent == nodes_.end()) return {.code = ZkCode::kNoNode};
  std::string path = op.path;
  if (IsSequential(op.mode)) path += fmt::format("{:010}", parent->second.creates);
  if (nodes_.contains(path)) return {.code = ZkCode::kNodeExists};
  if (parent->second.stat.ephemeral_owner != 0) return {.code = ZkCode::kNoChildrenForEphemerals};
  Remember(parent_path, undo);
  Remember(path, undo);
  parent->second.children.insert(path.substr(path.rfind('/') + 1));
  ++parent->second.creates;
  parent->second.stat.pzxid = zxid_;
  Node& node = nodes_[path];
  node.data = op.data;
  node.stat.czxid = node.stat.mzxid = node.stat.pzxid = zxid_;
  node.stat.ephemeral_owner = IsEphemeral(op.mode) ? session : 0;
  out->events.emplace_back(ZkWatchEvent::kCreated, path);
  out->events.emplace_back(ZkWatchEvent::kChildrenChanged, parent_path);
  out->changes.push_back({"create", path, op.data});
  return {.path = path, .stat = StatOf(node)};
}

ZkOpResult ZkTree::Do(const ZkSet& op, int64_t, Undo* undo, Outcome* out) {
  const auto it = nodes_.find(op.path);
  if (it == nodes_.end()) return {.code = ZkCode::kNoNode};
  if (op.version != kAnyVersion && op.version != it->second.stat.version)
    return {.code = ZkCode::kBadVersion};
  Remember(op.path, undo);
  it->second.data = op.data;
  it->second.stat.mzxid = zxid_;
  ++it->second.stat.version;
  out->events.emplace_back(ZkWatchEvent::kDataChanged, op.path);
  out->changes.push_back({"set", op.path, op.data});
  return {.path = op.path, .stat = StatOf(it->second)};
}

ZkOpResult ZkTree::Do(const ZkDelete& op, int64_t, Undo* undo, Outcome* out) {
  if (op.path == "/" || op.path == "/zookeeper") return {.code = ZkCode::kInvalidArguments};
  const auto it = nodes_.find(op.path);
  if (it == nodes_.end()) return {.code = ZkCode::kNoNode};
  if (op.version != kAnyVersion && op.version != it->second.stat.version)
    return {.code = ZkCode::kBadVersion};
  if (!it->second.children.empty()) return {.code = ZkCode::kNotEmpty};
  const std::string parent_path = ParentOf(op.path);
  Remember(op.path, undo);
  Remember(parent_path, undo);
  nodes_.erase(it);
  Node& parent = nodes_.at(parent_path);
  parent.children.erase(op.path.substr(op.path.rfind('/') + 1));
  parent.stat.pzxid = zxid_;
  out->events.emplace_back(ZkWatchEvent::kDeleted, op.path);
  out->events.emplace_back(ZkWatchEvent::kChildrenChanged, parent_path);
  out->changes.push_back({"delete", op.path, {}});
  return {.path = op.path};
}

ZkOpResult ZkTree::Do(const ZkCheck& op, int64_t, Undo*, Outcome*) {
  const auto it = nodes_.find(op.path);
  if (it == nodes_.end()) return {.code = ZkCode::kNoNode};
  if (op.version != kAnyVersion && op.version != it->second.stat.version)
    return {.code = ZkCode::kBadVersion};
  return {.path = op.path, .stat = StatOf(it->second)};
}

ZkTree::Outcome ZkTree::Apply(const std::vector<ZkOp>& ops, int64_t session) {
  Outcome out;
  Undo undo;
  ++zxid_;
  for (const ZkOp& op : ops) {
    out.results.push_back(std::visit([&](const auto& o) { return Do(o, session, &undo, &out); }, op));
    if (out.results.back().code != ZkCode::kOk) break;
  }
  out.applied = out.results.empty() || out.results.back().code == ZkCode::kOk;
  if (out.applied) return out;
  --zxid_;
  for (auto& [path, before] : undo) {
    if (before) {
      nodes_[path] = std::move(*before);
    } else {
      nodes_.erase(path);
    }
  }
  const ZkCode fault = out.results.back().code;
  const size_t at_fault = out.results.size() - 1;
  out.results.assign(ops.size(), {.code = ZkCode::kRuntimeInconsistency});
  out.results[at_fault].code = fault;
  out.events.clear();
  out.changes.clear();
  return out;
}

ZkTree::Outcome ZkTree::RemoveEphemerals(int64_t session) {
  std::vector<ZkOp> ops;
  for (const auto& [path, node] : nodes_) {
    if (node.stat.ephemeral_owner == session) ops.push_back(ZkDelete{path});
  }
  Outcome out = Apply(ops, session);
  CHECK(out.applied) << "ephemerals have no children";
  return out;
}

std::optional<ZkNode> ZkTree::Get(const std::string& path) const {
  const auto it = nodes_.find(path);
  if (it == nodes_.end()) return std::nullopt;
  return ZkNode{it->second.data, StatOf(it->second)};
}

std::vector<std::string> ZkTree::Children(const std::string& path) const {
  const auto it = nodes_.find(path);
  if (it == nodes_.end()) return {};
  return {it->second.children.begin(), it->second.children.end()};
}

}  // namespace tidemark
