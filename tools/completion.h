// What a shell offers after a command line that is being typed. The decision is pure; the names of topics
// and groups come from whoever asks. Main thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace tidemark {

// Where a completion gets what only the cluster knows.
using LiveNames = std::function<std::vector<std::string>()>;

// The words that may stand in the place of the last one (which may be empty or begun), sorted. `words`: what
// follows `tidemark`. Of the live names only those that a shell takes as one plain word: letters and digits
// of ASCII and ._:/@%+=,- (not first); they come from whoever names a group, and are put into the line
// unquoted.
std::vector<std::string> Completions(const std::vector<std::string>& words, const LiveNames& topics,
                                     const LiveNames& groups);

}  // namespace tidemark
