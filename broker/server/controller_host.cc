#include "broker/server/controller_host.h"

#include "controller/controller.h"

namespace tidemark {

ControllerHost::ControllerHost(Environment& env, EventLoop& loop, ZkKeeper& keeper, BrokerConfigPtr config)
    : env_(env), loop_(loop), keeper_(keeper), config_(std::move(config)) {}

ControllerHost::~ControllerHost() = default;

void ControllerHost::Start(const BrokerIdentity& identity) {
  controller_ = std::make_unique<Controller>(
      ControllerOptions{.loop = loop_,
                        .env = env_,
                        .broker_id = identity.broker_id,
                        .cluster_id = identity.cluster_id,
                        .num_partitions = config_->num_partitions,
                        .default_replication_factor = config_->default_replication_factor,
                        .delete_topics = config_->delete_topics,
                        .broker_properties = config_->properties,
                        .max_frame_bytes = config_->max_request_bytes},
      keeper_);
  controller_->Start();
}

void ControllerHost::SetConfig(BrokerConfigPtr config) {
  config_ = std::move(config);
  if (!controller_) return;
  controller_->SetDefaults({.num_partitions = config_->num_partitions,
                            .default_replication_factor = config_->default_replication_factor,
                            .broker_properties = config_->properties});
}

Task<void> ControllerHost::Stop() {
  // The object stays until its owner goes: a request under way may still be in Handle.
  if (controller_) co_await controller_->Close();
}

bool ControllerHost::active() const { return controller_ && controller_->active(); }

Task<Result<v1::Response>> ControllerHost::Serve(v1::Request request) {
  if (!active()) co_return Fail(v1::NOT_CONTROLLER, "this broker is not the controller");
  co_return co_await controller_->Handle(std::move(request));
}

ControllerStatus ControllerHost::status() const {
  return controller_ ? controller_->status() : ControllerStatus();
}

void ControllerHost::AddMetrics(Exposition* out) const {
  const ControllerStatus now = status();
  // Past the lease it can write nothing, and another one may be elected already.
  out->Gauge("tidemark_controller_active", now.active && keeper_.lease_valid() ? 1 : 0);
  out->Counter("tidemark_controller_elections_total", now.counters.terms);
  out->Counter("tidemark_controller_resignations_total", now.counters.resignations);
  out->Counter("tidemark_controller_leader_elections_total", now.counters.elections);
  out->Counter("tidemark_controller_unclean_elections_total", now.counters.unclean_elections);
  out->Counter("tidemark_controller_fenced_writes_total", now.counters.fenced_writes);
  out->Counter("tidemark_controller_failed_commands_total", now.counters.commands_failed);
  if (!now.active) return;
  out->Gauge("tidemark_controller_partitions_offline", static_cast<double>(now.offline_partitions));
  out->Gauge("tidemark_controller_partitions_under_replicated",
             static_cast<double>(now.under_replicated_partitions));
  out->Gauge("tidemark_controller_partitions", static_cast<double>(now.partitions));
  out->Gauge("tidemark_controller_topics", static_cast<double>(now.topics));
  out->Gauge("tidemark_controller_live_brokers", static_cast<double>(now.live_brokers));
  out->Gauge("tidemark_controller_queued_events", static_cast<double>(now.queued_events));
  out->Gauge("tidemark_controller_quarantined", static_cast<double>(now.quarantined.size()));
}

}  // namespace tidemark
