// ControllerTerm: one broker's time as controller, from a won election to its end. Owned (shared) by
// Controller; control loop only. It knows the cluster, has one coroutine that works events off, and a channel
// to each live broker.
//
// term.cc: life, queue and loop. term_refresh.cc: from what was read to the context. term_decide.cc: from the
// context to decisions, writes and commands. term_requests.cc, term_topics.cc,
// term_partitions.cc, term_configs.cc: requests. term_deletion.cc: topic deletion.
//
// Invariants: the context changes only within the loop's coroutine (callbacks note facts and set hints); a
// partition's state in the context is one that ZooKeeper confirmed; after an unknown outcome everything is
// read again before the next decision; nothing is decided for a topic that is quarantined or being deleted.
//
// One turn of the loop follows hints (facts and decisions), or serves one request, brokers' before admins';
// where there are both, in turn. Work of many topics gives way between them to what has come meanwhile
// (GivesWay): elections and ISR changes wait for nobody's ten thousand deletions.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/async/scope.h"
#include "common/async/wait.h"
#include "controller/broker_channel.h"
#include "controller/cluster_context.h"
#include "controller/cluster_reader.h"
#include "controller/config_edit.h"
#include "controller/controller.h"
#include "controller/fenced_writer.h"
#include "controller/topic_request.h"

namespace tidemark {

class ControllerTerm final : private BrokerChannel::Owner {
 public:
  // What the election gave.
  struct Seat {
    std::shared_ptr<ZkSession> session;
    ControllerEpoch epoch = 0;
    int32_t fence_version = 0;
  };

  // `on_end` is called once, when the term ends by itself or by End(). `counters` outlives the term.
  ControllerTerm(const ControllerOptions& options, ZkKeeper& keeper, Seat seat, ControllerCounters& counters,
                 std::function<void()> on_end);
  ~ControllerTerm() override;  // Close() first

  void Start();
  // Stops acting at once; requests in the queue are answered NOT_CONTROLLER. Idempotent.
  void End(std::string why);
  Task<void> Close();
  // The session is connected again: everything is read anew.
  void OnReconnected();
  // The options' defaults of topics are others.
  void OnDefaultsChanged() { Hint({.defaults = true}); }

  bool ended() const { return !why_ended_.empty(); }
  const std::string& why_ended() const { return why_ended_; }
  bool ready() const { return ready_ && !ended(); }
  const Seat& seat() const { return seat_; }
  void FillStatus(ControllerStatus* out) const;

  // `self` keeps the term alive until the answer.
  static Task<Result<v1::Response>> Handle(std::shared_ptr<ControllerTerm> self, v1::Request request);

 private:
  static constexpr size_t kMaxQueued = 10000;
  static constexpr int kMaxAttempts = 5;
  static constexpr int kMaxConflicts = 5;

  struct Pending {
    Pending(EventLoop& loop, v1::Request r) : request(std::move(r)), answer(loop) {}
    v1::Request request;
    OneShot<v1::Response> answer;
    int attempts = 0;
    bool begun = false;     // something may have been written
    bool given_up = false;  // by who sent it: what is not begun is not to be
    // Of a request of many: how many are served, what they are answered, and when the last was.
    int served = 0;
    v1::Response partial;
    MonoTime moved_at{};
    void Moved(MonoTime now) {
      moved_at = now;
      attempts = 0;
    }
    // Ids given to topics by earlier attempts whose outcome was unknown.
    std::map<std::string, TopicId> given_ids;
    // Topics that earlier attempts wrote more partitions for, with unknown outcome: from which number on.
    struct Growth {
      TopicId id;
      PartitionIndex from = 0;
    };
    std::map<std::string, Growth> begun_growth;
  };
  static Task<Result<v1::Response>> AwaitAnswer(std::shared_ptr<ControllerTerm> self,
                                                std::shared_ptr<Pending> pending);
  enum class Step {
    kDone,     // answered
    kLater,    // hints are set that must be followed first
    kGiveWay,  // others are first; then it goes on with pending.served
    kAgain,    // an outcome is unknown: serve it again when everything has been read
  };
  struct StateChange {
    std::string topic;
    PartitionIndex partition = 0;
    Leadership next;
    bool make_parent = false;  // the topic's partitions folder is missing
    bool make_folder = false;  // so is the partition's
    bool create = false;       // there is no state yet
  };
  struct Deletion {
    std::set<std::pair<BrokerId, PartitionIndex>> stopped;
    std::string waits_for;
  };

  // --- term.cc
  Task<void> Run();
  Task<void> Work();
  Task<void> ServeNext(std::deque<std::shared_ptr<Pending>>& queue);
  Task<Step> Serve(Pending& pending);
  // A share of the turn has been taken since `began`, and others wait.
  bool GivesWay(MonoTime began) const;
  void Hint(const HintSet& hint);
  void HintLater(HintSet hint);
  Task<bool> StillController();

  // BrokerChannel::Owner
  bool MayAct() const override { return !ended() && writer_.MayAct(); }
  void Stamp(BrokerEpoch broker_epoch, v1::ControllerStamp* stamp) const override;
  v1::LeaderAndIsrRequest MakeLeaderAndIsr(BrokerId broker,
                                           const std::set<PartitionKey>* keys) const override;
  v1::UpdateMetadataRequest MakeUpdateMetadata(const std::set<TopicId>* topics) override;
  void OnReplicasThere(BrokerId broker, BrokerEpoch epoch, const std::set<PartitionKey>& keys) override;
  void OnReplicaFailed(BrokerId broker, BrokerEpoch epoch, const PartitionKey& key,
                       const Error& error) override;
  void OnReplicaLost(BrokerId broker, BrokerEpoch epoch, const PartitionKey& key,
                     const Error& error) override;
  void OnReplicaStopped(BrokerId broker, const PartitionKey& key) override;
  void OnControllerFenced(BrokerId broker) override;
  void OnBrokerFenced(BrokerId broker) override;
  void OnStateFenced(const PartitionKey& key) override;
  void OnProgress() override { progress_.NotifyAll(); }

  // --- term_refresh.cc: false when ZooKeeper did not answer
  Task<bool> Refresh(const HintSet& hints);
  Task<bool> RefreshBrokers();
  Task<bool> RefreshTopics(bool all, std::set<std::string> names);
  void MergeBrokers(BrokersRead read);
  void AddBroker(LiveBrokerContext broker);
  void RemoveChannel(BrokerId id);
  void MergeTopic(TopicRead read);
  void DropTopic(const std::string& name);
  void KeepGoodConfigs(const TopicContext& before, TopicContext* now) const;
  void NoteDifferences(const TopicContext& before, const TopicContext& after);

  // --- term_decide.cc
  Task<void> Decide();
  std::vector<StateChange> WantedChanges() const;
  Task<void> GiveTopicIds();
  // Prepares folders of new partitions, writes, and takes over what was confirmed.
  Task<void> WriteStates(std::vector<StateChange> changes);
  Task<bool> FindFolders(std::vector<StateChange>* changes);
  Task<void> WriteChunk(std::vector<StateChange> chunk);
  std::vector<ZkOp> StateOps(const StateChange& change) const;
  void TakeOver(const StateChange& change);
  void NoteConflict(const std::string& topic, ZkCode code);
  void MarkPartition(const TopicContext& topic, PartitionIndex index);
  void MarkTopic(const TopicId& id);
  void PumpAll();

  // --- term_requests.cc
  Task<Step> ServeAlterPartition(Pending& pending);
  Task<Step> ServeResignLeadership(Pending& pending);
  void NoteFailed(const v1::ResignLeadershipRequest& request, const PartitionKey& key, bool log_damaged);
  Task<Step> ServeControlledShutdown(Pending& pending);
  v1::Response DescribeTopics(const v1::DescribeTopicsRequest& request) const;
  std::optional<Error> CheckSender(BrokerId id, BrokerEpoch epoch) const;
  // Between the topics of a request of many, which must not hold up what else runs on the loop. False:
  // Step::kGiveWay.
  Task<bool> LetOthersRun();
  // The leader has met lives of brokers that are not known here yet.
  bool KnowsLaterLives(const v1::AlterPartitionRequest& request) const;

  // --- term_topics.cc
  Task<Step> ServeCreateTopics(Pending& pending);
  Task<Step> CreateTopic(const v1::CreateTopicsRequest::Topic& wish, bool validate_only, Pending& pending,
                         v1::CreateTopicsResponse::Topic* out);
  Result<TopicPlan> PlanNewTopic(const v1::CreateTopicsRequest::Topic& wish) const;
  Task<Step> WriteNewTopic(const std::string& name, const TopicPlan& plan, TopicId id,
                           v1::CreateTopicsResponse::Topic* out);
  Task<Step> ServeDeleteTopics(Pending& pending);
  Task<Step> MarkDeleted(std::string name, Pending& pending, v1::DeleteTopicsResponse::Topic* out);
  // Within the caller's coroutine: waits until the cluster shows what was done.
  Task<void> AwaitCreated(v1::CreateTopicsResponse* response, MonoTime deadline);
  Task<void> AwaitDeleted(v1::DeleteTopicsResponse* response, std::map<std::string, TopicId> ids,
                          MonoTime deadline);
  // `from`: only the partitions from there on matter.
  std::string WhyNotCreated(const TopicId& id, PartitionIndex from = 0) const;
  std::string WhyNotDeleted(const std::string& name, const TopicId& id) const;

  // --- term_partitions.cc
  Task<Step> ServeCreatePartitions(Pending& pending);
  Task<Step> GrowTopic(const v1::CreatePartitionsRequest::Topic& wish, bool validate_only, Pending& pending,
                       v1::CreatePartitionsResponse::Topic* out);
  Task<Step> WriteGrowth(std::string name, std::map<uint32_t, std::vector<BrokerId>> added, Pending& pending,
                         v1::CreatePartitionsResponse::Topic* out);
  Task<void> AwaitGrown(v1::CreatePartitionsResponse* response, MonoTime deadline);

  // --- term_configs.cc
  Task<Step> ServeAlterConfigs(Pending& pending);
  Task<Step> AlterConfigOf(const v1::AlterConfigsRequest::Change& change, bool validate_only,
                           v1::AlterConfigsResponse::Result* out);
  Result<ConfigTarget> TargetOf(const v1::ConfigEntity& entity) const;
  void TakeOverConfig(const ConfigTarget& target, const Properties& stored);
  void RecomputeTopicConfigs();

  // --- term_deletion.cc
  Task<void> AdvanceDeletions();
  void FlagDeletions();
  // True when it took ZooKeeper's time.
  Task<bool> AdvanceDeletion(std::string name);
  // Tells the replicas to stop; returns what is still waited for.
  std::string StopReplicas(const TopicContext& topic, Deletion* deletion);
  Task<void> RemoveTopicNodes(std::string name);
  Task<void> RemoveMarker(std::string name);

  const ControllerOptions& options_;
  ZkKeeper& keeper_;
  EventLoop& loop_;
  const Seat seat_;
  ControllerCounters& counters_;
  std::function<void()> on_end_;
  Scope scope_;
  FencedWriter writer_;
  ClusterReader reader_;
  ClusterContext cluster_;
  std::map<BrokerId, std::unique_ptr<BrokerChannel>> channels_;
  std::map<std::string, Deletion> deletions_;
  std::map<std::string, int> conflicts_;  // refused writes in a row, by topic
  HintSet hints_;
  std::deque<std::shared_ptr<Pending>> brokers_queue_;
  std::deque<std::shared_ptr<Pending>> admins_queue_;
  MonoTime turn_began_{};
  bool followed_hints_ = false;  // the turn before
  int brokers_in_a_row_ = 0;     // requests, while admins wait
  std::string deletion_met_;     // by name, the last that was advanced
  Notifier wake_;                // there is work
  Notifier progress_;            // something changed that requests may wait for
  bool ready_ = false;
  bool incomplete_ = false;  // as of the last reading of topics
  uint64_t metadata_sequence_ = 0;
  std::string why_ended_;
};

}  // namespace tidemark
