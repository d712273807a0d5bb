// The small files and the names of a partition's folder: `partition.metadata` (which topic it belongs to) and
// `leader-epoch-checkpoint` (EpochTable). Blocking calls: pool thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "broker/log/epoch_table.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

// "orders-0".
std::string PartitionFolderName(std::string_view topic, PartitionIndex partition);
// Empty for anything else than "<legal topic name>-<number>".
std::optional<std::pair<std::string, PartitionIndex>> ParsePartitionFolderName(std::string_view name);

// NOT_FOUND when missing, CORRUPT_MESSAGE when damaged; neither says which topic it is.
Result<TopicId> ReadPartitionMetadata(FileSystem& files, const std::string& folder);
Result<> WritePartitionMetadata(FileSystem& files, const std::string& folder, const TopicId& id);

std::string EpochFilePath(const std::string& folder);
std::string EncodeEpochTable(const EpochTable& table);
Result<EpochTable> ReadEpochTable(FileSystem& files, const std::string& folder);

}  // namespace tidemark
