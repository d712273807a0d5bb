// ZkTree: the znodes of the simulated ensemble and ZooKeeper's rules for changing them. Pure state.
//
// Invariants: every node but the root has its parent; an ephemeral has no children; one zxid per transaction,
// rising.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/zk/coordination.h"

namespace tidemark {

class ZkTree {
 public:
  using Event = std::pair<ZkWatchEvent, std::string>;
  struct Change {
    std::string op;  // create, set, delete
    std::string path;
    std::string data;
  };
  struct Outcome {
    std::vector<ZkOpResult> results;  // one per op
    bool applied = false;
    std::vector<Event> events;
    std::vector<Change> changes;
  };

  ZkTree();

  // Applies all ops or none. Codes as ZooKeeper gives them: kOk before the op at fault, kRuntimeInconsistency
  // after it.
  Outcome Apply(const std::vector<ZkOp>& ops, int64_t session);
  // Removes the ephemerals of a session, in one transaction.
  Outcome RemoveEphemerals(int64_t session);
  // Takes a zxid for something that changes no node.
  int64_t NextZxid() { return ++zxid_; }
  int64_t zxid() const { return zxid_; }

  std::optional<ZkNode> Get(const std::string& path) const;
  std::vector<std::string> Children(const std::string& path) const;
  // "/", or components without "." and "..", no trailing slash.
  static bool IsValidPath(const std::string& path);

 private:
  struct Node {
    std::string data;
    ZkStat stat;
    int32_t creates = 0;  // of children, ever
    std::set<std::string> children;
  };
  using Undo = std::map<std::string, std::optional<Node>>;

  static std::string ParentOf(const std::string& path);
  ZkStat StatOf(const Node& node) const;
  void Remember(const std::string& path, Undo* undo) const;
  ZkOpResult Do(const ZkCreate& op, int64_t session, Undo* undo, Outcome* out);
  ZkOpResult Do(const ZkSet& op, int64_t session, Undo* undo, Outcome* out);
  ZkOpResult Do(const ZkDelete& op, int64_t session, Undo* undo, Outcome* out);
  ZkOpResult Do(const ZkCheck& op, int64_t session, Undo* undo, Outcome* out);

  std::map<std::string, Node> nodes_;
  int64_t zxid_ = 0;
};

}  // namespace tidemark
