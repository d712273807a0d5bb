// RunShown: a call of the client that a progress bar stands for while it lasts. Main thread.
#pragma once

#include <utility>

#include "common/async/scope.h"
#include "common/async/wait.h"
#include "tools/progress.h"
#include "tools/session.h"

namespace tidemark {

// Draws the bar anew as time goes by, also where nothing is done meanwhile. Runs on the client's loop.
inline Task<void> KeepDrawing(EventLoop& loop, Progress& bar, std::stop_token stop) {
  while (!stop.stop_requested()) {
    (void)co_await Sleep(loop, 100ms, "progress", stop);
    bar.Tick();
  }
}

template <typename T, typename F>
Task<T> WithBar(EventLoop& loop, Progress& bar, F& make) {
  Scope scope(loop, "progress");
  scope.Spawn("progress", KeepDrawing(loop, bar, scope.stop_token()));
  T out = co_await make();
  co_await scope.Close();
  co_return out;
}

template <typename F>
auto RunShown(ToolSession& session, Progress& bar, F make) {
  using Out = decltype(session.Run(make));
  return session.Run([&]() -> Task<Out> {
    if (!bar.shown()) return make();
    return WithBar<Out>(session.loop(), bar, make);
  });
}

}  // namespace tidemark
