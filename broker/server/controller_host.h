// ControllerHost: the Controller inside a broker: wires it to the broker's ZooKeeper session and network, and
// turns requests into its calls. Control loop only.
#pragma once

#include <memory>

#include "broker/server/broker_context.h"
#include "broker/server/controller_channel.h"
#include "common/config/broker_config.h"
#include "common/env/environment.h"
#include "common/metrics/exposition.h"
#include "common/zk/zk_keeper.h"

namespace tidemark {

class Controller;
struct ControllerStatus;

class ControllerHost final : public LocalController {
 public:
  ControllerHost(Environment& env, EventLoop& loop, ZkKeeper& keeper, BrokerConfigPtr config);
  ~ControllerHost() override;  // Stop() first, where it was started

  // The broker is registered: from now on it stands for election.
  void Start(const BrokerIdentity& identity);
  Task<void> Stop();
  // The broker's config in force is another one.
  void SetConfig(BrokerConfigPtr config);

  // LocalController.
  bool active() const override;
  Task<Result<v1::Response>> Serve(v1::Request request) override;
  ControllerStatus status() const;
  void AddMetrics(Exposition* out) const;

 private:
  Environment& env_;
  EventLoop& loop_;
  ZkKeeper& keeper_;
  BrokerConfigPtr config_;
  std::unique_ptr<Controller> controller_;
};

}  // namespace tidemark
