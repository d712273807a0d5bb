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
// follows `tidemark`.
std::vector<std::string> Completions(const std::vector<std::string>& words, const LiveNames& topics,
                                     const LiveNames& groups);

}  // namespace tidemark
