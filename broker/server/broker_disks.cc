// A broker's log directories: free space, what is told of them. Control loop only.
#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "broker/server/broker_impl.h"
#include "broker/server/gather.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

constexpr Duration kDescribePatience = 10s;

struct HeldReplica {
  size_t directory = 0;
  v1::DescribeLogDirsResponse::Replica told;
};

// On the shard.
Task<std::vector<HeldReplica>> ReplicasOf(Shard& owner, std::set<std::string> topics) {
  std::vector<HeldReplica> out;
  if (owner.logs() == nullptr) co_return out;
  for (const Log* log : owner.logs()->All()) {
    const std::string id = log->key().topic.ToBytes();
    if (!topics.empty() && !topics.contains(id)) continue;
    HeldReplica held{.directory = log->directory_index()};
    held.told.set_topic_id(id);
    held.told.set_topic(log->topic());
    held.told.set_partition(log->key().partition);
    held.told.set_size_bytes(log->size_bytes());
    const Partition* partition = owner.table() == nullptr ? nullptr : owner.table()->Find(log->key());
    if (partition != nullptr && partition->high_watermark() > log->end_offset())
      held.told.set_offset_lag(partition->high_watermark() - log->end_offset());
    const auto move = owner.logs()->MoveOf(log->key());
    HeldReplica future = held;
    out.push_back(std::move(held));
    if (!move) continue;
    future.directory = move->directory;
    future.told.set_is_future(true);
    future.told.set_size_bytes(move->size_bytes);
    future.told.set_offset_lag(log->end_offset() - std::min(log->end_offset(), move->end));
    out.push_back(std::move(future));
  }
  co_return out;
}

Task<Result<>> MoveOn(Shard& owner, PartitionKey key, size_t directory) {
  if (owner.logs() == nullptr) co_return Fail(v1::BROKER_NOT_READY, "the broker is starting or stopping");
  co_return owner.logs()->MoveTo(key, directory);
}

}  // namespace

Task<Result<v1::DescribeLogDirsResponse>> Broker::Impl::DescribeLogDirs(v1::DescribeLogDirsRequest request) {
  const std::set<std::string> topics(request.topic_ids().begin(), request.topic_ids().end());
  Gather<std::vector<HeldReplica>> gather(loop_, context_.shards.size());
  for (const auto& shard : context_.shards) {
    gather.Start(shard->index(), shard->loop(), shard->scope(), "describe log directories",
                 [&shard = *shard, topics] { return ReplicasOf(shard, topics); });
  }
  if (co_await gather.Wait("describe log directories", loop_.Now() + kDescribePatience,
                           scope_.stop_token()) != WaitOutcome::kReady) {
    co_return Fail(v1::REQUEST_TIMED_OUT, "a shard of broker {} does not say which replicas it has",
                   identity_.broker_id);
  }
  v1::DescribeLogDirsResponse response;
  response.set_broker_id(identity_.broker_id);
  for (const auto& directory : dirs_->directories()) {
    auto* told = response.add_log_dirs();
    told->set_path(directory->path);
    told->set_id(directory->id);
    if (directory->failed) {
      ToProto({v1::KAFKA_STORAGE_ERROR, directory->why_failed}, told->mutable_error());
    } else if (directory->free_bytes != ~0ull) {
      told->set_usable_bytes(directory->free_bytes);
      if (const auto room = dirs_->RoomFor(directory->index, SpaceUse::kProduce); !room)
        ToProto(room.error(), told->mutable_produce_refused());
    }
  }
  for (auto& part : gather.results()) {
    for (HeldReplica& held : *part) {
      auto* told = response.mutable_log_dirs(static_cast<int>(held.directory));
      if (!told->has_error()) *told->add_replicas() = std::move(held.told);
    }
  }
  co_return response;
}

Result<size_t> Broker::Impl::DirectoryAt(const std::string& path) const {
  std::string wanted = path;
  while (wanted.size() > 1 && wanted.ends_with('/')) wanted.pop_back();
  std::string known;
  for (const auto& directory : dirs_->directories()) {
    if (directory->path == wanted) return directory->index;
    known += (known.empty() ? "" : ", ") + directory->path;
  }
  return Fail(v1::LOG_DIR_NOT_FOUND, "'{}' is no log directory of broker {}; it has {}", path,
              identity_.broker_id, known);
}

Task<v1::AlterReplicaLogDirsResponse> Broker::Impl::AlterReplicaLogDirs(
    v1::AlterReplicaLogDirsRequest request) {
  v1::AlterReplicaLogDirsResponse response;
  for (const auto& move : request.moves()) {
    auto* result = response.add_results();
    result->set_topic_id(move.topic_id());
    result->set_partition(move.partition());
    const Result<TopicId> topic = TopicId::FromBytes(move.topic_id());
    const Result<size_t> directory = DirectoryAt(move.log_dir());
    if (!topic || !directory) {
      ToProto(topic ? directory.error() : topic.error(), result->mutable_error());
      continue;
    }
    const PartitionKey key{*topic, move.partition()};
    Shard& owner = context_.OwnerOf(key);
    const Result<Result<>> begun = co_await CallOn<Result<>>(
        loop_, owner.loop(), owner.scope(), "move replica",
        [&owner, key, to = *directory] { return MoveOn(owner, key, to); }, loop_.Now() + kDescribePatience,
        scope_.stop_token());
    if (!begun) {
      ToProto(begun.error(), result->mutable_error());
    } else if (!*begun) {
      ToProto(begun->error(), result->mutable_error());
    }
  }
  co_return response;
}

Task<void> Broker::Impl::WatchSpace() {
  const BrokerConfig& config = *context_.live;
  dirs_->SetSpaceLimits({.min_free = config.log_dir_min_free, .reserve = config.log_dir_reserve});
  dirs_->copy_pace().SetRate(config.move_bytes_per_second);
  space_ = std::make_unique<SpaceWatch>(*dirs_);
  co_await space_->FirstLook();
  space_->Start();
}

void Broker::Impl::AddDiskMetrics(Exposition* out) const {
  size_t offline = 0;
  if (dirs_) {
    for (const auto& directory : dirs_->directories()) {
      offline += directory->failed ? 1 : 0;
      if (directory->failed || directory->free_bytes == ~0ull) continue;
      const Exposition::Labels labels = {{"directory", directory->path}};
      out->Gauge("tidemark_log_directory_free_bytes", static_cast<double>(directory->free_bytes), labels);
      out->Gauge("tidemark_log_directory_reserve_bytes", static_cast<double>(directory->held_bytes), labels);
      out->Gauge("tidemark_log_directory_short_of_space",
                 dirs_->RoomFor(directory->index, SpaceUse::kProduce) ? 0 : 1, labels);
    }
  }
  out->Gauge("tidemark_log_directories_offline", static_cast<double>(offline));
}

std::string Broker::Impl::DisksJson() const {
  nlohmann::ordered_json disks = nlohmann::ordered_json::array();
  for (const auto& directory : dirs_->directories()) {
    nlohmann::ordered_json disk = {
        {"path", directory->path}, {"id", directory->id}, {"partitions", directory->partitions.load()}};
    if (directory->failed) {
      disk["offline"] = directory->why_failed;
    } else {
      disk["free_bytes"] = directory->free_bytes.load();
      disk["reserve_bytes"] = directory->held_bytes.load();
      if (const auto room = dirs_->RoomFor(directory->index, SpaceUse::kProduce); !room)
        disk["produce_refused"] = room.error().message;
    }
    disks.push_back(std::move(disk));
  }
  return disks.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tidemark
