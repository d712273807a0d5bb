#include "controller/fenced_writer.h"

#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"

namespace tidemark {

FencedWriter::FencedWriter(ZkKeeper& keeper, std::shared_ptr<ZkSession> session, int32_t fence_version,
                           std::function<void()> on_fenced)
    : keeper_(keeper),
      session_(std::move(session)),
      fence_version_(fence_version),
      on_fenced_(std::move(on_fenced)) {}

bool FencedWriter::MayAct() const {
  return !shut_ && keeper_.session() == session_.get() && keeper_.connected() && keeper_.lease_valid();
}

size_t FencedWriter::SizeOf(const ZkOp& op) {
  struct Measure {
    size_t operator()(const ZkCreate& o) const { return o.path.size() + o.data.size() + 64; }
    size_t operator()(const ZkSet& o) const { return o.path.size() + o.data.size() + 32; }
    size_t operator()(const ZkDelete& o) const { return o.path.size() + 32; }
    size_t operator()(const ZkCheck& o) const { return o.path.size() + 32; }
  };
  return std::visit(Measure{}, op);
}

Task<WriteResult> FencedWriter::Write(std::vector<ZkOp> ops) {
  if (shut_) co_return WriteResult{.outcome = WriteOutcome::kFenced};
  if (!MayAct()) co_return WriteResult{.outcome = WriteOutcome::kNotSent};
  ops.insert(ops.begin(), ZkCheck{std::string(zkpath::kControllerEpoch), fence_version_});
  ZkResult<std::vector<ZkOpResult>> answer = co_await session_->Multi(std::move(ops));
  if (!answer) {
    if (IsUnknownOutcome(answer.error())) {
      ++unknown_;
      co_return WriteResult{.outcome = WriteOutcome::kUnknown, .code = answer.error()};
    }
    co_return WriteResult{.outcome = WriteOutcome::kRefused, .code = answer.error()};
  }
  std::vector<ZkOpResult> results = std::move(*answer);
  const ZkCode fence = results.empty() ? ZkCode::kOther : results.front().code;
  if (fence == ZkCode::kBadVersion || fence == ZkCode::kNoNode) {
    ++fenced_;
    if (!std::exchange(shut_, true)) on_fenced_();
    co_return WriteResult{.outcome = WriteOutcome::kFenced, .code = fence};
  }
  for (size_t i = 1; i < results.size(); ++i) {
    if (results[i].code == ZkCode::kOk || results[i].code == ZkCode::kRuntimeInconsistency) continue;
    co_return WriteResult{.outcome = WriteOutcome::kRefused, .code = results[i].code, .at = i - 1};
  }
  if (fence != ZkCode::kOk) co_return WriteResult{.outcome = WriteOutcome::kRefused, .code = fence};
  results.erase(results.begin());
  co_return WriteResult{.results = std::move(results)};
}

}  // namespace tidemark
