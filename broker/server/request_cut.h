// RequestCut: ends the work that shards do for one request when nobody waits for it any more (the client has
// left, the deadline has passed). Owned by the request's coroutine, on its loop.
//
// Each owner has a stop of its own, which is requested on the owner's loop and nowhere else, because waits
// may end only there.
#pragma once

#include <functional>
#include <stop_token>
#include <utility>
#include <vector>

#include "broker/server/shard.h"

namespace tidemark {

class RequestCut {
 public:
  // For work that is about to be posted to this shard; see WorkStop. All of a shard's have one stop.
  std::stop_source For(Shard& owner) {
    for (const auto& [known, stop] : owners_) {
      if (known == &owner) return stop;
    }
    return owners_.emplace_back(&owner, std::stop_source()).second;
  }
  // What was begun, and what is yet to begin, sees it.
  void Cut() {
    for (auto& [owner, stop] : std::exchange(owners_, {}))
      owner->loop().Post([stop = std::move(stop)]() mutable { stop.request_stop(); });
  }

 private:
  std::vector<std::pair<Shard*, std::stop_source>> owners_;
};

// On the owner's loop, while it works for a request: stopped by the request's cut and by the shard's end.
class WorkStop {
 public:
  WorkStop(Shard& owner, std::stop_source cut)
      : cut_(std::move(cut)), on_end_(owner.scope().stop_token(), [this] { cut_.request_stop(); }) {}
  std::stop_token token() const { return cut_.get_token(); }
  bool stopped() const { return cut_.stop_requested(); }

 private:
  std::stop_source cut_;
  std::stop_callback<std::function<void()>> on_end_;
};

}  // namespace tidemark
