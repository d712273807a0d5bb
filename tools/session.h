// ToolSession: a tool's connection to the cluster: the real environment, a loop, and the brokers that the
// flags name. Owned by a command's run function; main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/admin.h"
#include "client/cluster.h"
#include "common/env/client_runtime.h"
#include "common/env/real_environment.h"
#include "tools/arguments.h"

namespace tidemark {

// --bootstrap-server, --zookeeper (only to find brokers), --command-config.
std::vector<FlagSpec> ConnectionFlags();
// Prints why a session could not be opened. What these flags say wrong is a wrong command line; that nobody
// answers is not.
int ReportOpening(const Error& error);

// kNow: a session is open when a broker has answered; that nobody does is told on stderr after the first
// round, and given up after some seconds. kLater: the first call finds out, and nothing is said.
enum class FirstContact { kNow, kLater };

class ToolSession {
 public:
  // Reads the connection flags, asks ZooKeeper where told. INVALID_REQUEST when neither way is given.
  static Result<std::unique_ptr<ToolSession>> Open(const Arguments& arguments, ClientOptions options = {},
                                                   FirstContact contact = FirstContact::kNow);
  ~ToolSession();

  RealEnvironment& env() { return env_; }
  ClientRuntime& runtime() { return *runtime_; }
  EventLoop& loop() { return runtime_->loop(); }
  Cluster& cluster() { return *cluster_; }
  // Lives as long as the session: its calls are tasks that begin after it has returned.
  Admin& admin() { return *admin_; }
  MonoTime After(Duration d) { return loop().Now() + d; }

  // Runs a coroutine of the client on its loop.
  template <typename F>
  auto Run(F make) {
    return runtime_->Run(std::move(make));
  }

  // Metadata of one topic; UNKNOWN_TOPIC_OR_PARTITION carries the broker's hint.
  Result<v1::TopicMetadata> Topic(const std::string& name);
  Result<v1::MetadataResponse> Metadata(const std::vector<std::string>& topics, bool all);

 private:
  ToolSession() = default;
  // Until a broker of the list answers.
  Result<> MakeContact();

  RealEnvironment env_;
  std::unique_ptr<ClientRuntime> runtime_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Admin> admin_;
};

// How long admin calls may take.
inline constexpr Duration kAdminTimeout = 60s;
// How long a deletion is waited for. It goes on by itself; longer than this it waits for a broker that is
// down.
inline constexpr Duration kDeletionWait = 15s;
inline constexpr const char* kDeletionHint =
    "it goes on by itself when that broker is back; until then --list shows the topic as marked for deletion";

}  // namespace tidemark
