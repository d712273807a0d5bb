#include "common/metrics/exposition.h"

namespace tidemark {

const std::vector<MetricDef>& MetricTable() {
  constexpr MetricKind kC = MetricKind::kCounter, kG = MetricKind::kGauge, kH = MetricKind::kHistogram;
  static const std::vector<MetricDef> table = {
      {"tidemark_build_info", kG, "Always 1; its labels say which version runs"},
      {"tidemark_broker_ready", kG, "1 when /readyz answers 200"},
      {"tidemark_broker_epoch", kG, "Broker epoch of the registration in force, -1 without one"},
      {"tidemark_zookeeper_session_connected", kG, "1 while the ZooKeeper session is connected"},
      {"tidemark_zookeeper_sessions_total", kC, "ZooKeeper sessions begun"},
      {"tidemark_controller_active", kG, "1 on the broker that is the controller"},
      {"tidemark_controller_elections_total", kC, "Elections as controller won by this broker"},
      {"tidemark_controller_resignations_total", kC,
       "Terms as controller that ended while the session lived"},
      {"tidemark_controller_leader_elections_total", kC, "Leaders elected by this broker as controller"},
      {"tidemark_controller_unclean_elections_total", kC, "Leaders elected from outside the ISR"},
      {"tidemark_controller_fenced_writes_total", kC, "Writes refused because another controller had come"},
      {"tidemark_controller_failed_commands_total", kC, "Commands to brokers that were not acknowledged"},
      {"tidemark_controller_queued_events", kG, "Events waiting for the controller"},
      {"tidemark_controller_quarantined", kG, "Topics and brokers whose znodes cannot be used"},
      {"tidemark_controller_partitions_offline", kG, "Partitions without leader, as the controller knows"},
      {"tidemark_connections", kG, "Open connections by shard"},
      {"tidemark_connection_bytes_in_total", kC, "Bytes received"},
      {"tidemark_connection_bytes_out_total", kC, "Bytes sent"},
      {"tidemark_connection_bytes_in_flight", kG, "Bytes of requests held and answers not yet sent"},
      {"tidemark_connection_refused_frames_total", kC,
       "Frames refused: too large, not parseable, another protocol"},
      {"tidemark_connection_paused_total", kC, "Times that a connection was not read because of a limit"},
      {"tidemark_requests_total", kC, "Requests by API"},
      {"tidemark_request_seconds", kH, "Time from receipt to answer by API"},
      {"tidemark_partitions", kG, "Partitions on this broker by role"},
      {"tidemark_partitions_under_replicated", kG,
       "Partitions led here with fewer members in sync than replicas"},
      {"tidemark_partitions_offline", kG, "Replicas here that are out of service"},
      {"tidemark_recovery_logs_remaining", kG, "Logs found at the start that are still to be recovered"},
      {"tidemark_recovery_seconds_left", kG, "Estimate of how long that takes"},
      {"tidemark_recovery_scanned_bytes_total", kC, "Bytes of batches checked by recovery"},
      {"tidemark_produced_bytes_total", kC, "Bytes appended by producers"},
      {"tidemark_fetched_bytes_total", kC, "Bytes read by consumers"},
      {"tidemark_replicated_in_bytes_total", kC, "Bytes appended by following"},
      {"tidemark_replicated_out_bytes_total", kC, "Bytes read by followers"},
      {"tidemark_leader_elections_total", kC, "Partitions that began to lead here in a new epoch"},
      {"tidemark_followings_total", kC, "Partitions that began to follow here in a new epoch"},
      {"tidemark_truncations_total", kC, "Truncations after a divergence"},
      {"tidemark_restarts_total", kC, "Replicas that began anew at the leader's log start"},
      {"tidemark_fenced_requests_total", kC, "Requests and commands with another epoch"},
      {"tidemark_isr_shrinks_total", kC, "Committed shrinks of an ISR"},
      {"tidemark_isr_expands_total", kC, "Committed expansions of an ISR"},
      {"tidemark_isr_failed_updates_total", kC, "ISR changes that did not succeed at the first try"},
      {"tidemark_resignations_total", kC, "Leaderships given up by a replica"},
      {"tidemark_logs_set_aside_total", kC, "Damaged logs set aside"},
      {"tidemark_log_directories_offline", kG, "Log directories whose disk failed"},
      {"tidemark_metadata_version", kG, "Version of the cluster picture held"},
      {"tidemark_loop_waits", kG, "Coroutine waits by loop"},
  };
  return table;
}

}  // namespace tidemark
