// tidemark cluster info, health.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "tools/topics.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

int RunInfo(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, true);
  if (!metadata) return ReportError(metadata.error());
  std::map<int32_t, std::pair<int, int>> held;  // broker -> led, replicas
  size_t partitions = 0;
  for (const v1::TopicMetadata& topic : metadata->topics()) {
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      ++partitions;
      if (partition.leader() >= 0) ++held[partition.leader()].first;
      for (const int32_t replica : partition.replicas()) ++held[replica].second;
    }
  }
  std::ranges::sort(*metadata->mutable_brokers(), {}, [](const auto& broker) { return broker.id(); });
  Listing brokers({"broker", "address", "rack", "admin", "controller", "leads", "replicas"});
  for (const v1::BrokerEndpoint& broker : metadata->brokers()) {
    brokers.Add({broker.id(), fmt::format("{}:{}", broker.host(), broker.port()),
                 broker.rack().empty() ? Json() : Json(broker.rack()),
                 broker.admin_address().empty() ? Json() : Json(broker.admin_address()),
                 broker.id() == metadata->controller_id(), held[broker.id()].first,
                 held[broker.id()].second});
  }
  if (*format == OutputFormat::kJson) {
    const Json json = {
        {"cluster", metadata->cluster_id()},
        {"controller", metadata->controller_id() < 0 ? Json() : Json(metadata->controller_id())},
        {"topics", metadata->topics_size()},
        {"partitions", partitions},
        {"brokers", brokers.Json()}};
    (void)Print(JsonText(json));
    return kExitDone;
  }
  if (*format == OutputFormat::kTable &&
      !Print(fmt::format("cluster {}: {}, {}, {}\n\n", Printable(metadata->cluster_id()),
                         Counted(metadata->brokers_size(), "broker"),
                         Counted(metadata->topics_size(), "topic"), Counted(partitions, "partition")))) {
    return kExitDone;
  }
  return Finish(brokers, *format);
}

// What is wrong with partitions, by kind.
struct Ills {
  std::vector<std::string> leaderless, under_min_isr, under_replicated, offline_replicas;
  std::vector<std::string> lingering;  // topics being deleted that a broker which is down has replicas of
};

bool Lingers(const v1::TopicMetadata& topic, const std::set<int32_t>& live) {
  return std::ranges::any_of(topic.partitions(), [&](const v1::PartitionMetadata& partition) {
    return std::ranges::any_of(partition.replicas(), [&](int32_t broker) { return !live.contains(broker); });
  });
}

Ills IllsOf(const std::vector<v1::TopicMetadata>& topics, const std::map<std::string, TopicFacts>& facts,
            const std::set<int32_t>& live) {
  Ills out;
  for (const v1::TopicMetadata& topic : topics) {
    if (topic.deleting()) {
      if (Lingers(topic, live)) out.lingering.push_back(topic.name());
      continue;
    }
    const auto own = facts.find(topic.name());
    const auto min_isr = own == facts.end() ? std::nullopt : own->second.min_isr;
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      const std::string name = fmt::format("{}-{}", topic.name(), partition.partition());
      const auto is = [&](const PartitionFilter& filter) {
        return IsShown(filter, partition, live, min_isr);
      };
      if (is({.unavailable = true})) {
        out.leaderless.push_back(name);
      } else if (is({.under_min_isr = true})) {
        out.under_min_isr.push_back(name);
      } else if (is({.under_replicated = true})) {
        out.under_replicated.push_back(name);
      }
      const bool failed_disk = std::ranges::any_of(partition.offline_replicas(),
                                                   [&](int32_t broker) { return live.contains(broker); });
      if (failed_disk) out.offline_replicas.push_back(name);
    }
  }
  return out;
}

// What is wrong, a row each. A table has room for few names, programs get more.
struct Problems {
  Listing listing{{"problem", "count", "where", "advice"}};
  size_t most_names = 20;
};

void AddIll(Problems* problems, const char* problem, const std::vector<std::string>& where,
            const char* advice) {
  if (where.empty()) return;
  const size_t shown = std::min(where.size(), problems->most_names);
  std::vector<std::string> some(where.begin(), where.begin() + static_cast<long>(shown));
  if (where.size() > shown) some.push_back(fmt::format("and {} more", where.size() - shown));
  problems->listing.Add({problem, where.size(), some, advice});
}

std::string NameOf(const v1::BrokerEndpoint& broker) {
  return fmt::format("{} at {}:{}", broker.id(), broker.host(), broker.port());
}

// Asks every broker itself, and how its disks are.
void AskBrokers(ToolSession& session, const v1::MetadataResponse& metadata, Problems* problems) {
  std::vector<std::string> silent, failed, refusing;
  for (const v1::BrokerEndpoint& broker : metadata.brokers()) {
    // Of a topic that is none: the directories without their replicas.
    const std::vector<std::string> nothing = {TopicId().ToBytes()};
    const auto answer =
        session.Run([&] { return session.admin().DescribeLogDirs(broker.id(), nothing, session.After(5s)); });
    if (!answer) {
      silent.push_back(fmt::format("{}: {}", NameOf(broker), ToString(answer.error())));
      continue;
    }
    for (const auto& directory : answer->log_dirs()) {
      const std::string name = fmt::format("broker {}: {}", broker.id(), directory.path());
      if (directory.has_error()) failed.push_back(name);
      if (directory.has_produce_refused())
        refusing.push_back(fmt::format("{}: {}", name, directory.produce_refused().message()));
    }
  }
  AddIll(problems, "broker does not answer", silent,
         "its advertised address may not be reachable from here, or it hangs");
  AddIll(problems, "log directory offline", failed, "the broker's log says why; replace the disk");
  AddIll(problems, "disk full", refusing, "produce is refused there: free space, or shorten retention");
}

// How long ZooKeeper is waited for: a broker that waits for it says so after some seconds, and the first one
// asked may not answer at all.
constexpr Duration kZooKeeperPatience = 15s;

// The brokers' picture may be old: one of them reads something from ZooKeeper for us. False: it cannot.
bool AskZooKeeper(ToolSession& session, Problems* problems) {
  v1::DescribeConfigsRequest request;
  request.add_entities()->set_type(v1::CONFIG_ENTITY_TYPE_BROKER);  // the cluster's defaults
  const auto answer = session.Run(
      [&] { return session.admin().DescribeConfigs(request, session.After(kZooKeeperPatience)); });
  std::vector<std::string> why;
  if (!answer) {
    why.push_back(ToString(answer.error()));
  } else if (answer->results_size() > 0 && answer->results(0).has_error()) {
    why.push_back(ToString(FromProto(answer->results(0).error())));
  }
  AddIll(problems, "ZooKeeper out of reach", why,
         "no topic, config or ISR can change: see to the ensemble, and to the brokers' way to it");
  return why.empty();
}

int RunHealth(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto topics = TopicsMeant(**session, "", true, TopicWords::kOfReading);
  if (!topics) return ReportError(topics.error());
  auto metadata = (*session)->Metadata({}, false);
  if (!metadata) return ReportError(metadata.error());
  std::set<int32_t> live;
  for (const v1::BrokerEndpoint& broker : metadata->brokers()) live.insert(broker.id());
  Problems problems{.most_names = *format == OutputFormat::kTable ? 5u : 20u};
  const Listing& listing = problems.listing;
  if (metadata->controller_id() < 0)
    AddIll(&problems, "no controller", {"cluster"}, "brokers cannot reach ZooKeeper, or are down");
  std::map<std::string, TopicFacts> facts;
  // First of all, for what is configured is read from there.
  if (AskZooKeeper(**session, &problems) && !topics->empty()) {
    auto told = FactsOf(**session, *topics);
    if (told) {
      facts = *std::move(told);
    } else {
      AddIll(&problems, "configs not known", {ToString(told.error())},
             "which partitions are under min ISR is not shown; try again");
    }
  }
  AskBrokers(**session, *metadata, &problems);
  const Ills ills = IllsOf(*topics, facts, live);
  AddIll(&problems, "no leader", ills.leaderless, "bring a member of the ISR back: tidemark topic describe");
  AddIll(&problems, "under min ISR", ills.under_min_isr, "acks=all is refused until brokers are back");
  AddIll(&problems, "under-replicated", ills.under_replicated, "a broker is down or catching up");
  AddIll(&problems, "replica offline", ills.offline_replicas,
         "its disk failed, or its log is damaged: /state of the broker says which and why");
  AddIll(&problems, "deletion waits", ills.lingering,
         "a broker with replicas of it is down; the topic goes when that one is back");
  if (*format == OutputFormat::kTable && listing.size() == 0) {
    (void)Print(fmt::format("healthy: {}, {}\n", Counted(metadata->brokers_size(), "broker"),
                            Counted(topics->size(), "topic")));
    return kExitDone;
  }
  if (*format == OutputFormat::kJson) {
    (void)Print(JsonText({{"healthy", listing.size() == 0},
                          {"brokers", metadata->brokers_size()},
                          {"topics", topics->size()},
                          {"problems", listing.Json()}}));
  } else {
    (void)Print(listing.Text(*format));
  }
  return listing.size() == 0 ? kExitDone : kExitUnhealthy;
}

}  // namespace

std::vector<Command> ClusterVerbs() {
  return {
      {.name = "cluster info",
       .summary = "shows the cluster's id, brokers and controller",
       .examples = {"tidemark cluster info -b localhost:9092"},
       .flags = ReadingFlags({}),
       .run = RunInfo},
      {.name = "cluster health",
       .summary = "says what is wrong; exit status 10 when something is",
       .examples = {"tidemark cluster health && echo fine", "tidemark cluster health -o json"},
       .flags = ReadingFlags({}),
       .run = RunHealth},
  };
}

}  // namespace tidemark
