// Folders of damaged logs that were set aside (`topic-0-damaged.N`): which number the next one takes, and
// which of them go so that a disk that damages a log again and again is not filled by its remains. Pure.
//
// Two are kept of each partition in a log directory: the first one, which is what there was before anything
// had been copied anew, and the newest. Those between were copied from a leader and are the least likely to
// hold what nobody else has. Numbers rise and none is used again, so that a name in the log means one folder.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

struct AsidePlan {
  uint64_t number = 1;                 // for the one that is set aside now
  std::vector<std::string> to_remove;  // names of those that are one too many when it is there
};

// `names` are all that the log directory holds, `folder` is the partition's name in it.
AsidePlan PlanSetAside(std::span<const std::string> names, std::string_view folder);

std::string AsideName(std::string_view folder, uint64_t number);

}  // namespace tidemark
