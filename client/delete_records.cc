#include "client/delete_records.h"

#include <algorithm>
#include <map>
#include <set>

#include "client/backoff.h"
#include "client/list_offsets.h"
#include "client/slow_call.h"
#include "common/request_limits.h"
#include "tidemark/v1/admin_api.pb.h"

namespace tidemark {
namespace {

// What the broker is not given of the caller's time: the answer's way back.
constexpr Duration kWayBack = 500ms;

// A deletion and what is known of its outcome.
struct Ask {
  RecordDeletion deletion;
  Result<Offset> outcome;
};

void Answer(Cluster& cluster, Ask& ask, const v1::DeleteRecordsResponse::Partition* answer, BrokerId leader) {
  const RecordDeletion& deletion = ask.deletion;
  if (answer == nullptr) {
    ask.outcome = Fail(v1::UNKNOWN_SERVER_ERROR, "broker {} did not answer for {}-{}", leader, deletion.topic,
                       deletion.partition);
  } else if (answer->error().code() != v1::NONE) {
    if (answer->has_current_leader())
      cluster.ApplyHint(deletion.topic, deletion.partition, answer->current_leader());
    ask.outcome = std::unexpected(FromProto(answer->error()));
  } else {
    ask.outcome = answer->low_watermark();
  }
}

Task<void> AskLeader(Cluster& cluster, BrokerId leader, std::vector<Ask*> asks, MonoTime deadline,
                     std::stop_token stop) {
  v1::Request request;
  v1::DeleteRecordsRequest* body = request.mutable_delete_records();
  std::map<std::string, v1::DeleteRecordsRequest::Topic*> topics;
  // Where each ask's answer stands.
  std::vector<std::pair<int, int>> places;
  for (const Ask* ask : asks) {
    v1::DeleteRecordsRequest::Topic*& topic = topics[ask->deletion.topic];
    if (topic == nullptr) {
      topic = body->add_topics();
      topic->set_id(cluster.Find(ask->deletion.topic)->id.ToBytes());
    }
    v1::DeleteRecordsRequest::Partition* partition = topic->add_partitions();
    partition->set_partition(ask->deletion.partition);
    partition->set_offset(ask->deletion.before ? static_cast<int64_t>(*ask->deletion.before) : -1);
    const auto number = std::ranges::find(body->topics(), topic->id(), &v1::DeleteRecordsRequest::Topic::id) -
                        body->topics().begin();
    places.emplace_back(static_cast<int>(number), topic->partitions_size() - 1);
  }
  const Duration limit = cluster.options().request_timeout;
  const Duration left = std::min(limit, deadline == kNoDeadline ? limit : deadline - cluster.loop().Now());
  body->set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(1, ToMillis(left - kWayBack))));
  RpcChannel* channel = cluster.Channel(leader);
  Result<v1::Response> response =
      channel == nullptr ? Fail(v1::BROKER_NOT_AVAILABLE, "the address of broker {} is not known", leader)
                         : co_await channel->Call(std::move(request), left, stop);
  for (size_t i = 0; i < asks.size(); ++i) {
    if (!response) {
      asks[i]->outcome = std::unexpected(response.error());
      continue;
    }
    const auto [topic, partition] = places[i];
    const v1::DeleteRecordsResponse& answers = response->delete_records();
    const bool there = topic < answers.topics_size() && partition < answers.topics(topic).partitions_size();
    Answer(cluster, *asks[i], there ? &answers.topics(topic).partitions(partition) : nullptr, leader);
  }
}

bool IsPending(const Ask& ask) { return !ask.outcome && IsRetriable(ask.outcome.error().code); }

// The pending asks by the leader to ask; those without one get the reason as their outcome.
Task<std::map<BrokerId, std::vector<Ask*>>> ByLeader(Cluster& cluster, std::vector<Ask>& asks,
                                                     MonoTime deadline, std::stop_token stop) {
  std::map<std::string, Result<>> known;
  for (const Ask& ask : asks) {
    const std::string& topic = ask.deletion.topic;
    if (IsPending(ask) && !known.contains(topic))
      known[topic] = co_await EnsureTopic(cluster, topic, deadline, stop);
  }
  std::map<BrokerId, std::vector<Ask*>> by_leader;
  for (Ask& ask : asks) {
    if (!IsPending(ask)) continue;
    const auto& [topic, partition, before] = ask.deletion;
    const TopicPicture* picture = cluster.Find(topic);
    if (const Result<>& found = known.at(topic); !found) {
      ask.outcome = std::unexpected(found.error());
    } else if (picture == nullptr || partition >= picture->partitions.size()) {
      ask.outcome = Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' has no partition {}", topic, partition);
    } else if (const BrokerId leader = picture->partitions[partition].leader; leader < 0) {
      ask.outcome = Fail(v1::LEADER_NOT_AVAILABLE, "no leader for {}-{}", topic, partition);
    } else {
      by_leader[leader].push_back(&ask);
    }
  }
  co_return by_leader;
}

}  // namespace

Task<std::vector<DeletionOutcome>> AskDeletion(Cluster& cluster, std::vector<RecordDeletion> deletions,
                                               MonoTime deadline, std::stop_token stop) {
  std::vector<Ask> asks;
  for (RecordDeletion& deletion : deletions) {
    asks.push_back({std::move(deletion), Fail(v1::LEADER_NOT_AVAILABLE, "not asked yet")});
  }
  Backoff backoff(cluster.options());
  Cluster::CallNotes notes;
  const internal::SlowCall slow(cluster, notes, deadline);
  while (true) {
    auto by_leader = co_await ByLeader(cluster, asks, deadline, stop);
    for (auto& [leader, asked] : by_leader) {
      for (size_t at = 0; at < asked.size(); at += kMaxPartitionsListed) {
        const size_t end = std::min(asked.size(), at + kMaxPartitionsListed);
        co_await AskLeader(cluster, leader, {asked.begin() + at, asked.begin() + end}, deadline, stop);
      }
    }
    const auto pending = std::ranges::find_if(asks, IsPending);
    if (pending == asks.end()) break;
    notes.last = pending->outcome.error();
    const Duration pause = backoff.Next(cluster.env().random());
    if (stop.stop_requested() || cluster.loop().Now() + pause >= deadline) break;
    co_await Sleep(cluster.loop(), pause, "retry of delete records", stop);
    std::set<std::string> topics;
    for (const Ask& ask : asks) {
      if (IsPending(ask)) topics.insert(ask.deletion.topic);
    }
    // Its trouble shows in the next round.
    for (const std::string& topic : topics) (void)co_await cluster.Refresh(topic, deadline, stop);
  }
  std::vector<DeletionOutcome> outcomes;
  for (Ask& ask : asks) {
    outcomes.push_back({std::move(ask.deletion.topic), ask.deletion.partition, std::move(ask.outcome)});
  }
  co_return outcomes;
}

}  // namespace tidemark
