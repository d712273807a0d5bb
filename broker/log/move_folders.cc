#include "broker/log/move_folders.h"

#include <algorithm>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/partition_files.h"

namespace tidemark {
namespace {

constexpr std::string_view kFuture = "-future";
constexpr std::string_view kMoved = "-moved";

Result<> RenameIn(FileSystem& files, const std::string& directory, const std::string& from,
                  const std::string& to) {
  TM_RETURN_IF_ERROR(files.Rename(from, to));
  return files.SyncDirectory(directory);
}

bool SamePartition(const MoveFolder& move, const FoundFolder& found) {
  return move.topic == found.topic && move.partition == found.partition &&
         (!found.topic_id || !move.topic_id || *found.topic_id == *move.topic_id);
}

class Finisher {
 public:
  Finisher(FileSystem& files, const std::vector<DirectoryMoves>& directories, bool all_read)
      : files_(files), directories_(directories), all_read_(all_read) {}

  Result<MovesAtStart> Run() {
    // Copies first, so that the second pass sees which are in place.
    for (const bool future : {true, false}) {
      for (size_t i = 0; i < directories_.size(); ++i) {
        for (const MoveFolder& folder : directories_[i].folders) {
          if (folder.is_future != future) continue;
          TM_RETURN_IF_ERROR(future ? Future(i, folder) : Moved(i, folder));
        }
      }
    }
    return std::move(out_);
  }

 private:
  Result<> Future(size_t index, const MoveFolder& folder) {
    const bool committed = std::ranges::any_of(directories_, [&](const DirectoryMoves& each) {
      return std::ranges::any_of(each.folders, [&](const MoveFolder& other) {
        return !other.is_future && other.id == folder.id && other.topic == folder.topic &&
               other.partition == folder.partition;
      });
    });
    const std::string& directory = directories_[index].directory;
    if (committed) {
      const std::string path = directory + "/" + PartitionFolderName(folder.topic, folder.partition);
      LOG(WARNING) << "the move of " << folder.topic << "-" << folder.partition << " to " << directory
                   << ", cut short at its end, is finished";
      TM_RETURN_IF_ERROR(RenameIn(files_, directory, folder.path, path));
      out_.arrived.push_back({index, {path, folder.topic, folder.partition, folder.topic_id}});
      return {};
    }
    if (!all_read_) {
      LOG(WARNING) << folder.path << " is left alone: its counterpart may be in a directory that is offline";
      return {};
    }
    size_t copies = 0;
    bool source = false;
    for (const DirectoryMoves& each : directories_) {
      copies += static_cast<size_t>(std::ranges::count_if(each.folders, [&](const MoveFolder& other) {
        return other.is_future && other.topic == folder.topic && other.partition == folder.partition;
      }));
      for (const FoundFolder& found : each.found) source = source || SamePartition(folder, found);
    }
    // Without its topic id it has nothing in it yet.
    if (source && copies == 1 && folder.topic_id) {
      out_.interrupted.push_back({index, folder});
      return {};
    }
    LOG(WARNING) << "the move of " << folder.topic << "-" << folder.partition << " to " << directory
                 << " was cut short; the replica stays where it was";
    return DiscardFolder(files_, directory, folder.path);
  }

  Result<> Moved(size_t index, const MoveFolder& folder) {
    bool in_place = std::ranges::any_of(
        out_.arrived, [&](const ArrivedFolder& arrived) { return SamePartition(folder, arrived.folder); });
    for (const DirectoryMoves& each : directories_) {
      for (const FoundFolder& found : each.found) in_place = in_place || SamePartition(folder, found);
    }
    if (in_place) return DiscardFolder(files_, directories_[index].directory, folder.path);
    LOG(ERROR) << folder.path
               << " was moved to another log directory, which has it no more; it is kept, unused";
    return {};
  }

  FileSystem& files_;
  const std::vector<DirectoryMoves>& directories_;
  const bool all_read_;
  MovesAtStart out_;
};

}  // namespace

Result<> DiscardFolder(FileSystem& files, const std::string& directory, const std::string& folder) {
  // Renamed first: what a crash leaves of it must not look whole.
  const std::string doomed = folder + "-delete";
  const auto renamed = RenameIn(files, directory, folder, doomed);
  if (!renamed && renamed.error().code == v1::NOT_FOUND) return {};
  TM_RETURN_IF_ERROR(renamed);
  return RemoveAll(files, doomed);
}

std::string FutureFolder(const std::string& partition_folder, std::string_view id) {
  return fmt::format("{}.{}{}", partition_folder, id, kFuture);
}

std::string MovedFolder(const std::string& partition_folder, std::string_view id) {
  return fmt::format("{}.{}{}", partition_folder, id, kMoved);
}

std::optional<MoveFolder> ParseMoveFolder(const std::string& directory, const std::string& name) {
  MoveFolder out{.path = directory + "/" + name};
  out.is_future = name.ends_with(kFuture);
  if (!out.is_future && !name.ends_with(kMoved)) return std::nullopt;
  const std::string_view rest =
      std::string_view(name).substr(0, name.size() - (out.is_future ? kFuture : kMoved).size());
  const size_t dot = rest.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  out.id = std::string(rest.substr(dot + 1));
  const auto partition = ParsePartitionFolderName(rest.substr(0, dot));
  if (out.id.empty() || !partition) return std::nullopt;
  out.topic = partition->first;
  out.partition = partition->second;
  return out;
}

Result<MovesAtStart> FinishMoves(FileSystem& files, const std::vector<DirectoryMoves>& directories,
                                 bool all_read) {
  return Finisher(files, directories, all_read).Run();
}

}  // namespace tidemark
