// ControllerChannel: the broker's requests to the controller, whoever that is. Follows /controller; when this
// broker is the controller the call stays in the process. Batches the ISR changes and resignations of many
// partitions. Control loop only.
//
// Outcomes: NOT_CONTROLLER is tried again with whoever /controller names, until the call's deadline, unless
// that controller may have done it before its term ended; such an answer and a lost one are reported as they
// are (Error::unknown_outcome), and the caller decides.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/async/scope.h"
#include "common/async/wait.h"
#include "common/env/environment.h"
#include "common/net/rpc_channel.h"
#include "common/zk/zk_keeper.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

// The controller in this process, as far as it is one now.
class LocalController {
 public:
  virtual ~LocalController() = default;
  virtual bool active() const = 0;
  // NOT_CONTROLLER when it is not (any more).
  virtual Task<Result<v1::Response>> Serve(v1::Request request) = 0;
};

class ControllerChannel final : private ZkKeeper::Listener {
 public:
  struct Self {
    BrokerId id = kNoBroker;
    std::string cluster_id;
  };

  ControllerChannel(Environment& env, EventLoop& loop, ZkKeeper& keeper, LocalController& local);
  ~ControllerChannel() override;  // Close() first

  void Start(Self self);
  // Broker epoch that requests carry; kNoBrokerEpoch: none are sent.
  void SetEpoch(BrokerEpoch epoch) { epoch_ = epoch; }

  // Any request to the controller. REQUEST_TIMED_OUT names the controller that was waited for;
  // BROKER_NOT_READY: none has taken it within `patience`.
  Task<Result<v1::Response>> Call(v1::Request request, Duration timeout, Duration patience = Duration::max());

  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition wish);
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition partition, v1::ResignReason reason);
  Task<Result<v1::ControlledShutdownResponse>> ControlledShutdown(Duration timeout);

  // As /controller last said; kNoBroker if nobody.
  BrokerId controller() const { return controller_; }
  Task<void> Close();

 private:
  struct Wish {
    v1::AlterPartitionRequest::Partition partition;
    OneShot<Result<v1::AlterPartitionResponse::Partition>> answer;
  };

  struct Resignation {
    v1::ResignLeadershipRequest::Partition partition;
    OneShot<Result<>> answer;
  };

  // ZkKeeper::Listener.
  void OnZkUp(ZkSession& session, bool new_session) override;
  void OnZkSuspended() override {}
  void OnZkExpired() override {}

  void LookAgain();
  Task<void> Follow();
  // The znode's controller and its inter-broker endpoint; watches for the next change.
  Task<ZkResult<>> ReadController();
  Task<void> SetController(BrokerId id, std::optional<Endpoint> endpoint);
  Task<Result<v1::Response>> CallOnce(v1::Request request, MonoTime deadline);
  Task<void> SendWishes();
  void AnswerWishes(std::deque<Wish> wishes, const Result<v1::Response>& response);
  Task<void> SendResignations(v1::ResignReason reason);
  void AnswerResignations(std::deque<Resignation> asked, const Result<v1::Response>& response);
  std::optional<Error> MayAsk() const;

  Environment& env_;
  EventLoop& loop_;
  ZkKeeper& keeper_;
  LocalController& local_;
  Self self_;
  Scope scope_;
  Notifier changed_;
  BrokerEpoch epoch_ = kNoBrokerEpoch;
  BrokerId controller_ = kNoBroker;
  std::optional<Endpoint> endpoint_;
  // Shared with calls under way: the channel of a controller that was replaced is closed when they have
  // ended.
  std::shared_ptr<RpcChannel> channel_;
  bool started_ = false;
  bool following_ = false;
  bool look_again_ = false;
  std::deque<Wish> wishes_;
  bool sending_ = false;
  std::map<v1::ResignReason, std::deque<Resignation>> resignations_;
  std::set<v1::ResignReason> resigning_;  // whose sender runs
};

}  // namespace tidemark
