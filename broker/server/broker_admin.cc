// What a broker tells about itself over HTTP: /livez, /readyz, /metrics, /state; /restartz is in
// broker_restartz.cc.
#include <algorithm>

#include <glog/logging.h>
#include <nlohmann/json.hpp>

#include "broker/server/broker_impl.h"
#include "broker/server/gather.h"
#include "broker/server/group_metrics.h"
#include "broker/server/partition_metrics.h"
#include "broker/server/request_metrics.h"
#include "broker/server/shard.h"
#include "common/metrics/process_metrics.h"
#include "controller/controller.h"

namespace tidemark {
namespace {

constexpr Duration kReportPatience = 1s;
using Json = nlohmann::ordered_json;

AdminReply JsonReply(int status, const Json& body) {
  return {.status = status,
          .content_type = "application/json",
          .body = body.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"};
}

Json WaitsOf(const std::vector<WaitRegistry::Entry>& waits, MonoTime now) {
  Json out = Json::array();
  for (const WaitRegistry::Entry& wait : waits) {
    Json entry = {{"name", wait.name}, {"age_ms", ToMillis(now - wait.since)}};
    if (wait.deadline != kNoDeadline) entry["left_ms"] = ToMillis(wait.deadline - now);
    out.push_back(std::move(entry));
  }
  return out;
}

Json ReplicaJson(const v1::DescribeReplicasResponse::Replica& replica) {
  Json out = {{"topic", replica.topic()},
              {"partition", replica.partition()},
              {"leader", replica.leader()},
              {"leader_epoch", replica.leader_epoch()},
              {"isr", std::vector<int32_t>(replica.isr().begin(), replica.isr().end())},
              {"log_start", replica.log_start_offset()},
              {"high_watermark", replica.high_watermark()},
              {"flushed_end", replica.flushed_end()},
              {"log_end", replica.log_end_offset()},
              {"bytes", replica.size_bytes()},
              {"log_dir", replica.log_dir()}};
  if (replica.has_offline()) out["offline"] = replica.offline().message();
  return out;
}

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

void AddMemory(const RpcServerStats& stats, RpcServerStats* sum) {
  for (size_t i = 0; i < stats.memory.size(); ++i) {
    sum->memory[i].used += stats.memory[i].used;
    sum->memory[i].limit += stats.memory[i].limit;
  }
  sum->connections += stats.connections;
  sum->connections_limit += stats.connections_limit;
}

// Requests held and answers not yet sent, against what the budgets allow (all shards together).
void AddMemoryMetrics(const RpcServerStats& sum, Exposition* out) {
  const char* const purposes[] = {"client", "replication", "control"};
  for (size_t i = 0; i < sum.memory.size(); ++i) {
    const Exposition::Labels purpose = {{"purpose", purposes[i]}};
    out->Gauge("tidemark_request_memory_bytes", static_cast<double>(sum.memory[i].used), purpose);
    out->Gauge("tidemark_request_memory_limit_bytes", static_cast<double>(sum.memory[i].limit), purpose);
  }
  out->Gauge("tidemark_connections_limit", static_cast<double>(sum.connections_limit));
}

// Of the results of a gathering, by shard: whose are missing.
template <typename R>
std::vector<size_t> Silent(const std::vector<std::optional<R>>& results) {
  std::vector<size_t> out;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i]) out.push_back(i);
  }
  return out;
}

std::string NameOfShard(size_t index) { return fmt::format("shard-{}", index); }

Task<v1::DescribeReplicasResponse> DescribeAll(Shard& owner) {
  v1::DescribeReplicasResponse out;
  if (owner.active()) owner.table()->Describe({}, &out);
  co_return out;
}

}  // namespace

std::vector<std::string> Broker::Impl::NotReadyReasons() const {
  std::vector<std::string> reasons;
  if (stopping_) reasons.push_back("the broker is stopping");
  if (!stopping_ && !phase_.empty()) reasons.push_back(phase_);
  if (!stuck_.empty()) reasons.push_back(stuck_ + "; the broker has left ZooKeeper until it answers");
  if (keeper_ != nullptr && identity_.broker_id != kNoBroker && !keeper_->connected() && stuck_.empty()) {
    const std::optional<MonoTime> since = keeper_->down_since();
    reasons.push_back(fmt::format("ZooKeeper at {} is out of reach for {} ms", keeper_->connect(),
                                  since ? ToMillis(loop_.Now() - *since) : 0));
  }
  if (registration_ != nullptr && identity_.broker_id != kNoBroker &&
      registration_->epoch() == kNoBrokerEpoch) {
    reasons.push_back(registration_->waiting_for());
  }
  if (phase_.empty() && executor_ != nullptr && !executor_->took_over()) {
    reasons.push_back("no controller has told this broker what to lead and follow yet");
  }
  if (dirs_ != nullptr) {
    const auto recovery = dirs_->recovery_progress().At(loop_.Now());
    if (recovery.under_way()) reasons.push_back(ToString(recovery));
    for (const auto& directory : dirs_->directories()) {
      if (directory->failed) reasons.push_back(fmt::format("log directory {} is offline", directory->path));
    }
  }
  return reasons;
}

Task<std::vector<size_t>> Broker::Impl::AskShards() {
  auto ask = [](Shard& shard) -> Task<ShardReport> { co_return shard.Report(); };
  last_reports_.resize(context_.shards.size());
  Gather<ShardReport> gather(loop_, context_.shards.size());
  // As they come: who still waits for one shard must not put back what another has told since.
  gather.SetListener(
      [this, &gather](size_t shard) { last_reports_[shard] = std::move(*gather.results()[shard]); });
  for (const auto& shard : context_.shards) {
    gather.Start(shard->index(), shard->loop(), shard->life_scope(), "report",
                 [&shard = *shard, ask] { return ask(shard); });
  }
  (void)co_await gather.Wait("shard reports", loop_.Now() + kReportPatience, scope_.stop_token());
  co_return Silent(gather.results());
}

Task<std::vector<ShardReport>> Broker::Impl::Reports() {
  (void)co_await AskShards();
  std::vector<ShardReport> reports;
  for (const auto& report : last_reports_) {
    if (report) reports.push_back(*report);
  }
  co_return reports;
}

void Broker::Impl::OnHttp(const AdminRequest& request, AdminReplyFn reply) {
  // On the HTTP thread. What it posts may come after the broker has gone.
  loop_.Post([this, alive = std::weak_ptr(alive_), request, reply = std::move(reply)]() mutable {
    if (alive.expired()) return;
    scope_.Spawn("http", AnswerHttp(std::move(request), std::move(reply)));
  });
}

AdminReply Broker::Impl::Readyz(const AdminRequest& request) const {
  const std::vector<std::string> reasons = NotReadyReasons();
  const int status = reasons.empty() ? 200 : 503;
  if (request.WantsJson()) return JsonReply(status, {{"ready", reasons.empty()}, {"reasons", reasons}});
  std::string body = reasons.empty() ? "ok\n" : "";
  for (const std::string& reason : reasons) body += reason + "\n";
  return {.status = status, .body = std::move(body)};
}

Task<void> Broker::Impl::AnswerHttp(AdminRequest request, AdminReplyFn reply) {
  if (request.path == "/livez") {
    reply({.body = "ok\n"});
  } else if (request.path == "/readyz") {
    reply(Readyz(request));
  } else if (request.path == "/restartz") {
    AdminReply answer = co_await Restartz(std::move(request));
    reply(std::move(answer));
  } else if (request.path == "/metrics") {
    std::string text = co_await Metrics();
    reply({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = std::move(text)});
  } else if (request.path == "/state") {
    AdminReply answer = co_await State();
    reply(std::move(answer));
  } else {
    reply({.status = 404, .body = "there are /livez, /readyz, /restartz, /metrics and /state\n"});
  }
}

void Broker::Impl::AddOwnMetrics(Exposition* out) const {
  out->Gauge("tidemark_build_info", 1, {{"version", "0.1.0"}});
  out->Gauge("tidemark_broker_ready", NotReadyReasons().empty() ? 1 : 0);
  out->Gauge("tidemark_broker_epoch", static_cast<double>(epoch()));
  if (keeper_) {
    out->Gauge("tidemark_zookeeper_session_connected", keeper_->connected() ? 1 : 0);
    out->Counter("tidemark_zookeeper_sessions_total", keeper_->generation());
    const std::optional<MonoTime> down = keeper_->down_since();
    out->Gauge("tidemark_zookeeper_disconnected_seconds", down ? Seconds(loop_.Now() - *down) : 0);
    out->Gauge("tidemark_zookeeper_lease_seconds",
               keeper_->lease_valid() ? Seconds(keeper_->lease_end() - loop_.Now()) : 0);
  }
  if (controller_) controller_->AddMetrics(out);
  if (cleaner_) cleaner_->AddMetrics(out);
  if (executor_) {
    out->Gauge("tidemark_metadata_version", static_cast<double>(executor_->snapshot()->version()));
  }
  out->Gauge("tidemark_watchdog_stuck", stuck_.empty() ? 0 : 1);
  out->Counter("tidemark_watchdog_departures_total", stuck_times_);
  if (dirs_) {
    const auto recovery = dirs_->recovery_progress().At(loop_.Now());
    out->Gauge("tidemark_recovery_logs_remaining", static_cast<double>(recovery.asked - recovery.done));
    out->Gauge("tidemark_recovery_seconds_left", recovery.under_way() && recovery.left
                                                     ? static_cast<double>(ToMillis(*recovery.left)) / 1e3
                                                     : 0);
    out->Counter("tidemark_recovery_scanned_bytes_total", recovery.scanned_bytes);
  }
  AddDiskMetrics(out);
  out->Gauge("tidemark_loop_waits", static_cast<double>(loop_.waits().size()), {{"loop", "control"}});
  AddRequestMetrics(context_, out);
}

Task<std::string> Broker::Impl::Metrics() {
  const std::vector<size_t> silent = co_await AskShards();
  Exposition out;
  AddOwnMetrics(&out);
  out.Gauge("tidemark_shards_not_answering", static_cast<double>(silent.size()));
  ShardReport sum;
  for (size_t i = 0; i < last_reports_.size(); ++i) {
    if (!last_reports_[i]) continue;
    const ShardReport& report = *last_reports_[i];
    const Exposition::Labels shard = {{"shard", std::to_string(i)}};
    out.Gauge("tidemark_connections", static_cast<double>(report.rpc.connections), shard);
    out.Counter("tidemark_connection_bytes_in_total", report.rpc.bytes_in, shard);
    out.Counter("tidemark_connection_bytes_out_total", report.rpc.bytes_out, shard);
    out.Gauge("tidemark_connection_bytes_in_flight", static_cast<double>(report.rpc.bytes_in_flight), shard);
    AddMemory(report.rpc, &sum.rpc);
    out.Counter("tidemark_connection_refused_frames_total", report.rpc.refused_frames, shard);
    out.Counter("tidemark_connection_paused_total", report.rpc.paused_for_budget, shard);
    out.Gauge("tidemark_loop_waits", static_cast<double>(report.waits.size()), {{"loop", NameOfShard(i)}});
    sum.replicas += report.replicas;
    sum.moves += report.moves;
    AddGroups(report, &sum);
    AddPartitions(report, &sum);
    sum.scrubbed += report.scrubbed;
    sum.damaged_ranges += report.damaged_ranges;
    sum.aside_removed += report.aside_removed;
    sum.quotas += report.quotas;
  }
  AddPartitionMetrics(sum, dirs_.get(), &out);
  AddMemoryMetrics(sum.rpc, &out);
  AddProcessMetrics(&out);
  const ReplicaCounters& counters = sum.replicas;
  out.Counter("tidemark_appends_refused_for_space_total", counters.refused_for_space);
  out.Counter("tidemark_produced_bytes_total", counters.produced_bytes);
  out.Counter("tidemark_produced_records_total", counters.produced_records);
  out.Counter("tidemark_fetched_bytes_total", counters.fetched_bytes);
  out.Counter("tidemark_replicated_in_bytes_total", counters.replicated_in_bytes);
  out.Counter("tidemark_replicated_out_bytes_total", counters.replicated_out_bytes);
  out.Counter("tidemark_leader_elections_total", counters.became_leader);
  out.Counter("tidemark_followings_total", counters.became_follower);
  out.Counter("tidemark_truncations_total", counters.truncations);
  out.Counter("tidemark_restarts_total", counters.restarts);
  out.Counter("tidemark_fenced_requests_total",
              counters.fenced_requests + (executor_ ? executor_->fence().refused() : 0));
  out.Counter("tidemark_isr_shrinks_total", counters.isr_shrinks);
  out.Counter("tidemark_isr_expands_total", counters.isr_expands);
  out.Counter("tidemark_isr_failed_updates_total", counters.isr_failed_updates);
  out.Counter("tidemark_resignations_total", counters.resignations);
  out.Counter("tidemark_logs_set_aside_total", counters.set_aside);
  out.Counter("tidemark_logs_set_aside_removed_total", sum.aside_removed);
  out.Gauge("tidemark_log_moves", static_cast<double>(sum.moves.under_way()));
  out.Counter("tidemark_log_moves_finished_total", sum.moves.finished);
  out.Counter("tidemark_log_moves_given_up_total", sum.moves.given_up);
  out.Counter("tidemark_log_move_bytes_total", sum.moves.copied_bytes);
  AddGroupMetrics(sum, &out);
  if (lags_) lags_->AddMetrics(sum.group_gauges.serving, &out);
  out.Gauge("tidemark_log_damaged_ranges", static_cast<double>(sum.damaged_ranges));
  out.Counter("tidemark_log_damaged_ranges_total", counters.damaged_ranges);
  out.Counter("tidemark_log_repaired_segments_total", counters.repaired);
  out.Counter("tidemark_scrub_read_bytes_total", sum.scrubbed.bytes);
  out.Counter("tidemark_scrub_logs_total", sum.scrubbed.logs);
  out.Counter("tidemark_scrub_damaged_ranges_total", sum.scrubbed.damaged);
  out.Counter("tidemark_scrub_rebuilt_indexes_total", sum.scrubbed.indexes_rebuilt);
  AddQuotaMetrics(sum.quotas, &out);
  co_return out.Text();
}

// Who reads this wants to know how things are now: a shard that does not answer is named instead of shown as
// it was, and the status says that the picture is not whole.
Task<AdminReply> Broker::Impl::State() {
  Gather<v1::DescribeReplicasResponse> gather(loop_, context_.shards.size());
  for (const auto& shard : context_.shards) {
    gather.Start(shard->index(), shard->loop(), shard->life_scope(), "state",
                 [&shard = *shard] { return DescribeAll(shard); });
  }
  const MonoTime deadline = loop_.Now() + kReportPatience;
  std::vector<size_t> silent = co_await AskShards();
  (void)co_await gather.Wait("shard state", deadline, scope_.stop_token());
  if (silent.empty()) silent = Silent(gather.results());
  const MonoTime now = loop_.Now();
  Json state;
  state["broker"] = {{"id", identity_.broker_id}, {"epoch", epoch()}, {"cluster", identity_.cluster_id}};
  state["not_ready"] = NotReadyReasons();
  for (const size_t shard : silent) state["not_answering"].push_back(NameOfShard(shard));
  if (keeper_ != nullptr) {
    const ZkSession* session = keeper_->session();
    state["zookeeper"] = {{"connect", keeper_->connect()},
                          {"connected", keeper_->connected()},
                          {"session", session == nullptr ? "" : fmt::format("0x{:x}", session->session_id())},
                          {"lease_left_ms", ToMillis(keeper_->lease_end() - now)}};
  }
  if (executor_ && channel_) {
    state["controller"] = {{"id", channel_->controller()},
                           {"epoch", executor_->fence().highest()},
                           {"here", is_controller()},
                           {"metadata_version", executor_->snapshot()->version()}};
    const ControllerStatus status = controller_->status();
    for (const QuarantinedItem& item : status.quarantined) {
      state["controller"]["quarantined"].push_back({{"what", item.what}, {"reason", item.reason}});
    }
    for (const PendingDeletion& item : status.deletions) {
      state["controller"]["deletions"].push_back({{"topic", item.topic}, {"waits_for", item.waits_for}});
    }
  }
  if (dirs_) state["log_dirs"] = Json::parse(DisksJson());
  Json listeners = Json::array();
  for (const BoundListener& listener : bound_) {
    listeners.push_back({{"name", listener.name},
                         {"bound", ToString(listener.bound)},
                         {"advertised", ToString(listener.advertised)}});
  }
  state["listeners"] = std::move(listeners);
  state["loops"]["control"] = {{"waits", WaitsOf(loop_.waits().Snapshot(), now)}};
  for (size_t i = 0; i < last_reports_.size(); ++i) {
    if (!last_reports_[i] || std::ranges::find(silent, i) != silent.end()) continue;
    state["loops"][NameOfShard(i)] = {{"connections", last_reports_[i]->rpc.connections},
                                      {"waits", WaitsOf(last_reports_[i]->waits, now)}};
  }
  for (const auto& report : last_reports_) {
    if (!report) continue;
    for (const auto& [replica, why] : report->refused) state["refused_replicas"][replica] = why;
  }
  Json partitions = Json::array();
  for (const auto& part : gather.results()) {
    if (!part) continue;
    for (const auto& replica : part->replicas()) partitions.push_back(ReplicaJson(replica));
  }
  state["partitions"] = std::move(partitions);
  co_return JsonReply(silent.empty() ? 200 : 503, state);
}

}  // namespace tidemark
