// tidemark-delete-records: deletes the records of partitions below given offsets. Kafka's flags, input and
// output.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <set>

#include <glog/logging.h>

#include "client/list_offsets.h"
#include "common/io/posix_file_system.h"
#include "tools/commands.h"
#include "tools/delete_records.h"
#include "tools/session.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

constexpr uint64_t kMostInputBytes = 64 << 20;
// Partitions asked for at a time.
constexpr size_t kAtOnce = 200;

// Where the logs begin now, and where they would.
int ShowDeletions(ToolSession& session, const std::vector<RecordDeletion>& deletions) {
  std::map<std::string, std::vector<const RecordDeletion*>> by_topic;
  for (const RecordDeletion& deletion : deletions) by_topic[deletion.topic].push_back(&deletion);
  int status = kExitDone;
  size_t failed = 0;
  for (const auto& [topic, of_topic] : by_topic) {
    std::vector<PartitionIndex> partitions;
    for (const RecordDeletion* deletion : of_topic) partitions.push_back(deletion->partition);
    const auto ask = [&](int64_t time) -> Result<std::vector<OffsetOfPartition>> {
      TM_RETURN_IF_ERROR(session.Run(
          [&] { return EnsureTopic(session.cluster(), topic, session.After(kAdminTimeout), {}); }));
      return session.Run([&] {
        return AskOffsets(session.cluster(), topic, partitions, time, session.After(kAdminTimeout), {});
      });
    };
    const auto starts = ask(kEarliestTimestamp);
    const auto ends = starts ? ask(kLatestTimestamp) : starts;
    if (!ends) {
      status = ReportError(ends.error());
      failed += of_topic.size();
      continue;
    }
    for (size_t i = 0; i < of_topic.size(); ++i) {
      const auto& start = (*starts)[i].offset;
      const auto& end = (*ends)[i].offset;
      if (!start || !end) {
        status = ReportError(start ? end.error() : start.error());
        ++failed;
        continue;
      }
      const Offset from = start->value_or(0), to = end->value_or(0);
      const Offset before = of_topic[i]->before.value_or(to);
      if (before > to) {
        status =
            ReportError({v1::OFFSET_OUT_OF_RANGE, fmt::format("{}-{} ends at {}", topic, partitions[i], to)});
        ++failed;
        continue;
      }
      fmt::print("partition: {}-{}\tlow_watermark: {}\twould be: {}\n", topic, partitions[i], from,
                 std::max(from, before));
    }
  }
  return OverallStatus(failed, deletions.size(), status);
}

int RunDeleteRecords(const Arguments& arguments) {
  const Result<std::string> path = arguments.Require("offset-json-file");
  if (!path) return ReportUsage(path.error());
  const std::unique_ptr<FileSystem> files = MakePosixFileSystem();
  const Result<std::string> text = ReadFile(*files, *path, kMostInputBytes);
  if (!text) return ReportError(text.error());
  const Result<std::vector<RecordDeletion>> deletions = ParseOffsetFile(*text);
  if (!deletions) {
    return ReportError(
        deletions.error(),
        R"({"partitions": [{"topic": "orders", "partition": 0, "offset": 100}], "version": 1}; offset -1: all)");
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  if (arguments.Has("dry-run")) return ShowDeletions(**session, *deletions);
  fmt::print("Executing records delete operation\n");
  std::fflush(stdout);
  const auto outcomes = DeleteRecordsShown(**session, *deletions);
  fmt::print("Records delete operation completed:\n");
  size_t failed = 0;
  for (const DeletionOutcome& outcome : outcomes) {
    if (outcome.low_watermark) {
      fmt::print("partition: {}-{}\tlow_watermark: {}\n", outcome.topic, outcome.partition,
                 *outcome.low_watermark);
    } else {
      ++failed;
      fmt::print("partition: {}-{}\terror: {}\n", outcome.topic, outcome.partition,
                 ToString(outcome.low_watermark.error()));
    }
  }
  if (failed == 0) return kExitDone;
  fmt::print(stderr, "error: {} of {} partitions failed\n", failed, outcomes.size());
  return failed < outcomes.size() ? kExitPartly : kExitFailed;
}

}  // namespace

Result<std::vector<RecordDeletion>> ParseOffsetFile(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(v1::INVALID_REQUEST, "the offset file is not a JSON object");
  const auto version = json.find("version");
  if (version != json.end() && *version != 1) {
    return Fail(v1::INVALID_REQUEST, "the offset file has version {}; 1 is known", version->dump());
  }
  const auto partitions = json.find("partitions");
  if (partitions == json.end() || !partitions->is_array() || partitions->empty()) {
    return Fail(v1::INVALID_REQUEST, "the offset file has no list of \"partitions\"");
  }
  std::vector<RecordDeletion> deletions;
  std::set<std::pair<std::string, PartitionIndex>> seen;
  for (const auto& entry : *partitions) {
    const auto is = [&](const char* name, auto check) {
      return entry.is_object() && entry.contains(name) && check(entry[name]);
    };
    const bool legal =
        is("topic", [](const auto& v) { return v.is_string(); }) &&
        is("partition", [](const auto& v) { return v.is_number_unsigned() && v <= INT32_MAX; }) &&
        is("offset", [](const auto& v) { return v.is_number_integer() && v >= -1 && v <= INT64_MAX; });
    if (!legal) {
      return Fail(v1::INVALID_REQUEST, "{} does not name a topic, a partition and an offset (-1 or more)",
                  entry.dump());
    }
    RecordDeletion deletion{entry["topic"].template get<std::string>(),
                            entry["partition"].template get<PartitionIndex>(), std::nullopt};
    TM_RETURN_IF_ERROR(ValidateTopicName(deletion.topic));
    if (entry["offset"] >= 0) deletion.before = entry["offset"].template get<Offset>();
    if (!seen.emplace(deletion.topic, deletion.partition).second) {
      return Fail(v1::INVALID_REQUEST, "Offset json file contains duplicate topic partitions: {}-{}",
                  deletion.topic, deletion.partition);
    }
    deletions.push_back(std::move(deletion));
  }
  return deletions;
}

std::vector<DeletionOutcome> DeleteRecordsShown(ToolSession& session,
                                                const std::vector<RecordDeletion>& deletions) {
  Progress bar(session.env().clock(), "deleting", ProgressUnit::kPartitions, deletions.size());
  std::vector<DeletionOutcome> out;
  while (out.size() < deletions.size()) {
    const auto begin = deletions.begin() + static_cast<ptrdiff_t>(out.size());
    const std::vector<RecordDeletion> part(
        begin, begin + static_cast<ptrdiff_t>(std::min(kAtOnce, deletions.size() - out.size())));
    auto outcomes = RunShown(
        session, bar, [&] { return session.admin().DeleteRecords(part, session.After(kAdminTimeout)); });
    CHECK_EQ(outcomes.size(), part.size()) << "not every partition has its outcome";
    std::ranges::move(outcomes, std::back_inserter(out));
    bar.Set(out.size());
  }
  return out;
}

Command DeleteRecordsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  flags.push_back({"offset-json-file", "FILE",
                   "What to delete: {\"partitions\": [{\"topic\": NAME, \"partition\": N, \"offset\": N}], "
                   "\"version\": 1}; records below the offset go, -1 means all."});
  flags.push_back(DryRunFlag());
  return {"delete-records",
          "deletes the records of partitions below given offsets",
          {"tidemark-delete-records --bootstrap-server localhost:9092 --offset-json-file offsets.json"},
          flags,
          {},
          RunDeleteRecords};
}

}  // namespace tidemark
