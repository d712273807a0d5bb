#include "broker/server/broker.h"

#include <algorithm>

#include <glog/logging.h>

#include "broker/server/broker_impl.h"
#include "broker/server/gather.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

// How long Start waits for a controller to tell of the cluster before it says in the log that it waits.
constexpr Duration kControllerPatience = 5s;
constexpr Duration kControlledShutdownTimeout = 30s;
constexpr Duration kLongestShutdownBackoff = 5s;
constexpr Duration kShutdownAskedAgain = 500ms;
constexpr Duration kLookAtZooKeeper = 200ms;
constexpr Duration kPatienceWithoutZooKeeper = 3s;

}  // namespace

Broker::Impl::Impl(Environment& env, EventLoop& loop, BrokerConfig config, BrokerOptions options)
    : env_(env),
      loop_(loop),
      options_(std::move(options)),
      scope_(loop, "broker"),
      context_{.env = env,
               .config = std::move(config),
               .control_loop = loop,
               .control_scope = scope_,
               .control = *this} {
  context_.live = std::make_shared<const BrokerConfig>(context_.config);
}

Broker::Impl::~Impl() {
  CHECK(context_.shards.empty() && !keeper_) << "a broker was destroyed before Stop()";
}

template <typename F>
Task<bool> Broker::Impl::OnEveryShard(const char* name, F call) {
  Gather<bool> gather(loop_, context_.shards.size());
  for (const auto& shard : context_.shards) {
    gather.Start(shard->index(), shard->loop(), shard->life_scope(), name,
                 [&shard = *shard, call] { return call(shard); });
  }
  (void)co_await gather.Wait(name, kNoDeadline, {});
  co_return std::ranges::all_of(gather.results(), [](const std::optional<bool>& ok) { return ok && *ok; });
}

Task<Result<>> Broker::Impl::Start() {
  for (const std::string& name : context_.config.without_effect) {
    LOG(WARNING) << "config " << name << " is known but has no effect yet";
  }
  TM_CO_RETURN_IF_ERROR(co_await OpenDirectories());
  co_await OpenShards();
  TM_CO_RETURN_IF_ERROR(BindListeners());
  TM_CO_RETURN_IF_ERROR(StartAdmin());
  MakeZooKeeperParts();
  TM_CO_RETURN_IF_ERROR(co_await ReachZooKeeper());
  phase_ = "settling the broker id";
  Result<BrokerIdentity> identity = co_await registration_->Identify();
  if (!identity) co_return std::unexpected(identity.error());
  identity_ = std::move(*identity);
  if (stopping_) co_return Fail(v1::CANCELLED, "stopped while starting");
  co_await WatchSpace();
  phase_ = "reading the broker's configs from ZooKeeper";
  co_await broker_configs_->Start(identity_.broker_id, scope_.stop_token());
  if (stopping_) co_return Fail(v1::CANCELLED, "stopped while starting");
  co_await ActivateShards();
  channel_->Start({.id = identity_.broker_id, .cluster_id = identity_.cluster_id});
  config_changes_->Start();
  cleaner_ = std::make_unique<LogCleaner>(context_, scope_);
  cleaner_->Start();
  lags_ = std::make_unique<GroupLags>(context_, scope_, identity_, [this] { return executor_->snapshot(); });
  lags_->Start();
  scope_.Spawn("watchdog", Watch());
  phase_ = "registering";
  const Result<BrokerEpoch> epoch = co_await registration_->Register(identity_.broker_id, RegistrationNode());
  if (!epoch) co_return std::unexpected(epoch.error());
  if (stopping_) co_return Fail(v1::CANCELLED, "stopped while starting");
  controller_->Start(identity_);
  phase_ = "waiting for a controller";
  co_await WaitForController();
  phase_.clear();
  serving_ = !stopping_;
  if (stopping_) co_return Fail(v1::CANCELLED, "stopped while starting");
  co_return Result<>();
}

Task<Result<>> Broker::Impl::OpenDirectories() {
  phase_ = "opening log directories";
  Result<std::unique_ptr<LogDirs>> opened = co_await LogDirs::Open(env_, loop_, context_.config.log_dirs);
  // A start would meet it again.
  if (!opened && opened.error().code == v1::POLICY_VIOLATION)
    co_return Fail(v1::INVALID_CONFIG, "{}", opened.error().message);
  if (!opened) co_return std::unexpected(opened.error());
  dirs_ = std::move(*opened);
  context_.dirs = dirs_.get();
  co_return Result<>();
}

Task<void> Broker::Impl::OpenShards() {
  const size_t count = std::max<size_t>(1, context_.config.num_shards);
  for (size_t i = 0; i < count; ++i) context_.shards.push_back(std::make_unique<Shard>(context_, i));
  (void)co_await OnEveryShard("open shard", [](Shard& shard) { return shard.Open(); });
}

Result<> Broker::Impl::BindListeners() {
  phase_ = "binding listeners";
  for (const ListenerConfig& listener : context_.config.listeners) {
    Result<std::unique_ptr<Listener>> bound = env_.transport().Listen(
        loop_, {listener.host, listener.port},
        [this, &listener](std::unique_ptr<PendingStream> stream) { Accept(listener, std::move(stream)); });
    if (!bound) {
      return Fail(bound.error().code, "listener {}://{}:{}: {}", listener.name, listener.host, listener.port,
                  bound.error().message);
    }
    BoundListener entry{.name = listener.name, .bound = (*bound)->endpoint()};
    entry.advertised.host = listener.advertised_host.empty() ? entry.bound.host : listener.advertised_host;
    entry.advertised.port = listener.advertised_port == 0 ? entry.bound.port : listener.advertised_port;
    bound_.push_back(std::move(entry));
    listeners_.push_back(std::move(*bound));
  }
  return {};
}

void Broker::Impl::Accept(const ListenerConfig& listener, std::unique_ptr<PendingStream> stream) {
  Shard& shard = *context_.shards[next_shard_++ % context_.shards.size()];
  shard.PostConnection(std::move(stream), listener.name,
                       {.client = listener.client, .inter_broker = listener.inter_broker});
}

Result<> Broker::Impl::StartAdmin() {
  if (!options_.admin) return {};
  const Endpoint address{context_.config.admin_host, context_.config.admin_port};
  TM_ASSIGN_OR_RETURN(admin_,
                      options_.admin(address, [this](const AdminRequest& request, AdminReplyFn reply) {
                        OnHttp(request, std::move(reply));
                      }));
  return {};
}

std::optional<Endpoint> Broker::Impl::admin_endpoint() const {
  return admin_ ? std::optional(admin_->endpoint()) : std::nullopt;
}

void Broker::Impl::MakeZooKeeperParts() {
  const BrokerConfig& config = context_.config;
  keeper_ =
      std::make_unique<ZkKeeper>(loop_, env_.coordination(),
                                 ZkKeeper::Options{.connect = config.zookeeper_connect,
                                                   .session_timeout = config.zookeeper_session_timeout});
  registration_ = std::make_unique<Registration>(
      env_, loop_, *keeper_, *dirs_, config,
      Registration::Callbacks{.on_epoch = [this](BrokerEpoch epoch) { OnEpoch(epoch); },
                              .on_conflict = [this](const Error& error) { Fatal(error); },
                              .stop_is_known = [this] { return executor_->took_over_once(); }});
  configs_ = std::make_unique<TopicConfigWatcher>(
      loop_, *keeper_, context_.live, [this](TopicSettingsPtr settings, std::vector<std::string> changed) {
        for (const auto& shard : context_.shards) shard->PostSettings(settings, changed);
      });
  broker_configs_ = std::make_unique<BrokerConfigWatcher>(
      loop_, *keeper_, context_.live, [this](BrokerConfigPtr changed) { ApplyConfig(std::move(changed)); });
  config_changes_ = std::make_unique<ConfigChanges>(loop_, *keeper_);
  // The broker's first: topics fall back to them.
  config_changes_->AddListener(broker_configs_.get());
  config_changes_->AddListener(configs_.get());
  quotas_ = std::make_unique<QuotaWatcher>(loop_, *keeper_, [this](QuotaPicturePtr picture) {
    for (const auto& shard : context_.shards) shard->PostQuotas(picture);
  });
  config_changes_->AddListener(quotas_.get());
  controller_ = std::make_unique<ControllerHost>(env_, loop_, *keeper_, context_.live);
  channel_ = std::make_unique<ControllerChannel>(env_, loop_, *keeper_, *controller_);
  executor_ = std::make_unique<CommandExecutor>(context_, *keeper_, *configs_);
}

Task<Result<>> Broker::Impl::ReachZooKeeper() {
  const BrokerConfig& config = context_.config;
  phase_ = fmt::format("ZooKeeper at {} is not reached yet", config.zookeeper_connect);
  TM_CO_RETURN_IF_ERROR(keeper_->Start());
  const MonoTime deadline =
      config.zookeeper_connection_timeout ? loop_.Now() + *config.zookeeper_connection_timeout : kNoDeadline;
  const MonoTime patience = std::min(deadline, loop_.Now() + kPatienceWithoutZooKeeper);
  Result<> reached = co_await keeper_->WaitConnected(patience, scope_.stop_token());
  if (!reached && reached.error().code == v1::REQUEST_TIMED_OUT && patience < deadline) {
    const std::string limit = config.zookeeper_connection_timeout
                                  ? fmt::format("up to zookeeper.connection.timeout.ms={}",
                                                ToMillis(*config.zookeeper_connection_timeout))
                                  : std::string("until it answers");
    LOG(WARNING) << "no answer from ZooKeeper at " << config.zookeeper_connect << " so far; waiting "
                 << limit;
    reached = co_await keeper_->WaitConnected(deadline, scope_.stop_token());
  }
  if (reached) co_return Result<>();
  if (reached.error().code != v1::REQUEST_TIMED_OUT) co_return std::unexpected(reached.error());
  co_return Fail(v1::REQUEST_TIMED_OUT,
                 "ZooKeeper at {} was not reached within zookeeper.connection.timeout.ms={}",
                 config.zookeeper_connect, ToMillis(*config.zookeeper_connection_timeout));
}

Task<void> Broker::Impl::ActivateShards() {
  active_ = true;
  (void)co_await OnEveryShard("activate shard",
                              [identity = identity_, settings = configs_->current()](Shard& shard) {
                                return shard.Activate(identity, kNoBrokerEpoch, settings);
                              });
}

v1::BrokerZnode Broker::Impl::RegistrationNode() const {
  v1::BrokerZnode node;
  node.set_port(-1);
  for (size_t i = 0; i < bound_.size(); ++i) {
    const ListenerConfig& listener = context_.config.listeners[i];
    const Endpoint& advertised = bound_[i].advertised;
    node.add_endpoints(
        ToString(ListenerAddress{.name = bound_[i].name, .host = advertised.host, .port = advertised.port}));
    (*node.mutable_listener_security_protocol_map())[listener.name] = listener.protocol;
    if (node.port() == -1 && listener.protocol == "PLAINTEXT") {
      node.set_host(advertised.host);
      node.set_port(advertised.port);
    }
    if (listener.inter_broker) node.set_inter_broker_listener(listener.name);
  }
  if (!context_.config.rack.empty()) node.set_rack(context_.config.rack);
  (*node.mutable_features())["tidemark.version"] = 1;
  node.set_directory_id(dirs_->directory_id());
  node.set_clean_shutdown(dirs_->last_stop_was_clean());
  if (admin_) node.set_admin_address(ToString(admin_->endpoint()));
  return node;
}

void Broker::Impl::OnEpoch(BrokerEpoch epoch) {
  executor_->SetBrokerEpoch(epoch);
  channel_->SetEpoch(epoch);
  if (epoch == kNoBrokerEpoch) executor_->OnRegistrationLost();
  for (const auto& shard : context_.shards) shard->PostBrokerEpoch(epoch);
}

// For as long as it takes: a broker that has not been told what it leads and follows can serve nothing, and
// whoever waits for it to be ready (a service manager, a script) would go on too early.
Task<void> Broker::Impl::WaitForController() {
  const MonoTime deadline = loop_.Now() + kControllerPatience;
  bool said = false;
  while (executor_->snapshot()->Broker(identity_.broker_id) == nullptr || !executor_->took_over()) {
    if (!said && loop_.Now() >= deadline) {
      said = true;
      LOG(WARNING)
          << "no controller has told this broker what to lead and follow yet; it is not ready before";
    }
    if (co_await Sleep(loop_, 10ms, "first word of a controller", scope_.stop_token()) ==
        WaitOutcome::kStopped) {
      co_return;
    }
  }
}

void Broker::Impl::RequestStop() {
  stopping_ = true;
  if (serving_) return;
  if (registration_) registration_->RequestStop();
  scope_.RequestStop();
}

void Broker::Impl::Fatal(Error error) {
  if (fatal_ || stopping_) return;
  fatal_ = true;
  LOG(ERROR) << "this broker cannot go on: " << error.message;
  // A broker that is about to end must not lead on: its session goes first.
  auto leave = [](Impl* self, Error why) -> Task<void> {
    self->left_zookeeper_ = true;
    co_await self->keeper_->Close();
    if (self->options_.on_fatal) self->options_.on_fatal(why);
  };
  scope_.Spawn("fatal", leave(this, std::move(error)));
}

// The controller's answer; CANCELLED when ZooKeeper has gone meanwhile, without which the controller cannot
// answer.
Task<Result<v1::ControlledShutdownResponse>> Broker::Impl::AskForShutdown() {
  using Answer = Result<v1::ControlledShutdownResponse>;
  OneShot<Answer> answer(loop_);
  auto ask = [](Impl* self, OneShot<Answer> into) -> Task<void> {
    into.Set(co_await self->channel_->ControlledShutdown(kControlledShutdownTimeout));
  };
  scope_.Spawn("controlled shutdown", ask(this, answer));
  for (;;) {
    auto result = co_await answer.Wait("the controller's leave to stop", loop_.Now() + kLookAtZooKeeper);
    if (answer.is_set()) co_return result ? *std::move(result) : Answer(std::unexpected(result.error()));
    const std::optional<MonoTime> down_since = keeper_->down_since();
    if (!down_since || loop_.Now() - *down_since < kPatienceWithoutZooKeeper) continue;
    LOG(WARNING) << "controlled shutdown given up: ZooKeeper is out of reach";
    co_return Fail(v1::CANCELLED);
  }
}

Task<void> Broker::Impl::ControlledShutdown() {
  const BrokerConfig& config = context_.config;
  if (!config.controlled_shutdown || !serving_ || fatal_) co_return;
  // What the controller knows changes fast when several brokers stop at once (it may be one of them), so it
  // is asked again soon, for as long as Kafka's retries take.
  const Duration backoff = std::min(config.controlled_shutdown_retry_backoff, kLongestShutdownBackoff);
  const MonoTime give_up = loop_.Now() + config.controlled_shutdown_max_retries * backoff;
  for (bool first = true;; first = false) {
    // Without ZooKeeper nobody can move anything.
    if (!keeper_->connected() || !keeper_->lease_valid()) {
      LOG(WARNING) << "no controlled shutdown: ZooKeeper is out of reach";
      co_return;
    }
    const auto answer = co_await AskForShutdown();
    if (!answer && answer.error().code == v1::CANCELLED) co_return;
    if (answer && answer->remaining_size() == 0) co_return;
    if (first) {
      LOG(WARNING) << "controlled shutdown: "
                   << (answer
                           ? fmt::format("{} partitions still have no other leader", answer->remaining_size())
                           : answer.error().message);
    }
    const auto& live = executor_->snapshot()->brokers();
    if (live.empty() || (live.size() == 1 && live.contains(identity_.broker_id))) break;  // nobody to move to
    const Duration pause = std::min(backoff, kShutdownAskedAgain);
    if (loop_.Now() + pause > give_up) break;
    (void)co_await Sleep(loop_, pause, "controlled shutdown");
  }
  LOG(WARNING) << "controlled shutdown was not complete; stopping all the same";
}

Task<void> Broker::Impl::LeaveZooKeeper() {
  if (!keeper_) co_return;
  registration_->RequestStop();
  co_await controller_->Stop();
  co_await channel_->Close();
  co_await config_changes_->Close();
  co_await configs_->Close();
  co_await quotas_->Close();
  co_await registration_->Close();
  if (!left_zookeeper_) co_await keeper_->Close();
}

Task<bool> Broker::Impl::CloseShards() {
  (void)co_await OnEveryShard("close connections", [](Shard& shard) { return shard.CloseConnections(); });
  const bool clean = active_ && !fatal_;
  const bool durable =
      co_await OnEveryShard("close replicas", [clean](Shard& shard) { return shard.CloseReplicas(clean); });
  (void)co_await OnEveryShard("close shard", [](Shard& shard) { return shard.CloseScope(); });
  co_return clean&& durable;
}

Task<bool> Broker::Impl::Stop() {
  stopping_ = true;
  phase_ = "stopping";
  co_await ControlledShutdown();
  serving_ = false;
  scope_.RequestStop();
  listeners_.clear();
  co_await LeaveZooKeeper();
  alive_.reset();
  admin_.reset();
  bool clean = true;
  if (!context_.shards.empty()) clean = co_await CloseShards();
  // After this no shard posts to the control loop any more.
  context_.shards.clear();
  co_await scope_.Close();
  cleaner_.reset();
  if (lags_) co_await lags_->Close();
  lags_.reset();
  const bool took_over = executor_ != nullptr && executor_->took_over_once();
  executor_.reset();
  channel_.reset();
  controller_.reset();
  config_changes_.reset();
  quotas_.reset();
  broker_configs_.reset();
  configs_.reset();
  registration_.reset();
  keeper_.reset();
  if (space_) co_await space_->Close();
  space_.reset();
  if (!dirs_) co_return clean;
  // An unclean stop that no controller has heard of is not covered up by a clean one.
  const bool may_mark = dirs_->last_stop_was_clean() || took_over;
  if (clean && active_ && may_mark) {
    const Result<> marked = co_await dirs_->CloseCleanly();
    if (!marked) LOG(ERROR) << "the clean-shutdown mark could not be left: " << marked.error().message;
    clean = marked.has_value();
  } else {
    co_await dirs_->Close();
  }
  dirs_.reset();
  co_return clean;
}

Broker::Broker(Environment& env, EventLoop& control_loop, BrokerConfig config, BrokerOptions options)
    : impl_(std::make_unique<Impl>(env, control_loop, std::move(config), std::move(options))) {}
Broker::~Broker() = default;
Task<Result<>> Broker::Start() { return impl_->Start(); }
void Broker::RequestStop() { impl_->RequestStop(); }
Task<bool> Broker::Stop() { return impl_->Stop(); }
bool Broker::serving() const { return impl_->serving(); }
std::vector<std::string> Broker::NotReadyReasons() const { return impl_->NotReadyReasons(); }
BrokerId Broker::id() const { return impl_->identity().broker_id; }
BrokerEpoch Broker::epoch() const { return impl_->epoch(); }
const std::string& Broker::cluster_id() const { return impl_->identity().cluster_id; }
const std::vector<BoundListener>& Broker::listeners() const { return impl_->bound(); }
Endpoint Broker::endpoint() const { return impl_->FirstEndpoint(); }
std::optional<Endpoint> Broker::admin_endpoint() const { return impl_->admin_endpoint(); }
bool Broker::is_controller() const { return impl_->is_controller(); }
Task<std::vector<ShardReport>> Broker::Reports() { return impl_->Reports(); }

}  // namespace tidemark
