#include "common/net/rpc_budget.h"

#include <utility>

#include <glog/logging.h>

namespace tidemark {

void RpcBudget::Release(size_t bytes) {
  CHECK_LE(bytes, held_);
  held_ -= bytes;
  WakeNext();
}

void RpcBudget::WakeNext() {
  while (!full() && !waiting_.empty()) {
    std::weak_ptr<BudgetWaiter> first = std::move(waiting_.front());
    waiting_.pop_front();
    if (auto waiter = first.lock(); waiter && waiter->OnRoom()) return;
  }
}

}  // namespace tidemark
