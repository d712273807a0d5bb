#include "broker/log/checkpoints.h"

#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

namespace tidemark {
namespace {

std::string PathOf(const std::string& directory, CheckpointKind kind) {
  return fmt::format("{}/{}", directory, CheckpointFileName(kind));
}

}  // namespace

std::string_view CheckpointFileName(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kRecoveryPoint:
      return "recovery-point-offset-checkpoint";
    case CheckpointKind::kHighWatermark:
      return "replication-offset-checkpoint";
    case CheckpointKind::kLogStart:
      return "log-start-offset-checkpoint";
    case CheckpointKind::kCleanerOffset:
      return "cleaner-offset-checkpoint";
    case CheckpointKind::kDroppedTombstones:
      return "dropped-tombstones-offset-checkpoint";
  }
  LOG(FATAL) << "no such kind of checkpoint";
}

Result<Offset> CheckpointTables::Find(CheckpointKind kind, const PartitionKey& key) const {
  const auto& table = tables[static_cast<size_t>(kind)];
  if (!table) return Fail(v1::CORRUPT_MESSAGE, "{} was not readable", CheckpointFileName(kind));
  const auto entry = table->find(key);
  if (entry == table->end()) return Fail(v1::NOT_FOUND);
  if (entry->second.offset == kUnknownCheckpoint) {
    return Fail(v1::CORRUPT_MESSAGE, "{} was not readable at an earlier start", CheckpointFileName(kind));
  }
  return entry->second.offset;
}

std::string EncodeCheckpoint(const CheckpointTable& table) {
  std::string out = fmt::format("0\n{}\n", table.size());
  for (const auto& [key, entry] : table) {
    fmt::format_to(std::back_inserter(out), "{} {} {} {}\n", entry.topic, key.partition,
                   entry.offset == kUnknownCheckpoint ? "-1" : std::to_string(entry.offset),
                   key.topic.ToBase64());
  }
  return WithChecksum(out);
}

Result<CheckpointTable> DecodeCheckpoint(std::string_view bytes, const std::string& path) {
  TM_ASSIGN_OR_RETURN(const std::string content, VerifyChecksum(bytes, path));
  std::istringstream in(content);
  uint32_t version = 1;
  size_t count = 0;
  in >> version >> count;
  if (!in || version != 0) return Fail(v1::CORRUPT_MESSAGE, "{} is not a version 0 checkpoint", path);
  CheckpointTable table;
  for (size_t i = 0; i < count; ++i) {
    CheckpointEntry entry;
    PartitionKey key;
    std::string id;
    in >> entry.topic >> key.partition >> entry.offset >> id;
    auto topic = TopicId::FromBase64(id);
    if (!in || !topic) return Fail(v1::CORRUPT_MESSAGE, "{}: line {} is malformed", path, i + 3);
    key.topic = *topic;
    table[key] = std::move(entry);
  }
  return table;
}

Checkpoints::Checkpoints(FileSystem& files, BlockingPool& pool, EventLoop& loop, std::string directory)
    : files_(files), pool_(pool), loop_(loop), directory_(std::move(directory)), written_(loop) {}

CheckpointTables Checkpoints::Load(FileSystem& files, const std::string& directory) {
  CheckpointTables out;
  for (size_t i = 0; i < kCheckpointKinds; ++i) {
    const std::string path = PathOf(directory, static_cast<CheckpointKind>(i));
    const auto bytes = ReadFile(files, path);
    out.missing[i] = !bytes && bytes.error().code == v1::NOT_FOUND;
    if (out.missing[i]) continue;
    auto table =
        bytes ? DecodeCheckpoint(*bytes, path) : Result<CheckpointTable>(std::unexpected(bytes.error()));
    if (table) {
      out.tables[i] = std::move(*table);
    } else {
      LOG(ERROR) << "checkpoint not readable, its offsets count as unknown: " << ToString(table.error());
    }
  }
  return out;
}

void Checkpoints::Reset(const CheckpointTables& loaded) {
  for (size_t i = 0; i < kCheckpointKinds; ++i) {
    tables_[i] = loaded.tables[i].value_or(CheckpointTable());
    dirty_[i] = loaded.missing[i] || !loaded.tables[i];  // written anew, or it stays unknown for ever
    if (dirty_[i]) applied_ = durable_ + 1;
  }
}

void Checkpoints::KeepUnknown(CheckpointKind kind, const PartitionKey& key, std::string topic) {
  tables_[static_cast<size_t>(kind)][key] = {std::move(topic), kUnknownCheckpoint};
}

bool Checkpoints::Has(CheckpointKind kind, const PartitionKey& key) const {
  return tables_[static_cast<size_t>(kind)].contains(key);
}

Task<Result<>> Checkpoints::Update(std::vector<CheckpointChange> changes) {
  loop_.CheckOwner();
  bool any = false;
  for (CheckpointChange& change : changes) {
    CheckpointTable& table = tables_[static_cast<size_t>(change.kind)];
    const auto found = table.find(change.key);
    if (change.offset) {
      if (found != table.end() && found->second.offset == *change.offset) continue;
      table[change.key] = {std::move(change.topic), *change.offset};
    } else {
      if (found == table.end()) continue;
      table.erase(found);
    }
    dirty_[static_cast<size_t>(change.kind)] = true;
    any = true;
  }
  if (any) ++applied_;
  // A change equal to the table may still be on its way to the disk with an earlier call: wait for that.
  const uint64_t mine = applied_;
  while (durable_ < mine && !failure_) {
    if (writing_) {
      co_await written_.Wait("checkpoint write");
    } else {
      TM_CO_RETURN_IF_ERROR(co_await WriteDirty());
    }
  }
  if (failure_) co_return std::unexpected(*failure_);
  co_return {};
}

Task<Result<>> Checkpoints::WriteDirty() {
  writing_ = true;
  const uint64_t covers = applied_;
  const auto dirty_before = dirty_;
  std::vector<std::pair<std::string, std::string>> contents;
  const auto take = [&](CheckpointKind kind) {
    const size_t i = static_cast<size_t>(kind);
    if (std::exchange(dirty_[i], false))
      contents.emplace_back(PathOf(directory_, kind), EncodeCheckpoint(tables_[i]));
  };
  // First the starts: a log that was restarted further on is told from one whose oldest files are lost by its
  // recovery point, which is low until its start is told (log_front.h).
  take(CheckpointKind::kLogStart);
  for (size_t i = 0; i < kCheckpointKinds; ++i) take(static_cast<CheckpointKind>(i));
  const auto result = co_await RunBlocking(pool_, loop_, "write checkpoints",
                                           [this, contents = std::move(contents)]() -> Result<> {
                                             for (const auto& [path, content] : contents)
                                               TM_RETURN_IF_ERROR(WriteFileDurably(files_, path, content));
                                             return {};
                                           });
  writing_ = false;
  if (result) {
    durable_ = covers;
  } else if (result.error().code == v1::DISK_FULL) {
    // The old files stand, nothing is lost: the next call tries again.
    for (size_t i = 0; i < kCheckpointKinds; ++i) dirty_[i] = dirty_[i] || dirty_before[i];
  } else {
    failure_ = result.error();
  }
  written_.NotifyAll();
  co_return result;
}

}  // namespace tidemark
