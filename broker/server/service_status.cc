#include "broker/server/service_status.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/utf8.h"

namespace tidemark {
namespace {

// How often it is looked whether the status has changed.
constexpr Duration kLookWhileStarting = 1s;
constexpr Duration kLookWhileServing = 10s;
// A start may take this much longer from each look on: recovery and the wait for ZooKeeper have no bound, and
// the status says what they wait for.
constexpr Duration kMoreTime = 60s;
constexpr size_t kLongestStatus = 400;

}  // namespace

std::string ServiceMessage(ServicePhase phase, const std::vector<std::string>& reasons,
                           const std::string& serving) {
  std::string status = reasons.empty() ? serving : reasons.front();
  if (reasons.size() > 1) status += fmt::format(" (and {} more, see /readyz)", reasons.size() - 1);
  // A line end would begin another assignment.
  std::ranges::replace(status, '\n', ' ');
  // A service manager drops a status that is not UTF-8.
  status.resize(Utf8Prefix(status, kLongestStatus).size());
  switch (phase) {
    case ServicePhase::kStarting:
      // At first there is nothing yet to wait for.
      return fmt::format("STATUS=starting{}{}", status.empty() ? "" : ": ", status);
    case ServicePhase::kServing:
      return fmt::format("READY=1\nSTATUS={}{}", reasons.empty() ? "" : "not ready: ", status);
    case ServicePhase::kStopping:
      break;
  }
  return fmt::format("STOPPING=1\nSTATUS=stopping: {}",
                     reasons.empty() ? "moving leaderships, closing logs" : status);
}

ServiceStatus::ServiceStatus(EventLoop& loop, ServiceManager manager,
                             std::function<std::vector<std::string>()> reasons)
    : loop_(loop), manager_(std::move(manager)), reasons_(std::move(reasons)), scope_(loop, "service") {}

void ServiceStatus::Start() {
  if (manager_.present()) scope_.Spawn("service status", Run());
}

void ServiceStatus::Ready(std::string serving) {
  if (phase_ != ServicePhase::kStarting) return;
  phase_ = ServicePhase::kServing;
  serving_ = std::move(serving);
  Tell();
}

void ServiceStatus::Failed(std::string why) { failure_ = {std::move(why)}; }

void ServiceStatus::Stopping() {
  phase_ = ServicePhase::kStopping;
  Tell();
}

void ServiceStatus::Tell() {
  if (!manager_.present()) return;
  const std::string message =
      ServiceMessage(phase_, phase_ == ServicePhase::kStopping ? failure_ : reasons_(), serving_);
  std::string out = message == told_ ? "" : message;
  const auto append = [&out](const std::string& line) { out += (out.empty() ? "" : "\n") + line; };
  if (phase_ == ServicePhase::kStarting) {
    append(fmt::format("EXTEND_TIMEOUT_USEC={}",
                       std::chrono::duration_cast<std::chrono::microseconds>(kMoreTime).count()));
  }
  if (manager_.watchdog()) append("WATCHDOG=1");
  if (out.empty()) return;
  const Result<> sent = manager_.Send(out);
  // Not told: the next look tries again.
  if (sent) told_ = message;
  if (!sent && !std::exchange(complained_, true)) LOG(WARNING) << "service manager: " << sent.error().message;
}

Task<void> ServiceStatus::Run() {
  while (true) {
    Tell();
    Duration pause = phase_ == ServicePhase::kServing ? kLookWhileServing : kLookWhileStarting;
    if (manager_.watchdog()) pause = std::min(pause, *manager_.watchdog() / 2);
    if (co_await Sleep(loop_, pause, "service status", scope_.stop_token()) == WaitOutcome::kStopped)
      co_return;
  }
}

}  // namespace tidemark
