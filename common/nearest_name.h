// NearestName: the "did you mean" of flags, configs, topics and commands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

// The candidate that `word` most likely stands for (fewest insertions, deletions, replacements and swaps,
// case ignored); empty when none is near: more than a third of the word's length away, and never more than 4
// steps. A single character is near to nothing but itself.
std::string NearestName(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tidemark
