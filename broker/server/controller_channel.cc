#include "broker/server/controller_channel.h"

#include <map>

#include <glog/logging.h>

#include "common/config/listeners.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kRequestTimeout = 10s;
constexpr Duration kReconnectPause = 50ms;
constexpr Duration kShutdownPause = 200ms;
constexpr size_t kMostWishesPerRequest = 2000;

std::optional<Endpoint> InterBrokerEndpoint(const v1::BrokerZnode& node) {
  std::optional<Endpoint> first;
  for (const std::string& text : node.endpoints()) {
    const Result<ListenerAddress> address = ParseListenerAddress(text);
    if (!address) continue;
    if (address->name == node.inter_broker_listener()) return Endpoint{address->host, address->port};
    if (!first) first = Endpoint{address->host, address->port};
  }
  return first;
}

}  // namespace

ControllerChannel::ControllerChannel(Environment& env, EventLoop& loop, ZkKeeper& keeper,
                                     LocalController& local)
    : env_(env),
      loop_(loop),
      keeper_(keeper),
      local_(local),
      scope_(loop, "controller channel"),
      changed_(loop) {
  keeper_.AddListener(this);
}

ControllerChannel::~ControllerChannel() { keeper_.RemoveListener(this); }

void ControllerChannel::Start(Self self) {
  self_ = std::move(self);
  started_ = true;
  LookAgain();
}

Task<void> ControllerChannel::Close() {
  scope_.RequestStop();
  if (channel_) co_await channel_->Close();
  co_await scope_.Close();
  channel_.reset();
}

void ControllerChannel::OnZkUp(ZkSession& /*session*/, bool /*new_session*/) {
  if (started_) LookAgain();
}

void ControllerChannel::LookAgain() {
  if (scope_.stopping()) return;
  look_again_ = true;
  if (!following_) scope_.Spawn("follow controller", Follow());
}

Task<void> ControllerChannel::Follow() {
  following_ = true;
  while (look_again_ && !scope_.stopping()) {
    look_again_ = false;
    const ZkResult<> read = co_await ReadController();
    if (read) continue;
    // Down or expired: OnZkUp begins anew. Anything else: once more, a little later.
    if (!keeper_.connected()) break;
    look_again_ = true;
    (void)co_await Sleep(loop_, kReconnectPause, "controller znode", scope_.stop_token());
  }
  following_ = false;
}

Task<ZkResult<>> ControllerChannel::ReadController() {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
  // One of the two watches fires whatever happens next. They come while this object lives: its keeper's
  // session is closed before it.
  const ZkWatch watch = [this](ZkWatchEvent, const std::string&) { LookAgain(); };
  const std::string path(zkpath::kController);
  const ZkResult<ZkNode> node = co_await session->Get(path, watch);
  if (!node && node.error() == ZkCode::kNoNode) {
    const auto exists = co_await session->Exists(path, watch);
    if (!exists) co_return std::unexpected(exists.error());
    if (*exists) {
      look_again_ = true;
    } else {
      co_await SetController(kNoBroker, std::nullopt);
    }
    co_return ZkResult<>();
  }
  if (!node) co_return std::unexpected(node.error());
  const Result<v1::ControllerZnode> decoded = DecodeController(node->data);
  if (!decoded) {
    LOG(ERROR) << path << " cannot be read: " << decoded.error().message;
    co_await SetController(kNoBroker, std::nullopt);
    co_return ZkResult<>();
  }
  const BrokerId id = decoded->broker_id();
  if (id == self_.id) {
    co_await SetController(id, std::nullopt);
    co_return ZkResult<>();
  }
  const ZkResult<ZkNode> broker = co_await session->Get(zkpath::Broker(id));
  if (!broker && broker.error() != ZkCode::kNoNode) co_return std::unexpected(broker.error());
  std::optional<Endpoint> endpoint;
  if (broker) {
    if (const Result<v1::BrokerZnode> registration = DecodeBroker(broker->data)) {
      endpoint = InterBrokerEndpoint(*registration);
    }
  }
  co_await SetController(id, endpoint);
  co_return ZkResult<>();
}

Task<void> ControllerChannel::SetController(BrokerId id, std::optional<Endpoint> endpoint) {
  if (id == controller_ && endpoint == endpoint_) co_return;
  controller_ = id;
  endpoint_ = endpoint;
  const std::shared_ptr<RpcChannel> old = std::exchange(channel_, nullptr);
  if (endpoint) {
    RpcChannelOptions options{.purpose = v1::CONNECTION_PURPOSE_CONTROL,
                              .client_id = fmt::format("broker-{}-to-controller", self_.id),
                              .cluster_id = self_.cluster_id,
                              .expected_broker = id};
    channel_ =
        std::make_shared<RpcChannel>(loop_, env_.transport(), env_.random(), *endpoint, std::move(options));
  }
  changed_.NotifyAll();
  // Calls to the former one end now: it answers nobody any more.
  if (old) co_await old->Close();
}

Task<Result<v1::Response>> ControllerChannel::CallOnce(v1::Request request, MonoTime deadline) {
  if (controller_ == self_.id && local_.active()) co_return co_await local_.Serve(std::move(request));
  const std::shared_ptr<RpcChannel> channel = channel_;
  if (!channel) co_return Fail(v1::NOT_CONTROLLER, "no controller is known");
  Result<v1::Response> response =
      co_await channel->Call(std::move(request), deadline - loop_.Now(), scope_.stop_token());
  if (!response && response.error().code == v1::CANCELLED && !scope_.stopping()) {
    co_return std::unexpected(Error{v1::NETWORK_EXCEPTION,
                                    "another controller came meanwhile; the outcome is unknown",
                                    response.error().unknown_outcome});
  }
  co_return response;
}

Task<Result<v1::Response>> ControllerChannel::Call(v1::Request request, Duration timeout, Duration patience) {
  const MonoTime begun = loop_.Now();
  const MonoTime deadline = begun + timeout;
  while (true) {
    const BrokerId asked = controller_;
    Result<v1::Response> response = co_await CallOnce(request, deadline);
    if (response || response.error().code != v1::NOT_CONTROLLER) co_return response;
    // A former controller may have done it: only the caller can know its own work again.
    if (response.error().unknown_outcome) co_return response;
    if (scope_.stopping()) co_return Fail(v1::BROKER_NOT_READY, "broker {} is stopping", self_.id);
    const bool given_up = loop_.Now() - begun >= patience;
    if (given_up || loop_.Now() + kReconnectPause >= deadline) {
      co_return Fail(
          given_up ? v1::BROKER_NOT_READY : v1::REQUEST_TIMED_OUT,
          "no controller took the request; last asked: {}{}",
          asked == kNoBroker ? std::string("nobody, none is elected") : fmt::format("broker {}", asked),
          keeper_.connected() ? "" : fmt::format("; broker {} has no connection to ZooKeeper", self_.id));
    }
    if (controller_ == asked) {
      LookAgain();
      (void)co_await changed_.Wait("another controller", loop_.Now() + kReconnectPause, scope_.stop_token());
    }
  }
}

std::optional<Error> ControllerChannel::MayAsk() const {
  if (epoch_ == kNoBrokerEpoch) return Error{v1::BROKER_NOT_READY, "this broker is not registered"};
  // Past the lease others may already lead: asking could only be refused. Safety rests on the epochs.
  if (!keeper_.lease_valid()) return Error{v1::BROKER_NOT_READY, "the ZooKeeper lease has run out"};
  return std::nullopt;
}

Task<Result<v1::AlterPartitionResponse::Partition>> ControllerChannel::AlterPartition(
    v1::AlterPartitionRequest::Partition wish) {
  if (std::optional<Error> refusal = MayAsk()) co_return std::unexpected(*refusal);
  OneShot<Result<v1::AlterPartitionResponse::Partition>> answer(loop_);
  wishes_.push_back({std::move(wish), answer});
  if (!sending_) {
    sending_ = true;
    scope_.Spawn("send isr changes", SendWishes());
  }
  Result<Result<v1::AlterPartitionResponse::Partition>> waited =
      co_await answer.Wait("isr change", kNoDeadline, scope_.stop_token());
  if (!waited) co_return std::unexpected(waited.error());
  co_return std::move(*waited);
}

Task<void> ControllerChannel::SendWishes() {
  // What comes while a request is under way goes into the next one.
  while (!wishes_.empty() && !scope_.stopping()) {
    v1::Request request;
    v1::AlterPartitionRequest* body = request.mutable_alter_partition();
    body->set_broker_id(self_.id);
    body->set_broker_epoch(epoch_);
    std::deque<Wish> batch;
    while (!wishes_.empty() && batch.size() < kMostWishesPerRequest) {
      *body->add_partitions() = wishes_.front().partition;
      batch.push_back(std::move(wishes_.front()));
      wishes_.pop_front();
    }
    const Result<v1::Response> response =
        co_await CallOnce(std::move(request), loop_.Now() + kRequestTimeout);
    if (!response && response.error().code == v1::NOT_CONTROLLER) LookAgain();
    AnswerWishes(std::move(batch), response);
  }
  sending_ = false;
}

void ControllerChannel::AnswerWishes(std::deque<Wish> wishes, const Result<v1::Response>& response) {
  std::optional<Error> whole;
  if (!response) {
    whole = response.error();
  } else if (!response->has_alter_partition()) {
    whole = Error{v1::UNKNOWN_SERVER_ERROR, "the controller answered something else"};
  } else if (response->alter_partition().error().code() != v1::NONE) {
    whole = FromProto(response->alter_partition().error());
  }
  std::map<std::pair<std::string, uint32_t>, const v1::AlterPartitionResponse::Partition*> answers;
  if (!whole) {
    for (const auto& partition : response->alter_partition().partitions()) {
      answers[{partition.topic_id(), partition.partition()}] = &partition;
    }
  }
  for (Wish& wish : wishes) {
    const auto it = answers.find({wish.partition.topic_id(), wish.partition.partition()});
    if (whole) {
      wish.answer.Set(std::unexpected(*whole));
    } else if (it == answers.end()) {
      wish.answer.Set(Fail(v1::UNKNOWN_SERVER_ERROR, "the controller did not answer for this partition"));
    } else {
      wish.answer.Set(*it->second);
    }
  }
}

Task<Result<>> ControllerChannel::Resign(v1::ResignLeadershipRequest::Partition partition,
                                         v1::ResignReason reason) {
  if (std::optional<Error> refusal = MayAsk()) co_return std::unexpected(*refusal);
  OneShot<Result<>> answer(loop_);
  resignations_[reason].push_back({std::move(partition), answer});
  if (resigning_.insert(reason).second) scope_.Spawn("send resignations", SendResignations(reason));
  Result<Result<>> waited = co_await answer.Wait("resignation", kNoDeadline, scope_.stop_token());
  if (!waited) co_return std::unexpected(waited.error());
  co_return std::move(*waited);
}

Task<void> ControllerChannel::SendResignations(v1::ResignReason reason) {
  // A failed directory makes all its partitions ask at once: they share requests.
  std::deque<Resignation>& waiting = resignations_[reason];
  while (!waiting.empty() && !scope_.stopping()) {
    v1::Request request;
    v1::ResignLeadershipRequest* body = request.mutable_resign_leadership();
    body->set_broker_id(self_.id);
    body->set_broker_epoch(epoch_);
    body->set_reason(reason);
    std::deque<Resignation> batch;
    while (!waiting.empty() && batch.size() < kMostWishesPerRequest) {
      *body->add_partitions() = waiting.front().partition;
      batch.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
    AnswerResignations(std::move(batch), co_await Call(std::move(request), kRequestTimeout));
  }
  resigning_.erase(reason);
}

void ControllerChannel::AnswerResignations(std::deque<Resignation> asked,
                                           const Result<v1::Response>& response) {
  std::optional<Error> whole;
  if (!response) {
    whole = response.error();
  } else if (!response->has_resign_leadership()) {
    whole = Error{v1::UNKNOWN_SERVER_ERROR, "the controller answered something else"};
  } else if (response->resign_leadership().error().code() != v1::NONE) {
    whole = FromProto(response->resign_leadership().error());
  }
  std::map<std::pair<std::string, uint32_t>, Error> refused;
  if (!whole) {
    for (const auto& one : response->resign_leadership().partitions()) {
      if (one.error().code() != v1::NONE) refused[{one.topic_id(), one.partition()}] = FromProto(one.error());
    }
  }
  for (Resignation& one : asked) {
    const auto it = refused.find({one.partition.topic_id(), one.partition.partition()});
    if (whole) {
      one.answer.Set(std::unexpected(*whole));
    } else if (it != refused.end()) {
      one.answer.Set(std::unexpected(it->second));
    } else {
      one.answer.Set({});
    }
  }
}

Task<Result<v1::ControlledShutdownResponse>> ControllerChannel::ControlledShutdown(Duration timeout) {
  const MonoTime deadline = loop_.Now() + timeout;
  while (true) {
    if (std::optional<Error> refusal = MayAsk()) co_return std::unexpected(*refusal);
    v1::Request request;
    request.mutable_controlled_shutdown()->set_broker_id(self_.id);
    request.mutable_controlled_shutdown()->set_broker_epoch(epoch_);
    Result<v1::Response> response = co_await Call(std::move(request), deadline - loop_.Now());
    if (response && response->controlled_shutdown().error().code() != v1::NONE) {
      response = std::unexpected(FromProto(response->controlled_shutdown().error()));
    }
    if (response) co_return response->controlled_shutdown();
    // Asking twice does no harm: a controller that went away meanwhile has a successor soon.
    if (!IsRetriable(response.error().code) || scope_.stopping() ||
        loop_.Now() + kShutdownPause >= deadline) {
      co_return std::unexpected(response.error());
    }
    (void)co_await Sleep(loop_, kShutdownPause, "controlled shutdown", scope_.stop_token());
  }
}

}  // namespace tidemark
