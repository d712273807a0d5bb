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

inline constexpr size_t kMaxFileName = 255;  // bytes, of Linux's file systems
// The path of a folder with a suffix. Where the name would be too long to be one, its end is cut: the suffix
// must tell it from others then.
std::string WithSuffix(const std::string& path, std::string_view suffix);
// Of a folder that was put out of service (`-damaged.N`, `-stray`, `-delete`): the name that it had, perhaps
// cut. Empty for any other; a partition's folder ends with a number, so none is taken for one.
std::optional<std::string_view> NameBeforeSetAside(std::string_view name);

// NOT_FOUND when missing, CORRUPT_MESSAGE when damaged; neither says which topic it is.
Result<TopicId> ReadPartitionMetadata(FileSystem& files, const std::string& folder);
Result<> WritePartitionMetadata(FileSystem& files, const std::string& folder, const TopicId& id);

std::string EpochFilePath(const std::string& folder);
std::string EncodeEpochTable(const EpochTable& table);
Result<EpochTable> ReadEpochTable(FileSystem& files, const std::string& folder);

}  // namespace tidemark
