// tidemark-topics: create, list, describe, alter and delete topics. Kafka's flags and output.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "common/config/properties.h"
#include "common/config/topic_configs.h"
#include "tools/action_flags.h"
#include "tools/commands.h"
#include "tools/config_entity.h"
#include "tools/kafka_rows.h"
#include "tools/replica_warning.h"
#include "tools/session.h"
#include "tools/shown_work.h"
#include "tools/topic_match.h"
#include "tools/topic_rows.h"
#include "tools/topics.h"

namespace tidemark {
namespace {

Result<v1::CreateTopicsRequest> CreateRequest(const Arguments& arguments, const std::string& name) {
  v1::CreateTopicsRequest request;
  v1::CreateTopicsRequest::Topic* topic = request.add_topics();
  topic->set_name(name);
  TM_ASSIGN_OR_RETURN(const auto partitions, arguments.GetInteger("partitions", 1, 1'000'000));
  TM_ASSIGN_OR_RETURN(const auto replicas, arguments.GetInteger("replication-factor", 1, 32767));
  topic->set_partitions(static_cast<uint32_t>(partitions.value_or(0)));
  topic->set_replication_factor(static_cast<uint32_t>(replicas.value_or(0)));
  if (const auto assignment = arguments.Get("replica-assignment")) {
    if (partitions || replicas) {
      return Fail(v1::INVALID_REQUEST,
                  "--replica-assignment says it all: leave out --partitions and --replication-factor");
    }
    TM_ASSIGN_OR_RETURN(const auto lists, ParseReplicaAssignment(*assignment));
    for (const std::vector<int32_t>& replicas : lists) {
      v1::CreateTopicsRequest::Assignment* one = topic->add_assignments();
      one->set_partition(static_cast<uint32_t>(topic->assignments_size() - 1));
      one->mutable_replicas()->Assign(replicas.begin(), replicas.end());
    }
  }
  TM_ASSIGN_OR_RETURN(const auto configs, ConfigsOfFlag(arguments, "config"));
  topic->mutable_configs()->insert(configs.begin(), configs.end());
  request.set_timeout_ms(static_cast<uint32_t>(ToMillis(kAdminTimeout) / 2));
  request.set_validate_only(arguments.Has("dry-run"));
  return request;
}

// What became of a topic, in Kafka's words or as a row.
int Tell(const Arguments& arguments, const std::string& kafka, const std::string& topic, const char* result) {
  const auto format = *RowFormatOf(arguments);
  if (!format) {
    fmt::print("{}", kafka);
    return kExitDone;
  }
  Listing listing({"topic", "result"});
  listing.Add({topic, result});
  return Finish(listing, *format);
}

int Create(ToolSession& session, const Arguments& arguments) {
  Result<std::string> name = arguments.Require("topic");
  if (!name) return ReportUsage(name.error());
  Result<v1::CreateTopicsRequest> request = CreateRequest(arguments, *name);
  if (!request) return ReportUsage(request.error());
  auto response =
      session.Run([&] { return session.admin().CreateTopics(*request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  const v1::CreateTopicsResponse::Topic& topic = response->topics(0);
  if (topic.error().code() == v1::TOPIC_ALREADY_EXISTS && arguments.Has("if-not-exists")) {
    const Result<> stays = CheckStays(session, *name);
    (void)Tell(arguments, "", *name, stays ? "exists" : "failed");
    return stays ? kExitDone : ReportError(stays.error(), kGoingHint);
  }
  if (topic.error().code() != v1::NONE) {
    (void)Tell(arguments, "", *name, "failed");
    return ReportError(FromProto(topic.error()));
  }
  WarnOfConfigs(*request, topic);
  WarnOfFewReplicas(session, *request, topic);
  if (request->validate_only()) return Tell(arguments, "", *name, "would be created");
  Progress bar(session.env().clock(), "creating", ProgressUnit::kTopics, 1);
  auto seen = RunShown(
      session, bar, [&] { return session.admin().AwaitTopic(*name, false, session.After(kAdminTimeout)); });
  bar.Clear();
  if (!seen) return ReportError(seen.error(), "the topic is created; the cluster is slow to take it over");
  return Tell(arguments, fmt::format("Created topic {}.\n", *name), *name, "created");
}

int DeleteTopics(ToolSession& session, const Arguments& arguments) {
  Result<std::string> text = arguments.Require("topic");
  if (!text) return ReportUsage(text.error());
  if (CommaList(*text).empty()) return ReportUsage({v1::INVALID_REQUEST, "--topic names none"});
  auto topics = TopicsMeant(session, *text, arguments.Has("if-exists"), TopicWords::kOfWriting);
  if (!topics) return ReportError(topics.error());
  const std::vector<std::string> names = TopicsToDelete(*topics, *text);
  v1::DeleteTopicsRequest request;
  request.set_timeout_ms(static_cast<uint32_t>(ToMillis(kDeletionWait)));
  for (const std::string& name : names) request.add_names(name);
  const auto format = *RowFormatOf(arguments);
  Listing listing({"topic", "result"});
  if (request.names().empty() || arguments.Has("dry-run")) {
    const int status = DryRunOfDeletion(names, &listing);
    if (format) (void)Print(listing.Text(*format));
    return status;
  }
  Progress bar(session.env().clock(), "deleting", ProgressUnit::kTopics,
               static_cast<uint64_t>(request.names_size()));
  auto response = RunShown(
      session, bar, [&] { return session.admin().DeleteTopics(request, session.After(kAdminTimeout)); });
  bar.Clear();
  if (!response) return ReportError(response.error());
  int status = kExitDone;
  for (const v1::DeleteTopicsResponse::Topic& topic : response->topics()) {
    if (topic.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION && arguments.Has("if-exists")) continue;
    if (topic.error().code() != v1::NONE) {
      const bool marked = topic.error().code() == v1::REQUEST_TIMED_OUT;
      status = ReportError(FromProto(topic.error()), marked ? kDeletionHint : "");
      listing.Add({topic.name(), "failed"});
      continue;
    }
    auto gone = RunShown(session, bar, [&] {
      return session.admin().AwaitTopic(topic.name(), true, session.After(kAdminTimeout));
    });
    bar.Add(1);
    bar.Clear();
    if (!gone) {
      status = ReportError(gone.error());
      listing.Add({topic.name(), "failed"});
      continue;
    }
    listing.Add({topic.name(), "deleted"});
    if (!format) fmt::print("Deleted topic {}.\n", topic.name());
  }
  if (format) (void)Print(listing.Text(*format));
  return request.names_size() > 1 && status != kExitDone ? kExitPartly : status;
}

int ListTopics(ToolSession& session, const Arguments& arguments) {
  Result<TopicMatch> match = TopicMatch::Of(arguments.GetOr("topic", ""));
  if (!match) return ReportUsage(match.error());
  auto metadata = session.Metadata({}, true);
  if (!metadata) return ReportError(metadata.error());
  match->TakeMissingAsExpressions(NamesOf(*metadata));
  const bool internal = !arguments.Has("exclude-internal");
  TellWhenNoneMatches(*metadata, *match, arguments.GetOr("topic", ""), internal);
  if (const auto format = *RowFormatOf(arguments))
    return Finish(TopicRows(*metadata, *match, internal), *format);
  std::map<std::string, bool> names;  // name -> being deleted
  for (const v1::TopicMetadata& topic : metadata->topics()) {
    if (!internal && topic.internal()) continue;
    if (match->Matches(topic.name())) names[topic.name()] = topic.deleting();
  }
  for (const auto& [name, deleting] : names)
    fmt::print("{}{}\n", name, deleting ? " - marked for deletion" : "");
  return kExitDone;
}

std::vector<ActionFlags> Actions() {
  return {{"create",
           {"partitions", "replication-factor", "replica-assignment", "config", "if-not-exists", "dry-run"}},
          {"list", {"exclude-internal"}},
          {"describe",
           {"if-exists", "exclude-internal", "under-replicated-partitions", "unavailable-partitions",
            "under-min-isr-partitions", "at-min-isr-partitions", "topics-with-overrides", "topic-id"}},
          {"alter", {"partitions", "replica-assignment", "if-exists", "dry-run"}},
          {"delete", {"if-exists", "dry-run"}}};
}

int RunTopics(const Arguments& arguments) {
  if (arguments.Has("alter") && arguments.Has("config")) {
    return ReportUsage({v1::INVALID_REQUEST,
                        "--config goes with --create; configs of a topic that is there are changed by "
                        "tidemark-configs --alter --topic NAME --add-config NAME=VALUE"});
  }
  if (arguments.Has("delete-config")) {
    return ReportUsage(
        {v1::INVALID_REQUEST,
         "configs of a topic are removed by tidemark-configs --alter --topic NAME --delete-config "
         "NAME"});
  }
  const auto action = ActionOf(arguments, Actions());
  if (!action) return ReportUsage(action.error());
  if (const auto format = RowFormatOf(arguments); !format) return ReportUsage(format.error());
  if (*action != "create") {
    const auto match = TopicMatch::Of(arguments.GetOr("topic", ""));
    if (!match) return ReportUsage(match.error());
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  if (*action == "create") return Create(**session, arguments);
  if (*action == "delete") return DeleteTopics(**session, arguments);
  if (*action == "list") return ListTopics(**session, arguments);
  if (*action == "alter") return AlterTopicsAction(**session, arguments);
  return DescribeTopicsAction(**session, arguments);
}

}  // namespace

void WarnOfConfigs(const v1::CreateTopicsRequest& request, const v1::CreateTopicsResponse::Topic& created) {
  const auto wish =
      std::ranges::find(request.topics(), created.name(), &v1::CreateTopicsRequest::Topic::name);
  if (wish == request.topics().end()) return;
  const Properties configs(wish->configs().begin(), wish->configs().end());
  for (const auto& [name, value] : configs) {
    const ConfigDef* def = TopicConfigTable().Find(name);
    if (def != nullptr && def->effect == ConfigEffect::kNone && value != def->default_value)
      Say("warning: {}: {} has no effect yet", wish->name(), name);
  }
  const uint32_t replicas = created.replication_factor();
  const int64_t min_isr = MakeTopicConfigs({}, configs).min_insync_replicas;
  if (configs.contains("min.insync.replicas") && min_isr > replicas) {
    Say("warning: {}: min.insync.replicas={} is above the replication factor and acts as {}", wish->name(),
        min_isr, replicas);
  }
}

Result<> CheckStays(ToolSession& session, const std::string& topic) {
  const auto answer =
      session.Run([&] { return session.admin().DescribeTopics({topic}, session.After(kAdminTimeout)); });
  if (!answer) return std::unexpected(answer.error());
  for (const v1::TopicMetadata& told : answer->topics()) {
    // Not known any more: its deletion is all that is left of it.
    if (told.deleting() || told.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION)
      return Fail(v1::TOPIC_ALREADY_EXISTS, "topic '{}' is being deleted", topic);
  }
  return {};
}

std::vector<std::string> TopicsToDelete(const std::vector<v1::TopicMetadata>& topics,
                                        const std::string& text) {
  const auto match = TopicMatch::Of(text);
  std::vector<std::string> names;
  for (const v1::TopicMetadata& topic : topics) {
    const bool named = match && std::ranges::find(match->names(), topic.name()) != match->names().end();
    if (named || !IsInternalTopic(topic.name())) names.push_back(topic.name());
  }
  return names;
}

int DryRunOfDeletion(const std::vector<std::string>& names, Listing* listing) {
  int status = kExitDone;
  for (const std::string& name : names) {
    const bool internal = IsInternalTopic(name);
    listing->Add({name, internal ? "would fail" : "would be deleted"});
    if (!internal) continue;
    status = ReportError({v1::INVALID_TOPIC_EXCEPTION,
                          fmt::format("topic '{}' is the system's own and cannot be deleted", name)});
  }
  return status != kExitDone && names.size() > 1 ? kExitPartly : status;
}

std::vector<std::string> NamesOf(const v1::MetadataResponse& metadata) {
  std::vector<std::string> names;
  for (const v1::TopicMetadata& topic : metadata.topics()) names.push_back(topic.name());
  return names;
}

std::string MatchesAsExpressions(const std::vector<std::string>& missing,
                                 const std::vector<std::string>& known) {
  constexpr size_t kNamed = 3;
  std::vector<std::string> found;
  for (const std::string& name : missing) {
    const auto match = TopicMatch::OfExpressions(name);
    if (!match) continue;
    std::ranges::copy_if(known, std::back_inserter(found),
                         [&](const std::string& topic) { return match->Matches(topic); });
  }
  std::ranges::sort(found);
  found.erase(std::ranges::unique(found).begin(), found.end());
  if (found.empty()) return {};
  const size_t more = found.size() - std::min(found.size(), kNamed);
  found.resize(found.size() - more);
  return fmt::format("as an expression it would match {}{}", fmt::join(found, ", "),
                     more > 0 ? fmt::format(" and {} more", more) : "");
}

namespace {

// Named and not there.
bool IsMissing(const v1::TopicMetadata& topic) {
  return topic.error().code() != v1::NONE && topic.partitions_size() == 0;
}

std::vector<std::string> DottedAndMissing(const TopicMatch& match, const v1::MetadataResponse& metadata) {
  std::vector<std::string> out;
  for (const std::string& name : match.names()) {
    const auto found = std::ranges::find(metadata.topics(), name, &v1::TopicMetadata::name);
    const bool there =
        found != metadata.topics().end() && found->error().code() != v1::UNKNOWN_TOPIC_OR_PARTITION;
    if (name.contains('.') && !there) out.push_back(name);
  }
  return out;
}

}  // namespace

Result<std::vector<v1::TopicMetadata>> TopicsMeant(ToolSession& session, const std::string& text,
                                                   bool missing_is_fine, TopicWords words) {
  TM_ASSIGN_OR_RETURN(TopicMatch match, words == TopicWords::kExpressions ? TopicMatch::OfExpressions(text)
                                                                          : TopicMatch::Of(text));
  TM_ASSIGN_OR_RETURN(v1::MetadataResponse metadata, session.Metadata(match.names(), !match.only_names()));
  const std::vector<std::string> dotted = DottedAndMissing(match, metadata);
  if (!dotted.empty() && (words == TopicWords::kOfReading || !missing_is_fine)) {
    TM_ASSIGN_OR_RETURN(v1::MetadataResponse all, session.Metadata({}, true));
    const std::string meant = MatchesAsExpressions(dotted, NamesOf(all));
    if (!meant.empty() && words == TopicWords::kOfReading) {
      match.TakeMissingAsExpressions(NamesOf(all));
      metadata = std::move(all);
    } else if (!meant.empty()) {
      return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic '{}'; {}", dotted[0], meant);
    }
  }
  std::map<std::string, v1::TopicMetadata> found;
  for (const v1::TopicMetadata& topic : metadata.topics()) {
    if (!match.Matches(topic.name())) continue;
    if (!IsMissing(topic)) {
      found[topic.name()] = topic;
    } else if (!missing_is_fine) {
      return std::unexpected(FromProto(topic.error()));
    }
  }
  if (found.empty() && !match.everything() && !missing_is_fine)
    return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "{}", NoneMatches("topic", text, NamesOf(metadata)));
  for (const std::string& name : match.names()) {
    if (!found.contains(name) && !missing_is_fine)
      return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic '{}'", name);
  }
  std::vector<v1::TopicMetadata> topics;
  for (auto& [name, topic] : found) topics.push_back(std::move(topic));
  return topics;
}

Command TopicsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"create", "", "Creates a topic; returns when every live broker shows it, with leaders."},
      {"list", "", "Lists the topics."},
      {"describe", "", "Shows leader, replicas and ISR of each partition."},
      {"alter", "", "Adds partitions: --partitions says how many there are to be."},
      {"delete", "", "Deletes topics; returns when no live broker shows them any more."},
      {"topic", "NAME",
       "The topic; all but --create take several, separated by commas, and regular expressions."},
      {"topic-id", "ID", "With --describe: the topic with this id."},
      {"partitions", "N",
       "Number of partitions (of a new topic, default: num.partitions of the controller)."},
      {"replication-factor", "N",
       "Number of replicas (default: default.replication.factor of the controller)."},
      {"replica-assignment", "0:1,1:2", "Brokers of each partition, preferred leader first."},
      {"config", "NAME=VALUE", "A config of the new topic.", true},
      {"delete-config", "NAME", "Not taken with brokers, as in Kafka: tidemark-configs --delete-config.",
       true},
      {"if-not-exists", "", "With --create: an existing topic is no error."},
      {"if-exists", "", "With --describe, --alter and --delete: a missing topic is no error."},
      {"exclude-internal", "", "With --list and --describe: leaves out the system's own topics."},
      {"under-replicated-partitions", "", "With --describe: only partitions whose ISR is not all replicas."},
      {"unavailable-partitions", "", "With --describe: only partitions without a live leader."},
      {"under-min-isr-partitions", "",
       "With --describe: only partitions that refuse acks=all for want of ISR."},
      {"at-min-isr-partitions", "", "With --describe: only partitions whose ISR may not lose one more."},
      {"topics-with-overrides", "", "With --describe: only topics with configs of their own."},
      DryRunFlag(),
      RowsFlag(),
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {"topics",
          "creates, lists, describes, alters and deletes topics",
          {"tidemark-topics --bootstrap-server localhost:9092 --create --topic orders --partitions 6 "
           "--replication-factor 3",
           "tidemark-topics --bootstrap-server localhost:9092 --describe --topic orders",
           "tidemark-topics --zookeeper localhost:2181 --list"},
          flags,
          {},
          RunTopics};
}

}  // namespace tidemark
