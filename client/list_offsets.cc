#include "client/list_offsets.h"

#include <algorithm>
#include <map>

#include "client/backoff.h"
#include "client/slow_call.h"

namespace tidemark {

namespace {

// How long a topic may be unknown before that is believed.
constexpr Duration kUnknownListGrace = 3s;

void SetError(OffsetOfPartition* answer, Error error) { answer->offset = std::unexpected(std::move(error)); }

// Asks one leader for its partitions and fills in their answers.
Task<void> AskLeader(Cluster& cluster, std::string topic, BrokerId leader,
                     std::vector<OffsetOfPartition*> asked, int64_t timestamp, MonoTime deadline,
                     std::stop_token stop) {
  const TopicPicture* picture = cluster.Find(topic);
  RpcChannel* channel = cluster.Channel(leader);
  if (picture == nullptr || channel == nullptr) {
    for (OffsetOfPartition* answer : asked) {
      SetError(answer,
               {v1::BROKER_NOT_AVAILABLE, fmt::format("{}-{}: broker {} leads and its address is not known",
                                                      topic, answer->partition, leader)});
    }
    co_return;
  }
  v1::Request request;
  v1::ListOffsetsRequest::Topic* wanted = request.mutable_list_offsets()->add_topics();
  wanted->set_id(picture->id.ToBytes());
  for (const OffsetOfPartition* answer : asked) {
    v1::ListOffsetsRequest::Partition* partition = wanted->add_partitions();
    partition->set_partition(answer->partition);
    partition->set_timestamp(timestamp);
    // A leader that was replaced and has not noticed is not to say where the log begins or ends.
    if (answer->partition < picture->partitions.size())
      partition->set_leader_epoch(picture->partitions[answer->partition].epoch);
    if (answer->append_time_of) partition->set_append_time_of(*answer->append_time_of);
  }
  const Duration left =
      deadline == kNoDeadline ? cluster.options().request_timeout : deadline - cluster.loop().Now();
  auto response =
      co_await channel->Call(std::move(request), std::min(left, cluster.options().request_timeout), stop);
  if (!response) {
    for (OffsetOfPartition* answer : asked) SetError(answer, response.error());
    co_return;
  }
  std::map<PartitionIndex, const v1::ListOffsetsResponse::Partition*> answers;
  for (const auto& answered : response->list_offsets().topics()) {
    for (const auto& partition : answered.partitions()) answers[partition.partition()] = &partition;
  }
  for (OffsetOfPartition* answer : asked) {
    const auto found = answers.find(answer->partition);
    if (found == answers.end()) {
      SetError(answer, {v1::UNKNOWN_SERVER_ERROR,
                        fmt::format("broker {} did not answer for {}-{}", leader, topic, answer->partition)});
      continue;
    }
    const v1::ListOffsetsResponse::Partition& partition = *found->second;
    if (partition.error().code() != v1::NONE) {
      if (partition.has_current_leader())
        cluster.ApplyHint(topic, answer->partition, partition.current_leader());
      SetError(answer, FromProto(partition.error()));
      continue;
    }
    answer->offset = partition.has_offset() ? std::optional<Offset>(partition.offset()) : std::nullopt;
    answer->timestamp = partition.timestamp();
    if (partition.has_append_time()) answer->append_time = partition.append_time();
  }
}

bool IsPending(const OffsetOfPartition& answer) {
  return !answer.offset && IsRetriable(answer.offset.error().code);
}

}  // namespace

Task<Result<>> EnsureTopic(Cluster& cluster, std::string topic, MonoTime deadline, std::stop_token stop) {
  TM_CO_RETURN_IF_ERROR(ValidateTopicName(topic));
  const MonoTime believe = std::min(deadline, cluster.loop().Now() + kUnknownListGrace);
  Backoff backoff(cluster.options());
  const auto is_known = [&cluster, &topic] {
    const TopicPicture* picture = cluster.Find(topic);
    return picture != nullptr && !picture->partitions.empty();
  };
  while (!is_known()) {
    auto refreshed = co_await cluster.Refresh(topic, deadline, stop);
    if (refreshed && is_known()) break;
    if (refreshed) refreshed = Fail(v1::LEADER_NOT_AVAILABLE, "topic '{}' has no partitions yet", topic);
    const ErrorCode code = refreshed.error().code;
    const bool is_unknown = code == v1::UNKNOWN_TOPIC_OR_PARTITION;
    const Duration pause = backoff.Next(cluster.env().random());
    if (!IsRetriable(code) || stop.stop_requested() ||
        cluster.loop().Now() + pause >= (is_unknown ? believe : deadline)) {
      co_return refreshed;
    }
    co_await Sleep(cluster.loop(), pause, "metadata of an unknown topic", stop);
  }
  co_return Result<>();
}

namespace {

// `answers` with their questions, all of which are errors until they are answered.
Task<Result<std::vector<OffsetOfPartition>>> AskAll(Cluster& cluster, std::string topic,
                                                    std::vector<OffsetOfPartition> answers, int64_t timestamp,
                                                    MonoTime deadline, std::stop_token stop,
                                                    Telling telling) {
  Cluster::CallNotes notes;
  std::optional<internal::SlowCall> slow;
  if (telling == Telling::kSlow) slow.emplace(cluster, notes, deadline);
  TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(cluster, topic, deadline, stop));
  Backoff backoff(cluster.options());
  while (true) {
    std::map<BrokerId, std::vector<OffsetOfPartition*>> by_leader;
    for (OffsetOfPartition& answer : answers) {
      if (!IsPending(answer)) continue;
      const TopicPicture* picture = cluster.Find(topic);
      if (picture == nullptr || answer.partition >= picture->partitions.size()) {
        SetError(&answer, {v1::UNKNOWN_TOPIC_OR_PARTITION,
                           fmt::format("topic '{}' has no partition {}", topic, answer.partition)});
      } else if (const BrokerId leader = picture->partitions[answer.partition].leader; leader < 0) {
        SetError(&answer,
                 {v1::LEADER_NOT_AVAILABLE, fmt::format("no leader for {}-{}", topic, answer.partition)});
      } else {
        by_leader[leader].push_back(&answer);
      }
    }
    for (auto& [leader, asked] : by_leader) {
      co_await AskLeader(cluster, topic, leader, std::move(asked), timestamp, deadline, stop);
    }
    const auto pending = std::find_if(answers.begin(), answers.end(), IsPending);
    if (pending == answers.end()) co_return answers;
    notes.last = pending->offset.error();
    const Duration pause = backoff.Next(cluster.env().random());
    if (stop.stop_requested() || cluster.loop().Now() + pause >= deadline) co_return answers;
    co_await Sleep(cluster.loop(), pause, "retry of list offsets", stop);
    // Its trouble shows in the next round.
    (void)co_await cluster.Refresh(topic, deadline, stop);
  }
}

}  // namespace

Task<Result<std::vector<OffsetOfPartition>>> AskOffsets(Cluster& cluster, std::string topic,
                                                        std::vector<PartitionIndex> partitions,
                                                        int64_t timestamp, MonoTime deadline,
                                                        std::stop_token stop, Telling telling) {
  std::vector<OffsetOfPartition> questions;
  for (const PartitionIndex partition : partitions)
    questions.push_back({.partition = partition, .offset = Fail(v1::LEADER_NOT_AVAILABLE, "not asked yet")});
  return AskAll(cluster, std::move(topic), std::move(questions), timestamp, deadline, std::move(stop),
                telling);
}

Task<Result<std::vector<OffsetOfPartition>>> AskEnds(Cluster& cluster, std::string topic,
                                                     std::map<PartitionIndex, std::optional<Offset>> offsets,
                                                     MonoTime deadline, std::stop_token stop) {
  std::vector<OffsetOfPartition> questions;
  for (const auto& [partition, offset] : offsets) {
    questions.push_back({.partition = partition,
                         .offset = Fail(v1::LEADER_NOT_AVAILABLE, "not asked yet"),
                         .append_time_of = offset});
  }
  return AskAll(cluster, std::move(topic), std::move(questions), kLatestTimestamp, deadline, std::move(stop),
                Telling::kSlow);
}

}  // namespace tidemark
