#include "broker/group/group_lag.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace tidemark {

LagRound::LagRound(std::vector<CommittedPositions> committed, const AppendTimes& known) {
  for (CommittedPositions& some : committed) {
    left_out_ += some.left_out;
    for (CommittedPosition& position : some.positions) {
      if (positions_.size() >= kMostLagsFollowed) {
        ++left_out_;
        continue;
      }
      ends_[position.at];
      const auto time = known.find({position.at, position.offset});
      if (time != known.end()) times_.insert(*time);
      positions_.push_back(std::move(position));
    }
  }
}

std::map<BrokerId, std::vector<v1::ListOffsetsRequest>> LagRound::Questions(
    const std::function<BrokerId(const PartitionKey&)>& leader_of) const {
  // One question per partition and offset whose append time is not known; one at least per partition.
  std::map<PartitionKey, std::set<Offset>> wanted;
  for (const CommittedPosition& position : positions_) {
    std::set<Offset>& offsets = wanted[position.at];
    if (!times_.contains({position.at, position.offset})) offsets.insert(position.offset);
  }
  std::map<BrokerId, std::vector<v1::ListOffsetsRequest>> out;
  std::map<BrokerId, size_t> in_last;
  for (const auto& [key, offsets] : wanted) {
    const BrokerId leader = leader_of(key);
    if (leader == kNoBroker) continue;
    auto& requests = out[leader];
    size_t& count = in_last[leader];
    // Groups without number may have committed offsets of one partition.
    auto ask = [&](std::optional<Offset> offset) {
      if (requests.empty() || count >= kLagsPerQuestion) {
        requests.emplace_back();
        count = 0;
      }
      auto* topics = requests.back().mutable_topics();
      if (topics->empty() || topics->rbegin()->id() != key.topic.ToBytes())
        topics->Add()->set_id(key.topic.ToBytes());
      v1::ListOffsetsRequest::Partition* partition = topics->rbegin()->add_partitions();
      partition->set_partition(key.partition);
      partition->set_timestamp(-1);
      if (offset) partition->set_append_time_of(*offset);
      ++count;
    };
    if (offsets.empty()) ask(std::nullopt);
    for (const Offset offset : offsets) ask(offset);
  }
  return out;
}

void LagRound::Answer(const v1::ListOffsetsRequest& asked, const v1::ListOffsetsResponse& answer) {
  // Answers are in the order asked; whoever answers otherwise has answered nothing.
  if (asked.topics_size() != answer.topics_size()) return;
  for (int t = 0; t < asked.topics_size(); ++t) {
    const Result<TopicId> id = TopicId::FromBytes(asked.topics(t).id());
    if (!id || asked.topics(t).partitions_size() != answer.topics(t).partitions_size()) continue;
    for (int p = 0; p < asked.topics(t).partitions_size(); ++p) {
      const auto& question = asked.topics(t).partitions(p);
      const auto& partition = answer.topics(t).partitions(p);
      const PartitionKey key{*id, question.partition()};
      const auto end = ends_.find(key);
      const bool sound = partition.partition() == question.partition() && partition.has_offset() &&
                         partition.error().code() == v1::NONE;
      if (end == ends_.end() || !sound) continue;
      end->second = std::max(end->second.value_or(0), static_cast<Offset>(partition.offset()));
      if (question.has_append_time_of() && partition.has_append_time())
        times_[{key, question.append_time_of()}] = partition.append_time();
    }
  }
}

std::optional<GroupLag> LagRound::LagOf(const CommittedPosition& position, WallMillis now) const {
  const std::optional<Offset>& end = ends_.at(position.at);
  // A commit above the end: records that somebody deleted with their topic, or a commit by hand.
  if (!end || *end < position.offset) return std::nullopt;
  GroupLag lag{.position = position, .records = *end - position.offset, .age = std::nullopt};
  if (lag.records == 0) {
    lag.age = Duration{};
  } else if (const auto time = times_.find({position.at, position.offset}); time != times_.end()) {
    lag.age = std::chrono::milliseconds(std::max<WallMillis>(0, now - time->second));
  }
  return lag;
}

GroupLagTable LagRound::Tell(WallMillis now) const {
  GroupLagTable out{.lags = {}, .unknown = 0, .left_out = left_out_};
  for (const CommittedPosition& position : positions_) {
    if (auto lag = LagOf(position, now)) {
      out.lags.push_back(std::move(*lag));
    } else {
      ++out.unknown;
    }
  }
  std::ranges::sort(out.lags, [](const GroupLag& a, const GroupLag& b) {
    return std::tie(b.records, a.position.group, a.position.at) <
           std::tie(a.records, b.position.group, b.position.at);
  });
  if (out.lags.size() > kMostLagsTold) {
    out.left_out += out.lags.size() - kMostLagsTold;
    out.lags.resize(kMostLagsTold);
  }
  return out;
}

}  // namespace tidemark
