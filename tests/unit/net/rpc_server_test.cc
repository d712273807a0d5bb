#include "tests/unit/net/rpc_fixture.h"

namespace tidemark {
namespace {

class RpcServerTest : public RpcTest {
 public:
  Task<v1::Response> Ask(TestPeer* peer, v1::Request request) {
    peer->Write(EncodeFrame(request));
    co_return co_await Answer(peer);
  }

  Task<void> Http() {
    auto peer = co_await RawClient();
    peer->Write("GET / HTTP/1.1\r\nHost: broker\r\n\r\n");
    EXPECT_TRUE(co_await peer->UntilClosed());
    EXPECT_TRUE(peer->received.starts_with("HTTP/1.1 400 ")) << peer->received;
    EXPECT_NE(peer->received.substr(0, peer->received.find('\r')).find("Tidemark"), std::string::npos);
    EXPECT_EQ(server_->stats().refused_frames, 1u);
    EXPECT_EQ(server_->stats().connections, 0u);
  }
  Task<void> Tls() {
    auto peer = co_await RawClient();
    peer->Write(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
    EXPECT_TRUE(co_await peer->UntilClosed());
    EXPECT_EQ(peer->received, "");
    EXPECT_EQ(server_->stats().refused_frames, 1u);
  }
  Task<void> RefusedFrame(std::string bytes, ErrorCode code, std::string words) {
    auto peer = co_await RawClient();
    peer->Write(bytes);
    const v1::Response response = co_await Answer(peer.get());
    EXPECT_EQ(response.header().correlation_id(), 0u);
    EXPECT_EQ(response.header().error().code(), code);
    EXPECT_EQ(response.header().error().error_class(), v1::ERROR_CLASS_FIX_REQUEST);
    EXPECT_NE(response.header().error().message().find(words), std::string::npos) << response.DebugString();
    EXPECT_TRUE(co_await peer->UntilClosed());
    EXPECT_TRUE(handler_.names.empty());
  }
  Task<void> CutShort() {
    auto peer = co_await RawClient();
    peer->Write(EncodeFrame(MetadataRequest()) + EncodeFrame(SizedRequest(100)).substr(0, 50));
    co_await handler_.UntilBegun(1);
    const std::stop_token stop = handler_.held[0]->stop_token();
    EXPECT_NE(handler_.held[0]->connection(), nullptr);
    peer->stream->Close();
    while (server_->stats().connections > 0) co_await Quiesce();
    EXPECT_TRUE(stop.stop_requested()) << "a parked request learns that its client has gone";
    EXPECT_EQ(handler_.held[0]->connection(), nullptr);
    EXPECT_GT(server_->stats().bytes_in_flight, 0u) << "what a handler holds is still held";
    handler_.held[0]->Reply(MetadataAnswer());
    EXPECT_EQ(server_->stats().bytes_in_flight, 0u);
    EXPECT_EQ(handler_.names.size(), 1u);
  }
  // The connection stays usable after each of these.
  Task<void> RefusedEnvelope(v1::Request request, ErrorCode code) {
    AnswerAll();
    auto peer = co_await RawClient();
    request.mutable_header()->set_correlation_id(11);
    const v1::Response refused = co_await Ask(peer.get(), request);
    EXPECT_EQ(refused.header().correlation_id(), 11u);
    EXPECT_EQ(refused.header().error().code(), code) << refused.DebugString();
    EXPECT_TRUE(handler_.names.empty());
    const v1::Response next = co_await Ask(peer.get(), NamedRequest("next", 12));
    EXPECT_EQ(next.header().correlation_id(), 12u);
    EXPECT_TRUE(next.has_metadata()) << next.DebugString();
    EXPECT_EQ(server_->stats().bytes_in_flight, 0u);
  }
  Task<void> InterBroker(v1::Request request, v1::ConnectionPurpose purpose, bool allowed) {
    AnswerAll();
    auto peer = co_await RawClient();
    request.mutable_header()->set_purpose(purpose);
    const v1::Response answer = co_await Ask(peer.get(), request);
    EXPECT_EQ(answer.header().error().code(), allowed ? v1::NONE : v1::LISTENER_FORBIDDEN)
        << answer.DebugString();
  }
  Task<void> NewerClient() {
    AnswerAll();
    auto peer = co_await RawClient();
    v1::Request request = NamedRequest("from the future", 3);
    request.mutable_header()->set_protocol_version(99);
    std::string bytes = request.SerializeAsString() + std::string("\xba\x3e\x01z", 4);  // field 999, unknown
    std::string frame = EncodeFrame(v1::Request());
    frame[3] = static_cast<char>(bytes.size());
    peer->Write(frame + bytes);
    const v1::Response answer = co_await Answer(peer.get());
    EXPECT_TRUE(answer.has_metadata()) << answer.DebugString();
  }
  Task<void> Muted(Duration pause) {
    handler_.answer = [pause](RpcCall& call) {
      if (call.request().header().client_id() == "loud") call.Mute(pause);
      call.Reply(MetadataAnswer());
    };
    auto loud = co_await RawClient();
    auto other = co_await RawClient();
    loud->Write(EncodeFrame(NamedRequest("loud", 1)) + EncodeFrame(NamedRequest("second", 2)) +
                EncodeFrame(NamedRequest("third", 3)));
    EXPECT_EQ((co_await Answer(loud.get())).header().correlation_id(), 1u) << "it is answered at once";
    other->Write(EncodeFrame(NamedRequest("other", 9)));
    EXPECT_EQ((co_await Answer(other.get())).header().correlation_id(), 9u) << "nobody else waits";
    if (pause > 1h) {
      co_await Quiesce();
      EXPECT_EQ(handler_.names, (std::vector<std::string>{"loud", "other"}));
      server_->Unmute();
    }
    EXPECT_EQ((co_await Answer(loud.get())).header().correlation_id(), 2u);
    EXPECT_EQ((co_await Answer(loud.get())).header().correlation_id(), 3u) << "nothing is dropped";
  }
  // The next one after an Unmute is as long as it says, not as long as the one that was ended.
  Task<void> MutedAgain() {
    handler_.answer = [](RpcCall& call) {
      const std::string& name = call.request().header().client_id();
      if (name != "quiet") call.Mute(name == "long" ? 2h : 20ms);
      call.Reply(MetadataAnswer());
    };
    auto peer = co_await RawClient();
    EXPECT_TRUE((co_await Ask(peer.get(), NamedRequest("long", 1))).has_metadata());
    server_->Unmute();
    EXPECT_TRUE((co_await Ask(peer.get(), NamedRequest("short", 2))).has_metadata());
    EXPECT_TRUE((co_await Ask(peer.get(), NamedRequest("quiet", 3))).has_metadata());
  }
  // A client that goes while it is muted is not kept for as long as it is muted.
  Task<void> GoneWhileMuted(bool answered_later) {
    handler_.answer = [](RpcCall& call) {
      call.Mute(2h);
      call.Reply(MetadataAnswer());
    };
    if (answered_later) handler_.answer = nullptr;
    auto peer = co_await RawClient();
    peer->Write(EncodeFrame(NamedRequest("loud", 1)));
    if (answered_later) {
      co_await handler_.UntilBegun(1);
      handler_.held[0]->Mute(2h);
      handler_.held[0]->Reply(MetadataAnswer());
    }
    EXPECT_TRUE((co_await Answer(peer.get())).has_metadata());
    EXPECT_EQ(server_->stats().connections, 1u);
    peer->stream->Close();
    while (server_->stats().connections > 0) (void)co_await Sleep(loop_, 1ms, "the end to be noticed");
  }
  // A request's time runs while it lies in the socket of a muted connection.
  Task<void> DeadlineInMute() {
    handler_.answer = [](RpcCall& call) {
      if (call.request().header().client_id() == "loud") call.Mute(2h);
      call.Reply(MetadataAnswer());
    };
    auto peer = co_await RawClient();
    EXPECT_TRUE((co_await Ask(peer.get(), NamedRequest("loud", 1))).has_metadata());
    v1::Request hasty = NamedRequest("hasty", 2);
    hasty.mutable_header()->set_timeout_ms(1);
    peer->Write(EncodeFrame(hasty));
    co_await Quiesce();
    (void)co_await Sleep(loop_, 3ms, "past the deadline");
    server_->Unmute();
    const v1::Response late = co_await Answer(peer.get());
    EXPECT_EQ(late.header().error().code(), v1::REQUEST_TIMED_OUT);
    EXPECT_EQ(handler_.names, (std::vector<std::string>{"loud"}));
    // What comes after the mute has time again.
    hasty.mutable_header()->set_timeout_ms(600'000);
    EXPECT_TRUE((co_await Ask(peer.get(), hasty)).has_metadata());
  }
  // Parts of frames that muted connections hold stop nobody else.
  Task<void> MutedInAFrame() {
    handler_.answer = [](RpcCall& call) {
      if (call.request().header().client_id() == "loud") call.Mute(2h);
      call.Reply(MetadataAnswer());
    };
    std::vector<std::unique_ptr<TestPeer>> loud;
    for (int i = 0; i < 2; ++i) {
      loud.push_back(co_await RawClient());
      const std::string big = EncodeFrame(SizedRequest(400'000));
      loud.back()->Write(EncodeFrame(NamedRequest("loud", 1)) + big.substr(0, 300'000));
      EXPECT_TRUE((co_await Answer(loud.back().get())).has_metadata());
    }
    co_await Quiesce();
    handler_.answer = nullptr;
    auto other = co_await RawClient();
    other->Write(EncodeFrame(NamedRequest("held", 1)) + EncodeFrame(NamedRequest("next", 2)));
    co_await handler_.UntilBegun(4);
    EXPECT_EQ(handler_.names.back(), "next");
  }
  Task<void> RequestLimit() {
    auto peer = co_await RawClient();
    std::string burst;
    for (int i = 0; i < 10; ++i)
      burst += EncodeFrame(NamedRequest(std::to_string(i), static_cast<uint64_t>(i + 1)));
    peer->Write(burst);
    for (size_t i = 0; i < 10; ++i) {
      co_await handler_.UntilBegun(std::min<size_t>(10, i + 3));
      co_await Quiesce();
      EXPECT_EQ(handler_.names.size(), std::min<size_t>(10, i + 3)) << "at most three at a time";
      EXPECT_EQ(handler_.names[i], std::to_string(i));
      handler_.held[i]->Reply(MetadataAnswer());
      EXPECT_EQ((co_await Answer(peer.get())).header().correlation_id(), i + 1);
    }
  }
  Task<void> LateWork() {
    auto peer = co_await RawClient();
    v1::Request hasty = NamedRequest("hasty", 2);
    hasty.mutable_header()->set_timeout_ms(1);
    peer->Write(EncodeFrame(NamedRequest("first", 1)) + EncodeFrame(hasty) +
                EncodeFrame(NamedRequest("third", 3)));
    co_await handler_.UntilBegun(1);
    (void)co_await Sleep(loop_, 3ms, "past the deadline");
    handler_.held[0]->Reply(MetadataAnswer());
    EXPECT_EQ((co_await Answer(peer.get())).header().correlation_id(), 1u);
    const v1::Response late = co_await Answer(peer.get());
    EXPECT_EQ(late.header().correlation_id(), 2u);
    EXPECT_EQ(late.header().error().code(), v1::REQUEST_TIMED_OUT);
    co_await handler_.UntilBegun(2);
    EXPECT_EQ(handler_.names[1], "third") << "the late one was never begun";
  }
  Task<void> SlowReader() {
    size_t begun = 0;
    handler_.answer = [&begun](RpcCall& call) {
      ++begun;
      v1::Response response = MetadataAnswer();
      response.mutable_metadata()->set_cluster_id(std::string(1 << 20, 'a'));
      call.Reply(std::move(response));
    };
    auto peer = co_await RawClient();
    peer->stream->PauseReading();
    constexpr size_t kRequests = 60;
    for (size_t i = 1; i <= kRequests; ++i) peer->Write(EncodeFrame(NamedRequest("", i)));
    co_await handler_.UntilBegun(1);
    co_await Quiesce();
    EXPECT_LT(begun, kRequests) << "answers nobody reads stop the reading of requests";
    EXPECT_LE(server_->stats().bytes_in_flight, size_t{6} << 20);
    peer->stream->ResumeReading();
    for (size_t i = 1; i <= kRequests; ++i)
      EXPECT_EQ((co_await Answer(peer.get())).header().correlation_id(), i);
    EXPECT_EQ(server_->stats().bytes_in_flight, 0u);
  }
  // An answer of any kind that is too large is said to be; the connection and its other requests go on.
  Task<void> TooLargeAnswer(v1::Response large) {
    const google::protobuf::Descriptor* type = large.GetDescriptor();
    const int number = static_cast<int>(large.body_case());
    SCOPED_TRACE(type->FindFieldByNumber(number)->name());
    handler_.held.clear();
    handler_.names.clear();
    auto peer = co_await RawClient();
    peer->Write(EncodeFrame(NamedRequest("large", 5)) + EncodeFrame(NamedRequest("small", 6)));
    co_await handler_.UntilBegun(2);
    handler_.held[0]->Reply(std::move(large));
    handler_.held[1]->Reply(MetadataAnswer());
    const v1::Response refused = co_await Answer(peer.get());
    EXPECT_EQ(refused.header().correlation_id(), 5u);
    EXPECT_EQ(refused.header().error().code(), v1::MESSAGE_TOO_LARGE) << refused.ShortDebugString();
    EXPECT_EQ(refused.body_case(), v1::Response::BODY_NOT_SET);
    const v1::Response next = co_await Answer(peer.get());
    EXPECT_EQ(next.header().correlation_id(), 6u);
    EXPECT_TRUE(next.has_metadata());
    EXPECT_EQ(server_->stats().bytes_in_flight, 0u);
  }
  Task<void> FetchAnswer() {
    auto peer = co_await RawClient();
    peer->Write(EncodeFrame(NamedRequest("fetch", 5)));
    co_await handler_.UntilBegun(1);
    v1::Response response;
    response.mutable_fetch();
    response.mutable_header()->mutable_error()->set_message(std::string(5000, 'r'));
    handler_.held[0]->Reply(std::move(response));
    EXPECT_TRUE((co_await Answer(peer.get())).has_fetch());
  }
  Task<void> Budgets() {
    auto greedy = co_await RawClient();
    auto modest = co_await RawClient();
    auto broker = co_await RawClient();
    greedy->Write(EncodeFrame(NamedRequest("hello", 1)));
    modest->Write(EncodeFrame(NamedRequest("hello", 1)));
    co_await handler_.UntilBegun(2);
    handler_.held[0]->Reply(MetadataAnswer());
    handler_.held[1]->Reply(MetadataAnswer());
    greedy->Write(EncodeFrame(SizedRequest(200000)));
    co_await handler_.UntilBegun(3);
    modest->Write(EncodeFrame(NamedRequest("waits", 2)));
    v1::Request control = NamedRequest("control", 1);
    control.mutable_header()->set_purpose(v1::CONNECTION_PURPOSE_CONTROL);
    broker->Write(EncodeFrame(control));
    co_await handler_.UntilBegun(4);
    co_await Quiesce();
    EXPECT_EQ(handler_.names.size(), 4u);
    EXPECT_EQ(handler_.names[3], "control") << "client pressure does not stop brokers";
    EXPECT_EQ(server_->stats().paused_for_budget, 2u) << "the greedy one itself and the one that waits";
    handler_.held[2]->ReleaseRequestBytes();  // appended; the answer comes later
    co_await handler_.UntilBegun(5);
    EXPECT_EQ(handler_.names[4], "waits");
    handler_.held.clear();
  }
  Task<void> BudgetQueue() {
    std::vector<std::unique_ptr<TestPeer>> peers;
    for (int i = 0; i < 8; ++i) peers.push_back(co_await RawClient());
    for (auto& peer : peers) {
      for (int i = 0; i < 5; ++i) peer->Write(EncodeFrame(SizedRequest(60000)));
    }
    size_t done = 0;
    while (done < 40) {
      co_await handler_.UntilBegun(done + 1);
      EXPECT_LE(server_->stats().bytes_in_flight, 170000u) << "the budget and the request that fills it";
      // The oldest goes: its place is given on to another connection's request.
      handler_.held[done++].reset();
    }
    EXPECT_EQ(server_->stats().requests, 40u);
  }
  Task<void> WaitingConnectionDies() {
    auto greedy = co_await RawClient();
    auto dying = co_await RawClient();
    auto last = co_await RawClient();
    greedy->Write(EncodeFrame(SizedRequest(200000)));
    co_await handler_.UntilBegun(1);
    dying->Write(EncodeFrame(NamedRequest("a", 1)) + EncodeFrame(NamedRequest("dying", 2)));
    last->Write(EncodeFrame(NamedRequest("b", 1)) + EncodeFrame(NamedRequest("last", 2)));
    // The first request of a connection is always read: it says whose budget it is.
    co_await handler_.UntilBegun(3);
    co_await Quiesce();
    EXPECT_EQ(handler_.names.size(), 3u);
    dying->stream->Close();
    handler_.held[0].reset();
    while (std::find(handler_.names.begin(), handler_.names.end(), "last") == handler_.names.end())
      co_await Quiesce();
  }
  Task<void> Idle() {
    auto peer = co_await RawClient();
    auto busy = co_await RawClient();
    busy->Write(EncodeFrame(NamedRequest("parked", 1)));
    EXPECT_TRUE(co_await peer->UntilClosed());
    co_await Quiesce();
    EXPECT_FALSE(busy->closed.has_value()) << "a parked request is not idleness";
    handler_.held.clear();
    EXPECT_TRUE(co_await busy->UntilClosed());
  }
  Task<void> TooMany() {
    AnswerAll();
    auto first = co_await RawClient();
    EXPECT_TRUE((co_await Ask(first.get(), NamedRequest("first", 1))).has_metadata());
    auto second = co_await RawClient();
    second->Write(EncodeFrame(NamedRequest("second", 1)));
    const v1::Response refused = co_await Answer(second.get());
    EXPECT_EQ(refused.header().error().code(), v1::BROKER_NOT_AVAILABLE) << refused.DebugString();
    EXPECT_TRUE(co_await second->UntilClosed());
    EXPECT_TRUE((co_await Ask(first.get(), NamedRequest("first", 2))).has_metadata());
    // Brokers come in whatever clients do.
    auto broker = co_await RawClient();
    v1::Request control = NamedRequest("broker", 1);
    control.mutable_header()->set_purpose(v1::CONNECTION_PURPOSE_CONTROL);
    EXPECT_TRUE((co_await Ask(broker.get(), control)).has_metadata());
    // And who would raise the limit again, when another client has gone.
    first->stream->Close();
    co_await Quiesce();
    auto third = co_await RawClient();
    EXPECT_TRUE((co_await Ask(third.get(), NamedRequest("third", 1))).has_metadata());
  }
  Task<void> Session() {
    auto destroyed = std::make_shared<bool>(false);
    struct Witness {
      std::shared_ptr<bool> destroyed;
      ~Witness() { *destroyed = true; }
    };
    auto peer = co_await RawClient();
    peer->Write(EncodeFrame(NamedRequest("one", 1)));
    co_await handler_.UntilBegun(1);
    handler_.held[0]->connection()->session = std::make_shared<Witness>(destroyed);
    EXPECT_EQ(handler_.held[0]->connection()->listener, "PLAINTEXT");
    handler_.held[0]->Reply(MetadataAnswer());
    EXPECT_FALSE(*destroyed);
    co_await server_->Close();
    EXPECT_TRUE(*destroyed);
    EXPECT_TRUE(co_await peer->UntilClosed());
    EXPECT_EQ(handler_.held[0]->connection(), nullptr);
  }
  Task<void> CloseInsideHandler() {
    handler_.answer = [this](RpcCall& call) {
      scope_.Spawn("close", server_->Close());
      call.Reply(MetadataAnswer());
    };
    auto peer = co_await RawClient();
    peer->Write(EncodeFrame(NamedRequest("one", 1)) + EncodeFrame(NamedRequest("two", 2)));
    EXPECT_TRUE(co_await peer->UntilClosed());
    EXPECT_EQ(handler_.names.size(), 1u);
  }
};

TEST_F(RpcServerTest, HttpGetsOneReadableAnswerAndAClose) {
  StartServer();
  RunTask(Http());
}
TEST_F(RpcServerTest, ATlsGreetingIsClosed) {
  StartServer();
  RunTask(Tls());
}
TEST_F(RpcServerTest, ALengthOverTheLimitIsAnsweredAndClosed) {
  StartServer();
  RunTask(RefusedFrame(std::string("\x01\x00\x00\x01", 4), v1::MESSAGE_TOO_LARGE, "16777217"));
}
TEST_F(RpcServerTest, AHugeLengthIsAnsweredAndClosed) {
  StartServer();
  RunTask(RefusedFrame(std::string("\xff\xff\xff\xff", 4), v1::MESSAGE_TOO_LARGE, "4294967295"));
}
TEST_F(RpcServerTest, BytesThatDoNotParseAreAnsweredAndClosed) {
  StartServer();
  RunTask(
      RefusedFrame(std::string("\x00\x00\x00\x04\xff\xff\xff\xff", 8), v1::INVALID_REQUEST, "not a Request"));
}
TEST_F(RpcServerTest, AFrameCutShortIsNotBegunAndItsPredecessorLearnsOfIt) {
  StartServer();
  RunTask(CutShort());
}

TEST_F(RpcServerTest, AnUnknownBodyIsAnsweredAndTheConnectionStays) {
  StartServer();
  v1::Request unknown;
  unknown.mutable_header();
  unknown.GetReflection()->MutableUnknownFields(&unknown)->AddLengthDelimited(77, "what is this");
  RunTask(RefusedEnvelope(unknown, v1::INVALID_REQUEST));
}
TEST_F(RpcServerTest, AnUnknownRequiredFeatureIsUnsupported) {
  StartServer();
  v1::Request request = MetadataRequest();
  request.mutable_header()->add_required_features(5);
  RunTask(RefusedEnvelope(request, v1::UNSUPPORTED_VERSION));
}
TEST_F(RpcServerTest, AWrongClusterIsSaid) {
  StartServer();
  v1::Request request = MetadataRequest();
  request.mutable_header()->set_cluster_id("another");
  RunTask(RefusedEnvelope(request, v1::INCONSISTENT_CLUSTER_ID));
}
TEST_F(RpcServerTest, AWrongBrokerIsSaid) {
  StartServer();
  v1::Request request = MetadataRequest();
  request.mutable_header()->set_expected_broker_id(0);
  RunTask(RefusedEnvelope(request, v1::WRONG_BROKER));
}
TEST_F(RpcServerTest, AClientIdThatIsTooLongIsRefused) {
  StartServer();
  v1::Request request = MetadataRequest();
  request.mutable_header()->set_client_id(std::string(1025, 'x'));
  RunTask(RefusedEnvelope(request, v1::INVALID_REQUEST));
}
TEST_F(RpcServerTest, AnUnknownPurposeIsInvalid) {
  StartServer();
  v1::Request request = MetadataRequest();
  request.mutable_header()->set_purpose(static_cast<v1::ConnectionPurpose>(9));
  RunTask(RefusedEnvelope(request, v1::INVALID_REQUEST));
}
TEST_F(RpcServerTest, AClientListenerServesNoBrokers) {
  StartServer({}, ListenerRoles{true, false});
  v1::Request request = MetadataRequest();
  request.mutable_header()->set_purpose(v1::CONNECTION_PURPOSE_REPLICATION);
  RunTask(RefusedEnvelope(request, v1::LISTENER_FORBIDDEN));
}
TEST_F(RpcServerTest, FieldsAndVersionsFromTheFutureAreUnderstoodAsFarAsKnown) {
  StartServer();
  RunTask(NewerClient());
}

TEST_F(RpcServerTest, InterBrokerRequestsNeedAnInterBrokerConnection) {
  StartServer();
  std::vector<v1::Request> requests(7);
  requests[0].mutable_leader_and_isr();
  requests[1].mutable_update_metadata();
  requests[2].mutable_stop_replica();
  requests[3].mutable_alter_partition();
  requests[4].mutable_resign_leadership();
  requests[5].mutable_controlled_shutdown();
  requests[6].mutable_fetch()->mutable_follower();
  for (const v1::Request& request : requests) {
    RunTask(InterBroker(request, v1::CONNECTION_PURPOSE_CLIENT, false));
    RunTask(InterBroker(request, v1::CONNECTION_PURPOSE_REPLICATION, true));
    RunTask(InterBroker(request, v1::CONNECTION_PURPOSE_CONTROL, true));
  }
  v1::Request consumer_fetch;
  consumer_fetch.mutable_fetch();
  RunTask(InterBroker(consumer_fetch, v1::CONNECTION_PURPOSE_CLIENT, true));
}

TEST_F(RpcServerTest, RequestsOverTheLimitWaitInOrderAndNoneIsDropped) {
  RpcServerLimits limits;
  limits.max_requests_in_flight = 3;
  StartServer(limits);
  RunTask(RequestLimit());
}
TEST_F(RpcServerTest, AMutedConnectionIsNotReadUntilItIsUnmuted) {
  StartServer();
  RunTask(Muted(2h));
}
TEST_F(RpcServerTest, AMutedConnectionThatItsClientLeavesIsGone) {
  StartServer();
  RunTask(GoneWhileMuted(false));
}
TEST_F(RpcServerTest, AConnectionMutedByALaterAnswerThatItsClientLeavesIsGone) {
  StartServer();
  RunTask(GoneWhileMuted(true));
}
TEST_F(RpcServerTest, AMuteAfterOneThatWasEndedIsItsOwn) {
  StartServer();
  RunTask(MutedAgain());
}
TEST_F(RpcServerTest, ARequestsTimeRunsWhileItsConnectionIsMuted) {
  StartServer();
  RunTask(DeadlineInMute());
}
TEST_F(RpcServerTest, AConnectionMutedInTheMidstOfAFrameStopsNobodyElse) {
  RpcServerLimits limits;
  limits.client_budget_bytes = 700'000;
  StartServer(limits);
  RunTask(MutedInAFrame());
}
TEST_F(RpcServerTest, AMutedConnectionGoesOnByItself) {
  StartServer();
  RunTask(Muted(20ms));
}
TEST_F(RpcServerTest, WorkWhoseDeadlinePassedWhileItWaitedIsNotBegun) {
  RpcServerLimits limits;
  limits.max_requests_in_flight = 1;
  StartServer(limits);
  RunTask(LateWork());
}
TEST_F(RpcServerTest, AClientThatDoesNotReadItsAnswersIsNotReadEither) {
  RpcServerLimits limits;
  limits.max_bytes_in_flight = 4 << 20;
  StartServer(limits);
  RunTask(SlowReader());
}
TEST_F(RpcServerTest, AnAnswerOverTheLimitBecomesAnErrorWhateverItsKind) {
  RpcServerLimits limits;
  limits.max_response_bytes = 4000;
  StartServer(limits);
  const google::protobuf::OneofDescriptor* bodies = v1::Response::descriptor()->FindOneofByName("body");
  ASSERT_NE(bodies, nullptr);
  ASSERT_GT(bodies->field_count(), 20);
  for (int i = 0; i < bodies->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* body = bodies->field(i);
    if (body->name() == "fetch") continue;
    v1::Response response;
    google::protobuf::Message* message = response.GetReflection()->MutableMessage(&response, body);
    // Whatever is in it: here bytes that this version does not know.
    message->GetReflection()->MutableUnknownFields(message)->AddLengthDelimited(9999, std::string(4000, 'x'));
    RunTask(TooLargeAnswer(std::move(response)));
  }
}
TEST_F(RpcServerTest, AFetchsAnswerIsAsLongAsItWasAskedToBe) {
  RpcServerLimits limits;
  limits.max_response_bytes = 4000;
  StartServer(limits);
  RunTask(FetchAnswer());
}
TEST_F(RpcServerTest, ABudgetStopsItsOwnKindOfTrafficOnly) {
  RpcServerLimits limits;
  limits.client_budget_bytes = 100000;
  StartServer(limits);
  RunTask(Budgets());
}
TEST_F(RpcServerTest, ConnectionsTakeTurnsInAFullBudget) {
  RpcServerLimits limits;
  limits.client_budget_bytes = 100000;
  StartServer(limits);
  RunTask(BudgetQueue());
}
TEST_F(RpcServerTest, AConnectionThatDiesWaitingForABudgetGivesItsTurnOn) {
  RpcServerLimits limits;
  limits.client_budget_bytes = 100000;
  StartServer(limits);
  RunTask(WaitingConnectionDies());
}
TEST_F(RpcServerTest, AnIdleConnectionIsClosed) {
  RpcServerLimits limits;
  limits.idle_timeout = 200ms;  // also between the accept and the first request
  StartServer(limits);
  RunTask(Idle());
}
TEST_F(RpcServerTest, ConnectionsOverTheLimitAreRefusedAndTheOthersStay) {
  RpcServerLimits limits;
  limits.max_connections = 1;
  StartServer(limits);
  RunTask(TooMany());
}
TEST_F(RpcServerTest, AConnectionsSessionDiesWithIt) {
  StartServer();
  RunTask(Session());
}
TEST_F(RpcServerTest, TheServerMayBeClosedFromInsideAHandler) {
  StartServer();
  RunTask(CloseInsideHandler());
}

}  // namespace
}  // namespace tidemark
