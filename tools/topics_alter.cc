// tidemark-topics --alter: more partitions.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <map>

#include "common/config/properties.h"
#include "tools/commands.h"
#include "tools/kafka_rows.h"
#include "tools/topics.h"

namespace tidemark {
namespace {

// Kafka's --replica-assignment lists all partitions; those that there are stay as they are.
void AddNewOnes(const std::vector<std::vector<int32_t>>& lists, int present,
                v1::CreatePartitionsRequest::Topic* wish) {
  for (size_t i = static_cast<size_t>(present); i < lists.size(); ++i) {
    v1::CreateTopicsRequest::Assignment* assignment = wish->add_assignments();
    assignment->set_partition(static_cast<uint32_t>(i));
    assignment->mutable_replicas()->Assign(lists[i].begin(), lists[i].end());
  }
}

}  // namespace

Result<std::vector<std::vector<int32_t>>> ParseReplicaAssignment(const std::string& text) {
  std::vector<std::vector<int32_t>> lists;
  for (const std::string& list : CommaList(text)) {
    std::vector<int32_t>& replicas = lists.emplace_back();
    for (size_t begin = 0; begin <= list.size();) {
      const size_t end = std::min(list.find(':', begin), list.size());
      int32_t id = -1;
      const auto [rest, code] = std::from_chars(list.data() + begin, list.data() + end, id);
      if (code != std::errc() || rest != list.data() + end || id < 0) {
        return Fail(v1::INVALID_REQUEST, "--replica-assignment '{}' is not of the form 0:1,1:2 (broker ids)",
                    text);
      }
      replicas.push_back(id);
      begin = end + 1;
    }
  }
  return lists;
}

int AlterTopicsAction(ToolSession& session, const Arguments& arguments) {
  const Result<std::string> text = arguments.Require("topic");
  if (!text) return ReportUsage(text.error());
  const auto partitions = arguments.GetInteger("partitions", 1, 1'000'000);
  if (!partitions) return ReportUsage(partitions.error());
  if (!*partitions) {
    return ReportUsage(Error{v1::INVALID_REQUEST,
                             "--alter needs --partitions N; configs are changed by tidemark-configs --alter "
                             "--topic NAME --add-config NAME=VALUE"});
  }
  const auto lists = ParseReplicaAssignment(arguments.GetOr("replica-assignment", ""));
  if (!lists) return ReportUsage(lists.error());
  if (CommaList(*text).empty()) return ReportUsage(Error{v1::INVALID_REQUEST, "--topic names none"});
  auto topics = TopicsMeant(session, *text, arguments.Has("if-exists"), TopicWords::kOfWriting);
  if (!topics) return ReportError(topics.error());
  v1::CreatePartitionsRequest request;
  request.set_validate_only(arguments.Has("dry-run"));
  for (const v1::TopicMetadata& topic : *topics) {
    v1::CreatePartitionsRequest::Topic* wish = request.add_topics();
    wish->set_name(topic.name());
    wish->set_partitions(static_cast<uint32_t>(**partitions));
    AddNewOnes(*lists, topic.partitions_size(), wish);
  }
  if (request.topics().empty()) return kExitDone;
  fmt::print(
      stderr,
      "warning: a record's partition follows from its key and the number of partitions: keys may go to "
      "other partitions from now on\n");
  auto response =
      session.Run([&] { return session.admin().CreatePartitions(request, session.After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  std::map<std::string, int> before;
  for (const v1::TopicMetadata& topic : *topics) before[topic.name()] = topic.partitions_size();
  Listing listing({"topic", "partitions_before", "partitions", "result"});
  int status = kExitDone;
  for (const auto& topic : response->topics()) {
    const bool done = topic.error().code() == v1::NONE;
    if (!done) status = ReportError(FromProto(topic.error()));
    listing.Add({topic.name(), before[topic.name()], **partitions,
                 !done                     ? "failed"
                 : request.validate_only() ? "would be added"
                                           : "added"});
  }
  if (const auto format = *RowFormatOf(arguments)) (void)Print(listing.Text(*format));
  return status != kExitDone && response->topics_size() > 1 ? kExitPartly : status;
}

}  // namespace tidemark
