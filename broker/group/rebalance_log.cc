#include "broker/group/rebalance_log.h"

#include <algorithm>

#include <fmt/format.h>

namespace tidemark {
namespace {

// What clients call themselves stays on the line.
std::string OnOneLine(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string CauseLabel(v1::RebalanceCause cause) {
  std::string name = v1::RebalanceCause_Name(cause);
  constexpr std::string_view kPrefix = "REBALANCE_CAUSE_";
  if (name.starts_with(kPrefix)) name = name.substr(kPrefix.size());
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

std::optional<std::string> RebalanceLog::LineFor(const Group& group, MonoTime now) {
  const auto gained = static_cast<uint64_t>(std::max<int64_t>(0, (now - counted_to_) / kInterval));
  if (left_ + gained >= kBurst) {
    left_ = kBurst;
    counted_to_ = now;
  } else {
    left_ += gained;
    counted_to_ += gained * kInterval;
  }
  if (left_ == 0) {
    ++left_out_;
    return std::nullopt;
  }
  --left_;
  const v1::GroupRebalance& last = group.metadata()->last_rebalance();
  std::string line = fmt::format("group '{}' rebalances, epoch {}: {}: {}; it has {} members",
                                 OnOneLine(group.id()), group.group_epoch(), CauseLabel(last.cause()),
                                 OnOneLine(last.detail()), group.members().size());
  if (left_out_ > 0)
    line += fmt::format(" ({} rebalances of groups before this one were not logged)", left_out_);
  left_out_ = 0;
  return line;
}

}  // namespace tidemark
