#include "tests/unit/net/rpc_fixture.h"

namespace tidemark {
namespace {

class RpcChannelTest : public RpcTest {
 public:
  Task<void> RoundTrip() {
    AnswerAll();
    RpcChannelOptions options;
    options.client_id = "tester";
    options.cluster_id = "this-cluster";
    options.expected_broker = 7;
    options.purpose = v1::CONNECTION_PURPOSE_CONTROL;
    auto channel = Channel(options);
    EXPECT_FALSE(channel->connected());
    auto answer = co_await channel->Call(MetadataRequest(), 30s, {});
    EXPECT_TRUE(answer && answer->has_metadata());
    EXPECT_TRUE(channel->connected());
    const v1::RequestHeader& header = handler_.requests.at(0).header();
    EXPECT_EQ(header.client_id(), "tester");
    EXPECT_EQ(header.purpose(), v1::CONNECTION_PURPOSE_CONTROL);
    EXPECT_EQ(header.protocol_version(), 1u);
    EXPECT_GT(header.timeout_ms(), 0u);
    EXPECT_LE(header.timeout_ms(), 30000u);
    EXPECT_EQ(server_->stats().requests, 1u);
    EXPECT_EQ(server_->stats().bytes_in_flight, 0u);
    co_await channel->Close();
    auto after = co_await channel->Call(MetadataRequest(), 30s, {});
    EXPECT_EQ(after.error().code, v1::CANCELLED);
  }

  Task<void> Overtaking() {
    auto channel = Channel();
    Outcome first, second, third;
    Begin(channel.get(), SizedRequest(1), &first);
    Begin(channel.get(), SizedRequest(2), &second);
    Begin(channel.get(), SizedRequest(3), &third);
    co_await handler_.UntilBegun(3);
    EXPECT_EQ(handler_.requests[0].header().client_id().size(), 1u) << "begun in the order of the calls";
    EXPECT_EQ(handler_.requests[2].header().client_id().size(), 3u);
    handler_.held[2]->Reply(MetadataAnswer());
    co_await Until(&third);
    EXPECT_FALSE(first.has_value());
    handler_.held[0]->ReplyError({v1::NOT_CONTROLLER, "ask 2"});
    co_await Until(&first);
    EXPECT_EQ(first->error().code, v1::NOT_CONTROLLER);
    EXPECT_EQ(first->error().message, "ask 2");
    handler_.held.clear();  // the second dies unanswered
    co_await Until(&second);
    EXPECT_EQ(second->error().code, v1::UNKNOWN_SERVER_ERROR);
    co_await channel->Close();
  }

  Task<void> LargeFrames() {
    handler_.answer = [](RpcCall& call) {
      v1::Response response = MetadataAnswer();
      std::string told = call.request().header().client_id();
      for (const auto& topic : call.request().produce().topics()) told += topic.id();
      response.mutable_metadata()->set_cluster_id(told);
      call.Reply(std::move(response));
    };
    auto channel = Channel();
    for (size_t size : {10, 100000, 3 << 20, 5, 1 << 20}) {
      v1::Request request = SizedRequest(size);
      auto answer = co_await channel->Call(std::move(request), 30s, {});
      EXPECT_TRUE(answer && answer->metadata().cluster_id().size() == size);
    }
    co_await channel->Close();
  }

  Task<void> TimeoutAndLateAnswer() {
    auto channel = Channel();
    // The connection is made first: what times out before it is there is never sent.
    AnswerAll();
    EXPECT_TRUE(co_await channel->Call(MetadataRequest(), 30s, {}));
    handler_.answer = nullptr;
    auto late = co_await channel->Call(MetadataRequest(), 5ms, {});
    EXPECT_EQ(late.error().code, v1::REQUEST_TIMED_OUT);
    co_await handler_.UntilBegun(2);
    handler_.held[0]->Reply(MetadataAnswer());
    AnswerAll();
    auto next = co_await channel->Call(MetadataRequest(), 30s, {});
    EXPECT_TRUE(next) << "the late answer is thrown away and disturbs nobody";
    co_await channel->Close();
  }

  Task<void> Cancel() {
    auto channel = Channel();
    std::stop_source stop;
    Outcome outcome;
    Begin(channel.get(), MetadataRequest(), &outcome, 30s, stop.get_token());
    co_await handler_.UntilBegun(1);
    stop.request_stop();
    co_await Until(&outcome);
    EXPECT_EQ(outcome->error().code, v1::CANCELLED);
    Outcome pending;
    Begin(channel.get(), MetadataRequest(), &pending);
    co_await channel->Close();
    EXPECT_EQ(pending->error().code, v1::CANCELLED);
  }

  Task<void> Reconnects() {
    auto channel = Channel();
    Outcome broken;
    Begin(channel.get(), MetadataRequest(), &broken);
    co_await handler_.UntilBegun(1);
    co_await CloseServer();
    co_await Until(&broken);
    EXPECT_EQ(broken->error().code, v1::NETWORK_EXCEPTION);
    EXPECT_NE(broken->error().message.find("outcome is unknown"), std::string::npos);
    handler_.held[0]->Reply(MetadataAnswer());  // into the void
    handler_.held.clear();
    auto refused = co_await channel->Call(MetadataRequest(), 30s, {});
    EXPECT_EQ(refused.error().code, v1::NETWORK_EXCEPTION);
    EXPECT_NE(refused.error().message.find("not sent"), std::string::npos) << refused.error().message;
    EXPECT_NE(refused.error().message.find(ToString(channel->endpoint())), std::string::npos);
    EXPECT_NE(refused.error().message.find("refused"), std::string::npos) << refused.error().message;
    AnswerAll();
    StartServer();
    EXPECT_TRUE(co_await channel->Call(MetadataRequest(), 30s, {}));
    co_await channel->Close();
  }

  Task<void> SilentPeer() {
    TestAcceptor acceptor(transport_, loop_, "127.0.0.1");
    port_ = acceptor.endpoint().port;
    RpcChannelOptions options;
    options.silence_timeout = 10ms;
    auto channel = Channel(options);
    Outcome patient;
    Begin(channel.get(), MetadataRequest(), &patient, 600s);
    auto pending = co_await acceptor.Next();
    TestPeer silent(loop_, pending->Attach(loop_));
    EXPECT_TRUE(co_await silent.UntilReceived(5));
    auto short_call = co_await channel->Call(MetadataRequest(), 20ms, {});
    EXPECT_EQ(short_call.error().code, v1::REQUEST_TIMED_OUT);
    co_await Until(&patient);
    EXPECT_EQ(patient->error().code, v1::NETWORK_EXCEPTION);
    EXPECT_TRUE(co_await silent.UntilClosed());
    co_await channel->Close();
  }

  Task<void> HangingPeer() {
    AnswerAll();
    auto channel = Channel();
    EXPECT_TRUE(co_await channel->Call(MetadataRequest(), 30s, {}));
    EXPECT_FALSE(channel->silent());
    handler_.answer = nullptr;
    const auto unanswered = co_await channel->Call(MetadataRequest(), 50ms, {});
    EXPECT_EQ(unanswered.error().code, v1::REQUEST_TIMED_OUT);
    EXPECT_TRUE(channel->silent());
    AnswerAll();
    EXPECT_TRUE(co_await channel->Call(MetadataRequest(), 30s, {}));
    EXPECT_FALSE(channel->silent());
    handler_.held[0]->Reply(MetadataAnswer());  // nobody waits for it
    handler_.held.clear();
    co_await channel->Close();
  }

  Task<void> BadPeer(std::string bytes, std::string expected) {
    TestAcceptor acceptor(transport_, loop_, "127.0.0.1");
    port_ = acceptor.endpoint().port;
    RpcChannelOptions options;
    options.max_response_bytes = 1000;
    auto channel = Channel(options);
    Outcome outcome;
    Begin(channel.get(), MetadataRequest(), &outcome);
    auto pending = co_await acceptor.Next();
    TestPeer peer(loop_, pending->Attach(loop_));
    EXPECT_TRUE(co_await peer.UntilReceived(5));
    peer.Write(bytes);
    co_await Until(&outcome);
    EXPECT_EQ(outcome->error().code, v1::NETWORK_EXCEPTION);
    EXPECT_NE(outcome->error().message.find(expected), std::string::npos) << outcome->error().message;
    EXPECT_TRUE(co_await peer.UntilClosed());
    co_await channel->Close();
  }

  Task<void> TooLargeForTheServer() {
    auto channel = Channel();
    Outcome other, large;
    Begin(channel.get(), MetadataRequest(), &other);
    Begin(channel.get(), SizedRequest(5000), &large);
    co_await Until(&large);
    EXPECT_EQ(large->error().code, v1::MESSAGE_TOO_LARGE) << "so that it is not tried again for ever";
    co_await Until(&other);
    EXPECT_EQ(other->error().code, v1::NETWORK_EXCEPTION);
    co_await channel->Close();
  }

  Task<void> InFlightLimit() {
    RpcChannelOptions options;
    options.max_in_flight = 2;
    auto channel = Channel(options);
    std::vector<Outcome> outcomes(6);
    for (size_t i = 0; i < outcomes.size(); ++i) Begin(channel.get(), SizedRequest(i), &outcomes[i]);
    Outcome timed_out;
    Begin(channel.get(), SizedRequest(100), &timed_out, 5ms);
    co_await Until(&timed_out);
    EXPECT_EQ(timed_out->error().code, v1::REQUEST_TIMED_OUT);
    co_await handler_.UntilBegun(2);
    for (size_t i = 0; i < outcomes.size(); ++i) {
      co_await handler_.UntilBegun(i + 1);
      EXPECT_EQ(handler_.names[i].size(), i) << "sent in the order called";
      EXPECT_LE(handler_.names.size(), i + 2);
      handler_.held[i]->Reply(MetadataAnswer());
      co_await Until(&outcomes[i]);
    }
    co_await channel->Close();
  }

  Task<void> OneWay() {
    handler_.answer = [](RpcCall& call) {
      if (call.request().has_metadata()) return call.Reply(MetadataAnswer());
      call.NoReply();
    };
    RpcChannelOptions options;
    options.purpose = v1::CONNECTION_PURPOSE_REPLICATION;
    auto channel = Channel(options);
    v1::Request progress;
    progress.mutable_replica_progress();
    channel->SendOneWay(progress);  // dropped, but it begins to connect
    EXPECT_TRUE(co_await channel->Call(MetadataRequest(), 30s, {}));
    channel->SendOneWay(progress);
    EXPECT_TRUE(co_await channel->Call(MetadataRequest(), 30s, {}));
    EXPECT_EQ(handler_.requests.size(), 3u);
    EXPECT_TRUE(handler_.requests.at(1).has_replica_progress());
    co_await channel->Close();
  }

  Task<void> ManyCalls() {
    AnswerAll();
    auto channel = Channel();
    std::vector<Outcome> outcomes(2000);
    for (Outcome& outcome : outcomes) Begin(channel.get(), MetadataRequest(), &outcome);
    for (Outcome& outcome : outcomes) {
      co_await Until(&outcome);
      EXPECT_TRUE(outcome->has_value());
    }
    co_await channel->Close();
  }
};

TEST_F(RpcChannelTest, ACallConnectsFillsTheHeaderAndGetsItsAnswer) {
  StartServer();
  RunTask(RoundTrip());
}
TEST_F(RpcChannelTest, RequestsBeginInOrderAndAnswersOvertake) {
  StartServer();
  RunTask(Overtaking());
}
TEST_F(RpcChannelTest, LargeAndSmallFramesGoBothWays) {
  StartServer();
  RunTask(LargeFrames());
}
TEST_F(RpcChannelTest, ACallTimesOutAndItsLateAnswerHarmsNobody) {
  StartServer();
  RunTask(TimeoutAndLateAnswer());
}
TEST_F(RpcChannelTest, AStoppedOrClosedCallIsCancelled) {
  StartServer();
  RunTask(Cancel());
}
TEST_F(RpcChannelTest, ABrokenConnectionFailsItsCallsAndIsMadeAnew) {
  StartServer();
  RunTask(Reconnects());
}
TEST_F(RpcChannelTest, APeerThatHangsIsToldFromOneThatAnswers) {
  StartServer();
  RunTask(HangingPeer());
}
TEST_F(RpcChannelTest, APeerThatWentSilentIsGivenUp) { RunTask(SilentPeer()); }
TEST_F(RpcChannelTest, AnAnswerOverTheLimitBreaksTheConnection) {
  RunTask(BadPeer(std::string("\x00\x00\x10\x00", 4), "an answer of 4096 bytes"));
}
TEST_F(RpcChannelTest, GarbageBreaksTheConnection) {
  RunTask(BadPeer(std::string("\x00\x00\x00\x03\xff\xff\xff", 7), "not a Response"));
}
TEST_F(RpcChannelTest, AnotherProtocolIsToldApart) {
  RunTask(BadPeer("POST not quite what is expected", "does not speak the Tidemark protocol"));
}
TEST_F(RpcChannelTest, TheCallerOfAFrameTooLargeIsToldSo) {
  RpcServerLimits limits;
  limits.max_frame_bytes = 1000;
  StartServer(limits);
  RunTask(TooLargeForTheServer());
}
TEST_F(RpcChannelTest, CallsOverTheInFlightLimitWaitTheirTurn) {
  StartServer();
  RunTask(InFlightLimit());
}
TEST_F(RpcChannelTest, OneWayRequestsAreNotAnswered) {
  StartServer();
  RunTask(OneWay());
}
TEST_F(RpcChannelTest, ThousandsOfCallsArePipelined) {
  StartServer();
  RunTask(ManyCalls());
}

}  // namespace
}  // namespace tidemark
