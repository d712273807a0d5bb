// A server with a scripted handler, and both kinds of clients: channels and raw connections, on one real
// loop.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/async/libevent_loop.h"
#include "common/async/scope.h"
#include "common/async/thread_pool.h"
#include "common/net/framing.h"
#include "common/net/rpc_channel.h"
#include "common/net/rpc_server.h"
#include "common/net/tcp_transport.h"
#include "tests/unit/net/transport_contract.h"

namespace tidemark {

class CountingRandom final : public Random {
 public:
  uint64_t Next() override { return state_ += 0x9e3779b97f4a7c15ULL; }

 private:
  uint64_t state_ = 0;
};

// Keeps every call until told, or answers at once.
class ScriptedHandler final : public RpcHandler {
 public:
  explicit ScriptedHandler(EventLoop& loop) : begun(loop) {}
  void OnRequest(std::unique_ptr<RpcCall> call) override {
    names.push_back(call->request().header().client_id());
    requests.push_back(call->request());
    if (answer) {
      answer(*call);
    } else {
      held.push_back(std::move(call));
    }
    begun.NotifyAll();
  }
  Task<void> UntilBegun(size_t count) {
    while (names.size() < count) EXPECT_EQ(co_await begun.Wait("begun", kNoDeadline), WaitOutcome::kReady);
  }
  std::function<void(RpcCall&)> answer;
  std::vector<std::unique_ptr<RpcCall>> held;
  std::vector<std::string> names;  // client ids in the order begun
  std::vector<v1::Request> requests;
  Notifier begun;
};

inline v1::Request MetadataRequest() {
  v1::Request request;
  request.mutable_metadata();
  return request;
}
inline v1::Request NamedRequest(std::string name, uint64_t correlation_id) {
  v1::Request request = MetadataRequest();
  request.mutable_header()->set_client_id(std::move(name));
  request.mutable_header()->set_correlation_id(correlation_id);
  return request;
}
inline v1::Request SizedRequest(size_t bytes) {
  v1::Request request;
  request.mutable_produce()->set_acks(1);
  // As much of it as may be is the client id.
  const size_t named = std::min<size_t>(bytes, 1000);
  request.mutable_header()->set_client_id(std::string(named, 'x'));
  if (bytes > named) request.mutable_produce()->add_topics()->set_id(std::string(bytes - named, 'x'));
  return request;
}
inline v1::Response MetadataAnswer() {
  v1::Response response;
  response.mutable_metadata();
  return response;
}

class RpcTest : public ::testing::Test {
 protected:
  ~RpcTest() override {
    if (server_) RunTask(CloseServer());
  }
  void StartServer(RpcServerLimits limits = {}, ListenerRoles roles = {}) {
    server_ = std::make_unique<RpcServer>(loop_, limits, handler_);
    server_->SetIdentity({"this-cluster", 7});
    auto listener =
        transport_.Listen(loop_, {"127.0.0.1", port_}, [this, roles](std::unique_ptr<PendingStream> s) {
          server_->Attach(std::move(s), "PLAINTEXT", roles);
        });
    ASSERT_TRUE(listener) << listener.error().message;
    listener_ = std::move(*listener);
    port_ = listener_->endpoint().port;
  }
  Task<void> CloseServer() {
    listener_.reset();
    co_await server_->Close();
    server_.reset();
  }
  void AnswerAll() {
    handler_.answer = [](RpcCall& call) { call.Reply(MetadataAnswer()); };
  }
  std::unique_ptr<RpcChannel> Channel(RpcChannelOptions options = {}) {
    options.reconnect_backoff = 1ms;
    options.reconnect_backoff_max = 5ms;
    return std::make_unique<RpcChannel>(loop_, transport_, random_, Endpoint{"127.0.0.1", port_}, options);
  }
  Task<std::unique_ptr<TestPeer>> RawClient() {
    auto stream = co_await transport_.Connect(loop_, {"127.0.0.1", port_}, kNoDeadline, {});
    CHECK(stream) << stream.error().message;
    co_return std::make_unique<TestPeer>(loop_, std::move(*stream));
  }
  // The next answer that a raw client gets.
  Task<v1::Response> Answer(TestPeer* peer) {
    v1::Response response;
    EXPECT_TRUE(co_await peer->UntilReceived(4));
    if (peer->received.size() < 4) co_return response;
    size_t length = 0;
    for (int i = 0; i < 4; ++i)
      length = length << 8 | static_cast<uint8_t>(peer->received[static_cast<size_t>(i)]);
    EXPECT_TRUE(co_await peer->UntilReceived(4 + length));
    EXPECT_TRUE(response.ParseFromString(peer->received.substr(4, length)));
    peer->received.erase(0, 4 + length);
    co_return response;
  }
  // Time enough for everything under way on this loop to be seen: round trips on a connection of its own.
  Task<void> Quiesce() {
    TestAcceptor acceptor(transport_, loop_, "127.0.0.1");
    auto stream = co_await transport_.Connect(loop_, acceptor.endpoint(), kNoDeadline, {});
    TestPeer client(loop_, std::move(*stream));
    auto pending = co_await acceptor.Next();
    TestPeer server(loop_, pending->Attach(loop_), true);
    for (size_t i = 1; i <= 5; ++i) {
      client.Write("x");
      EXPECT_TRUE(co_await client.UntilReceived(i));
    }
  }
  void RunTask(Task<void> task) {
    scope_.Spawn("test", StopAfter(std::move(task), &loop_));
    loop_.Run();
  }
  static Task<void> StopAfter(Task<void> task, LibeventLoop* loop) {
    co_await std::move(task);
    loop->Stop();
  }
  // Starts a call whose result is stored.
  using Outcome = std::optional<Result<v1::Response>>;
  void Begin(RpcChannel* channel, v1::Request request, Outcome* out, Duration timeout = 30s,
             std::stop_token stop = {}) {
    scope_.Spawn("call", Store(channel, std::move(request), out, timeout, std::move(stop), &call_ended_));
  }
  static Task<void> Store(RpcChannel* channel, v1::Request request, Outcome* out, Duration timeout,
                          std::stop_token stop, Notifier* ended) {
    out->emplace(co_await channel->Call(std::move(request), timeout, std::move(stop)));
    ended->NotifyAll();
  }
  Task<void> Until(const Outcome* outcome) {
    while (!outcome->has_value()) (void)co_await call_ended_.Wait("call", kNoDeadline);
  }

  LibeventLoop loop_{"test"};
  ThreadPool pool_{"resolver", 1};
  TcpTransport transport_{pool_};
  CountingRandom random_;
  Scope scope_{loop_, "test"};
  Notifier call_ended_{loop_};
  ScriptedHandler handler_{loop_};
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<Listener> listener_;
  uint16_t port_ = 0;
};

}  // namespace tidemark
