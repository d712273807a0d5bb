// Requests of groups: each goes to the shard that leads the group's partition of __consumer_offsets; those
// that name several groups are gathered here.
#include <algorithm>

#include "broker/group/group_limits.h"
#include "broker/server/gather.h"
#include "broker/server/group_topic.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

constexpr Duration kLongestWait = 30s;
// Answers held at a time.
constexpr size_t kGroupsAtOnce = 16;

MonoTime DeadlineOf(Shard& shard, const RpcCall& call) {
  return std::min(call.deadline(), shard.loop().Now() + kLongestWait);
}

// On the owner's loop: asks its coordinator, if it is one.
template <typename R, typename F>
Task<Result<R>> AskCoordinator(Shard& owner, PartitionKey place, F ask) {
  if (!owner.active() || owner.scope().stopping()) {
    co_return Fail(v1::NOT_COORDINATOR, "the broker is stopping");
  }
  co_return co_await ask(*owner.groups(), place);
}

// The answer of the coordinator of `group`. `ask(GroupCoordinator&, PartitionKey)` returns Task<Result<R>>
// and owns what it needs.
template <typename R, typename F>
Task<Result<R>> OnCoordinator(Shard& shard, std::string group, MonoTime deadline, F ask) {
  TM_CO_ASSIGN_OR_RETURN(const PartitionKey place, PlaceOfGroup(shard.snapshot(), group));
  Shard& owner = shard.context().OwnerOf(place);
  auto answer = co_await CallOn<Result<R>>(
      shard.loop(), owner.loop(), owner.scope(), "group request",
      [&owner, place, ask = std::move(ask)]() mutable {
        return AskCoordinator<R>(owner, place, std::move(ask));
      },
      deadline + 1s, shard.scope().stop_token());
  if (!answer) co_return std::unexpected(answer.error());
  co_return std::move(*answer);
}

template <typename R, typename Set>
void ReplyWith(RpcCall& call, Result<R> answer, Set set) {
  if (!answer) {
    call.ReplyError(answer.error());
    return;
  }
  v1::Response response;
  set(response, std::move(*answer));
  call.Reply(std::move(response));
}

template <typename R>
size_t SizeOf(const Result<R>& answer) {
  if constexpr (std::is_void_v<R>) {
    return 0;
  } else {
    return answer ? answer->ByteSizeLong() : 0;
  }
}

// Asks for each of several groups, a few at a time; `done` gets each with its answer, in order. Those that
// would make the whole too large are left out.
template <typename R, typename Item, typename GroupOf, typename Ask, typename Done>
Task<void> ForEachAsked(Shard& shard, std::vector<Item> items, MonoTime deadline, GroupOf group_of, Ask ask,
                        Done done) {
  size_t bytes = 0;
  size_t first = 0;
  for (bool full = false; first < items.size() && !full; first += kGroupsAtOnce) {
    const size_t count = std::min(kGroupsAtOnce, items.size() - first);
    Gather<Result<R>> gather(shard.loop(), count);
    for (size_t i = 0; i < count; ++i) {
      gather.Start(i, shard.loop(), shard.scope(), "group request",
                   [&shard, item = items[first + i], deadline, group_of, ask]() {
                     return OnCoordinator<R>(
                         shard, group_of(item), deadline,
                         [item, deadline, ask](GroupCoordinator& groups, PartitionKey place) {
                           return ask(groups, place, item, deadline);
                         });
                   });
    }
    (void)co_await gather.Wait("group requests", deadline + 2s, shard.scope().stop_token());
    for (size_t i = 0; i < count; ++i) {
      const Item& item = items[first + i];
      Result<R> answer = Fail(v1::REQUEST_TIMED_OUT, "the coordinator did not answer in time");
      if (gather.results()[i]) answer = std::move(*gather.results()[i]);
      const size_t size = SizeOf(answer);
      full |= bytes > 0 && bytes + size > kGroupAnswerBytes;
      if (full) answer = std::unexpected(LeftOutOfAnswer(group_of(item)));
      bytes += size;
      done(item, std::move(answer));
    }
  }
  for (; first < items.size(); ++first)
    done(items[first], Result<R>(std::unexpected(LeftOutOfAnswer(group_of(items[first])))));
}

template <typename Range>
std::vector<std::string> Names(const Range& range) {
  return {range.begin(), range.end()};
}

const std::string& Itself(const std::string& name) { return name; }

}  // namespace

Task<void> HandleGroupHeartbeat(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::ConsumerGroupHeartbeatRequest request = std::move(*call->request().mutable_consumer_group_heartbeat());
  GroupCaller caller{.client_id = call->request().header().client_id()};
  if (call->connection() != nullptr) caller.host = call->connection()->peer;
  const MonoTime deadline = DeadlineOf(shard, *call);
  const std::string group = request.group_id();
  auto answer = co_await OnCoordinator<v1::ConsumerGroupHeartbeatResponse>(
      shard, group, deadline,
      [request = std::move(request), caller = std::move(caller), deadline](GroupCoordinator& groups,
                                                                           PartitionKey place) mutable {
        return groups.Heartbeat(place, std::move(request), std::move(caller), deadline);
      });
  ReplyWith(*call, std::move(answer), [](v1::Response& response, v1::ConsumerGroupHeartbeatResponse body) {
    *response.mutable_consumer_group_heartbeat() = std::move(body);
  });
}

Task<void> HandleOffsetCommit(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::OffsetCommitRequest request = std::move(*call->request().mutable_offset_commit());
  const MonoTime deadline = DeadlineOf(shard, *call);
  const std::string group = request.group_id();
  auto answer = co_await OnCoordinator<v1::OffsetCommitResponse>(
      shard, group, deadline,
      [request = std::move(request), deadline](GroupCoordinator& groups, PartitionKey place) mutable {
        return groups.Commit(place, std::move(request), deadline);
      });
  ReplyWith(*call, std::move(answer), [](v1::Response& response, v1::OffsetCommitResponse body) {
    *response.mutable_offset_commit() = std::move(body);
  });
}

Task<void> HandleOffsetDelete(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::OffsetDeleteRequest request = std::move(*call->request().mutable_offset_delete());
  const MonoTime deadline = DeadlineOf(shard, *call);
  const std::string group = request.group_id();
  auto answer = co_await OnCoordinator<v1::OffsetDeleteResponse>(
      shard, group, deadline,
      [request = std::move(request), deadline](GroupCoordinator& groups, PartitionKey place) mutable {
        return groups.DeleteOffsets(place, std::move(request), deadline);
      });
  ReplyWith(*call, std::move(answer), [](v1::Response& response, v1::OffsetDeleteResponse body) {
    *response.mutable_offset_delete() = std::move(body);
  });
}

Task<void> HandleOffsetFetch(Shard& shard, std::unique_ptr<RpcCall> call) {
  const Result<> asked = CheckGroupsAsked(call->request().offset_fetch().groups(),
                                          [](const auto& g) { return std::string_view(g.group_id()); });
  if (!asked) {
    call->ReplyError(asked.error());
    co_return;
  }
  using Question = v1::OffsetFetchRequest::Group;
  using Answer = v1::OffsetFetchResponse::Group;
  const auto& groups = call->request().offset_fetch().groups();
  v1::Response response;
  v1::OffsetFetchResponse* out = response.mutable_offset_fetch();
  co_await ForEachAsked<Answer>(
      shard, std::vector<Question>(groups.begin(), groups.end()), DeadlineOf(shard, *call),
      [](const Question& question) { return question.group_id(); },
      [](GroupCoordinator& coordinator, PartitionKey place, const Question& question, MonoTime deadline) {
        return coordinator.Fetch(place, question, deadline);
      },
      [out](const Question& question, Result<Answer> answer) {
        Answer* added = out->add_groups();
        if (answer) *added = std::move(*answer);
        added->set_group_id(question.group_id());
        if (!answer) ToProto(answer.error(), added->mutable_error());
      });
  call->Reply(std::move(response));
}

Task<void> HandleDescribeGroups(Shard& shard, std::unique_ptr<RpcCall> call) {
  if (const Result<> asked = CheckGroupsAsked(call->request().describe_groups().group_ids()); !asked) {
    call->ReplyError(asked.error());
    co_return;
  }
  using Answer = v1::DescribeGroupsResponse::Group;
  const bool offsets = call->request().describe_groups().include_offsets();
  v1::Response response;
  v1::DescribeGroupsResponse* out = response.mutable_describe_groups();
  out->set_coordinator(shard.self());
  co_await ForEachAsked<Answer>(
      shard, Names(call->request().describe_groups().group_ids()), DeadlineOf(shard, *call), Itself,
      [offsets](GroupCoordinator& coordinator, PartitionKey place, const std::string& group,
                MonoTime deadline) { return coordinator.Describe(place, group, offsets, deadline); },
      [out](const std::string& group, Result<Answer> answer) {
        Answer* added = out->add_groups();
        if (answer) *added = std::move(*answer);
        added->set_group_id(group);
        if (answer) return;
        ToProto(answer.error(), added->mutable_error());
        if (answer.error().code == v1::GROUP_ID_NOT_FOUND) added->set_state(v1::GROUP_STATE_DEAD);
      });
  call->Reply(std::move(response));
}

Task<void> HandleDeleteGroups(Shard& shard, std::unique_ptr<RpcCall> call) {
  if (const Result<> asked = CheckGroupsAsked(call->request().delete_groups().group_ids()); !asked) {
    call->ReplyError(asked.error());
    co_return;
  }
  v1::Response response;
  v1::DeleteGroupsResponse* out = response.mutable_delete_groups();
  co_await ForEachAsked<void>(
      shard, Names(call->request().delete_groups().group_ids()), DeadlineOf(shard, *call), Itself,
      [](GroupCoordinator& coordinator, PartitionKey place, const std::string& group, MonoTime deadline) {
        return coordinator.Delete(place, group, deadline);
      },
      [out](const std::string& group, Result<> answer) {
        v1::DeleteGroupsResponse::Group* added = out->add_groups();
        added->set_group_id(group);
        if (!answer) ToProto(answer.error(), added->mutable_error());
      });
  call->Reply(std::move(response));
}

Task<void> HandleListGroups(Shard& shard, std::unique_ptr<RpcCall> call) {
  using Groups = Result<std::vector<v1::ListGroupsResponse::Group>>;
  const ListedGroups wanted(call->request().list_groups());
  auto list = [](Shard& owner, ListedGroups asked) -> Task<Groups> {
    if (!owner.active() || owner.scope().stopping())
      co_return Fail(v1::BROKER_NOT_READY, "the broker is stopping");
    co_return owner.groups()->List(asked);
  };
  BrokerContext& context = shard.context();
  Gather<Groups> gather(shard.loop(), context.shards.size());
  for (const auto& owner : context.shards) {
    gather.Start(owner->index(), owner->loop(), owner->scope(), "list groups",
                 [&owner = *owner, list, wanted] { return list(owner, wanted); });
  }
  (void)co_await gather.Wait("list groups", DeadlineOf(shard, *call), call->stop_token());
  std::vector<v1::ListGroupsResponse::Group> all;
  for (auto& part : gather.results()) {
    const Error missing{v1::REQUEST_TIMED_OUT, "a shard did not answer in time"};
    if (!part || !*part) {
      call->ReplyError(part ? part->error() : missing);
      co_return;
    }
    for (auto& group : **part) all.push_back(std::move(group));
  }
  std::ranges::sort(all, {}, [](const auto& group) -> const std::string& { return group.group_id(); });
  v1::Response response;
  const bool more = wanted.paged() && all.size() > kGroupsPerPage;
  if (more) all.resize(kGroupsPerPage);
  response.mutable_list_groups()->set_more(more);
  for (auto& group : all) *response.mutable_list_groups()->add_groups() = std::move(group);
  call->Reply(std::move(response));
}

}  // namespace tidemark
