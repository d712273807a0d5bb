// Broker::Impl: the parts of a broker and how they are wired. Control loop only. broker.cc holds the life
// cycle, broker_requests.cc the control plane, broker_configs.cc its configs, broker_admin.cc what it tells
// about itself, broker_restartz.cc whether it may be stopped, broker_disks.cc its log directories,
// broker_watchdog.cc the watchdog.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/log/log_dirs.h"
#include "broker/log/space_watch.h"
#include "broker/server/broker.h"
#include "broker/server/broker_config_watcher.h"
#include "broker/server/broker_context.h"
#include "broker/server/command_executor.h"
#include "broker/server/controller_channel.h"
#include "broker/server/controller_host.h"
#include "broker/server/group_lags.h"
#include "broker/server/log_cleaner.h"
#include "broker/server/quota_watcher.h"
#include "broker/server/registration.h"
#include "broker/server/stop_verdict.h"
#include "broker/server/topic_config_watcher.h"
#include "common/metrics/exposition.h"
#include "common/zk/zk_keeper.h"

namespace tidemark {

class Broker::Impl final : public ControlPlane {
 public:
  Impl(Environment& env, EventLoop& loop, BrokerConfig config, BrokerOptions options);
  ~Impl() override;

  // --- life cycle (broker.cc)
  Task<Result<>> Start();
  void RequestStop();
  Task<bool> Stop();

  // --- ControlPlane (broker_requests.cc)
  Task<Result<v1::Response>> Serve(v1::Request request, bool forwarded) override;
  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition wish) override;
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition partition, v1::ResignReason reason) override;
  void OnDirectoryFailure(size_t directory, Error error) override;

  // --- what it tells (broker_admin.cc)
  std::vector<std::string> NotReadyReasons() const;
  Task<std::vector<ShardReport>> Reports();
  Endpoint FirstEndpoint() const { return bound_.empty() ? Endpoint{} : bound_.front().bound; }

  bool serving() const { return serving_; }
  const BrokerIdentity& identity() const { return identity_; }
  BrokerEpoch epoch() const { return registration_ ? registration_->epoch() : kNoBrokerEpoch; }
  const std::vector<BoundListener>& bound() const { return bound_; }
  std::optional<Endpoint> admin_endpoint() const;
  bool is_controller() const { return controller_ && controller_->active(); }

 private:
  // broker.cc
  Task<Result<>> OpenDirectories();
  Task<void> OpenShards();
  Result<> BindListeners();
  Result<> StartAdmin();
  void MakeZooKeeperParts();
  Task<Result<>> ReachZooKeeper();
  Task<void> ActivateShards();
  v1::BrokerZnode RegistrationNode() const;
  Task<void> WaitForController();
  void OnEpoch(BrokerEpoch epoch);
  void Accept(const ListenerConfig& listener, std::unique_ptr<PendingStream> stream);
  Task<void> ControlledShutdown();
  Task<Result<v1::ControlledShutdownResponse>> AskForShutdown();
  Task<void> LeaveZooKeeper();
  Task<bool> CloseShards();
  template <typename F>
  Task<bool> OnEveryShard(const char* name, F call);
  void Fatal(Error error);

  // broker_configs.cc
  // What changed takes effect in all parts.
  void ApplyConfig(BrokerConfigPtr config);
  // In time even while ZooKeeper is silent: it is waited for once, and each answer that it owes is an error.
  Task<v1::DescribeConfigsResponse> DescribeConfigs(v1::DescribeConfigsRequest request);
  // What `body`, called at once, comes to; nothing when that takes too long (it then ends by itself).
  template <typename R, typename F>
  Task<std::optional<R>> AskZooKeeper(F body);
  Task<v1::DescribeConfigsResponse::Result> DescribeEntity(v1::ConfigEntity entity, bool include_defaults);
  bool IsThisBroker(const v1::ConfigEntity& entity) const;
  Task<Result<>> DescribeTopic(std::string topic, bool include_defaults,
                               v1::DescribeConfigsResponse::Result* out);
  Task<Result<>> DescribeBroker(std::string name, bool include_defaults,
                                v1::DescribeConfigsResponse::Result* out);

  Task<Result<>> DescribeQuotas(v1::ConfigEntity entity, v1::DescribeConfigsResponse::Result* out);
  // The brokers, clients or users that have configs in ZooKeeper.
  Task<Result<std::vector<v1::ConfigEntity>>> EntitiesWithConfigs(v1::ConfigEntityType type);

  // broker_admin.cc
  void OnHttp(const AdminRequest& request, AdminReplyFn reply);
  Task<void> AnswerHttp(AdminRequest request, AdminReplyFn reply);
  AdminReply Readyz(const AdminRequest& request) const;
  // Asks every shard what it tells of itself (last_reports_). The shards that do not answer in time.
  Task<std::vector<size_t>> AskShards();
  Task<std::string> Metrics();
  Task<AdminReply> State();
  void AddOwnMetrics(Exposition* out) const;

  // broker_restartz.cc
  void AddReasonsNotToStop(StopVerdict* verdict) const;
  Task<StopVerdict> MayStop();
  Task<AdminReply> Restartz(AdminRequest request);

  // broker_disks.cc
  Task<void> WatchSpace();
  void AddDiskMetrics(Exposition* out) const;
  std::string DisksJson() const;
  // REQUEST_TIMED_OUT: a shard does not say what it has, and nothing is told rather than a part.
  Task<Result<v1::DescribeLogDirsResponse>> DescribeLogDirs(v1::DescribeLogDirsRequest request);
  Task<v1::AlterReplicaLogDirsResponse> AlterReplicaLogDirs(v1::AlterReplicaLogDirsRequest request);
  Result<size_t> DirectoryAt(const std::string& path) const;

  // broker_watchdog.cc
  struct Pulse;
  Task<void> Watch();
  std::string WhatIsStuck(const std::vector<Pulse>& pulses, Duration limit) const;
  Task<void> Judge(const std::vector<Pulse>& pulses, Duration limit);

  Environment& env_;
  EventLoop& loop_;
  BrokerOptions options_;
  Scope scope_;
  BrokerContext context_;

  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<SpaceWatch> space_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<BoundListener> bound_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<ZkKeeper> keeper_;
  std::unique_ptr<Registration> registration_;
  std::unique_ptr<TopicConfigWatcher> configs_;
  std::unique_ptr<BrokerConfigWatcher> broker_configs_;
  std::unique_ptr<QuotaWatcher> quotas_;
  std::unique_ptr<ConfigChanges> config_changes_;
  std::unique_ptr<ControllerHost> controller_;
  std::unique_ptr<ControllerChannel> channel_;
  std::unique_ptr<CommandExecutor> executor_;
  std::unique_ptr<LogCleaner> cleaner_;
  std::unique_ptr<GroupLags> lags_;

  // What each shard told last; absent: nothing yet. One that does not answer counts as it last told, so that
  // no counter of the broker goes back.
  std::vector<std::optional<ShardReport>> last_reports_;
  // Expires when no HTTP request is to be taken any more.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  BrokerIdentity identity_;
  std::string phase_ = "starting";
  bool serving_ = false;
  bool stopping_ = false;
  bool fatal_ = false;
  bool left_zookeeper_ = false;
  bool active_ = false;
  // What does not answer; while it is not empty the broker has left ZooKeeper.
  std::string stuck_;
  uint64_t stuck_times_ = 0;
  size_t next_shard_ = 0;
};

}  // namespace tidemark
