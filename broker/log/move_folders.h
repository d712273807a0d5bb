// Folders of replicas that move between log directories, and what a start makes of them. Blocking calls: pool
// thread.
//
// A move copies the log into `<topic>-<p>.<id>-future` in the target directory while the log serves, and
// then, with the copy complete and durable and nothing appended any more:
//   1. renames the log's folder to `<topic>-<p>.<id>-moved`, durably: from here on the copy is the log;
//   2. renames the copy to `<topic>-<p>`, durably; the log serves again from there;
//   3. renames the former folder to `-delete`, durably, and removes it.
// So a `-future` with its `-moved` is the log. One without is a copy that was not whole: the log stands where
// it was, and the move goes on when it is opened (as Kafka's does), unless the log is not there or several
// copies are. A `-moved` whose copy is in place is rubbish. What is discarded is renamed to `-delete` first,
// so that a part of it never passes for a copy. Both are judged only when every directory could be read: a
// counterpart may be in one that could not. A `-moved` whose copy is nowhere is kept, unused, and reported.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/log_directory.h"

namespace tidemark {

std::string FutureFolder(const std::string& partition_folder, std::string_view id);
std::string MovedFolder(const std::string& partition_folder, std::string_view id);
// Of one of the two; empty for any other name.
std::optional<MoveFolder> ParseMoveFolder(const std::string& directory, const std::string& name);

// One directory's part.
struct DirectoryMoves {
  std::string directory;
  std::vector<MoveFolder> folders;
  std::vector<FoundFolder> found;  // partitions in it
};
// A partition that a finished move has brought to directory `index`.
struct ArrivedFolder {
  size_t index = 0;
  FoundFolder folder;
};
// A move that is to go on: its copy is in directory `index`.
struct InterruptedMove {
  size_t index = 0;
  MoveFolder folder;
};
struct MovesAtStart {
  std::vector<ArrivedFolder> arrived;
  std::vector<InterruptedMove> interrupted;
};

// Renames the folder to `-delete` durably and removes it. No error when it is not there.
Result<> DiscardFolder(FileSystem& files, const std::string& directory, const std::string& folder);

// Finishes, keeps or drops every move. `all_read`: no directory is missing from the list.
Result<MovesAtStart> FinishMoves(FileSystem& files, const std::vector<DirectoryMoves>& directories,
                                 bool all_read);

}  // namespace tidemark
