// ClusterReader: reads the cluster from ZooKeeper, pipelined, with watches set by the reads themselves, so
// that no change falls between. What a watch tells goes into Hints, and nowhere else. Belongs to one term;
// control loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/zk/coordination.h"
#include "controller/cluster_context.h"

namespace tidemark {

// What may have changed and is to be read again. A watch is no more than that.
struct HintSet {
  bool full = false;       // everything
  bool brokers = false;    // /brokers/ids
  bool topics = false;     // children of /brokers/topics
  bool deletions = false;  // children of /admin/delete_topics
  bool configs = false;    // children of /config/changes
  bool defaults = false;   // nothing to read: what topics fall back to changed
  bool verify = false;     // is this still the controller?
  bool decide = false;     // nothing to read: the memory changed
  std::set<std::string> topic_names;

  bool Any() const {
    return full || brokers || topics || deletions || configs || defaults || verify || decide ||
           !topic_names.empty();
  }
  void Merge(const HintSet& other);
};

struct TopicRead {
  std::string name;
  bool gone = false;
  // Set unless gone or undecodable. Its `quarantine` tells of states that cannot be used.
  std::optional<TopicContext> topic;
  std::string unreadable;
};

struct BrokersRead {
  std::map<BrokerId, LiveBrokerContext> live;
  std::map<std::string, std::string> unreadable;
};

class ClusterReader {
 public:
  // `hint` is called with what a watch said, until the reader is gone. `broker_properties` may change.
  ClusterReader(EventLoop& loop, std::shared_ptr<ZkSession> session, const Properties& broker_properties,
                std::function<void(const HintSet&)> hint);

  // Brings the server that we are connected to up to date.
  Task<ZkResult<>> Sync();
  Task<ZkResult<BrokersRead>> ReadBrokers();
  Task<ZkResult<std::vector<std::string>>> ReadTopicNames();
  Task<ZkResult<std::vector<TopicRead>>> ReadTopics(std::vector<std::string> names);
  Task<ZkResult<std::set<std::string, std::less<>>>> ReadDeletions();
  // Topics named by notifications that came after the last call. The first call only notes where they end.
  // One that cannot be read hints that everything is to be.
  Task<ZkResult<std::set<std::string>>> ReadConfigChanges();
  // Folders under the topic's partitions folder; nothing when that is missing.
  Task<ZkResult<std::optional<std::set<PartitionIndex>>>> ReadPartitionFolders(std::string topic);
  // Every znode of the tree, deepest first.
  Task<ZkResult<std::vector<std::string>>> ReadTree(std::string root);
  // Version of /controller_epoch.
  Task<ZkResult<int32_t>> ReadFenceVersion();

 private:
  struct Watches {
    std::set<std::string> armed;
    std::function<void(const HintSet&)> hint;
  };
  // A watch for the path, unless one is set already.
  ZkWatch Watch(const std::string& path, HintSet hint);
  void Disarm(const std::string& path) { watches_->armed.erase(path); }

  Task<void> ReadBroker(BrokerId id, BrokersRead* out, ZkCode* failed);
  Task<void> ReadTopic(TopicRead* out, ZkCode* failed);
  Task<void> ReadState(TopicContext* topic, PartitionIndex index, ZkCode* failed);

  EventLoop& loop_;
  const std::shared_ptr<ZkSession> session_;
  const Properties& broker_properties_;
  const std::shared_ptr<Watches> watches_;
  // Number of the first notification not read yet.
  std::optional<uint64_t> next_config_change_;
};

}  // namespace tidemark
