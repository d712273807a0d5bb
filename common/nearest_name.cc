#include "common/nearest_name.h"

#include <algorithm>
#include <cctype>

namespace tidemark {
namespace {

constexpr size_t kMaxSteps = 4;
// Longer words are not compared: the cost is the product of both lengths, and the words come from outside.
constexpr size_t kMaxLength = 300;

// Optimal string alignment distance.
size_t Distance(std::string_view a, std::string_view b) {
  auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  };
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1)});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string NearestName(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() > kMaxLength) return {};
  // One step away from a single character is every other one.
  size_t limit = word.size() < 2 ? 0 : std::min(kMaxSteps, std::max<size_t>(1, word.size() / 3));
  std::string nearest;
  for (const std::string& candidate : candidates) {
    const size_t gap =
        candidate.size() > word.size() ? candidate.size() - word.size() : word.size() - candidate.size();
    if (candidate.size() > kMaxLength || gap > limit) continue;
    const size_t distance = Distance(word, candidate);
    if (distance < limit || (distance == limit && nearest.empty())) {
      nearest = candidate;
      limit = distance;
    }
  }
  return nearest;
}

}  // namespace tidemark
