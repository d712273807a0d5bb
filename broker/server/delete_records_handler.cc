// DeleteRecords: each partition's question goes to the shard that owns it; all are worked on at once, because
// each waits for its followers. The answers are gathered here.
#include <algorithm>
#include <unordered_set>

#include "broker/server/gather.h"
#include "broker/server/request_cut.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"

namespace tidemark {
namespace {

constexpr Duration kDefaultPatience = 30s;
constexpr Duration kLongestPatience = 300s;
// Left for the way home, so that a partition that waited in vain says itself for what.
constexpr Duration kAnswerReserve = 100ms;

struct Deletion {
  int topic = 0;
  int partition = 0;
  PartitionKey key;
  v1::DeleteRecordsRequest::Partition wanted;
};
struct Deleted {
  int topic = 0;
  int partition = 0;
  PartitionKey key;
  LeaderKnown leader;
  Result<Offset> low_watermark = Offset{0};
};

Result<Offset> Refusal(const Partition& partition, const v1::DeleteRecordsRequest::Partition& wanted) {
  if (IsInternalTopic(partition.topic())) {
    return Fail(v1::INVALID_TOPIC_EXCEPTION, "records of the internal topic {} cannot be deleted",
                partition.topic());
  }
  if (wanted.offset() < -1) {
    return Fail(v1::OFFSET_OUT_OF_RANGE, "{} has no offset {}; -1 means the high watermark", partition.name(),
                wanted.offset());
  }
  return Offset{0};
}

Task<Deleted> DeleteOn(Shard& owner, Deletion deletion, MonoTime deadline, std::stop_source cut) {
  const WorkStop stop(owner, std::move(cut));
  Deleted out{.topic = deletion.topic, .partition = deletion.partition, .key = deletion.key};
  Partition* partition =
      owner.active() && !owner.scope().stopping() ? owner.table()->Find(deletion.key) : nullptr;
  if (partition == nullptr) {
    out.low_watermark = std::unexpected(owner.snapshot().WhyNotHere(deletion.key, owner.self()));
    co_return out;
  }
  out.leader = partition->leader_known();
  out.low_watermark = Refusal(*partition, deletion.wanted);
  if (!out.low_watermark) co_return out;
  std::optional<Offset> before;
  if (deletion.wanted.offset() >= 0) before = static_cast<Offset>(deletion.wanted.offset());
  std::optional<LeaderEpoch> epoch;
  if (deletion.wanted.has_leader_epoch()) epoch = deletion.wanted.leader_epoch();
  out.low_watermark = co_await partition->DeleteRecords(before, epoch, deadline, stop.token());
  co_return out;
}

// Two deletions in one partition would only wake one another.
Result<> EachNamedOnce(const std::vector<Deletion>& deletions) {
  std::unordered_set<PartitionKey> seen;
  for (const Deletion& deletion : deletions) {
    if (!seen.insert(deletion.key).second)
      return Fail(v1::INVALID_REQUEST, "partition {} of one topic is named twice", deletion.key.partition);
  }
  return {};
}

std::vector<Deletion> Plan(const v1::DeleteRecordsRequest& request, v1::DeleteRecordsResponse* response) {
  std::vector<Deletion> deletions;
  for (int t = 0; t < request.topics_size(); ++t) {
    v1::DeleteRecordsResponse::Topic* answer = response->add_topics();
    answer->set_id(request.topics(t).id());
    const Result<TopicId> id = TopicId::FromBytes(request.topics(t).id());
    for (int p = 0; p < request.topics(t).partitions_size(); ++p) {
      const v1::DeleteRecordsRequest::Partition& wanted = request.topics(t).partitions(p);
      v1::DeleteRecordsResponse::Partition* slot = answer->add_partitions();
      slot->set_partition(wanted.partition());
      if (!id) {
        ToProto(id.error(), slot->mutable_error());
        continue;
      }
      ToProto({v1::REQUEST_TIMED_OUT, "the shard of this partition did not answer"}, slot->mutable_error());
      deletions.push_back({.topic = t, .partition = p, .key = {*id, wanted.partition()}, .wanted = wanted});
    }
  }
  return deletions;
}

void FillAnswer(Shard& shard, const std::string& listener, const Deleted& deleted,
                v1::DeleteRecordsResponse::Partition* slot) {
  slot->clear_error();
  if (deleted.low_watermark) {
    slot->set_low_watermark(*deleted.low_watermark);
    return;
  }
  ToProto(deleted.low_watermark.error(), slot->mutable_error());
  const ErrorCode code = deleted.low_watermark.error().code;
  if (code != v1::NOT_LEADER_OR_FOLLOWER && code != v1::FENCED_LEADER_EPOCH) return;
  shard.snapshot().FillHint(deleted.key, listener, deleted.leader.leader, deleted.leader.epoch,
                            slot->mutable_current_leader());
}

}  // namespace

Task<void> HandleDeleteRecords(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::Response response;
  v1::DeleteRecordsResponse* out = response.mutable_delete_records();
  const v1::DeleteRecordsRequest& request = call->request().delete_records();
  const std::string listener = call->connection() == nullptr ? std::string() : call->connection()->listener;
  const Duration asked = std::chrono::milliseconds(request.timeout_ms());
  const Duration patience = request.timeout_ms() > 0 ? std::min(asked, kLongestPatience) : kDefaultPatience;
  const MonoTime now = shard.loop().Now();
  const MonoTime wait_until = std::max(now, std::min(call->deadline() - kAnswerReserve, now + patience));
  std::vector<Deletion> deletions = Plan(request, out);
  if (const Result<> once = EachNamedOnce(deletions); !once) {
    call->ReplyError(once.error());
    co_return;
  }
  Gather<Deleted> gather(shard.loop(), deletions.size());
  RequestCut cut;
  for (size_t i = 0; i < deletions.size(); ++i) {
    Shard& owner = shard.context().OwnerOf(deletions[i].key);
    gather.Start(
        i, owner.loop(), owner.scope(), "delete records",
        [&owner, deletion = std::move(deletions[i]), wait_until, stop_here = cut.For(owner)]() mutable {
          return DeleteOn(owner, std::move(deletion), wait_until, std::move(stop_here));
        });
  }
  const MonoTime latest = wait_until + kAnswerReserve;
  if (co_await gather.Wait("delete records", latest, call->stop_token()) != WaitOutcome::kReady) cut.Cut();
  if (call->connection() == nullptr) {
    // What has begun stays: only the wait for the others ends.
    call->NoReply();
    co_return;
  }
  for (const auto& deleted : gather.results()) {
    if (!deleted) continue;
    FillAnswer(shard, listener, *deleted,
               out->mutable_topics(deleted->topic)->mutable_partitions(deleted->partition));
  }
  call->Reply(std::move(response));
}

}  // namespace tidemark
