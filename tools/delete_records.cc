// tidemark-delete-records: deletes the records of partitions below given offsets. Kafka's flags, input and
// output.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <set>

#include "common/io/posix_file_system.h"
#include "tools/commands.h"
#include "tools/delete_records.h"
#include "tools/session.h"

namespace tidemark {
namespace {

constexpr uint64_t kMostInputBytes = 64 << 20;

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
  fmt::print("Executing records delete operation\n");
  std::fflush(stdout);
  const auto outcomes = (*session)->Run(
      [&] { return (*session)->admin().DeleteRecords(*deletions, (*session)->After(kAdminTimeout)); });
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

Command DeleteRecordsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  flags.push_back({"offset-json-file", "FILE",
                   "What to delete: {\"partitions\": [{\"topic\": NAME, \"partition\": N, \"offset\": N}], "
                   "\"version\": 1}; records below the offset go, -1 means all."});
  return {"delete-records",
          "deletes the records of partitions below given offsets",
          {"tidemark-delete-records --bootstrap-server localhost:9092 --offset-json-file offsets.json"},
          flags,
          {},
          RunDeleteRecords};
}

}  // namespace tidemark
