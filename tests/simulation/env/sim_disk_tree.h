// SimTree: the files and directories of one simulated disk, each as the page cache shows it and as the
// platter holds it, and the journal of directory changes between the two. Pure state; SimDisk and
// SimFileSystem drive it.
//
// Invariant: applying the journal in order to the durable entries gives the visible ones.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/simulation/env/sim_world.h"

namespace tidemark {

struct SimNode {
  // A change of a file's content that no sync has covered yet.
  struct Change {
    bool truncate = false;
    uint64_t position = 0;  // or the new size
    std::string bytes;
  };

  bool directory = false;
  bool named = true;    // there is an entry for it, as the page cache shows it
  std::string data;     // as read
  std::string durable;  // as synced
  std::vector<Change> unsynced;
  std::map<std::string, std::shared_ptr<SimNode>> entries;
  std::map<std::string, std::shared_ptr<SimNode>> durable_entries;

  void Write(uint64_t position, std::string_view bytes);
  void Truncate(uint64_t size);
  void Sync();
  // What a loss of power now would leave; draws which changes survive.
  std::string AfterPowerLoss(SimRandom& random) const;
};

class SimTree {
 public:
  SimTree();

  static std::vector<std::string> Split(const std::string& path);
  // The node at a path; null when there is none.
  std::shared_ptr<SimNode> Find(const std::string& path) const;
  std::shared_ptr<SimNode> FindDurable(const std::string& path) const;
  // The directory that holds the path's last component; null when missing. `*name` is that component.
  std::shared_ptr<SimNode> Parent(const std::string& path, std::string* name) const;

  // One atomic change: the entry becomes `node` (null: goes away).
  void SetEntry(const std::shared_ptr<SimNode>& directory, const std::string& name,
                std::shared_ptr<SimNode> node);
  void Rename(const std::shared_ptr<SimNode>& from_dir, const std::string& from,
              const std::shared_ptr<SimNode>& to_dir, const std::string& to);
  void SyncDirectory(const SimNode* directory);
  void SyncAll();

  uint64_t TotalBytes() const;
  std::vector<std::string> Paths() const;
  // A copy that shares nothing.
  std::shared_ptr<SimTree> Clone() const;
  // What a loss of power leaves. The tree is used up.
  std::shared_ptr<SimTree> AfterPowerLoss(SimRandom& random);
  // The same with every choice made by `choose`, which is given the number of possibilities: how many changes
  // of a directory survive, and of each change of a file whether it is lost, there, or half there.
  std::shared_ptr<SimTree> AfterCrash(const std::function<size_t(size_t)>& choose);
  // Of all paths and contents as read.
  uint64_t Digest() const;

 private:
  struct EntryChange {
    std::shared_ptr<SimNode> directory;
    std::string name;
    std::shared_ptr<SimNode> node;
  };
  using Operation = std::vector<EntryChange>;

  void Commit(const Operation& operation);
  std::shared_ptr<SimTree> Survivors(const std::function<size_t(size_t)>& surviving_changes,
                                     const std::function<std::string(const SimNode&)>& surviving_content);

  std::shared_ptr<SimNode> root_;
  std::list<Operation> journal_;
};

}  // namespace tidemark
