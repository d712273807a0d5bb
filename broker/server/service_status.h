// ServiceStatus: keeps the service manager told: READY when the broker serves, a line of status whenever it
// changes, signs of life for the manager's watchdog, more time while a long start makes it wait. Owned by
// main; control loop only. Does nothing, and wakes nobody, when there is no manager.
//
// The sign of life says that the control loop runs. A disk that hangs is not told by its absence: then the
// broker leaves ZooKeeper by itself and comes back when the disk answers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/async/scope.h"
#include "common/env/service_manager.h"

namespace tidemark {

enum class ServicePhase { kStarting, kServing, kStopping };

// One message to the manager. `reasons`: why the broker is not ready, or why it stops. Of a text only what
// fits a line is told.
std::string ServiceMessage(ServicePhase phase, const std::vector<std::string>& reasons,
                           const std::string& serving);

class ServiceStatus {
 public:
  // `reasons` is asked from Start() until Close().
  ServiceStatus(EventLoop& loop, ServiceManager manager, std::function<std::vector<std::string>()> reasons);

  void Start();
  // The broker serves; `serving` says where.
  void Ready(std::string serving);
  // What Stopping() will give as its reason.
  void Failed(std::string why);
  void Stopping();
  Task<void> Close() { return scope_.Close(); }

 private:
  Task<void> Run();
  void Tell();

  EventLoop& loop_;
  const ServiceManager manager_;
  std::function<std::vector<std::string>()> reasons_;
  Scope scope_;
  ServicePhase phase_ = ServicePhase::kStarting;
  std::string serving_;
  std::vector<std::string> failure_;  // one at most
  std::string told_;                  // the last message that went out
  bool complained_ = false;
};

}  // namespace tidemark
