// tidemark-cluster and tidemark-broker-api-versions: who the cluster is, and what its brokers understand.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "tidemark/v1/envelope.pb.h"
#include "tools/commands.h"
#include "tools/session.h"

namespace tidemark {
namespace {

// "create_topics" -> "CreateTopics", as Kafka writes it; empty for a number not known here.
std::string ApiName(uint32_t number) {
  const auto* field = v1::Request::descriptor()->FindFieldByNumber(static_cast<int>(number));
  if (field == nullptr || field->containing_oneof() == nullptr) return {};
  std::string name;
  bool upper = true;
  for (const char c : field->name()) {
    if (c == '_') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(c - 'a' + 'A') : c;
    upper = false;
  }
  return name;
}

void PrintVersions(const v1::BrokerEndpoint& broker, const v1::ApiVersionsResponse& told) {
  fmt::print("{}:{} (id: {} rack: {}) -> (\n", broker.host(), broker.port(), broker.id(),
             broker.rack().empty() ? "null" : broker.rack());
  std::vector<std::string> lines;
  for (const uint32_t api : told.apis()) {
    const std::string name = ApiName(api);
    lines.push_back(fmt::format("\t{}({}): {} to {} [usable: {}]", name.empty() ? "UNKNOWN" : name, api,
                                told.min_protocol_version(), told.max_protocol_version(),
                                name.empty() ? "none" : "1"));
  }
  fmt::print("{}\n)\n", fmt::join(lines, ",\n"));
}

int RunApiVersions(const Arguments& arguments) {
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, false);
  if (!metadata) return ReportError(metadata.error());
  std::ranges::sort(*metadata->mutable_brokers(), {}, [](const v1::BrokerEndpoint& b) { return b.id(); });
  int status = kExitDone;
  int silent = 0;
  for (const v1::BrokerEndpoint& broker : metadata->brokers()) {
    const auto told =
        (*session)->Run([&] { return (*session)->admin().ApiVersions(broker.id(), (*session)->After(10s)); });
    if (!told) {
      ++silent;
      fmt::print("{}:{} (id: {} rack: {}) -> ERROR: {}\n", broker.host(), broker.port(), broker.id(),
                 broker.rack().empty() ? "null" : broker.rack(), ToString(told.error()));
      status = silent == metadata->brokers_size() ? kExitUnreachable : kExitPartly;
      continue;
    }
    PrintVersions(broker, *told);
  }
  return status;
}

int RunCluster(const Arguments& arguments) {
  const std::string& verb = arguments.positionals()[0];
  if (verb != "cluster-id" && verb != "unregister") {
    return ReportUsage(
        Error{v1::INVALID_REQUEST, fmt::format("'{}' is neither cluster-id nor unregister", verb)});
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, false);
  if (!metadata) return ReportError(metadata.error());
  if (verb == "cluster-id") {
    fmt::print("Cluster ID: {}\n", metadata->cluster_id());
    return kExitDone;
  }
  const auto id = arguments.GetInteger("id", 0, INT32_MAX);
  if (!id) return ReportUsage(id.error());
  if (!*id) return ReportUsage(Error{v1::INVALID_REQUEST, "unregister needs --id N"});
  return ReportError(
      {v1::UNSUPPORTED_VERSION,
       fmt::format("broker {} cannot be unregistered: its registration is its ZooKeeper session", **id)},
      "stop the broker; its registration goes with it");
}

}  // namespace

Command ClusterCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  flags.push_back({"id", "N", "With unregister: the broker."});
  return {"cluster",
          "prints the cluster's id",
          {"tidemark-cluster cluster-id --bootstrap-server localhost:9092"},
          flags,
          {{"cluster-id|unregister", true}},
          RunCluster};
}

Command BrokerApiVersionsCommand() {
  return {"broker-api-versions",
          "prints which requests each broker understands",
          {"tidemark-broker-api-versions --bootstrap-server localhost:9092"},
          ConnectionFlags(),
          {},
          RunApiVersions};
}

}  // namespace tidemark
