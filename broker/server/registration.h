// Registration: who this broker is (cluster id, broker id) and its ephemeral znode under /brokers/ids, over
// the lives of ZooKeeper sessions. Control loop only.
//
// Invariants: an epoch is told only while, as far as is known, the registration of that czxid stands; a
// session's id and password are on disk before the session registers, so that the next life of this broker
// can close it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "broker/log/log_dirs.h"
#include "broker/server/broker_context.h"
#include "common/async/scope.h"
#include "common/async/wait.h"
#include "common/config/broker_config.h"
#include "common/env/environment.h"
#include "common/zk/zk_keeper.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark {

class Registration final : private ZkKeeper::Listener {
 public:
  struct Callbacks {
    // The epoch of the registration now in force, kNoBrokerEpoch when it is lost.
    std::function<void(BrokerEpoch)> on_epoch;
    // Another broker has this id: the broker cannot go on.
    std::function<void(const Error&)> on_conflict;
    // A controller has acted on a registration of this process, so on how the stop before it was.
    std::function<bool()> stop_is_known;
  };

  Registration(Environment& env, EventLoop& loop, ZkKeeper& keeper, LogDirs& dirs, const BrokerConfig& config,
               Callbacks callbacks);
  ~Registration() override;  // Close() first

  // ZooKeeper must be connected. Creates the persistent paths and the cluster id where missing, settles the
  // broker id (configured, stored, or generated) and binds the log directories to both. Errors are final;
  // trouble with ZooKeeper is waited out.
  Task<Result<BrokerIdentity>> Identify();
  // Closes the session of the former life, then registers, and from then on again after every expiry. `node`
  // without timestamp. POLICY_VIOLATION: another broker has the id, or ZooKeeper's ACLs do not let it
  // register.
  Task<Result<BrokerEpoch>> Register(BrokerId id, v1::BrokerZnode node);

  BrokerEpoch epoch() const { return epoch_; }
  // What it waits for; empty while registered.
  const std::string& waiting_for() const { return waiting_for_; }
  void RequestStop() { scope_.RequestStop(); }
  Task<void> Close();

 private:
  // ZkKeeper::Listener.
  void OnZkUp(ZkSession& session, bool new_session) override;
  void OnZkSuspended() override {}
  void OnZkExpired() override;

  // The connected session; CANCELLED when stopped first.
  Task<Result<std::shared_ptr<ZkSession>>> Connected();
  Task<Result<std::string>> ClusterId();
  Task<Result<BrokerId>> GenerateBrokerId();
  Task<void> EndFormerSession();
  Task<Result<>> KeepSession(const ZkSession& session);
  // One try; empty: something changed, try again.
  Task<Result<std::optional<BrokerEpoch>>> TryRegister(std::shared_ptr<ZkSession> session);
  Task<Result<std::optional<BrokerEpoch>>> FoundExisting(std::shared_ptr<ZkSession> session,
                                                         ZkResult<ZkNode> node);
  Task<Result<BrokerEpoch>> RegisterUntilDone();
  Task<void> RegisterAgain();
  void SetEpoch(BrokerEpoch epoch);

  Environment& env_;
  EventLoop& loop_;
  ZkKeeper& keeper_;
  LogDirs& dirs_;
  const BrokerConfig& config_;
  Callbacks callbacks_;
  Scope scope_;
  BrokerId id_ = kNoBroker;
  v1::BrokerZnode node_;
  BrokerEpoch epoch_ = kNoBrokerEpoch;
  std::string waiting_for_ = "not registered yet";
  bool begun_ = false;
  bool registering_ = false;
  bool registered_once_ = false;
  std::optional<MonoTime> stranger_since_;
  int64_t kept_session_ = 0;
};

}  // namespace tidemark
