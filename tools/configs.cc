// tidemark-configs: describe and change configs of topics, brokers, clients and users. Kafka's flags and
// output.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "tools/action_flags.h"
#include "tools/commands.h"
#include "tools/config_entity.h"
#include "tools/config_reading.h"
#include "tools/kafka_rows.h"
#include "tools/session.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

// What is stored and does not count.
void PrintPassedOver(const v1::DescribeConfigsResponse::PassedOver& passed) {
  PrintLine("  {} NOT IN FORCE ({}): {}",
            passed.name().empty() ? std::string("everything stored")
                                  : fmt::format("{}={}", passed.name(), passed.value()),
            KafkaSourceName(passed.source()), passed.reason());
}

void PrintQuotas(const DescribedConfigs& result, bool all) {
  std::vector<std::string> entries;
  for (const auto& entry : result.entries()) {
    if (all || entry.source() == OwnSource(result.entity())) {
      entries.push_back(fmt::format("{}={}", entry.name(), entry.value()));
    }
  }
  const auto part = [](const char* kind, const std::string& name) {
    return name.empty() ? fmt::format("the default {}", kind) : fmt::format("{} '{}'", kind, name);
  };
  const v1::ConfigEntity& entity = result.entity();
  const bool client = entity.type() == v1::CONFIG_ENTITY_TYPE_CLIENT;
  std::string whose = part(client ? "client-id" : "user-principal", entity.name());
  if (entity.has_client_id()) whose += ", " + part("client-id", entity.client_id());
  if (entries.empty() && result.passed_over().empty()) return;
  PrintLine("Quota configs for {} are {}", whose, fmt::join(entries, ", "));
  for (const auto& passed : result.passed_over()) PrintPassedOver(passed);
}

void PrintConfigs(const DescribedConfigs& result, bool all) {
  const v1::ConfigEntity& entity = result.entity();
  if (entity.name().empty()) {
    fmt::print("Default configs for {} in the cluster are:\n", PluralOf(entity.type()));
  } else {
    PrintLine("{} configs for {} {} are:", all ? "All" : "Dynamic", SingularOf(entity.type()), entity.name());
  }
  for (const auto& entry : result.entries()) {
    if (!all && entry.source() != OwnSource(entity)) continue;
    PrintLine("  {}={} sensitive={} synonyms={{{}}}", entry.name(), entry.value(), entry.sensitive(),
              fmt::join(SynonymTexts(entry, KafkaSourceName), ", "));
  }
  for (const auto& passed : result.passed_over()) {
    if (all || passed.source() == OwnSource(entity)) PrintPassedOver(passed);
  }
}

// Of a user with a client: that, or "<default>"; null of everything else.
Listing::Cell ClientCell(const v1::ConfigEntity& entity) {
  if (!entity.has_client_id()) return {};
  return entity.client_id().empty() ? "<default>" : entity.client_id();
}

// The same for programs: a row per config.
Listing ListingOf(const std::vector<DescribedConfigs>& described, bool all) {
  Listing listing({"kind", "entity", "name", "value", "source", "default", "read_only", "synonyms", "client",
                   "not_in_force"});
  const auto name_or_null = [](const std::string& name) {
    return name.empty() ? Listing::Cell() : Listing::Cell(name);
  };
  for (const DescribedConfigs& result : described) {
    for (const auto& entry : result.entries()) {
      if (!all && entry.source() != OwnSource(result.entity())) continue;
      listing.Add({SingularOf(result.entity().type()), name_or_null(result.entity().name()), entry.name(),
                   entry.sensitive() ? Listing::Cell() : Listing::Cell(entry.value()),
                   KafkaSourceName(entry.source()), entry.default_value(), entry.read_only(),
                   SynonymTexts(entry, KafkaSourceName), ClientCell(result.entity()), Listing::Cell()});
    }
    for (const auto& passed : result.passed_over()) {
      if (!all && passed.source() != OwnSource(result.entity())) continue;
      listing.Add({SingularOf(result.entity().type()), name_or_null(result.entity().name()),
                   name_or_null(passed.name()),
                   passed.name().empty() ? Listing::Cell() : Listing::Cell(passed.value()),
                   KafkaSourceName(passed.source()), Listing::Cell(), false, Listing::Cell::array(),
                   ClientCell(result.entity()), passed.reason()});
    }
  }
  return listing;
}

int Describe(ToolSession& session, const Arguments& arguments, const ConfigSubject& subject) {
  const bool all = arguments.Has("all");
  const auto described = ReadConfigsOf(session, subject, all);
  if (!described) return ReportError(described.error());
  for (const DescribedConfigs& result : *described) {
    if (result.error().code() != v1::NONE) return ReportError(FromProto(result.error()));
  }
  if (arguments.Has("output")) return Finish(ListingOf(*described, all), *FormatOf(arguments));
  for (const DescribedConfigs& result : *described) {
    if (HasQuotas(result.entity().type())) {
      PrintQuotas(result, all);
    } else {
      PrintConfigs(result, all);
    }
  }
  return kExitDone;
}

int Alter(ToolSession& session, const v1::AlterConfigsRequest::Change& change) {
  if (const auto sent = SendChange(session, change, false); !sent) return ReportError(sent.error());
  if (change.entity().has_client_id()) {
    PrintLine("Completed updating config for {}.", NameOfEntity(change.entity()));
  } else if (change.entity().name().empty()) {
    fmt::print("Completed updating default config for {} in the cluster.\n",
               PluralOf(change.entity().type()));
  } else {
    PrintLine("Completed updating config for {} {}.", SingularOf(change.entity().type()),
              change.entity().name());
  }
  return kExitDone;
}

int RunConfigs(const Arguments& arguments) {
  const auto action = ActionOf(
      arguments,
      {{"describe", {"all"}}, {"alter", {"add-config", "add-config-file", "delete-config", "dry-run"}}});
  if (!action) return ReportUsage(action.error());
  const auto format = RowFormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const bool alter = *action == "alter";
  const Result<ConfigSubject> subject = SubjectOf(arguments);
  if (!subject) return ReportUsage(subject.error());
  v1::AlterConfigsRequest::Change change;
  if (alter) {
    auto wanted = ChangeOf(arguments, *subject);
    if (!wanted) return ReportUsage(wanted.error());
    change = std::move(*wanted);
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  if (alter && *format) return ChangeConfigs(**session, change, **format, arguments.Has("dry-run"));
  return alter ? Alter(**session, change) : Describe(**session, arguments, *subject);
}

}  // namespace

Command ConfigsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"describe", "", "Shows configs; without a name those of all topics, brokers, clients or users."},
      {"alter", "", "Changes configs."},
      {"all", "", "With --describe: also those that are not set for the entity itself."},
      {"force", "", "Taken because Kafka has it: nothing asks."},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  flags.push_back(DryRunFlag());
  flags.push_back(RowsFlag());
  for (FlagSpec& flag : ConfigEntityFlags()) flags.push_back(std::move(flag));
  return {"configs",
          "shows and changes configs of topics and brokers, and quotas of clients and users",
          {"tidemark-configs --bootstrap-server localhost:9092 --describe --entity-type topics --entity-name "
           "orders",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --topic orders --add-config "
           "min.insync.replicas=2",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --broker-defaults --add-config "
           "log.retention.ms=86400000",
           "tidemark-configs --bootstrap-server localhost:9092 --alter --client batch-load --add-config "
           "producer_byte_rate=1048576"},
          flags,
          {},
          RunConfigs};
}

}  // namespace tidemark
