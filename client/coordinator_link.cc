#include "client/coordinator_link.h"

#include <algorithm>
#include <utility>

#include "client/backoff.h"

namespace tidemark::internal {
namespace {

// A try that has not been answered for so long is repeated: the coordinator may be elsewhere by now.
constexpr Duration kLongestTry = 10s;

// How long the topic of the groups may be missing: brokers of a cluster that starts come one after the other.
constexpr Duration kTopicGrace = 3s;

// The error of the one group that an answer is about; null when it has none.
const v1::Error* ItemError(const v1::Response& response) {
  const v1::Error* error = nullptr;
  if (response.has_offset_fetch() && response.offset_fetch().groups_size() > 0)
    error = &response.offset_fetch().groups(0).error();
  if (response.has_describe_groups() && response.describe_groups().groups_size() > 0)
    error = &response.describe_groups().groups(0).error();
  if (response.has_delete_groups() && response.delete_groups().groups_size() > 0)
    error = &response.delete_groups().groups(0).error();
  return error != nullptr && error->code() != v1::NONE ? error : nullptr;
}

bool MayHaveHappened(const Error& error) {
  return error.unknown_outcome || error.code == v1::REQUEST_TIMED_OUT ||
         error.code == v1::NOT_ENOUGH_REPLICAS_AFTER_APPEND;
}

}  // namespace

Task<Result<v1::Response>> CoordinatorLink::AskWhere(bool any, MonoTime deadline, std::stop_token stop) {
  v1::Request request;
  request.mutable_find_coordinator()->add_group_ids(group_);
  if (failed_ != kNoBroker && !any) {
    auto response = co_await cluster_.AskOther(request, failed_, deadline, stop);
    if (response || stop.stop_requested() || cluster_.loop().Now() >= deadline) co_return response;
  }
  co_return co_await cluster_.AskAny(std::move(request), deadline, stop);
}

void CoordinatorLink::Stamp(v1::Request* request) {
  if (request->has_consumer_group_heartbeat())
    request->mutable_consumer_group_heartbeat()->set_serial(++last_serial_);
  if (request->has_offset_commit() && !request->offset_commit().member_id().empty())
    request->mutable_offset_commit()->set_serial(++last_serial_);
  if (!epoch_) return;
  if (request->has_consumer_group_heartbeat())
    request->mutable_consumer_group_heartbeat()->set_coordinator_epoch(*epoch_);
  if (request->has_offset_commit()) request->mutable_offset_commit()->set_coordinator_epoch(*epoch_);
  if (request->has_offset_fetch()) {
    for (auto& group : *request->mutable_offset_fetch()->mutable_groups())
      group.set_coordinator_epoch(*epoch_);
  }
}

Task<Result<>> CoordinatorLink::Find(MonoTime deadline, std::stop_token stop) {
  const bool any = std::exchange(named_again_, false);
  auto response = co_await AskWhere(any, deadline, stop);
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (response->find_coordinator().coordinators_size() != 1) {
    co_return Fail(v1::UNKNOWN_SERVER_ERROR, "a broker did not answer who coordinates group '{}'", group_);
  }
  const auto& found = response->find_coordinator().coordinators(0);
  if (found.error().code() != v1::NONE) co_return std::unexpected(FromProto(found.error()));
  if (found.broker_id() < 0 || found.host().empty() || found.port() == 0 || found.port() > UINT16_MAX) {
    co_return Fail(v1::COORDINATOR_NOT_AVAILABLE, "group '{}' has a coordinator without an address", group_);
  }
  if (found.has_coordinator_epoch()) {
    if (found.coordinator_epoch() < epoch_.value_or(0)) {
      failed_ = found.broker_id();
      co_return Fail(v1::COORDINATOR_NOT_AVAILABLE, "a broker tells of a former coordinator of group '{}'",
                     group_);
    }
    epoch_ = found.coordinator_epoch();
  }
  named_again_ = !any && found.broker_id() == failed_;
  coordinator_ = found.broker_id();
  endpoint_ = {found.host(), static_cast<uint16_t>(found.port())};
  co_return Result<>();
}

// As far as a broker knows.
Task<bool> CoordinatorLink::HasNoTopic(std::stop_token stop) {
  v1::MetadataRequest request;
  request.add_topics()->set_name(std::string(kOffsetsTopic));
  auto answer = co_await cluster_.Metadata(std::move(request), cluster_.loop().Now() + kTopicGrace, stop);
  if (!answer || answer->topics_size() != 1) co_return false;
  co_return answer->topics(0).error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION;
}

Task<Result<>> CoordinatorLink::Locate(MonoTime deadline, std::stop_token stop) {
  Backoff backoff(cluster_.options());
  EventLoop& loop = cluster_.loop();
  const Duration longest = std::min(kLongestTry, cluster_.options().request_timeout);
  const MonoTime began = loop.Now();
  while (coordinator_ == kNoBroker) {
    auto found = co_await Find(std::min(deadline, loop.Now() + longest), stop);
    if (found || !IsRetriable(found.error().code)) co_return found;
    const bool none =
        found.error().code == v1::COORDINATOR_NOT_AVAILABLE && loop.Now() - began >= kTopicGrace;
    const Duration pause = backoff.Next(cluster_.env().random());
    if (stop.stop_requested() || loop.Now() + pause >= deadline || (none && co_await HasNoTopic(stop)))
      co_return found;
    co_await Sleep(loop, pause, "a group's coordinator to be found", stop);
  }
  co_return Result<>();
}

Task<Result<v1::Response>> CoordinatorLink::Try(v1::Request request, Duration limit, std::stop_token stop) {
  const MonoTime deadline = cluster_.loop().Now() + limit;
  if (coordinator_ == kNoBroker) TM_CO_RETURN_IF_ERROR(co_await Find(deadline, stop));
  RpcChannel* channel = cluster_.Channel(coordinator_, endpoint_);
  if (channel == nullptr) co_return Fail(v1::CANCELLED, "the client is closing");
  // No suspension between this and the channel's queue: the order of serials is that of sending.
  Stamp(&request);
  auto response = co_await channel->Call(std::move(request),
                                         std::max<Duration>(deadline - cluster_.loop().Now(), 1ms), stop);
  if (response) {
    if (const v1::Error* error = ItemError(*response)) response = std::unexpected(FromProto(*error));
  }
  if (response) {
    failed_ = kNoBroker;
    co_return response;
  }
  Error error = std::move(response.error());
  // A channel that was closed because its broker has moved, not because anybody here stops.
  if (error.code == v1::CANCELLED && !stop.stop_requested()) error.code = v1::NETWORK_EXCEPTION;
  const bool elsewhere = IsRetriable(error.code) && error.code != v1::COORDINATOR_LOAD_IN_PROGRESS &&
                         error.code != v1::UNRELEASED_INSTANCE_ID && error.code != v1::STALE_MEMBER_EPOCH &&
                         error.code != v1::STALE_REQUEST;
  if (elsewhere) failed_ = std::exchange(coordinator_, kNoBroker);
  co_return std::unexpected(std::move(error));
}

Task<Result<v1::Response>> CoordinatorLink::Call(v1::Request request, MonoTime deadline, std::stop_token stop,
                                                 bool* unknown_outcome) {
  Backoff backoff(cluster_.options());
  EventLoop& loop = cluster_.loop();
  const Duration longest = std::min(kLongestTry, cluster_.options().request_timeout);
  while (true) {
    const Duration left = deadline == kNoDeadline ? longest : deadline - loop.Now();
    auto response = co_await Try(request, std::clamp<Duration>(left, 1ms, longest), stop);
    if (response || !IsRetriable(response.error().code)) co_return response;
    if (unknown_outcome != nullptr && MayHaveHappened(response.error())) *unknown_outcome = true;
    const Duration pause = backoff.Next(cluster_.env().random());
    if (stop.stop_requested() || (deadline != kNoDeadline && loop.Now() + pause >= deadline))
      co_return response;
    co_await Sleep(loop, pause, "retry of a call to a group's coordinator", stop);
  }
}

}  // namespace tidemark::internal
