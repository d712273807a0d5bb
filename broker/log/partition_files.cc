#include "broker/log/partition_files.h"

#include <charconv>
#include <sstream>

#include <fmt/format.h>

namespace tidemark {
namespace {

constexpr std::string_view kMetadataName = "partition.metadata";
constexpr std::string_view kEpochName = "leader-epoch-checkpoint";
constexpr std::string_view kTopicIdWord = "topic_id: ";

template <typename T>
bool ParseNumber(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

std::string PartitionFolderName(std::string_view topic, PartitionIndex partition) {
  return fmt::format("{}-{}", topic, partition);
}

std::optional<std::pair<std::string, PartitionIndex>> ParsePartitionFolderName(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  PartitionIndex partition = 0;
  const std::string_view topic = name.substr(0, dash);
  const std::string_view number = name.substr(dash + 1);
  if (!ParseNumber(number, &partition) || std::to_string(partition) != number) return std::nullopt;
  if (!ValidateTopicName(topic)) return std::nullopt;
  return std::pair(std::string(topic), partition);
}

std::string WithSuffix(const std::string& path, std::string_view suffix) {
  const size_t name = path.rfind('/') + 1;
  return path.substr(0, std::min(path.size(), name + kMaxFileName - suffix.size())) + std::string(suffix);
}

std::optional<std::string_view> NameBeforeSetAside(std::string_view name) {
  constexpr std::string_view kDamaged = "damaged.";
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view tail = name.substr(dash + 1);
  if (tail == "delete" || tail == "stray") return name.substr(0, std::min(name.rfind('.'), dash));
  uint64_t number = 0;
  if (tail.starts_with(kDamaged) && ParseNumber(tail.substr(kDamaged.size()), &number))
    return name.substr(0, dash);
  return std::nullopt;
}

Result<TopicId> ReadPartitionMetadata(FileSystem& files, const std::string& folder) {
  const std::string path = fmt::format("{}/{}", folder, kMetadataName);
  TM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(files, path, 4096));
  TM_ASSIGN_OR_RETURN(const std::string content, VerifyChecksum(bytes, path));
  const size_t word = content.find(kTopicIdWord);
  const size_t end = content.find('\n', word == std::string::npos ? 0 : word);
  if (!content.starts_with("version: 0\n") || word == std::string::npos || end == std::string::npos) {
    return Fail(v1::CORRUPT_MESSAGE, "{} is not a version 0 partition.metadata", path);
  }
  const size_t begin = word + kTopicIdWord.size();
  auto id = TopicId::FromBase64(std::string_view(content).substr(begin, end - begin));
  if (!id) return Fail(v1::CORRUPT_MESSAGE, "{}: {}", path, id.error().message);
  return id;
}

Result<> WritePartitionMetadata(FileSystem& files, const std::string& folder, const TopicId& id) {
  return WriteFileDurably(files, fmt::format("{}/{}", folder, kMetadataName),
                          WithChecksum(fmt::format("version: 0\n{}{}\n", kTopicIdWord, id.ToBase64())));
}

std::string EpochFilePath(const std::string& folder) { return fmt::format("{}/{}", folder, kEpochName); }

std::string EncodeEpochTable(const EpochTable& table) {
  std::string out = fmt::format("0\n{}\n", table.entries().size());
  for (const auto& entry : table.entries()) {
    fmt::format_to(std::back_inserter(out), "{} {}\n", entry.epoch, entry.start);
  }
  return WithChecksum(out);
}

Result<EpochTable> ReadEpochTable(FileSystem& files, const std::string& folder) {
  const std::string path = EpochFilePath(folder);
  TM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(files, path));
  TM_ASSIGN_OR_RETURN(const std::string content, VerifyChecksum(bytes, path));
  std::istringstream in(content);
  uint32_t version = 1;
  size_t count = 0;
  in >> version >> count;
  EpochTable table;
  for (size_t i = 0; in && version == 0 && i < count; ++i) {
    LeaderEpoch epoch = 0;
    Offset start = 0;
    in >> epoch >> start;
    const auto last = table.latest_entry();
    if (!in || (last && (epoch <= last->epoch || start <= last->start))) {
      return Fail(v1::CORRUPT_MESSAGE, "{}: entry {} is malformed or does not rise", path, i);
    }
    table.Begin(epoch, start);
  }
  if (!in || version != 0) return Fail(v1::CORRUPT_MESSAGE, "{} is not a version 0 epoch table", path);
  return table;
}

}  // namespace tidemark
