// A broker's log directories: free space, what is told of them. Control loop only.
#include <nlohmann/json.hpp>

#include "broker/server/broker_impl.h"

namespace tidemark {

Task<void> Broker::Impl::WatchSpace() {
  const BrokerConfig& config = context_.config;
  dirs_->SetSpaceLimits({.min_free = config.log_dir_min_free, .reserve = config.log_dir_reserve});
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
