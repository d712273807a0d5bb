// What the clock of a request takes in. A clock that goes by the bytes on the heap moves while a request is
// parsed and an answer encoded.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "common/async/wait.h"
#include "common/net/framing.h"
#include "common/net/rpc_server.h"
#include "tests/unit/scale/heap.h"

namespace tidemark {
namespace {

// Runs nothing: what a stream brings is handled within the call.
class HeapClockLoop final : public EventLoop {
 public:
  ~HeapClockLoop() override { EndHandle(); }
  MonoTime Now() const override { return MonoTime(Duration(HeapBytes())); }
  void Post(Callback) override {}
  void Defer(Callback) override {}
  TimerId StartTimer(MonoTime, Callback) override { return 1; }
  void CancelTimer(TimerId) override {}
  bool InLoopThread() const override { return true; }
  std::string_view name() const override { return "test"; }
  WaitRegistry& waits() override { return waits_; }

 private:
  WaitRegistry waits_;
};

class TestStream final : public Stream {
 public:
  explicit TestStream(StreamHandler** handler) : handler_(handler) {}
  void Start(StreamHandler* handler) override { *handler_ = handler; }
  void Write(std::string) override {}
  size_t unsent_bytes() const override { return 0; }
  void PauseReading() override {}
  void ResumeReading() override {}
  void CloseAfterWrites() override {}
  void Close() override {}
  const std::string& peer() const override { return peer_; }
  Duration TakeCallTime() override { return 1h; }

 private:
  StreamHandler** handler_;
  std::string peer_ = "peer";
};

class TestPending final : public PendingStream {
 public:
  explicit TestPending(StreamHandler** handler) : handler_(handler) {}
  std::unique_ptr<Stream> Attach(EventLoop&) override { return std::make_unique<TestStream>(handler_); }

 private:
  StreamHandler** handler_;
};

class OneHandler final : public RpcHandler {
 public:
  void OnRequest(std::unique_ptr<RpcCall> call) override { on_request(*call); }
  std::function<void(RpcCall&)> on_request;
};

// A coroutine that nobody waits for; it must not wait either.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};
Detached Finish(Task<void> task) { co_await std::move(task); }

class RequestTime : public testing::Test {
 protected:
  RequestTime() {
    server_.SetIdentity({"cluster", 1});
    server_.Attach(std::make_unique<TestPending>(&stream_), "PLAINTEXT", {});
  }
  ~RequestTime() override { Finish(server_.Close()); }
  void Send(const v1::Request& request) {
    std::string_view frame = frame_ = EncodeFrame(request);
    while (!frame.empty()) {
      const std::span<char> buffer = stream_->ReadBuffer();
      const size_t size = std::min(buffer.size(), frame.size());
      frame.copy(buffer.data(), size);
      frame.remove_prefix(size);
      stream_->OnRead(size);
    }
  }

  HeapClockLoop loop_;
  OneHandler handler_;
  RpcServer server_{loop_, {}, handler_};
  StreamHandler* stream_ = nullptr;
  std::string frame_;
};

TEST_F(RequestTime, BeginsBeforeTheRequestIsParsed) {
  v1::Request request;
  constexpr size_t kTopics = 1000;
  for (size_t i = 0; i < kTopics; ++i)
    request.mutable_metadata()->add_topics()->set_name(std::string(100, 'x'));
  Duration before{};
  handler_.on_request = [&](RpcCall& call) {
    before = loop_.Now() - call.begun();
    call.Reply({});
  };
  Send(request);
  EXPECT_GT(before, Duration(kTopics * 100));
}

TEST_F(RequestTime, OfEncodingIsTakenFromTheFirstQuestionOn) {
  constexpr size_t kBytes = 1 << 20;
  std::vector<Duration> taken;
  handler_.on_request = [&](RpcCall& call) {
    taken.push_back(call.TakeTransferTime() - 1h);
    v1::Response response;
    response.mutable_api_versions()->set_software_version(std::string(kBytes, 'x'));
    call.Reply(std::move(response));
  };
  v1::Request request;
  request.mutable_api_versions();
  for (int i = 0; i < 3; ++i) Send(request);
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[0], Duration::zero());
  EXPECT_GE(taken[1], Duration(kBytes));
  EXPECT_LT(taken[1], Duration(2 * kBytes));
  EXPECT_LT(taken[2], Duration(2 * kBytes)) << "what was told is not told again";
}

}  // namespace
}  // namespace tidemark
