// The contract suite of Transport, run against TCP (tcp_contract_test.cc) and against the simulated network
// (tests/simulation). Instantiate with a Harness:
//   struct Harness {
//     Transport& transport();
//     EventLoop& loop();          // where tests run
//     EventLoop& other_loop();    // another loop; may be on another thread
//     std::string host();         // where to listen
//     void Run(Task<void> task);  // starts the task on loop() and runs the loops until it has ended
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Tcp, TransportContract, Harness);
#pragma once

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/async/wait.h"
#include "common/net/transport.h"

namespace tidemark {

// The test's end of a stream: collects what arrives, echoes it if told, and can be waited for.
class TestPeer final : public StreamHandler {
 public:
  TestPeer(EventLoop& loop, std::unique_ptr<Stream> s, bool echo_back = false)
      : stream(std::move(s)), echo(echo_back), changed_(loop), loop_(loop) {
    calling_ = true;
    stream->Start(this);
    calling_ = false;
  }
  void Write(std::string bytes) {
    calling_ = true;
    stream->Write(std::move(bytes));
    calling_ = false;
  }
  // False when it did not come true in half a minute.
  template <typename Condition>
  Task<bool> Until(Condition condition) {
    const MonoTime deadline = loop_.Now() + 30s;
    while (!condition(*this)) {
      if (co_await changed_.Wait("test peer", deadline) == WaitOutcome::kTimedOut) co_return false;
    }
    co_return true;
  }
  Task<bool> UntilReceived(size_t size) {
    return Until([size](const TestPeer& p) { return p.received.size() >= size; });
  }
  Task<bool> UntilClosed() {
    return Until([](const TestPeer& p) { return p.closed.has_value(); });
  }

  std::span<char> ReadBuffer() override {
    EXPECT_FALSE(calling_);
    return buffer_;
  }
  void OnRead(size_t size) override {
    EXPECT_FALSE(calling_);
    EXPECT_FALSE(closed.has_value());
    received.append(buffer_, size);
    if (echo) stream->Write(std::string(buffer_, size));
    if (close_on_read) stream.reset();
    changed_.NotifyAll();
  }
  void OnDrained() override {
    EXPECT_FALSE(calling_);
    ++drained;
    changed_.NotifyAll();
  }
  void OnClosed(const Error& reason) override {
    EXPECT_FALSE(calling_) << "a handler is never called from inside a call on its stream";
    EXPECT_FALSE(closed.has_value());
    closed = reason;
    stream.reset();
    changed_.NotifyAll();
  }

  std::unique_ptr<Stream> stream;
  bool echo = false;
  bool close_on_read = false;
  std::string received;
  std::optional<Error> closed;
  int drained = 0;

 private:
  Notifier changed_;
  EventLoop& loop_;
  bool calling_ = false;
  char buffer_[16384];
};

// Accepts on a loop; hands the connections out one by one.
class TestAcceptor {
 public:
  TestAcceptor(Transport& transport, EventLoop& loop, const std::string& host, uint16_t port = 0)
      : loop_(loop), arrived_(loop) {
    auto result = transport.Listen(loop, {host, port}, [this](std::unique_ptr<PendingStream> pending) {
      pending_.push_back(std::move(pending));
      arrived_.NotifyAll();
    });
    if (result) {
      listener = std::move(*result);
    } else {
      error = result.error();
    }
  }
  Endpoint endpoint() const { return listener->endpoint(); }
  // The next connection, not yet attached.
  Task<std::unique_ptr<PendingStream>> Next() {
    while (pending_.empty()) (void)co_await arrived_.Wait("accept", loop_.Now() + 30s);
    auto first = std::move(pending_.front());
    pending_.erase(pending_.begin());
    co_return first;
  }

  std::unique_ptr<Listener> listener;
  std::optional<Error> error;

 private:
  EventLoop& loop_;
  Notifier arrived_;
  std::vector<std::unique_ptr<PendingStream>> pending_;
};

// Bytes whose every position tells where it belongs.
inline std::string PatternBytes(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 2654435761u + seed) >> 11);
  return bytes;
}

template <typename Harness>
class TransportContract : public ::testing::Test {
 public:
  using Self = TransportContract;
  struct Pair {
    std::unique_ptr<TestPeer> client;
    std::unique_ptr<TestPeer> server;
  };

  Task<Result<std::unique_ptr<Stream>>> Connect(Endpoint endpoint) {
    return h.transport().Connect(h.loop(), std::move(endpoint), h.loop().Now() + 30s, {});
  }
  Task<Pair> ConnectPair(TestAcceptor* acceptor, bool echo = false) {
    Pair pair;
    auto stream = co_await Connect(acceptor->endpoint());
    CHECK(stream) << stream.error().message;
    pair.client = std::make_unique<TestPeer>(h.loop(), std::move(*stream));
    auto pending = co_await acceptor->Next();
    pair.server = std::make_unique<TestPeer>(h.loop(), pending->Attach(h.loop()), echo);
    co_return pair;
  }

  // Listens where nobody else comes once it is closed: a port that the kernel hands out may be another
  // process's at once. Each process looks from another port on.
  std::unique_ptr<TestAcceptor> OnOwnPort() {
    auto port = static_cast<uint16_t>(20000 + getpid() % 10000);
    for (;; ++port) {
      auto acceptor = std::make_unique<TestAcceptor>(h.transport(), h.loop(), h.host(), port);
      if (!acceptor->error) return acceptor;
      CHECK_LT(port, 32000) << acceptor->error->message;
    }
  }

  Task<void> Echo() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    Pair pair = co_await ConnectPair(&acceptor, true);
    std::string all;
    for (int i = 0; i < 100; ++i) {
      const std::string piece = PatternBytes(static_cast<size_t>(i) * 7 + 1, static_cast<uint32_t>(i));
      all += piece;
      pair.client->Write(piece);
    }
    EXPECT_TRUE(co_await pair.client->UntilReceived(all.size()));
    EXPECT_EQ(pair.client->received, all);
    EXPECT_FALSE(pair.client->stream->peer().empty());
  }

  Task<void> BackPressure() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    Pair pair = co_await ConnectPair(&acceptor);
    pair.server->stream->PauseReading();
    Pair other = co_await ConnectPair(&acceptor, true);
    std::string big;
    // How much the network takes is the host's to say: written until something stays here.
    for (uint32_t round = 1; round <= 8 && pair.client->stream->unsent_bytes() == 0; ++round) {
      const std::string piece = PatternBytes(size_t{24} << 20, round);
      pair.client->Write(piece.substr(0, piece.size() / 2));
      pair.client->Write(piece.substr(piece.size() / 2));
      EXPECT_EQ(pair.client->stream->unsent_bytes(), piece.size());
      big += piece;
      // A round trip on another connection: time enough for what the network takes.
      other.client->Write("ping");
      EXPECT_TRUE(co_await other.client->UntilReceived(size_t{4} * round));
    }
    EXPECT_GT(pair.client->stream->unsent_bytes(), 0u);
    const int drained = pair.client->drained;
    EXPECT_EQ(static_cast<size_t>(drained + 1) * (size_t{24} << 20), big.size()) << "not for what stays";
    pair.server->stream->ResumeReading();
    EXPECT_TRUE(co_await pair.server->UntilReceived(big.size()));
    EXPECT_TRUE(co_await pair.client->Until([drained](const TestPeer& p) { return p.drained > drained; }));
    EXPECT_EQ(pair.client->stream->unsent_bytes(), 0u);
    EXPECT_TRUE(pair.server->received == big);
  }

  Task<void> PauseAndResume() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    Pair pair = co_await ConnectPair(&acceptor);
    pair.server->stream->PauseReading();
    pair.client->Write("held back");
    EXPECT_TRUE(co_await pair.client->Until([](const TestPeer& p) { return p.drained > 0; }));
    Pair other = co_await ConnectPair(&acceptor, true);
    other.client->Write("ping");
    EXPECT_TRUE(co_await other.client->UntilReceived(4));
    EXPECT_EQ(pair.server->received, "");
    pair.server->stream->ResumeReading();
    EXPECT_TRUE(co_await pair.server->UntilReceived(9));
    EXPECT_EQ(pair.server->received, "held back");
  }

  Task<void> LastBytes() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    Pair pair = co_await ConnectPair(&acceptor);
    const std::string last = PatternBytes(3 << 20, 5);
    pair.client->Write("never read by the closing side");
    pair.server->Write(last);
    pair.server->stream->CloseAfterWrites();
    EXPECT_TRUE(co_await pair.client->UntilClosed());
    EXPECT_TRUE(pair.client->received == last);
    EXPECT_EQ(pair.client->closed->code, v1::NETWORK_EXCEPTION);
    EXPECT_EQ(pair.client->closed->message, "closed by peer");
    EXPECT_FALSE(pair.server->closed.has_value()) << "the side that closes hears nothing more";
  }

  Task<void> PeerCloses() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    Pair pair = co_await ConnectPair(&acceptor);
    pair.client->stream->Close();
    pair.client->Write("ignored");
    EXPECT_EQ(pair.client->stream->unsent_bytes(), 0u);
    EXPECT_TRUE(co_await pair.server->UntilClosed());
    EXPECT_EQ(pair.server->closed->code, v1::NETWORK_EXCEPTION);
    EXPECT_EQ(pair.server->received, "");
    EXPECT_FALSE(pair.client->closed.has_value());
    Pair destroyed = co_await ConnectPair(&acceptor);
    destroyed.client->stream.reset();
    EXPECT_TRUE(co_await destroyed.server->UntilClosed());
  }

  Task<void> ClosedWhileReading() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    Pair pair = co_await ConnectPair(&acceptor);
    pair.server->close_on_read = true;
    pair.client->Write(PatternBytes(200000, 3));
    EXPECT_TRUE(co_await pair.client->UntilClosed());
    EXPECT_FALSE(pair.server->closed.has_value());
  }

  Task<void> Refused() {
    auto acceptor = OnOwnPort();
    const Endpoint gone = acceptor->endpoint();
    acceptor.reset();
    auto stream = co_await Connect(gone);
    EXPECT_FALSE(stream);
    if (stream) co_return;
    EXPECT_EQ(stream.error().code, v1::NETWORK_EXCEPTION);
    EXPECT_NE(stream.error().message.find("connect"), std::string::npos) << stream.error().message;
    EXPECT_NE(stream.error().message.find(ToString(gone)), std::string::npos) << stream.error().message;
  }

  Task<void> Stopped() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    std::stop_source stop;
    stop.request_stop();
    auto stream =
        co_await h.transport().Connect(h.loop(), acceptor.endpoint(), h.loop().Now() + 30s, stop.get_token());
    if (!stream) EXPECT_EQ(stream.error().code, v1::CANCELLED);
  }

  Task<void> PortInUse() {
    TestAcceptor first(h.transport(), h.loop(), h.host());
    TestAcceptor second(h.transport(), h.loop(), h.host(), first.endpoint().port);
    EXPECT_TRUE(second.error.has_value());
    if (!second.error) co_return;
    EXPECT_NE(second.error->message.find(ToString(first.endpoint())), std::string::npos)
        << second.error->message;
    EXPECT_NE(second.error->message.find("in use"), std::string::npos) << second.error->message;
  }

  Task<void> ListensAgain() {
    auto acceptor = OnOwnPort();
    Pair pair = co_await ConnectPair(acceptor.get(), true);
    const uint16_t port = acceptor->endpoint().port;
    pair.server->stream->Close();  // the listening side closes first
    EXPECT_TRUE(co_await pair.client->UntilClosed());
    acceptor.reset();
    TestAcceptor again(h.transport(), h.loop(), h.host(), port);
    EXPECT_FALSE(again.error.has_value()) << again.error->message;
  }

  Task<void> ManyConnections() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    std::vector<Pair> pairs;
    for (int i = 0; i < 200; ++i) pairs.push_back(co_await ConnectPair(&acceptor, true));
    for (size_t i = 0; i < pairs.size(); ++i) pairs[i].client->Write(std::to_string(i));
    for (size_t i = 0; i < pairs.size(); ++i) {
      EXPECT_TRUE(co_await pairs[i].client->UntilReceived(std::to_string(i).size()));
      EXPECT_EQ(pairs[i].client->received, std::to_string(i));
    }
  }

  Task<void> OtherLoop() {
    TestAcceptor acceptor(h.transport(), h.loop(), h.host());
    auto stream = co_await Connect(acceptor.endpoint());
    EXPECT_TRUE(stream) << stream.error().message;
    TestPeer client(h.loop(), std::move(*stream));
    auto owner = std::make_shared<std::unique_ptr<TestPeer>>();  // touched on the other loop only
    h.other_loop().Post([owner, other = &h.other_loop(), pending = co_await acceptor.Next()] {
      *owner = std::make_unique<TestPeer>(*other, pending->Attach(*other), true);
    });
    const std::string bytes = PatternBytes(1 << 20, 9);
    client.Write(bytes);
    EXPECT_TRUE(co_await client.UntilReceived(bytes.size()));
    EXPECT_TRUE(client.received == bytes);
    h.other_loop().Post([owner] { owner->reset(); });
    EXPECT_TRUE(co_await client.UntilClosed());
  }

  Harness h;
};

TYPED_TEST_SUITE_P(TransportContract);
TYPED_TEST_P(TransportContract, BytesArriveInOrderAndComeBack) { this->h.Run(this->Echo()); }
TYPED_TEST_P(TransportContract, ASlowReaderHoldsBackABigWriteWithoutLoss) {
  this->h.Run(this->BackPressure());
}
TYPED_TEST_P(TransportContract, APausedStreamDeliversNothingUntilResumed) {
  this->h.Run(this->PauseAndResume());
}
TYPED_TEST_P(TransportContract, ClosingAfterWritesDeliversTheLastByte) { this->h.Run(this->LastBytes()); }
TYPED_TEST_P(TransportContract, ThePeerOfAClosedStreamIsToldTheCloserIsNot) {
  this->h.Run(this->PeerCloses());
}
TYPED_TEST_P(TransportContract, AStreamMayBeDestroyedWhileItDelivers) {
  this->h.Run(this->ClosedWhileReading());
}
TYPED_TEST_P(TransportContract, ConnectingToNobodyNamesTheAddress) { this->h.Run(this->Refused()); }
TYPED_TEST_P(TransportContract, AStoppedConnectIsCancelled) { this->h.Run(this->Stopped()); }
TYPED_TEST_P(TransportContract, APortInUseIsSaidPlainly) { this->h.Run(this->PortInUse()); }
TYPED_TEST_P(TransportContract, APortCanBeListenedOnAgainAtOnce) { this->h.Run(this->ListensAgain()); }
TYPED_TEST_P(TransportContract, ManyConnectionsAreKeptApart) { this->h.Run(this->ManyConnections()); }
TYPED_TEST_P(TransportContract, AnAcceptedStreamMayBelongToAnotherLoop) { this->h.Run(this->OtherLoop()); }
REGISTER_TYPED_TEST_SUITE_P(TransportContract, BytesArriveInOrderAndComeBack,
                            ASlowReaderHoldsBackABigWriteWithoutLoss,
                            APausedStreamDeliversNothingUntilResumed, ClosingAfterWritesDeliversTheLastByte,
                            ThePeerOfAClosedStreamIsToldTheCloserIsNot, AStreamMayBeDestroyedWhileItDelivers,
                            ConnectingToNobodyNamesTheAddress, AStoppedConnectIsCancelled,
                            APortInUseIsSaidPlainly, APortCanBeListenedOnAgainAtOnce,
                            ManyConnectionsAreKeptApart, AnAcceptedStreamMayBelongToAnotherLoop);

}  // namespace tidemark
