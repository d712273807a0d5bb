// Round trips through RpcChannel and RpcServer over the real loop and TCP: the server on one thread, the
// client on another. A message is a produce request with one batch of so many bytes; the answer is an empty
// one.
#include <benchmark/benchmark.h>
#include <glog/logging.h>

#include <memory>
#include <string>

#include "common/async/scope.h"
#include "common/env/client_runtime.h"
#include "common/env/real_environment.h"
#include "common/net/rpc_channel.h"
#include "common/net/rpc_server.h"

namespace tidemark {
namespace {

constexpr Duration kTimeout = 10s;

class AnsweringHandler final : public RpcHandler {
 public:
  void OnRequest(std::unique_ptr<RpcCall> call) override {
    v1::Response response;
    response.mutable_produce();
    call->Reply(std::move(response));
  }
};

v1::Request ProduceOf(const std::string& body) {
  v1::Request request;
  v1::ProduceRequest* produce = request.mutable_produce();
  produce->set_acks(1);
  v1::ProduceRequest::Topic* topic = produce->add_topics();
  topic->set_id(std::string(TopicId::kSize, 'i'));
  topic->add_partitions()->add_batches()->set_body(body);
  return request;
}

// A server and a channel to it. What belongs to a loop is made and ended on it.
class Pair {
 public:
  Pair() : server_side_(env_), client_side_(env_) {
    server_side_.Run([this]() -> Task<void> {
      server_ = std::make_unique<RpcServer>(server_side_.loop(), RpcServerLimits{}, handler_);
      server_->SetIdentity({"bench", 0});
      auto listener = env_.transport().Listen(server_side_.loop(), {"127.0.0.1", 0}, [this](auto stream) {
        server_->Attach(std::move(stream), "PLAINTEXT", {});
      });
      CHECK(listener) << ToString(listener.error());
      listener_ = std::move(*listener);
      endpoint_ = {"127.0.0.1", listener_->endpoint().port};
      co_return;
    });
    client_side_.Run([this]() -> Task<void> {
      channel_ = std::make_unique<RpcChannel>(client_side_.loop(), env_.transport(), env_.random(), endpoint_,
                                              RpcChannelOptions{});
      scope_ = std::make_unique<Scope>(client_side_.loop(), "bench");
      co_return;
    });
  }
  ~Pair() {
    client_side_.Run([this]() -> Task<void> {
      co_await scope_->Close();
      scope_.reset();
      co_await channel_->Close();
      channel_.reset();
    });
    server_side_.Run([this]() -> Task<void> {
      listener_.reset();
      co_await server_->Close();
      server_.reset();
    });
  }

  ClientRuntime& client() { return client_side_; }

  Task<void> CallOnce(const std::string& body) {
    const auto answer = co_await channel_->Call(ProduceOf(body), kTimeout, {});
    CHECK(answer) << ToString(answer.error());
  }

  // `count` calls, `under_way` of them at any time.
  Task<void> CallMany(const std::string& body, size_t count, size_t under_way) {
    size_t left = count;
    size_t running = 0;
    Notifier ended(client_side_.loop());
    for (; running < under_way; ++running) scope_->Spawn("caller", Caller(body, left, running, ended));
    while (running > 0) co_await ended.Wait("callers", kNoDeadline);
  }

 private:
  Task<void> Caller(const std::string& body, size_t& left, size_t& running, Notifier& ended) {
    while (left > 0) {
      --left;
      co_await CallOnce(body);
    }
    --running;
    ended.NotifyAll();
  }

  RealEnvironment env_;
  ClientRuntime server_side_;
  ClientRuntime client_side_;
  AnsweringHandler handler_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<Listener> listener_;
  Endpoint endpoint_;
  std::unique_ptr<RpcChannel> channel_;
  std::unique_ptr<Scope> scope_;
};

void RoundTrip(benchmark::State& state) {
  Pair pair;
  const std::string body(static_cast<size_t>(state.range(0)), 'b');
  pair.client().Run([&]() -> Task<void> {
    co_await pair.CallOnce(body);  // connects
    for (auto _ : state) co_await pair.CallOnce(body);
  });
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(RoundTrip)->Arg(100)->Arg(64 << 10)->UseRealTime();

// An iteration is 1000 calls.
void Pipelined(benchmark::State& state) {
  constexpr size_t kCalls = 1000;
  Pair pair;
  const std::string body(static_cast<size_t>(state.range(0)), 'b');
  const size_t under_way = static_cast<size_t>(state.range(1));
  pair.client().Run([&]() -> Task<void> {
    co_await pair.CallOnce(body);
    for (auto _ : state) co_await pair.CallMany(body, kCalls, under_way);
  });
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kCalls * body.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kCalls));
}
BENCHMARK(Pipelined)->Args({100, 64})->Args({64 << 10, 5})->UseRealTime();

}  // namespace
}  // namespace tidemark
