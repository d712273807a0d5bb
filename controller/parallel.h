// ForEachParallel: runs `make(i)` for i in [0, count), at most `width` at a time, and returns when all have
// ended. `make` returns a Task<void>; it is not a coroutine itself. Begun in order of i.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>

#include "common/async/scope.h"

namespace tidemark {

namespace internal {
inline Task<void> ParallelWorker(size_t* next, size_t count, const std::function<Task<void>(size_t)>* make) {
  while (*next < count) co_await (*make)((*next)++);
}
}  // namespace internal

inline Task<void> ForEachParallel(EventLoop& loop, size_t count, size_t width,
                                  std::function<Task<void>(size_t)> make) {
  Scope scope(loop, "for each");
  size_t next = 0;
  for (size_t worker = 0; worker < std::min(width, count); ++worker) {
    scope.Spawn("for each", internal::ParallelWorker(&next, count, &make));
  }
  // Workers do not look at the stop token: this waits for their ordinary end.
  co_await scope.Close();
}

}  // namespace tidemark
