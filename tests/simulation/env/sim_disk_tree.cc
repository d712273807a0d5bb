#include "tests/simulation/env/sim_disk_tree.h"

#include <algorithm>
#include <functional>
#include <set>

namespace tidemark {
namespace {

constexpr size_t kSector = 512;

void Put(std::string* file, uint64_t position, std::string_view bytes) {
  if (file->size() < position + bytes.size()) file->resize(position + bytes.size(), '\0');
  file->replace(position, bytes.size(), bytes);
}

void Apply(std::string* file, const SimNode::Change& change) {
  if (change.truncate) {
    file->resize(change.position, '\0');
  } else {
    Put(file, change.position, change.bytes);
  }
}

// A write of which only a part reached the platter.
void ApplyTorn(std::string* file, const SimNode::Change& change, SimRandom& random) {
  const std::string_view bytes = change.bytes;
  switch (random.Below(3)) {
    case 0:  // cut off at some byte
      Put(file, change.position, bytes.substr(0, random.Below(bytes.size() + 1)));
      break;
    case 1: {  // only the end
      const size_t from = random.Below(bytes.size() + 1);
      if (from < bytes.size()) Put(file, change.position + from, bytes.substr(from));
      break;
    }
    default:  // any sectors
      for (size_t at = 0; at < bytes.size();) {
        const size_t border = kSector - (change.position + at) % kSector;
        const size_t size = std::min(border, bytes.size() - at);
        if (random.Chance(0.5)) Put(file, change.position + at, bytes.substr(at, size));
        at += size;
      }
  }
}

}  // namespace

void SimNode::Write(uint64_t position, std::string_view bytes) {
  if (bytes.empty()) return;
  Put(&data, position, bytes);
  unsynced.push_back({.position = position, .bytes = std::string(bytes)});
}

void SimNode::Truncate(uint64_t size) {
  data.resize(size, '\0');
  unsynced.push_back({.truncate = true, .position = size});
}

void SimNode::Sync() {
  for (const Change& change : unsynced) Apply(&durable, change);
  unsynced.clear();
}

std::string SimNode::AfterPowerLoss(SimRandom& random) const {
  std::string content = durable;
  const uint64_t mood = random.Below(5);
  if (mood == 0) return content;
  const double survive = mood == 1 ? 1.0 : static_cast<double>(random.Below(100)) / 100;
  // Mostly the front of what was written survives, sometimes anything.
  const size_t front = mood == 2 ? random.Below(unsynced.size() + 1) : unsynced.size();
  for (size_t i = 0; i < unsynced.size(); ++i) {
    if (mood == 2) {
      if (i > front) break;
      if (i == front) {
        if (!unsynced[i].truncate) ApplyTorn(&content, unsynced[i], random);
        break;
      }
      Apply(&content, unsynced[i]);
    } else if (random.Chance(survive)) {
      Apply(&content, unsynced[i]);
    } else if (!unsynced[i].truncate && random.Chance(0.3)) {
      ApplyTorn(&content, unsynced[i], random);
    }
  }
  return content;
}

SimTree::SimTree() : root_(std::make_shared<SimNode>()) { root_->directory = true; }

std::vector<std::string> SimTree::Split(const std::string& path) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (at < path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, slash - at);
    if (!part.empty() && part != ".") parts.push_back(part);
    at = slash + 1;
  }
  return parts;
}

std::shared_ptr<SimNode> SimTree::Find(const std::string& path) const {
  std::shared_ptr<SimNode> node = root_;
  for (const std::string& part : Split(path)) {
    const auto it = node->entries.find(part);
    if (it == node->entries.end()) return nullptr;
    node = it->second;
  }
  return node;
}

std::shared_ptr<SimNode> SimTree::FindDurable(const std::string& path) const {
  std::shared_ptr<SimNode> node = root_;
  for (const std::string& part : Split(path)) {
    const auto it = node->durable_entries.find(part);
    if (it == node->durable_entries.end()) return nullptr;
    node = it->second;
  }
  return node;
}

std::shared_ptr<SimNode> SimTree::Parent(const std::string& path, std::string* name) const {
  std::vector<std::string> parts = Split(path);
  if (parts.empty()) return nullptr;
  *name = parts.back();
  std::shared_ptr<SimNode> node = root_;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    const auto it = node->entries.find(parts[i]);
    if (it == node->entries.end() || !it->second->directory) return nullptr;
    node = it->second;
  }
  return node;
}

void SimTree::SetEntry(const std::shared_ptr<SimNode>& directory, const std::string& name,
                       std::shared_ptr<SimNode> node) {
  if (const auto old = directory->entries.find(name); old != directory->entries.end()) {
    old->second->named = false;
  }
  if (node) {
    node->named = true;
    directory->entries[name] = node;
  } else {
    directory->entries.erase(name);
  }
  journal_.push_back({{directory, name, std::move(node)}});
}

void SimTree::Rename(const std::shared_ptr<SimNode>& from_dir, const std::string& from,
                     const std::shared_ptr<SimNode>& to_dir, const std::string& to) {
  std::shared_ptr<SimNode> node = from_dir->entries.at(from);
  from_dir->entries.erase(from);
  if (const auto old = to_dir->entries.find(to); old != to_dir->entries.end()) old->second->named = false;
  to_dir->entries[to] = node;
  journal_.push_back({{from_dir, from, nullptr}, {to_dir, to, std::move(node)}});
}

void SimTree::Commit(const Operation& operation) {
  for (const EntryChange& change : operation) {
    if (change.node) {
      change.directory->durable_entries[change.name] = change.node;
    } else {
      change.directory->durable_entries.erase(change.name);
    }
  }
}

void SimTree::SyncDirectory(const SimNode* directory) {
  // A rename between directories drags the other directory's earlier changes along.
  std::set<const SimNode*> touched{directory};
  const auto touches = [&](const Operation& operation) {
    return std::ranges::any_of(operation,
                               [&](const EntryChange& c) { return touched.contains(c.directory.get()); });
  };
  for (size_t before = 0; before != touched.size();) {
    before = touched.size();
    for (const Operation& operation : journal_) {
      if (!touches(operation)) continue;
      for (const EntryChange& change : operation) touched.insert(change.directory.get());
    }
  }
  for (auto it = journal_.begin(); it != journal_.end();) {
    if (!touches(*it)) {
      ++it;
      continue;
    }
    Commit(*it);
    it = journal_.erase(it);
  }
}

void SimTree::SyncAll() {
  for (const Operation& operation : journal_) Commit(operation);
  journal_.clear();
  const auto visit = [](const auto& self, SimNode& node) -> void {
    if (!node.directory) node.Sync();
    for (auto& [name, child] : node.entries) self(self, *child);
  };
  visit(visit, *root_);
}

uint64_t SimTree::TotalBytes() const {
  const auto visit = [](const auto& self, const SimNode& node) -> uint64_t {
    uint64_t bytes = node.data.size();
    for (const auto& [name, child] : node.entries) bytes += self(self, *child);
    return bytes;
  };
  return visit(visit, *root_);
}

std::vector<std::string> SimTree::Paths() const {
  std::vector<std::string> paths;
  const auto visit = [&](const auto& self, const SimNode& node, const std::string& path) -> void {
    if (!node.directory) paths.push_back(path);
    for (const auto& [name, child] : node.entries) self(self, *child, path + "/" + name);
  };
  visit(visit, *root_, "");
  return paths;
}

std::shared_ptr<SimTree> SimTree::Clone() const {
  std::map<const SimNode*, std::shared_ptr<SimNode>> copies;
  const std::function<std::shared_ptr<SimNode>(const std::shared_ptr<SimNode>&)> copy =
      [&](const std::shared_ptr<SimNode>& node) -> std::shared_ptr<SimNode> {
    if (!node) return nullptr;
    auto& made = copies[node.get()];
    if (made) return made;
    auto result = made = std::make_shared<SimNode>(*node);
    for (auto& [name, child] : result->entries) child = copy(child);
    for (auto& [name, child] : result->durable_entries) child = copy(child);
    return result;
  };
  auto tree = std::make_shared<SimTree>();
  tree->root_ = copy(root_);
  for (const Operation& operation : journal_) {
    Operation made;
    for (const EntryChange& c : operation) made.push_back({copy(c.directory), c.name, copy(c.node)});
    tree->journal_.push_back(std::move(made));
  }
  return tree;
}

std::shared_ptr<SimTree> SimTree::AfterPowerLoss(SimRandom& random) {
  const auto entries = [&random](size_t count) -> size_t {
    const uint64_t mood = random.Below(3);
    return mood == 0 ? 0 : mood == 1 ? count : random.Below(count + 1);
  };
  return Survivors(entries, [&random](const SimNode& file) { return file.AfterPowerLoss(random); });
}

std::shared_ptr<SimTree> SimTree::AfterCrash(const std::function<size_t(size_t)>& choose) {
  const auto content = [&choose](const SimNode& file) {
    std::string bytes = file.durable;
    for (const SimNode::Change& change : file.unsynced) {
      const size_t fate = choose(change.truncate || change.bytes.size() < 2 ? 2 : 3);
      if (fate == 1) Apply(&bytes, change);
      if (fate == 2)
        Put(&bytes, change.position, std::string_view(change.bytes).substr(0, change.bytes.size() / 2));
    }
    return bytes;
  };
  return Survivors([&choose](size_t count) { return choose(count + 1); }, content);
}

std::shared_ptr<SimTree> SimTree::Survivors(
    const std::function<size_t(size_t)>& surviving_changes,
    const std::function<std::string(const SimNode&)>& surviving_content) {
  // Of each directory's changes a prefix survives; what depends on a lost change is lost too.
  std::map<const SimNode*, size_t> pending;
  std::vector<const SimNode*> order;
  for (const Operation& operation : journal_) {
    for (const EntryChange& change : operation) {
      if (pending[change.directory.get()]++ == 0) order.push_back(change.directory.get());
    }
  }
  for (const SimNode* directory : order) {  // in order of appearance, not of addresses
    size_t& count = pending[directory];
    count = surviving_changes(count);
  }
  for (const Operation& operation : journal_) {
    const bool survives =
        std::ranges::all_of(operation, [&](const EntryChange& c) { return pending[c.directory.get()] > 0; });
    for (const EntryChange& change : operation) {
      size_t& left = pending[change.directory.get()];
      left = survives && left > 0 ? left - 1 : 0;
    }
    if (survives) Commit(operation);
  }
  std::map<const SimNode*, std::shared_ptr<SimNode>> made;
  const std::function<std::shared_ptr<SimNode>(const SimNode&)> build = [&](const SimNode& node) {
    auto& result = made[&node];
    if (result) return result;
    auto fresh = result = std::make_shared<SimNode>();
    fresh->directory = node.directory;
    if (!node.directory) fresh->data = fresh->durable = surviving_content(node);
    for (const auto& [name, child] : node.durable_entries) {
      fresh->entries[name] = fresh->durable_entries[name] = build(*child);
    }
    return fresh;
  };
  auto tree = std::make_shared<SimTree>();
  tree->root_ = build(*root_);
  return tree;
}

uint64_t SimTree::Digest() const {
  uint64_t digest = 0;
  const auto mix = [&digest](std::string_view text) {
    digest = (digest ^ std::hash<std::string_view>()(text)) * 0x9e3779b97f4a7c15ULL + text.size();
  };
  const auto visit = [&](const auto& self, const SimNode& node) -> void {
    mix(node.data);
    for (const auto& [name, child] : node.entries) {
      mix(name);
      self(self, *child);
    }
    mix("/");
  };
  visit(visit, *root_);
  return digest;
}

}  // namespace tidemark
