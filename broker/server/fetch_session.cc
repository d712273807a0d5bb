#include "broker/server/fetch_session.h"

#include <any>

#include "broker/server/shard.h"

namespace tidemark {
namespace {

constexpr size_t kNoShard = SIZE_MAX;

}  // namespace

ConnectionFetches& FetchesOf(ConnectionInfo& connection) {
  if (!connection.session.has_value()) connection.session = ConnectionFetches();
  return *std::any_cast<ConnectionFetches>(&connection.session);
}

FetchSession::FetchSession(Shard& home, FetchReader reader, std::shared_ptr<FetchHolding> holding)
    : home_(home),
      reader_(reader),
      holding_(std::move(holding)),
      handle_(home.NextHandle()),
      used_(home.context().shards.size(), false),
      idle_(home.loop()) {}

FetchSession::~FetchSession() {
  holding_->partitions -= held_.size();
  for (const size_t index : UsedShards()) {
    Shard& owner = *home_.context().shards[index];
    owner.loop().Post([&owner, handle = handle_] { owner.DropSlice(handle); });
  }
}

Result<> FetchSession::Hold(const v1::FetchRequest& request) {
  if (reader_.follower()) return {};
  const size_t most = home_.config().max_fetch_partitions;
  for (const v1::FetchRequest::Topic& topic : request.forgotten()) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.id()));
    for (const auto& partition : topic.partitions())
      holding_->partitions -= held_.erase({id, partition.partition()});
  }
  for (const v1::FetchRequest::Topic& topic : request.topics()) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.id()));
    for (const auto& partition : topic.partitions()) {
      if (!held_.insert({id, partition.partition()}).second) continue;
      ++holding_->partitions;
      if (held_.size() > most) {
        return Fail(v1::POLICY_VIOLATION, "one fetch may name at most max.fetch.partitions={} partitions",
                    most);
      }
      if (holding_->partitions > 2 * most) {
        return Fail(v1::POLICY_VIOLATION,
                    "the fetches of this connection name more than twice max.fetch.partitions={} partitions",
                    most);
      }
    }
  }
  return {};
}

std::vector<size_t> FetchSession::UsedShards() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < used_.size(); ++i) {
    if (used_[i]) out.push_back(i);
  }
  return out;
}

void FetchSession::CutSlices(BrokerContext& context, const std::vector<size_t>& shards, uint64_t handle,
                             size_t except) {
  for (const size_t index : shards) {
    if (index == except) continue;
    Shard& owner = *context.shards[index];
    owner.loop().Post([&owner, handle] {
      if (const auto slice = owner.FindSlice(handle, std::nullopt)) slice->cut.request_stop();
    });
  }
}

void FetchSession::Cut() {
  cut_ = true;
  if (busy_) CutSlices(home_.context(), UsedShards(), handle_, kNoShard);
}

Task<bool> FetchSession::Begin(std::stop_token stop) {
  while (busy_) {
    Cut();
    if (co_await idle_.Wait("fetch session", kNoDeadline, stop) == WaitOutcome::kStopped) co_return false;
  }
  busy_ = true;
  cut_ = false;
  co_return true;
}

void FetchSession::End() {
  busy_ = false;
  idle_.NotifyAll();
}

}  // namespace tidemark
