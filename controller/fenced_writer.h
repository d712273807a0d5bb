// FencedWriter: the one way in which a controller writes to ZooKeeper. Each write is a multi that begins with
// a check of /controller_epoch's version, so that a deposed controller's write does nothing. Belongs to one
// term; control loop.
//
// Invariants: after the first fenced write, after Shut(), and past the session's lease nothing is sent any
// more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/zk/zk_keeper.h"

namespace tidemark {

enum class WriteOutcome {
  kDone,
  kRefused,  // nothing was applied: `at` is the operation at fault, `code` says why
  kFenced,   // nothing was applied: another controller has come, or the term has ended
  kUnknown,  // may or may not have been applied: read, then decide
  kNotSent,  // past the lease: nothing was sent
};

struct WriteResult {
  WriteOutcome outcome = WriteOutcome::kDone;
  ZkCode code = ZkCode::kOk;
  size_t at = 0;
  // kDone: per operation.
  std::vector<ZkOpResult> results;
};

class FencedWriter {
 public:
  // Bounds of one multi, well under ZooKeeper's packet limit of 1 MB. A single larger value is still tried
  // alone.
  static constexpr size_t kMaxBytes = 400 << 10;
  static constexpr size_t kMaxOps = 500;

  // `on_fenced` is called once, from within a write that was fenced.
  FencedWriter(ZkKeeper& keeper, std::shared_ptr<ZkSession> session, int32_t fence_version,
               std::function<void()> on_fenced);

  Task<WriteResult> Write(std::vector<ZkOp> ops);
  // Whether a write or a command may be sent now.
  bool MayAct() const;
  void Shut() { shut_ = true; }
  uint64_t fenced() const { return fenced_; }
  uint64_t unknown() const { return unknown_; }

  // About the bytes that an operation takes in a packet.
  static size_t SizeOf(const ZkOp& op);

 private:
  ZkKeeper& keeper_;
  const std::shared_ptr<ZkSession> session_;
  const int32_t fence_version_;
  std::function<void()> on_fenced_;
  bool shut_ = false;
  uint64_t fenced_ = 0;
  uint64_t unknown_ = 0;
};

}  // namespace tidemark
