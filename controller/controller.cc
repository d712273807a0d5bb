#include "controller/controller.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "common/async/scope.h"
#include "common/async/wait.h"
#include "controller/election.h"
#include "controller/term.h"

namespace tidemark {
namespace {

constexpr Duration kElectionRetry = 100ms;
constexpr Duration kElectionRetryMax = 5s;
// A term that lasted so long was no failure of the one before.
constexpr Duration kGoodTerm = 60s;

}  // namespace

class Controller::Impl final : private ZkKeeper::Listener {
 public:
  Impl(ControllerOptions options, ZkKeeper& keeper)
      : options_(std::move(options)),
        keeper_(keeper),
        loop_(options_.loop),
        scope_(options_.loop, "controller"),
        changed_(options_.loop),
        resign_backoff_(options_.resign_backoff) {}
  ~Impl() override { CHECK(!term_) << "Close() first"; }

  void Start() {
    loop_.CheckOwner();
    CHECK(!started_);
    started_ = true;
    keeper_.AddListener(this);
    scope_.Spawn("controller election", Run());
  }

  Task<void> Close() {
    if (started_) keeper_.RemoveListener(this);
    started_ = false;
    if (term_) term_->End("the broker is stopping");
    scope_.RequestStop();
    Wake();
    co_await scope_.Close();
  }

  bool active() const { return term_ && term_->ready(); }
  ControllerEpoch epoch() const { return term_ && !term_->ended() ? term_->seat().epoch : 0; }
  BrokerId controller_id() const { return controller_id_; }
  void SetListener(std::function<void(BrokerId)> listener) { listener_ = std::move(listener); }

  void SetDefaults(const ControllerDefaults& defaults) {
    options_.num_partitions = defaults.num_partitions;
    options_.default_replication_factor = defaults.default_replication_factor;
    options_.broker_properties = defaults.broker_properties;
    if (term_) term_->OnDefaultsChanged();
  }

  Task<Result<v1::Response>> Handle(v1::Request request) {
    if (!active()) {
      co_return Fail(v1::NOT_CONTROLLER, "broker {} is not the controller; broker {} was it last",
                     options_.broker_id, controller_id_);
    }
    co_return co_await ControllerTerm::Handle(term_, std::move(request));
  }

  ControllerStatus status() const {
    ControllerStatus out;
    out.active = active();
    out.epoch = epoch();
    out.controller_id = controller_id_;
    out.counters = counters_;
    if (term_) term_->FillStatus(&out);
    return out;
  }

 private:
  // ZkKeeper::Listener: only notes and wakes.
  void OnZkUp(ZkSession&, bool new_session) override {
    if (term_ && !new_session) term_->OnReconnected();
    look_again_ = true;
    Wake();
  }
  void OnZkSuspended() override { Wake(); }
  void OnZkExpired() override {
    if (term_) term_->End("the ZooKeeper session has expired");
    SetController(kNoBroker);
    look_again_ = true;
    Wake();
  }

  void Wake() { changed_.NotifyAll(); }
  void LookAgain() {
    look_again_ = true;
    Wake();
  }
  ZkWatch Watch() {
    return [weak = std::weak_ptr<Impl*>(self_)](ZkWatchEvent, const std::string&) {
      if (const auto self = weak.lock()) (*self)->LookAgain();
    };
  }
  Task<WaitOutcome> WaitForChange(MonoTime deadline) {
    return changed_.Wait("controller election", deadline, scope_.stop_token());
  }

  void SetController(BrokerId id) {
    if (id == controller_id_) return;
    controller_id_ = id;
    if (listener_) listener_(id);
  }

  Task<void> Run() {
    while (!scope_.stopping()) {
      const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
      if (!session || !keeper_.connected()) {
        (void)co_await WaitForChange(kNoDeadline);
        continue;
      }
      look_again_ = false;
      const ElectionOutcome outcome =
          co_await StandForElection(session, options_.broker_id, options_.env.clock().WallNow(), Watch());
      if (scope_.stopping()) {
        if (outcome.verdict == ElectionOutcome::kWon) co_await StepDown(session, outcome.fence_version);
        co_return;
      }
      switch (outcome.verdict) {
        case ElectionOutcome::kWon:
          retry_ = kElectionRetry;
          co_await Rule(session, outcome);
          break;
        case ElectionOutcome::kLost:
          retry_ = kElectionRetry;
          if (!outcome.why.empty()) LOG(ERROR) << outcome.why;
          SetController(outcome.incumbent);
          while (!look_again_ && !scope_.stopping()) (void)co_await WaitForChange(kNoDeadline);
          break;
        case ElectionOutcome::kAgain:
          // Races settle at once; what has a reason takes longer.
          if (!outcome.why.empty()) {
            VLOG(1) << "the election is tried again: " << outcome.why;
            (void)co_await Sleep(loop_, retry_, "controller election", scope_.stop_token());
            retry_ = std::min(2 * retry_, kElectionRetryMax);
          }
          break;
      }
    }
  }

  // From a won election to the end of the term.
  Task<void> Rule(std::shared_ptr<ZkSession> session, ElectionOutcome won) {
    const MonoTime begun = loop_.Now();
    LOG(INFO) << "broker " << options_.broker_id << " was elected controller, epoch " << won.epoch;
    ++counters_.terms;
    ControllerTerm::Seat seat{session, won.epoch, won.fence_version};
    term_ =
        std::make_shared<ControllerTerm>(options_, keeper_, std::move(seat), counters_, [this] { Wake(); });
    // The session may have ended on the way here.
    if (keeper_.session() != session.get()) term_->End("the ZooKeeper session has expired");
    term_->Start();
    SetController(options_.broker_id);
    look_again_ = true;  // sets the watch
    while (!term_->ended()) {
      if (std::exchange(look_again_, false)) {
        co_await CheckSeat(session);
      } else {
        (void)co_await WaitForChange(kNoDeadline);
      }
    }
    const std::shared_ptr<ControllerTerm> term = term_;
    co_await term->Close();
    term_ = nullptr;
    if (controller_id_ == options_.broker_id) SetController(kNoBroker);
    if (keeper_.session() != session.get()) co_return;
    ++counters_.resignations;
    // When stopping, the session's end frees /controller, also where ZooKeeper does not answer.
    if (scope_.stopping()) co_return;
    co_await StepDown(session, won.fence_version);
    if (loop_.Now() - begun >= kGoodTerm) resign_backoff_ = options_.resign_backoff;
    (void)co_await Sleep(loop_, resign_backoff_, "controller resignation", scope_.stop_token());
    resign_backoff_ = std::min(2 * resign_backoff_, options_.resign_backoff_max);
  }

  // /controller changed, or may have: is it still this session's?
  Task<void> CheckSeat(std::shared_ptr<ZkSession> session) {
    const ZkResult<int64_t> owner = co_await ReadControllerOwner(session, Watch());
    if (!owner) {
      // Not told: the reconnection or the expiry brings us back here. A timeout without either is asked
      // again.
      if (owner.error() == ZkCode::kOperationTimeout) look_again_ = true;
      co_return;
    }
    if (*owner != session->session_id()) term_->End("/controller is not this broker's any more");
  }

  ControllerOptions options_;
  ZkKeeper& keeper_;
  EventLoop& loop_;
  Scope scope_;
  Notifier changed_;
  Duration resign_backoff_;
  const std::shared_ptr<Impl*> self_ = std::make_shared<Impl*>(this);
  std::function<void(BrokerId)> listener_;
  std::shared_ptr<ControllerTerm> term_;
  ControllerCounters counters_;
  BrokerId controller_id_ = kNoBroker;
  Duration retry_ = kElectionRetry;
  bool look_again_ = false;
  bool started_ = false;
};

Controller::Controller(ControllerOptions options, ZkKeeper& keeper)
    : impl_(std::make_unique<Impl>(std::move(options), keeper)) {}
Controller::~Controller() = default;

void Controller::Start() { impl_->Start(); }
Task<void> Controller::Close() { return impl_->Close(); }
bool Controller::active() const { return impl_->active(); }
ControllerEpoch Controller::epoch() const { return impl_->epoch(); }
BrokerId Controller::controller_id() const { return impl_->controller_id(); }
void Controller::SetControllerListener(std::function<void(BrokerId)> listener) {
  impl_->SetListener(std::move(listener));
}
Task<Result<v1::Response>> Controller::Handle(v1::Request request) {
  return impl_->Handle(std::move(request));
}
void Controller::SetDefaults(const ControllerDefaults& defaults) { impl_->SetDefaults(defaults); }
ControllerStatus Controller::status() const { return impl_->status(); }

}  // namespace tidemark
