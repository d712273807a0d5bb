#include "controller/election.h"

#include <vector>

#include <fmt/format.h>

#include "common/zk/zk_paths.h"
#include "common/zk/zk_recipes.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

std::string ControllerPath() { return std::string(zkpath::kController); }
std::string EpochPath() { return std::string(zkpath::kControllerEpoch); }

struct EpochNode {
  ControllerEpoch epoch = 0;
  int32_t version = 0;
};

ElectionOutcome Again(std::string why) { return {.verdict = ElectionOutcome::kAgain, .why = std::move(why)}; }

Task<Result<EpochNode>> ReadEpoch(ZkSession& session) {
  const ZkResult<ZkNode> node = co_await session.Get(EpochPath());
  if (!node && node.error() == ZkCode::kNoNode) {
    // The first controller of this cluster. Whoever else creates it writes the same.
    const ZkResult<ZkCreated> created =
        co_await session.Create({.path = EpochPath(), .data = EncodeControllerEpoch(0)});
    if (created) co_return EpochNode{};
    co_return Fail(v1::BROKER_NOT_READY, "{}", DescribeZk(created.error(), "creating", EpochPath()));
  }
  if (!node) co_return Fail(v1::BROKER_NOT_READY, "{}", DescribeZk(node.error(), "reading", EpochPath()));
  TM_CO_ASSIGN_OR_RETURN(const ControllerEpoch epoch, DecodeControllerEpoch(node->data));
  co_return EpochNode{epoch, node->stat.version};
}

Task<void> RemoveLeftover(std::shared_ptr<ZkSession> session) {
  const Result<EpochNode> fence = co_await ReadEpoch(*session);
  if (!fence) co_return;
  // Still ours after the epoch was read: whoever takes over from now on changes the epoch, and the check sees
  // it.
  const auto owner = co_await ReadControllerOwner(session, nullptr);
  if (owner && *owner == session->session_id()) co_await StepDown(session, fence->version);
}

Task<ElectionOutcome> LookAtIncumbent(std::shared_ptr<ZkSession> session, ZkNode node) {
  ElectionOutcome outcome;
  if (node.stat.ephemeral_owner == session->session_id()) {
    co_await RemoveLeftover(session);
    co_return Again("a /controller of a former term of this session stood");
  }
  outcome.verdict = ElectionOutcome::kLost;
  if (const Result<v1::ControllerZnode> decoded = DecodeController(node.data)) {
    outcome.incumbent = decoded->broker_id();
  } else {
    outcome.why = fmt::format("/controller cannot be read: {}", decoded.error().message);
  }
  co_return outcome;
}

// After an answer that was lost: did we win?
Task<ElectionOutcome> Recognise(ZkSession& session, EpochNode attempted) {
  if (!co_await session.Sync(ControllerPath()))
    co_return Again("the outcome of the election is not known yet");
  const ZkResult<ZkNode> node = co_await session.Get(ControllerPath());
  if (!node || node->stat.ephemeral_owner != session.session_id()) co_return Again("");
  const Result<EpochNode> epoch = co_await ReadEpoch(session);
  if (!epoch || epoch->epoch != attempted.epoch || epoch->version != attempted.version) co_return Again("");
  co_return ElectionOutcome{
      .verdict = ElectionOutcome::kWon, .epoch = attempted.epoch, .fence_version = attempted.version};
}

}  // namespace

Task<ElectionOutcome> StandForElection(std::shared_ptr<ZkSession> session, BrokerId self, WallMillis now,
                                       ZkWatch watch) {
  const ZkResult<std::optional<ZkStat>> exists = co_await session->Exists(ControllerPath(), std::move(watch));
  if (!exists) co_return Again(DescribeZk(exists.error(), "looking for", ControllerPath()));
  if (*exists) {
    const ZkResult<ZkNode> node = co_await session->Get(ControllerPath());
    if (!node)
      co_return Again(
          node.error() == ZkCode::kNoNode ? "" : DescribeZk(node.error(), "reading", ControllerPath()));
    co_return co_await LookAtIncumbent(session, *node);
  }
  const Result<EpochNode> before = co_await ReadEpoch(*session);
  if (!before) co_return Again(before.error().message);
  const EpochNode attempted{before->epoch + 1, before->version + 1};
  v1::ControllerZnode node;
  node.set_broker_id(self);
  node.set_timestamp(now);
  std::vector<ZkOp> ops;
  ops.push_back(ZkCreate{ControllerPath(), EncodeController(node), ZkCreateMode::kEphemeral});
  ops.push_back(ZkSet{EpochPath(), EncodeControllerEpoch(attempted.epoch), before->version});
  const auto answer = co_await session->Multi(std::move(ops));
  if (!answer) {
    if (answer.error() == ZkCode::kConnectionLoss || answer.error() == ZkCode::kOperationTimeout) {
      co_return co_await Recognise(*session, attempted);
    }
    co_return Again(DescribeZk(answer.error(), "creating", ControllerPath()));
  }
  for (const ZkOpResult& op : *answer) {
    if (op.code != ZkCode::kOk) co_return Again("");  // another one was faster: see who
  }
  co_return ElectionOutcome{
      .verdict = ElectionOutcome::kWon, .epoch = attempted.epoch, .fence_version = attempted.version};
}

Task<ZkResult<int64_t>> ReadControllerOwner(std::shared_ptr<ZkSession> session, ZkWatch watch) {
  const ZkResult<std::optional<ZkStat>> stat = co_await session->Exists(ControllerPath(), std::move(watch));
  if (!stat) co_return std::unexpected(stat.error());
  co_return *stat ? (*stat)->ephemeral_owner : 0;
}

Task<void> StepDown(std::shared_ptr<ZkSession> session, int32_t fence_version) {
  std::vector<ZkOp> ops;
  ops.push_back(ZkCheck{EpochPath(), fence_version});
  ops.push_back(ZkDelete{ControllerPath()});
  (void)co_await session->Multi(std::move(ops));
}

}  // namespace tidemark
