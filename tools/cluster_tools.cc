// tidemark-cluster and tidemark-broker-api-versions: who the cluster is, and what its brokers understand.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "common/nearest_name.h"
#include "tidemark/v1/envelope.pb.h"
#include "tools/commands.h"
#include "tools/kafka_rows.h"
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
  PrintLine("{}:{} (id: {} rack: {}) -> (", broker.host(), broker.port(), broker.id(),
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

void AddVersions(const v1::BrokerEndpoint& broker, const v1::ApiVersionsResponse& told, Listing* rows) {
  for (const uint32_t api : told.apis()) {
    const std::string name = ApiName(api);
    rows->Add({broker.id(), fmt::format("{}:{}", broker.host(), broker.port()),
               broker.rack().empty() ? Listing::Cell() : Listing::Cell(broker.rack()),
               name.empty() ? Listing::Cell() : Listing::Cell(name), api, told.min_protocol_version(),
               told.max_protocol_version()});
  }
}

int RunApiVersions(const Arguments& arguments) {
  const auto format = RowFormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, false);
  if (!metadata) return ReportError(metadata.error());
  std::ranges::sort(*metadata->mutable_brokers(), {}, [](const v1::BrokerEndpoint& b) { return b.id(); });
  Listing rows({"broker", "address", "rack", "api", "number", "min", "max"});
  int status = kExitDone;
  int silent = 0;
  for (const v1::BrokerEndpoint& broker : metadata->brokers()) {
    const auto told =
        (*session)->Run([&] { return (*session)->admin().ApiVersions(broker.id(), (*session)->After(10s)); });
    if (!told) {
      ++silent;
      fmt::print(*format ? stderr : stdout, "{}:{} (id: {} rack: {}) -> ERROR: {}\n", broker.host(),
                 broker.port(), broker.id(), broker.rack().empty() ? "null" : broker.rack(),
                 Printable(ToString(told.error())));
      status = silent == metadata->brokers_size() ? kExitUnreachable : kExitPartly;
      continue;
    }
    if (*format) {
      AddVersions(broker, *told, &rows);
    } else {
      PrintVersions(broker, *told);
    }
  }
  if (*format) (void)Print(rows.Text(**format));
  return status;
}

int RunCluster(const Arguments& arguments) {
  const std::string& verb = arguments.positionals()[0];
  if (verb != "cluster-id" && verb != "unregister") {
    // `tidemark cluster` has verbs of its own.
    const std::string nearest = NearestName(verb, {"cluster-id", "unregister", "info", "health"});
    return ReportUsage(
        {v1::INVALID_REQUEST, fmt::format("'{}' is neither cluster-id nor unregister; {}", verb,
                                          nearest == "info" || nearest == "health"
                                              ? fmt::format("did you mean 'tidemark cluster {}'?", nearest)
                                          : nearest.empty() ? "tidemark-cluster --help shows the forms"
                                                            : fmt::format("did you mean {}?", nearest))});
  }
  const auto format = RowFormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, false);
  if (!metadata) return ReportError(metadata.error());
  if (verb == "cluster-id") {
    if (*format) {
      Listing rows({"cluster"});
      rows.Add({metadata->cluster_id()});
      return Finish(rows, **format);
    }
    PrintLine("Cluster ID: {}", metadata->cluster_id());
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
  flags.push_back(RowsFlag());
  return {"cluster",
          "prints the cluster's id",
          {"tidemark-cluster cluster-id --bootstrap-server localhost:9092"},
          flags,
          {{"cluster-id|unregister", true}},
          RunCluster};
}

Command BrokerApiVersionsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  flags.push_back(RowsFlag());
  return {"broker-api-versions",
          "prints which requests each broker understands",
          {"tidemark-broker-api-versions --bootstrap-server localhost:9092"},
          flags,
          {},
          RunApiVersions};
}

}  // namespace tidemark
