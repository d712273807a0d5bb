#include <sys/resource.h>
#include <unistd.h>

#include "common/async/loop_runner.h"
#include "common/async/scope.h"
#include "common/async/thread_pool.h"
#include "common/net/tcp_transport.h"
#include "tests/unit/net/transport_contract.h"

namespace tidemark {

class TcpHarness {
 public:
  Transport& transport() { return transport_; }
  EventLoop& loop() { return loop_; }
  EventLoop& other_loop() { return other_.loop(); }
  std::string host() { return "127.0.0.1"; }
  void Run(Task<void> task) {
    Scope scope(loop_, "test");
    scope.Spawn("test", StopAfter(std::move(task), &loop_));
    loop_.Run();
  }

 private:
  static Task<void> StopAfter(Task<void> task, LibeventLoop* loop) {
    co_await std::move(task);
    loop->Stop();
  }
  ThreadPool pool_{"resolver", 2};
  TcpTransport transport_{pool_};
  LoopRunner other_{"other"};
  LibeventLoop loop_{"test"};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Tcp, TransportContract, TcpHarness);

class TcpTest : public TransportContract<TcpHarness> {};

Task<void> EchoOver(TcpTest* test, std::string listen_host, std::string connect_host) {
  TestAcceptor acceptor(test->h.transport(), test->h.loop(), listen_host);
  if (acceptor.error) {
    EXPECT_NE(acceptor.error->message.find("listen on"), std::string::npos) << acceptor.error->message;
    co_return;  // a host without IPv6
  }
  auto stream = co_await test->Connect({connect_host, acceptor.endpoint().port});
  EXPECT_TRUE(stream) << stream.error().message;
  if (!stream) co_return;
  TestPeer client(test->h.loop(), std::move(*stream));
  auto pending = co_await acceptor.Next();
  TestPeer server(test->h.loop(), pending->Attach(test->h.loop()), true);
  client.Write("hello");
  EXPECT_TRUE(co_await client.UntilReceived(5));
}

TEST_F(TcpTest, NamesAreResolvedAndAllAddressesCanBeListenedOn) { h.Run(EchoOver(this, "", "localhost")); }
TEST_F(TcpTest, IPv6AddressesWork) { h.Run(EchoOver(this, "::1", "::1")); }

Task<void> ResolveNothing(TcpTest* test) {
  auto stream = co_await test->Connect({"no such name.invalid", 9092});
  EXPECT_FALSE(stream);
  if (stream) co_return;
  EXPECT_EQ(stream.error().code, v1::NETWORK_EXCEPTION);
  EXPECT_NE(stream.error().message.find("resolve no such name.invalid:9092"), std::string::npos);
}

TEST_F(TcpTest, ANameThatIsNoneIsToldWithItsPhase) { h.Run(ResolveNothing(this)); }

// File descriptors run out, and come back: the connection that waited is accepted.
Task<void> OutOfDescriptors(TcpTest* test) {
  TestAcceptor acceptor(test->h.transport(), test->h.loop(), "127.0.0.1");
  const int spare = dup(0);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  auto stream =
      co_await test->Connect(acceptor.endpoint());  // its socket exists, the accepted one is yet to come
  EXPECT_TRUE(stream);
  auto first = co_await acceptor.Next();
  auto second_stream = co_await test->Connect(acceptor.endpoint());
  // UBSan looks at an object's vptr through a pipe, which it cannot have below; what it has looked at once it
  // knows.
  (void)co_await Sleep(test->h.loop(), 1ms, "out of descriptors");
  const rlimit none{static_cast<rlim_t>(spare), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  (void)co_await Sleep(test->h.loop(), 20ms, "out of descriptors");
  setrlimit(RLIMIT_NOFILE, &before);
  close(spare);
  auto second = co_await acceptor.Next();
  EXPECT_NE(second, nullptr);
}

TEST_F(TcpTest, AcceptingGoesOnAfterFileDescriptorsRanOut) { h.Run(OutOfDescriptors(this)); }

TEST(EndpointText, IsReadAndWritten) {
  EXPECT_EQ(ToString(*ParseEndpoint("localhost:9092")), "localhost:9092");
  EXPECT_EQ(*ParseEndpoint("[::1]:80"), (Endpoint{"::1", 80}));
  EXPECT_EQ(ToString(Endpoint{"::1", 80}), "[::1]:80");
  EXPECT_EQ(*ParseEndpoint(":9092"), (Endpoint{"", 9092}));
  for (const char* bad :
       {"", "host", "host:", "host:x", "host:65536", "::1:80", "[::1:80", "host:-1", "host:9092 "}) {
    EXPECT_FALSE(ParseEndpoint(bad)) << bad;
  }
}

}  // namespace tidemark
