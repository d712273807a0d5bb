#include "client/member_session.h"

#include <algorithm>

#include <glog/logging.h>

#include "common/utf8.h"

namespace tidemark::internal {
namespace {

// What an interval told by a coordinator may be.
constexpr Duration kShortestInterval = 50ms;
// Errors that nobody foresaw, in a row, before they are believed to last.
constexpr int kMaxUnforeseen = 10;

void FillOwned(const std::set<PartitionKey>& held, v1::GroupPartitions* out) {
  std::optional<TopicId> topic;
  for (const PartitionKey& key : held) {
    if (topic != key.topic) out->add_topics()->set_topic_id(key.topic.ToBytes());
    topic = key.topic;
    out->mutable_topics(out->topics_size() - 1)->add_partitions(key.partition);
  }
}

// Topics whose id makes no sense are left out; their error would be one of the broker.
NamedPartitions TargetFrom(const v1::GroupPartitions& assignment) {
  NamedPartitions target;
  for (const auto& topic : assignment.topics()) {
    const Result<TopicId> id = TopicId::FromBytes(topic.topic_id());
    // A topic without a name has just been deleted: it will be taken out of the assignment.
    if (!id || topic.topic().empty()) continue;
    for (const uint32_t partition : topic.partitions()) target[{*id, partition}] = topic.topic();
  }
  return target;
}

}  // namespace

std::string MakeMemberId(const std::string& name, Random& random) {
  uint64_t high = random.Next(), low = random.Next();
  high = (high & ~0xf000ULL) | 0x4000ULL;      // version 4: random
  low = (low & ~(3ULL << 62)) | (2ULL << 62);  // variant of RFC 4122
  constexpr size_t kMaxName = 200;             // ids are at most 255 bytes
  return fmt::format("{}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", Utf8Prefix(name, kMaxName), high >> 32,
                     high >> 16 & 0xffff, high & 0xffff, low >> 48, low & 0xffff'ffff'ffffULL);
}

void MemberSession::Forget() {
  epoch_ = 0;
  held_.clear();
  target_.clear();
  confirmed_.reset();
  stalled_ = false;
}

void MemberSession::Subscribe(v1::GroupSubscription subscription, MonoTime now) {
  subscription_ = std::move(subscription);
  ++subscription_said_.now;
  if (active()) {
    Hurry(now);
  } else {
    Rejoin(now);
  }
}

void MemberSession::Rejoin(MonoTime now) {
  CHECK(!active());
  Forget();
  problem_.reset();
  stage_ = Stage::kJoining;
  due_ = now;
}

void MemberSession::SetHeld(std::set<PartitionKey> held, MonoTime now) {
  if (held == held_) return;
  held_ = std::move(held);
  ++held_said_.now;
  Hurry(now);
}

v1::ConsumerGroupHeartbeatRequest MemberSession::Blank() const {
  v1::ConsumerGroupHeartbeatRequest request;
  request.set_group_id(settings_.group);
  request.set_member_id(settings_.member_id);
  request.set_member_epoch(epoch_);
  request.set_instance_id(settings_.instance_id);
  return request;
}

v1::ConsumerGroupHeartbeatRequest MemberSession::Begin(MonoTime now) {
  CHECK(active());
  v1::ConsumerGroupHeartbeatRequest request = Blank();
  const bool joins = stage_ == Stage::kJoining;
  if (joins) {
    CHECK(epoch_ == 0 && held_.empty()) << "a member that joins holds nothing";
    request.set_rack_id(settings_.rack);
    request.set_rebalance_timeout_ms(static_cast<uint32_t>(ToMillis(settings_.rebalance_timeout)));
    request.set_session_timeout_ms(static_cast<uint32_t>(ToMillis(settings_.session_timeout)));
    request.set_assignor(settings_.assignor);
  }
  if (joins || subscription_said_.known != subscription_said_.now)
    *request.mutable_subscription() = subscription_;
  if (joins || held_said_.known != held_said_.now) FillOwned(held_, request.mutable_owned());
  subscription_said_.sent = subscription_said_.now;
  held_said_.sent = held_said_.now;
  begun_stalled_ = Stalled(now);
  begun_ = now;
  return request;
}

void MemberSession::OnAnswer(const v1::ConsumerGroupHeartbeatResponse& answer, MonoTime now) {
  CHECK(active());
  // An answer that has waited for this process to go on says nothing of what happened meanwhile.
  const bool stale = Stalled(now) && !begun_stalled_;
  if (!stale) stalled_ = false;
  heard_ = begun_;
  stage_ = Stage::kMember;
  epoch_ = answer.member_epoch();
  problem_.reset();
  unforeseen_ = 0;
  subscription_said_.known = subscription_said_.sent;
  held_said_.known = held_said_.sent;
  const bool more_to_say =
      subscription_said_.known != subscription_said_.now || held_said_.known != held_said_.now;
  if (answer.has_assignment()) {
    target_ = TargetFrom(answer.assignment());
    // What it holds now is said once more at this epoch, also where nothing changes.
    ++held_said_.now;
  }
  const Duration interval =
      std::clamp<Duration>(std::chrono::milliseconds(answer.heartbeat_interval_ms()), kShortestInterval,
                           std::max<Duration>(settings_.session_timeout / 2, kShortestInterval));
  due_ = now + interval;
  const bool settled = std::ranges::equal(held_, target_, {}, {}, [](const auto& at) { return at.first; });
  // Once for each epoch and target: where the coordinator goes on telling what was confirmed, the interval
  // holds.
  const bool confirms = answer.has_assignment() && settled && confirmed_ != std::pair(epoch_, target_);
  if (confirms) confirmed_ = {epoch_, target_};
  if (stale || more_to_say || confirms) due_ = now;
}

MemberSession::Verdict MemberSession::OnError(const Error& error, MonoTime now, Duration pause) {
  CHECK(active());
  (void)Stalled(now);
  failed_ = now;
  problem_ = error;
  due_ = now + pause;
  // The answer may have been lost, so all is said again.
  held_said_.known = 0;
  if (ClassOf(error.code) == v1::ERROR_CLASS_REJOIN) {
    const bool was_member = stage_ == Stage::kMember;
    Forget();
    stage_ = Stage::kJoining;
    if (was_member) due_ = now;
    return Verdict::kFenced;
  }
  const bool may_pass = error.code == v1::UNKNOWN_SERVER_ERROR && ++unforeseen_ < kMaxUnforeseen;
  if (IsRetriable(error.code) || may_pass) return Verdict::kGoOn;
  Forget();
  stage_ = Stage::kFailed;
  return Verdict::kFailed;
}

v1::ConsumerGroupHeartbeatRequest MemberSession::Farewell() const {
  v1::ConsumerGroupHeartbeatRequest request = Blank();
  request.set_member_epoch(settings_.instance_id.empty() ? -1 : -2);
  return request;
}

v1::ConsumerGroupHeartbeatRequest MemberSession::Leave(std::optional<Error> why) {
  v1::ConsumerGroupHeartbeatRequest request = Farewell();
  Forget();
  problem_ = std::move(why);
  stage_ = Stage::kOut;
  return request;
}

bool MemberSession::Stalled(MonoTime now) {
  if (stage_ == Stage::kMember && now - std::max(heard_, failed_) > settings_.session_timeout)
    stalled_ = true;
  return stalled_;
}

}  // namespace tidemark::internal
