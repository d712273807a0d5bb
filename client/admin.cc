#include "client/admin.h"

#include <algorithm>

#include "client/admin_retries.h"
#include "client/backoff.h"
#include "client/list_offsets.h"
#include "client/slow_call.h"
#include "common/request_limits.h"

namespace tidemark {

namespace {

// What the broker itself may use of the caller's time; the rest is for the answer's way back.
uint32_t ServerMillis(EventLoop& loop, MonoTime deadline) {
  if (deadline == kNoDeadline) return 60'000;
  return static_cast<uint32_t>(std::clamp<int64_t>(ToMillis(deadline - loop.Now()) * 9 / 10, 1, 600'000));
}

// How long the broker waits by what the request says, and then some for the answer's way back.
Duration WaitOf(const v1::Request& request) {
  uint32_t wait_ms = 0;
  if (request.has_create_topics()) wait_ms = request.create_topics().timeout_ms();
  if (request.has_delete_topics()) wait_ms = request.delete_topics().timeout_ms();
  if (request.has_create_partitions()) wait_ms = request.create_partitions().timeout_ms();
  return std::chrono::milliseconds(wait_ms) + 5s;
}

Duration Left(EventLoop& loop, MonoTime deadline) { return std::min<Duration>(deadline - loop.Now(), 600s); }

std::unexpected<Error> WrongBody(const char* what) {
  return Fail(v1::UNKNOWN_SERVER_ERROR, "{} was answered with another body", what);
}

// What still differs from "the topic is there, led everywhere" or "gone"; empty when nothing does.
std::string Difference(const v1::MetadataResponse& metadata, const std::string& topic, bool gone,
                       BrokerId broker) {
  for (const v1::TopicMetadata& told : metadata.topics()) {
    if (told.name() != topic) continue;
    if (told.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION) break;
    if (gone) return fmt::format("broker {} still shows topic '{}'", broker, topic);
    if (told.error().code() != v1::NONE)
      return fmt::format("broker {}: {}", broker, ToString(FromProto(told.error())));
    for (const v1::PartitionMetadata& partition : told.partitions()) {
      if (partition.leader() < 0) {
        return fmt::format("broker {} knows no leader for {}-{}", broker, topic, partition.partition());
      }
    }
    return {};
  }
  return gone ? std::string() : fmt::format("broker {} does not show topic '{}' yet", broker, topic);
}

}  // namespace

Task<Result<v1::Response>> Admin::CallController(v1::Request request, MonoTime deadline, bool* may_be_done) {
  Backoff backoff(cluster_.options());
  const Duration longest = WaitOf(request);
  Cluster::CallNotes notes;
  const internal::SlowCall slow(cluster_, notes, deadline);
  while (true) {
    auto response = co_await cluster_.CallAny(request, deadline, {}, longest, &notes);
    if (may_be_done != nullptr) {
      *may_be_done = notes.unknown_outcome;
      if (!response) response.error().unknown_outcome |= notes.unknown_outcome;
    }
    if (response || !IsRetriable(response.error().code)) co_return response;
    const Duration pause = backoff.Next(cluster_.env().random());
    if (response.error().code == v1::CANCELLED || cluster_.loop().Now() + pause >= deadline)
      co_return response;
    co_await Sleep(cluster_.loop(), pause, "retry of an admin call");
  }
}

Task<Result<v1::Response>> Admin::ReadFrom(BrokerId broker, v1::Request request, MonoTime deadline) {
  RpcChannel* channel = cluster_.Channel(broker);
  if (channel == nullptr) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} is not known", broker);
  Cluster::CallNotes notes;
  notes.last = Error{v1::BROKER_NOT_AVAILABLE, fmt::format("broker {} has not answered", broker)};
  const internal::SlowCall slow(cluster_, notes, deadline);
  auto response = co_await channel->Call(std::move(request), Left(cluster_.loop(), deadline), {});
  if (!response) response.error().unknown_outcome = false;
  co_return response;
}

Task<Result<v1::CreateTopicsResponse>> Admin::CreateTopics(v1::CreateTopicsRequest request,
                                                           MonoTime deadline) {
  if (request.timeout_ms() == 0) request.set_timeout_ms(ServerMillis(cluster_.loop(), deadline));
  v1::Request call;
  *call.mutable_create_topics() = request;
  bool may_be_done = false;
  auto response = co_await CallController(std::move(call), deadline, &may_be_done);
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_create_topics()) co_return WrongBody("create topics");
  if (may_be_done && !request.validate_only())
    co_await KnowOwnTopics(request, response->mutable_create_topics(), deadline);
  co_return std::move(*response->mutable_create_topics());
}

Task<Result<v1::DeleteTopicsResponse>> Admin::DeleteTopics(v1::DeleteTopicsRequest request,
                                                           MonoTime deadline) {
  if (request.timeout_ms() == 0) request.set_timeout_ms(ServerMillis(cluster_.loop(), deadline));
  v1::Request call;
  *call.mutable_delete_topics() = std::move(request);
  bool may_be_done = false;
  auto response = co_await CallController(std::move(call), deadline, &may_be_done);
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_delete_topics()) co_return WrongBody("delete topics");
  if (may_be_done) KnowOwnDeletions(response->mutable_delete_topics());
  co_return std::move(*response->mutable_delete_topics());
}

Task<Result<v1::CreatePartitionsResponse>> Admin::CreatePartitions(v1::CreatePartitionsRequest request,
                                                                   MonoTime deadline) {
  if (request.timeout_ms() == 0) request.set_timeout_ms(ServerMillis(cluster_.loop(), deadline));
  v1::Request call;
  *call.mutable_create_partitions() = request;
  bool may_be_done = false;
  auto response = co_await CallController(std::move(call), deadline, &may_be_done);
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_create_partitions()) co_return WrongBody("create partitions");
  if (may_be_done && !request.validate_only())
    co_await KnowOwnPartitions(request, response->mutable_create_partitions(), deadline);
  co_return std::move(*response->mutable_create_partitions());
}

Task<Result<v1::DescribeTopicsResponse>> Admin::DescribeTopics(std::vector<std::string> names,
                                                               MonoTime deadline) {
  v1::DescribeTopicsResponse all;
  size_t asked = 0;
  do {
    const size_t some = std::min(names.size() - asked, kMaxTopicsAsked);
    v1::Request call;
    call.mutable_describe_topics()->mutable_names()->Add(names.begin() + asked, names.begin() + asked + some);
    auto response = co_await CallController(std::move(call), deadline);
    if (!response) co_return std::unexpected(std::move(response.error()));
    if (!response->has_describe_topics()) co_return WrongBody("describe topics");
    all.MergeFrom(response->describe_topics());
    asked += some;
  } while (asked < names.size());
  co_return all;
}

Task<Result<v1::DescribeConfigsResponse>> Admin::DescribeConfigs(v1::DescribeConfigsRequest request,
                                                                 MonoTime deadline, BrokerId broker) {
  v1::DescribeConfigsResponse all;
  int asked = 0;
  do {
    v1::DescribeConfigsRequest part;
    part.set_include_defaults(request.include_defaults());
    for (size_t i = 0; i < kMaxEntitiesAsked && asked < request.entities_size(); ++i)
      *part.add_entities() = std::move(*request.mutable_entities(asked++));
    if (asked == request.entities_size()) *part.mutable_all_of() = request.all_of();
    auto answer = co_await DescribeSomeConfigs(std::move(part), deadline, broker);
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    all.MergeFrom(*answer);
  } while (asked < request.entities_size());
  co_return all;
}

Task<Result<v1::DescribeConfigsResponse>> Admin::DescribeSomeConfigs(v1::DescribeConfigsRequest request,
                                                                     MonoTime deadline, BrokerId broker) {
  v1::Request call;
  *call.mutable_describe_configs() = std::move(request);
  Result<v1::Response> response;
  if (broker == kNoBroker) {
    response = co_await CallController(std::move(call), deadline);
  } else {
    response = co_await ReadFrom(broker, std::move(call), deadline);
  }
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_describe_configs()) co_return WrongBody("describe configs");
  co_return std::move(*response->mutable_describe_configs());
}

Task<Result<v1::AlterConfigsResponse>> Admin::AlterConfigs(v1::AlterConfigsRequest request,
                                                           MonoTime deadline) {
  v1::Request call;
  *call.mutable_alter_configs() = std::move(request);
  bool may_be_done = false;  // the error says it, too
  auto response = co_await CallController(std::move(call), deadline, &may_be_done);
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_alter_configs()) co_return WrongBody("alter configs");
  co_return std::move(*response->mutable_alter_configs());
}

Task<Result<v1::MetadataResponse>> Admin::Metadata(v1::MetadataRequest request, BrokerId broker,
                                                   MonoTime deadline) {
  if (broker == kNoBroker) co_return co_await cluster_.Metadata(std::move(request), deadline, {});
  RpcChannel* channel = cluster_.Channel(broker);
  if (channel == nullptr) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} is not known", broker);
  v1::Request call;
  *call.mutable_metadata() = std::move(request);
  auto response = co_await channel->Call(std::move(call), Left(cluster_.loop(), deadline), {});
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_metadata()) co_return WrongBody("metadata");
  co_return std::move(*response->mutable_metadata());
}

Task<Result<v1::DescribeReplicasResponse>> Admin::DescribeReplicas(BrokerId broker,
                                                                   std::vector<std::string> topic_ids,
                                                                   MonoTime deadline) {
  RpcChannel* channel = cluster_.Channel(broker);
  if (channel == nullptr) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} is not known", broker);
  v1::Request call;
  for (std::string& id : topic_ids) call.mutable_describe_replicas()->add_topic_ids(std::move(id));
  if (topic_ids.empty()) call.mutable_describe_replicas();
  auto response = co_await channel->Call(std::move(call), Left(cluster_.loop(), deadline), {});
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_describe_replicas()) co_return WrongBody("describe replicas");
  co_return std::move(*response->mutable_describe_replicas());
}

Task<Result<v1::DescribeLogDirsResponse>> Admin::DescribeLogDirs(BrokerId broker,
                                                                 std::vector<std::string> topic_ids,
                                                                 MonoTime deadline) {
  v1::Request call;
  call.mutable_describe_log_dirs();
  for (std::string& id : topic_ids) call.mutable_describe_log_dirs()->add_topic_ids(std::move(id));
  auto response = co_await ReadFrom(broker, std::move(call), deadline);
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_describe_log_dirs()) co_return WrongBody("describe log dirs");
  co_return std::move(*response->mutable_describe_log_dirs());
}

Task<Result<v1::AlterReplicaLogDirsResponse>> Admin::AlterReplicaLogDirs(
    BrokerId broker, v1::AlterReplicaLogDirsRequest request, MonoTime deadline) {
  RpcChannel* channel = cluster_.Channel(broker);
  if (channel == nullptr) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} is not known", broker);
  v1::Request call;
  *call.mutable_alter_replica_log_dirs() = std::move(request);
  auto response = co_await channel->Call(std::move(call), Left(cluster_.loop(), deadline), {});
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_alter_replica_log_dirs()) co_return WrongBody("alter replica log dirs");
  co_return std::move(*response->mutable_alter_replica_log_dirs());
}

Task<Result<v1::ApiVersionsResponse>> Admin::ApiVersions(BrokerId broker, MonoTime deadline) {
  RpcChannel* channel = cluster_.Channel(broker);
  if (channel == nullptr) co_return Fail(v1::BROKER_NOT_AVAILABLE, "broker {} is not known", broker);
  v1::Request call;
  call.mutable_api_versions();
  auto response = co_await channel->Call(std::move(call), Left(cluster_.loop(), deadline), {});
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_api_versions()) co_return WrongBody("api versions");
  co_return std::move(*response->mutable_api_versions());
}

Task<Result<std::vector<Admin::OffsetAnswer>>> Admin::ListOffsets(std::string topic, int64_t timestamp,
                                                                  MonoTime deadline) {
  TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(cluster_, topic, deadline, {}));
  std::vector<PartitionIndex> partitions(cluster_.Find(topic)->partitions.size());
  for (size_t i = 0; i < partitions.size(); ++i) partitions[i] = static_cast<PartitionIndex>(i);
  auto offsets = co_await AskOffsets(cluster_, topic, std::move(partitions), timestamp, deadline, {});
  if (!offsets) co_return std::unexpected(std::move(offsets.error()));
  std::vector<OffsetAnswer> answers;
  for (OffsetOfPartition& offset : *offsets) {
    answers.push_back({offset.partition, std::move(offset.offset), offset.timestamp});
  }
  co_return answers;
}

Task<std::vector<DeletionOutcome>> Admin::DeleteRecords(std::vector<RecordDeletion> deletions,
                                                        MonoTime deadline) {
  return AskDeletion(cluster_, std::move(deletions), deadline, {});
}

Task<Result<>> Admin::AwaitTopic(std::string topic, bool gone, MonoTime deadline) {
  std::string missing = "no broker answered";
  Backoff backoff(cluster_.options());
  while (true) {
    v1::MetadataRequest request;
    request.add_topics()->set_name(topic);
    auto any = co_await cluster_.Metadata(request, deadline, {});
    if (!any && !IsRetriable(any.error().code)) co_return std::unexpected(std::move(any.error()));
    bool agreed = any.has_value() && any->brokers_size() > 0;
    for (const BrokerId broker : cluster_.brokers()) {
      const MonoTime until = std::min(deadline, cluster_.loop().Now() + 3s);
      auto metadata = co_await Metadata(request, broker, until);
      missing = metadata ? Difference(*metadata, topic, gone, broker)
                         : fmt::format("broker {} does not answer: {}", broker, ToString(metadata.error()));
      if (missing.empty()) continue;
      agreed = false;
      break;
    }
    if (agreed && gone) co_return Result<>();
    if (agreed) break;
    const Duration pause = backoff.Next(cluster_.env().random());
    if (cluster_.loop().Now() + pause >= deadline) co_return Fail(v1::REQUEST_TIMED_OUT, "{}", missing);
    co_await Sleep(cluster_.loop(), pause, "topic to be known everywhere");
  }
  // A broker can know that it leads a moment before it does: asked, it answers when it does.
  auto served = co_await ListOffsets(topic, kEarliestTimestamp, deadline);
  if (!served) co_return std::unexpected(std::move(served.error()));
  for (OffsetAnswer& answer : *served) {
    if (!answer.offset) co_return std::unexpected(std::move(answer.offset.error()));
  }
  co_return Result<>();
}

}  // namespace tidemark
