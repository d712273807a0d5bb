#include <gtest/gtest.h>

#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {
namespace {

// An end that collects what arrives.
struct End final : StreamHandler {
  std::span<char> ReadBuffer() override { return buffer; }
  void OnRead(size_t size) override {
    received.append(buffer, size);
    read_at = world->Now();
  }
  void OnDrained() override {}
  void OnClosed(const Error& reason) override {
    closed = reason.message;
    closed_at = world->Now();
  }
  SimWorld* world = nullptr;
  std::unique_ptr<Stream> stream;
  std::string received;
  MonoTime read_at{};
  std::optional<std::string> closed;
  MonoTime closed_at{};
  char buffer[4096];
};

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    server_end_->world = second_end_->world = client_end_->world = &world_;
    server_->Keep(server_end_);
    server_->Keep(second_end_);
    client_->Keep(client_end_);
  }
  void Listen() {
    server_->main_loop().Post([this] {
      auto listener = server_->transport().Listen(server_->main_loop(), {"", 9092}, [this](auto pending) {
        End* end = server_end_->stream ? second_end_.get() : server_end_.get();
        end->stream = pending->Attach(server_->main_loop());
        end->stream->Start(end);
      });
      CHECK(listener) << listener.error().message;
      server_->Keep(std::shared_ptr<Listener>(std::move(*listener)));
    });
    world_.RunFor(10ms);
  }
  Result<std::unique_ptr<Stream>> Connect(Duration timeout = 10s) {
    return client_->Await([this, timeout]() -> Task<Result<std::unique_ptr<Stream>>> {
      return client_->transport().Connect(client_->main_loop(), {"server", 9092}, world_.Now() + timeout, {});
    });
  }
  void Establish() {
    Listen();
    auto stream = Connect();
    ASSERT_TRUE(stream) << stream.error().message;
    client_end_->stream = std::move(*stream);
    client_->main_loop().Post([this] { client_end_->stream->Start(client_end_.get()); });
    world_.RunFor(100ms);
    ASSERT_NE(server_end_->stream, nullptr);
  }
  void ClientWrites(std::string bytes) {
    client_->main_loop().Post([this, bytes] { client_end_->stream->Write(bytes); });
  }

  SimWorld world_{42};
  SimProcess* server_ = &world_.StartProcess("server");
  SimProcess* client_ = &world_.StartProcess("client");
  std::shared_ptr<End> server_end_ = std::make_shared<End>();
  std::shared_ptr<End> second_end_ = std::make_shared<End>();  // of a second connection
  std::shared_ptr<End> client_end_ = std::make_shared<End>();
};

TEST_F(NetworkTest, AShortCutStallsAndLosesNothing) {
  Establish();
  ClientWrites("before ");
  world_.RunFor(1s);
  world_.network().Cut("client", "server");
  ClientWrites("during ");
  world_.RunFor(5s);
  EXPECT_EQ(server_end_->received, "before ");
  world_.network().Heal("client", "server");
  ClientWrites("after");
  world_.RunFor(2s);
  EXPECT_EQ(server_end_->received, "before during after");
  EXPECT_FALSE(client_end_->closed);
}

TEST_F(NetworkTest, UnansweredBytesBreakTheConnectionAfterTheUserTimeOut) {
  Establish();
  world_.network().CutOneWay("server", "client");  // the answers are lost, the bytes arrive
  const MonoTime start = world_.Now();
  ClientWrites("x");
  world_.RunFor(60s);
  EXPECT_EQ(server_end_->received, "x");
  EXPECT_EQ(client_end_->closed, "connection timed out");
  EXPECT_GE(client_end_->closed_at - start, world_.network().options().user_timeout);
}

TEST_F(NetworkTest, AnIdleConnectionOverADeadLinkIsNoticedByKeepalive) {
  Establish();
  world_.network().Cut("client", "server");
  world_.RunFor(60s);
  EXPECT_EQ(client_end_->closed, "connection timed out");
  EXPECT_EQ(server_end_->closed, "connection timed out");
}

TEST_F(NetworkTest, AKilledPeerIsHeardOf) {
  Establish();
  server_->Kill();
  world_.RunFor(1s);
  EXPECT_TRUE(client_end_->closed);
}

TEST_F(NetworkTest, AHostThatLostPowerSaysNothingUntilItIsBack) {
  Establish();
  server_->Kill(true);
  world_.RunFor(5s);
  EXPECT_FALSE(client_end_->closed);
  world_.StartProcess("server");
  ClientWrites("hello?");
  world_.RunFor(1s);
  EXPECT_EQ(client_end_->closed, "connection reset by peer");
}

TEST_F(NetworkTest, AKilledPeerBehindACutIsFoundOutWhenTheCutHeals) {
  Establish();
  world_.network().Cut("client", "server");
  server_->Kill();
  world_.RunFor(5s);
  EXPECT_FALSE(client_end_->closed);
  world_.network().HealAll();
  world_.RunFor(10s);
  EXPECT_TRUE(client_end_->closed);
}

TEST_F(NetworkTest, AHalfOpenConnectionIsFoundOutByWriting) {
  Establish();
  world_.network().HalfOpen("server", "client");
  world_.RunFor(5s);
  EXPECT_FALSE(client_end_->closed);
  ClientWrites("x");
  world_.RunFor(1s);
  EXPECT_EQ(client_end_->closed, "connection reset by peer");
  EXPECT_EQ(server_end_->received, "");
}

TEST_F(NetworkTest, ResetsReachBothEnds) {
  Establish();
  world_.network().ResetStreams("client", "server");
  world_.RunFor(1s);
  EXPECT_TRUE(client_end_->closed);
  EXPECT_TRUE(server_end_->closed);
}

TEST_F(NetworkTest, APausedProcessStillTakesConnectionsAndBytes) {
  Establish();
  server_->Pause();
  ClientWrites("wait for me");
  EXPECT_TRUE(Connect());
  world_.RunFor(5s);
  EXPECT_EQ(server_end_->received, "");
  server_->Resume();
  world_.RunFor(1s);
  EXPECT_EQ(server_end_->received, "wait for me");
}

TEST_F(NetworkTest, AProcessThatGoesOnReadsItsConnectionsInAnyOrder) {
  Establish();
  auto second = Connect();
  ASSERT_TRUE(second);
  int second_first = 0;
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    server_->Pause();
    ClientWrites("older");
    world_.RunFor(1s);
    client_->main_loop().Post([&] { (*second)->Write("newer"); });
    world_.RunFor(1s);
    server_->Resume();
    world_.RunFor(1s);
    second_first += second_end_->read_at < server_end_->read_at ? 1 : 0;
  }
  EXPECT_EQ(server_end_->received.size(), 5u * kRounds);
  EXPECT_EQ(second_end_->received.size(), 5u * kRounds);
  EXPECT_GT(second_first, 5);
  EXPECT_LT(second_first, kRounds - 5);
}

TEST_F(NetworkTest, AConnectOverACutLinkTimesOutAndOneToNobodyIsRefused) {
  EXPECT_NE(Connect().error().message.find("refused"), std::string::npos);
  Listen();
  world_.network().Isolate("server");
  const MonoTime start = world_.Now();
  EXPECT_NE(Connect(3s).error().message.find("timed out"), std::string::npos);
  EXPECT_GE(world_.Now() - start, Duration(3s));
  world_.network().HealAll();
  EXPECT_TRUE(Connect());
}

TEST_F(NetworkTest, AConnectThatMeetsACutGoesThroughWhenItHeals) {
  Listen();
  world_.network().Cut("client", "server");
  world_.After(2s, [this] { world_.network().HealAll(); });
  EXPECT_TRUE(Connect(30s));
}

TEST_F(NetworkTest, StreamsKeepTheirOrderUnderDelays) {
  world_.network().options().slow_chance = 0.5;
  Establish();
  std::string all;
  for (int i = 0; i < 500; ++i) {
    const std::string piece = std::to_string(i) + ",";
    all += piece;
    ClientWrites(piece);
    if (i % 10 == 0) world_.RunFor(1ms);
  }
  world_.RunFor(60s);
  EXPECT_EQ(server_end_->received, all);
}

}  // namespace
}  // namespace tidemark
