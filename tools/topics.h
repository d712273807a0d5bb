// The actions of tidemark-topics, and the pure parts of them. Main thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/result.h"
#include "tidemark/v1/client_api.pb.h"
#include "tools/arguments.h"
#include "tools/listing.h"
#include "tools/session.h"

namespace tidemark {

// "0:1,1:2" -> partition 0 on brokers 0 and 1, partition 1 on 1 and 2.
Result<std::vector<std::vector<int32_t>>> ParseReplicaAssignment(const std::string& text);

// What describing a topic needs beside its metadata.
struct TopicFacts {
  std::string overrides;  // "a=1,b=2"
  std::optional<uint32_t> min_isr;
  std::optional<Error> unknown;  // why its configs cannot be read now
};

// The partitions that --describe shows. Without any set: all.
struct PartitionFilter {
  bool under_replicated = false;
  bool unavailable = false;
  bool under_min_isr = false;
  bool at_min_isr = false;
  static PartitionFilter Of(const Arguments& arguments);
  bool any() const { return under_replicated || unavailable || under_min_isr || at_min_isr; }
  // It asks for min.insync.replicas, which `facts` do not know of all topics: nothing true can be shown.
  std::optional<Error> CannotJudge(const std::map<std::string, TopicFacts>& facts) const;
};

// Several filters narrow each other. `live`: ids of live brokers; `min_isr`: the topic's min.insync.replicas,
// which counts as at most the number of replicas. Where that is not known, only what has no leader is under
// it.
bool IsShown(const PartitionFilter& filter, const v1::PartitionMetadata& partition,
             const std::set<int32_t>& live, std::optional<uint32_t> min_isr);

// By topic name; one call. Topics whose configs cannot be read (ZooKeeper is out of reach) are warned of on
// stderr.
Result<std::map<std::string, TopicFacts>> FactsOf(ToolSession& session,
                                                  const std::vector<v1::TopicMetadata>& topics);

// Kafka's line of one partition, with its line end.
std::string PartitionLine(const std::string& topic, const v1::PartitionMetadata& partition);

// Warns, as a change of configs does, of those of a new topic that are legal, but not to be met or without
// effect; on stderr.
void WarnOfConfigs(const v1::CreateTopicsRequest& request, const v1::CreateTopicsResponse::Topic& created);

// Asks the controller of a topic that a creation found there: TOPIC_ALREADY_EXISTS where it is being deleted,
// so that it will not be there.
Result<> CheckStays(ToolSession& session, const std::string& topic);
inline constexpr const char* kGoingHint =
    "create it again when 'tidemark topic list' does not show it any more; that waits for the brokers that "
    "hold its replicas, of which one may be down";

// Of the topics that `text` came to, those that a deletion is to name: the system's own only where they are
// named, not where an expression matches them.
std::vector<std::string> TopicsToDelete(const std::vector<v1::TopicMetadata>& topics,
                                        const std::string& text);
// What a dry run of a deletion says: a row per topic; the error that the controller would answer is reported.
// The exit status.
int DryRunOfDeletion(const std::vector<std::string>& names, Listing* listing);

int DescribeTopicsAction(ToolSession& session, const Arguments& arguments);
int AlterTopicsAction(ToolSession& session, const Arguments& arguments);

// How words that could be names or expressions are read.
enum class TopicWords {
  kOfWriting,    // what can be a name is one
  kOfReading,    // ... unless there is no topic of that name (TopicMatch::TakeMissingAsExpressions)
  kExpressions,  // never as names
};

// The topics that `text` means, by name. UNKNOWN_TOPIC_OR_PARTITION with the nearest name, or, where what is
// named would match as an expression, with what it would, unless `missing_is_fine`.
Result<std::vector<v1::TopicMetadata>> TopicsMeant(ToolSession& session, const std::string& text,
                                                   bool missing_is_fine, TopicWords words);
// Their names.
std::vector<std::string> NamesOf(const v1::MetadataResponse& metadata);
// The error for topics that are named and not there, among all that there are: says what those names would
// match as expressions; empty when they would match nothing.
std::string MatchesAsExpressions(const std::vector<std::string>& missing,
                                 const std::vector<std::string>& known);

}  // namespace tidemark
