// ListOffsets and DescribeReplicas: questions to the shards that own the partitions, gathered here.
#include <algorithm>
#include <map>
#include <set>

#include "broker/server/gather.h"
#include "broker/server/list_offsets.h"
#include "broker/server/request_cut.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"

namespace tidemark {
namespace {

constexpr Duration kListPatience = 30s;
// Left for the way home, so that what was answered in time is told though the rest was not.
constexpr Duration kListReserve = 100ms;

struct Question {
  int topic = 0;
  int partition = 0;
  PartitionKey key;
  v1::ListOffsetsRequest::Partition wanted;
};
struct Answer {
  int topic = 0;
  int partition = 0;
  PartitionKey key;
  LeaderKnown leader;
  v1::ListOffsetsResponse::Partition response;
};

Task<void> FindOffset(Shard& owner, const Question& question, v1::ListOffsetsResponse::Partition* out) {
  std::optional<LeaderEpoch> epoch;
  if (question.wanted.has_leader_epoch()) epoch = question.wanted.leader_epoch();
  Partition* partition = owner.table()->Find(question.key);
  auto found = co_await partition->ListOffset(question.wanted.timestamp(), epoch);
  if (!found) {
    ToProto(found.error(), out->mutable_error());
    co_return;
  }
  *out = std::move(*found);
  if (!question.wanted.has_append_time_of()) co_return;
  // The partition may have gone meanwhile. That the time cannot be told is no error: the offset can.
  partition = owner.active() ? owner.table()->Find(question.key) : nullptr;
  if (partition == nullptr) co_return;
  const Result<WallMillis> time =
      co_await partition->AppendTimeOf(question.wanted.append_time_of(), out->leader_epoch());
  if (time) out->set_append_time(*time);
}

// Whether records may have to be read for the answer.
bool Searches(const Question& question) {
  return question.wanted.timestamp() != -1 && question.wanted.timestamp() != -2;
}

// The answer, unless the deadline or the stop comes before its turn.
Task<std::optional<Answer>> AnswerOne(Shard& owner, const Question& question, MonoTime deadline,
                                      const WorkStop& stop) {
  std::optional<Turns::Turn> turn;
  if (Searches(question)) {
    auto taken = co_await owner.searches().Take("turn to search", deadline, stop.token());
    if (!taken) co_return std::nullopt;
    turn.emplace(std::move(*taken));
  }
  Answer answer{.topic = question.topic, .partition = question.partition, .key = question.key};
  Partition* partition = owner.active() ? owner.table()->Find(question.key) : nullptr;
  if (partition == nullptr) {
    ToProto(owner.snapshot().WhyNotHere(question.key, owner.self()), answer.response.mutable_error());
  } else {
    answer.leader = partition->leader_known();
    co_await FindOffset(owner, question, &answer.response);
  }
  answer.response.set_partition(question.key.partition);
  co_return answer;
}

// What is not answered by the deadline or the stop is missing. A search under way is not broken off.
Task<std::vector<Answer>> AnswerOn(Shard& owner, std::vector<Question> questions, MonoTime deadline,
                                   std::stop_source cut) {
  const WorkStop stop(owner, std::move(cut));
  std::vector<Answer> answers;
  // The same asked again is not searched for again.
  std::map<std::pair<PartitionKey, std::string>, size_t> searched;
  for (const Question& question : questions) {
    if (stop.stopped() || owner.loop().Now() >= deadline) break;
    if (Searches(question)) {
      const auto [before, news] =
          searched.try_emplace(std::pair(question.key, question.wanted.SerializeAsString()), answers.size());
      if (!news) {
        answers.push_back(answers[before->second]);
        answers.back().topic = question.topic;
        answers.back().partition = question.partition;
        continue;
      }
    }
    std::optional<Answer> answer = co_await AnswerOne(owner, question, deadline, stop);
    if (!answer) break;
    answers.push_back(std::move(*answer));
  }
  co_return answers;
}

std::vector<std::vector<Question>> Split(BrokerContext& context, const v1::ListOffsetsRequest& request,
                                         v1::ListOffsetsResponse* response) {
  std::vector<std::vector<Question>> by_shard(context.shards.size());
  for (int t = 0; t < request.topics_size(); ++t) {
    v1::ListOffsetsResponse::Topic* answer = response->add_topics();
    answer->set_id(request.topics(t).id());
    const Result<TopicId> id = TopicId::FromBytes(request.topics(t).id());
    for (int p = 0; p < request.topics(t).partitions_size(); ++p) {
      const v1::ListOffsetsRequest::Partition& wanted = request.topics(t).partitions(p);
      v1::ListOffsetsResponse::Partition* slot = answer->add_partitions();
      slot->set_partition(wanted.partition());
      ToProto({v1::REQUEST_TIMED_OUT, "not answered in time"}, slot->mutable_error());
      if (!id) {
        ToProto(id.error(), slot->mutable_error());
        continue;
      }
      const PartitionKey key{*id, wanted.partition()};
      by_shard[context.OwnerOf(key).index()].push_back(
          {.topic = t, .partition = p, .key = key, .wanted = wanted});
    }
  }
  return by_shard;
}

Task<v1::DescribeReplicasResponse> DescribeOn(Shard& owner, std::set<TopicId> topics) {
  v1::DescribeReplicasResponse out;
  if (owner.active()) owner.table()->Describe(topics, &out);
  out.set_broker_id(owner.self());
  out.set_broker_epoch(owner.self_epoch());
  co_return out;
}

Task<std::vector<Answer>> AskShards(BrokerContext& context, EventLoop& home,
                                    std::vector<std::vector<Question>> by_shard, MonoTime deadline,
                                    std::stop_token stop) {
  const auto used = static_cast<size_t>(
      std::count_if(by_shard.begin(), by_shard.end(), [](const auto& slice) { return !slice.empty(); }));
  Gather<std::vector<Answer>> gather(home, used);
  RequestCut cut;
  const MonoTime now = home.Now();
  const Duration reserve = std::clamp<Duration>((deadline - now) / 2, 0ns, kListReserve);
  const MonoTime until = deadline - reserve;
  size_t next = 0;
  for (size_t i = 0; i < by_shard.size(); ++i) {
    if (by_shard[i].empty()) continue;
    Shard& owner = *context.shards[i];
    gather.Start(next++, owner.loop(), owner.scope(), "list offsets",
                 [&owner, slice = std::move(by_shard[i]), until, stop_here = cut.For(owner)]() mutable {
                   return AnswerOn(owner, std::move(slice), until, std::move(stop_here));
                 });
  }
  if (co_await gather.Wait("list offsets", deadline - reserve / 2, std::move(stop)) != WaitOutcome::kReady)
    cut.Cut();
  std::vector<Answer> all;
  for (auto& answers : gather.results()) {
    if (answers) all.insert(all.end(), answers->begin(), answers->end());
  }
  co_return all;
}

}  // namespace

Task<v1::ListOffsetsResponse> ListOffsetsHere(BrokerContext& context, EventLoop& home,
                                              v1::ListOffsetsRequest request, MonoTime deadline,
                                              std::stop_token stop) {
  v1::ListOffsetsResponse out;
  auto by_shard = Split(context, request, &out);
  for (Answer& answer : co_await AskShards(context, home, std::move(by_shard), deadline, std::move(stop)))
    *out.mutable_topics(answer.topic)->mutable_partitions(answer.partition) = std::move(answer.response);
  co_return out;
}

Task<void> HandleListOffsets(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::Response response;
  v1::ListOffsetsResponse* out = response.mutable_list_offsets();
  const std::string listener = call->connection() == nullptr ? std::string() : call->connection()->listener;
  auto by_shard = Split(shard.context(), call->request().list_offsets(), out);
  const MonoTime deadline = std::min(call->deadline(), shard.loop().Now() + kListPatience);
  const std::vector<Answer> answers =
      co_await AskShards(shard.context(), shard.loop(), std::move(by_shard), deadline, call->stop_token());
  if (call->connection() == nullptr) {
    call->NoReply();
    co_return;
  }
  for (const Answer& answer : answers) {
    v1::ListOffsetsResponse::Partition* slot =
        out->mutable_topics(answer.topic)->mutable_partitions(answer.partition);
    *slot = answer.response;
    const ErrorCode code = slot->error().code();
    if (code == v1::NOT_LEADER_OR_FOLLOWER || code == v1::FENCED_LEADER_EPOCH) {
      shard.snapshot().FillHint(answer.key, listener, answer.leader.leader, answer.leader.epoch,
                                slot->mutable_current_leader());
    }
  }
  call->Reply(std::move(response));
}

Task<void> HandleDescribeReplicas(Shard& shard, std::unique_ptr<RpcCall> call) {
  std::set<TopicId> topics;
  for (const std::string& bytes : call->request().describe_replicas().topic_ids()) {
    const Result<TopicId> id = TopicId::FromBytes(bytes);
    if (!id) {
      call->ReplyError(id.error());
      co_return;
    }
    topics.insert(*id);
  }
  BrokerContext& context = shard.context();
  Gather<v1::DescribeReplicasResponse> gather(shard.loop(), context.shards.size());
  for (const auto& owner : context.shards) {
    gather.Start(owner->index(), owner->loop(), owner->scope(), "describe replicas",
                 [&owner = *owner, topics] { return DescribeOn(owner, topics); });
  }
  const MonoTime deadline = std::min(call->deadline(), shard.loop().Now() + kListPatience);
  const WaitOutcome waited = co_await gather.Wait("describe replicas", deadline, call->stop_token());
  if (waited != WaitOutcome::kReady) {
    call->ReplyError({v1::REQUEST_TIMED_OUT, "a shard did not answer"});
    co_return;
  }
  v1::Response response;
  v1::DescribeReplicasResponse* out = response.mutable_describe_replicas();
  for (auto& part : gather.results()) out->MergeFrom(*part);
  call->Reply(std::move(response));
}

}  // namespace tidemark
