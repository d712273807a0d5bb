// The contract suite of Coordination: what the real ZooKeeper client and the simulated ZooKeeper both must do
// (and keeper_contract.h: what ZkKeeper makes of it). Each runs it by implementing ContractWorld and
//   INSTANTIATE_TYPED_TEST_SUITE_P(Name, CoordinationContract, MyWorld);
//   INSTANTIATE_TYPED_TEST_SUITE_P(Name, ZkKeeperContract, MyWorld);  (keeper_contract.h)
// A world is made anew for each test; what it stands on (a server process) may be shared. Tests keep to a
// folder of their own, so that a shared server does no harm.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/scope.h"
#include "common/zk/coordination.h"
#include "common/zk/zk_keeper.h"
#include "common/zk/zk_recipes.h"

namespace tidemark::zktest {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The verbs of the suite.
class ContractWorld {
 public:
  virtual ~ContractWorld() = default;
  virtual EventLoop& loop() = 0;
  virtual Coordination& coordination() = 0;
  // Servers without a chroot.
  virtual std::string servers() = 0;
  virtual Duration session_timeout() = 0;
  // Runs the loop (and the world around it) until the condition holds; false when it does not come true.
  virtual bool RunUntil(const std::function<bool()>& condition) = 0;
  // All clients lose their connections and get no new ones; sessions live on (no longer than a test needs).
  virtual void CutConnection() = 0;
  virtual void RestoreConnection() = 0;
};

// One session and all that its handler heard.
class Client final : public ZkSessionHandler {
 public:
  void OnZkState(ZkState state) override { states.push_back(state); }
  ZkSession* operator->() { return session.get(); }
  ZkSession& operator*() { return *session; }

  std::vector<ZkState> states;
  std::unique_ptr<ZkSession> session;
};

template <typename World>
class ContractBase : public ::testing::Test {
 protected:
  void SetUp() override {
    static int counter = 0;
    folder_ = "/contract-" + std::to_string(++counter);
    admin_ = Connect();
    ASSERT_TRUE(Await(admin_->session->Create(ZkCreate{folder_, "", ZkCreateMode::kPersistent})).has_value());
  }
  void TearDown() override {
    for (auto& client : clients_) {
      if (client->session) Await(client->session->Close());
    }
    Await(scope_.Close(), /*in_scope=*/false);
    clients_.clear();
  }

  template <typename T>
  T Await(Task<T> task, bool in_scope = true) {
    auto result = std::make_shared<std::optional<T>>();
    auto run = [](Task<T> inner, std::shared_ptr<std::optional<T>> out) -> Task<void> {
      out->emplace(co_await std::move(inner));
    };
    (in_scope ? scope_ : outer_).Spawn("test", run(std::move(task), result));
    if (!world_.RunUntil([&] { return result->has_value(); })) {
      ADD_FAILURE() << "a call was never answered";
      std::abort();  // its coroutine cannot be got rid of
    }
    return std::move(**result);
  }
  void Await(Task<void> task, bool in_scope = true) {
    auto wrapped = [](Task<void> inner) -> Task<bool> {
      co_await std::move(inner);
      co_return true;
    };
    Await(wrapped(std::move(task)), in_scope);
  }
  bool RunUntil(const std::function<bool()>& condition) { return world_.RunUntil(condition); }

  // A connected session under `chroot`.
  Client* Connect(const std::string& chroot = "", ZkFormerSession former = {}) {
    Client* client = Begin(chroot, former);
    EXPECT_TRUE(RunUntil([&] { return client->session->state() == ZkState::kConnected; }));
    return client;
  }
  // A session that is about to connect; with `former` one that takes that session over.
  Client* Begin(const std::string& chroot, const ZkFormerSession& former) {
    Client* client = clients_.emplace_back(std::make_unique<Client>()).get();
    ZkSessionOptions options;
    options.connect = world_.servers() + chroot;
    options.session_timeout = world_.session_timeout();
    options.session_id = former.session_id;
    options.password = former.password;
    client->session = world_.coordination().Connect(world_.loop(), options, client);
    return client;
  }
  // The session ends on the server as if it had been silent for too long. Its owner, cut off by the one that
  // takes it over, may take it back before the close arrives; so this goes on until the server knows it no
  // more.
  void Expire(ZkSession& session) {
    const ZkFormerSession former{session.session_id(), session.password()};
    while (true) {
      ZkSession& second = *Begin("", former)->session;
      ASSERT_TRUE(RunUntil(
          [&] { return second.state() == ZkState::kConnected || second.state() == ZkState::kExpired; }));
      if (second.state() == ZkState::kExpired) return;
      Await(second.Close());
    }
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  bool Exists(const std::string& path) {
    const auto stat = Await(admin_->session->Exists(path));
    return stat.has_value() && stat->has_value();
  }
  void Make(const std::string& path, const std::string& data = "") {
    ASSERT_TRUE(Await(admin_->session->Create(ZkCreate{path, data, ZkCreateMode::kPersistent})).has_value());
  }

  World world_;
  Scope outer_{world_.loop(), "contract outer"};
  Scope scope_{world_.loop(), "contract"};
  std::string folder_;
  std::vector<std::unique_ptr<Client>> clients_;
  Client* admin_ = nullptr;
};

// What a watch was called with.
struct Seen {
  std::vector<std::pair<ZkWatchEvent, std::string>> events;
  ZkWatch Watch() {
    return [this](ZkWatchEvent event, const std::string& path) { events.emplace_back(event, path); };
  }
};
inline auto Event(ZkWatchEvent event, const std::string& path) { return ::testing::Pair(event, path); }

template <typename World>
class CoordinationContract : public ContractBase<World> {};
TYPED_TEST_SUITE_P(CoordinationContract);

// --- Sessions
// -----------------------------------------------------------------------------------------------------

TYPED_TEST_P(CoordinationContract, ASessionHasAnIdAPasswordATimeoutAndALeaseOnceConnected) {
  const MonoTime before = this->world_.loop().Now();
  Client& client = *this->Connect();
  EXPECT_THAT(client.states, ElementsAre(ZkState::kConnected));
  EXPECT_NE(client->session_id(), 0);
  EXPECT_EQ(client->password().size(), 16u);
  EXPECT_EQ(client->negotiated_timeout(), this->world_.session_timeout());
  EXPECT_GE(client->last_answered_sent(), before);
}

TYPED_TEST_P(CoordinationContract, TheLeaseIsKeptFreshWhenNobodyAsks) {
  Client& client = *this->Connect();
  // Two requests in a row within a third of the timeout: real machines stand still now and then, not always.
  MonoTime last = client->last_answered_sent();
  EXPECT_TRUE(this->RunUntil([&] {
    const MonoTime before = std::exchange(last, client->last_answered_sent());
    return last > before && last - before < client->negotiated_timeout() / 3;
  }));
}

TYPED_TEST_P(CoordinationContract, CallsMadeBeforeTheConnectionIsUpAreAnswered) {
  Client& client = *this->clients_.emplace_back(std::make_unique<Client>());
  ZkSessionOptions options;
  options.connect = this->world_.servers();
  options.session_timeout = this->world_.session_timeout();
  client.session = this->world_.coordination().Connect(this->world_.loop(), options, &client);
  const auto names = this->Await(client->Children(this->folder_));
  ASSERT_TRUE(names.has_value());
  EXPECT_THAT(*names, IsEmpty());
}

TYPED_TEST_P(CoordinationContract, CloseTakesTheEphemeralsAlong) {
  Client& client = *this->Connect();
  const auto made = this->Await(client->Create(ZkCreate{this->Path("e"), "x", ZkCreateMode::kEphemeral}));
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->stat.ephemeral_owner, client->session_id());
  EXPECT_TRUE(this->Exists(this->Path("e")));
  this->Await(client->Close());
  EXPECT_EQ(client->state(), ZkState::kClosed);
  EXPECT_THAT(client.states, ElementsAre(ZkState::kConnected));
  EXPECT_TRUE(this->RunUntil([&] { return !this->Exists(this->Path("e")); }));
  EXPECT_EQ(this->Await(client->Get(this->folder_)).error(), ZkCode::kClosing);
}

TYPED_TEST_P(CoordinationContract, ExpiryIsToldOnceEndsCallsAndTakesTheEphemeralsAlong) {
  Client& client = *this->Connect();
  ASSERT_TRUE(
      this->Await(client->Create(ZkCreate{this->Path("e"), "", ZkCreateMode::kEphemeral})).has_value());
  this->Expire(*client.session);
  EXPECT_TRUE(this->RunUntil([&] { return client->state() == ZkState::kExpired; }));
  EXPECT_FALSE(this->Exists(this->Path("e")));
  EXPECT_EQ(std::count(client.states.begin(), client.states.end(), ZkState::kExpired), 1);
  EXPECT_EQ(client.states.back(), ZkState::kExpired);
  EXPECT_EQ(this->Await(client->Get(this->folder_)).error(), ZkCode::kSessionExpired);
}

TYPED_TEST_P(CoordinationContract, ASuccessorWithIdAndPasswordEndsAFormerSession) {
  Client& former = *this->Connect();
  ASSERT_TRUE(
      this->Await(former->Create(ZkCreate{this->Path("e"), "", ZkCreateMode::kEphemeral})).has_value());
  Client& successor = *this->Connect("", ZkFormerSession{former->session_id(), former->password()});
  EXPECT_EQ(successor->session_id(), former->session_id());
  EXPECT_TRUE(this->Exists(this->Path("e")));
  this->Await(successor->Close());
  // A former owner that lives, as here, may take the session back before the close arrives: then once more.
  this->Expire(*former.session);
  EXPECT_TRUE(this->RunUntil([&] { return !this->Exists(this->Path("e")); }));
}

TYPED_TEST_P(CoordinationContract, AWrongPasswordMeansThatTheSessionIsGone) {
  Client& former = *this->Connect();
  Client& thief = *this->clients_.emplace_back(std::make_unique<Client>());
  ZkSessionOptions options;
  options.connect = this->world_.servers();
  options.session_timeout = this->world_.session_timeout();
  options.session_id = former->session_id();
  options.password = std::string(16, 'x');
  thief.session = this->world_.coordination().Connect(this->world_.loop(), options, &thief);
  EXPECT_TRUE(this->RunUntil([&] { return thief->state() == ZkState::kExpired; }));
  // A real server closes the owner's connection before it looks at the password; the owner comes back.
  EXPECT_TRUE(this->RunUntil([&] { return this->Await(former->Get(this->folder_)).has_value(); }));
  EXPECT_EQ(former->session_id(), options.session_id);
  EXPECT_EQ(std::count(former.states.begin(), former.states.end(), ZkState::kExpired), 0);
}

TYPED_TEST_P(CoordinationContract, AConnectionLostAndRegainedIsTheSameSession) {
  Client& client = *this->Connect();
  ASSERT_TRUE(
      this->Await(client->Create(ZkCreate{this->Path("e"), "", ZkCreateMode::kEphemeral})).has_value());
  const int64_t id = client->session_id();
  Seen seen;
  ASSERT_TRUE(this->Await(client->Get(this->Path("e"), seen.Watch())).has_value());
  this->world_.CutConnection();
  ASSERT_TRUE(this->RunUntil([&] { return client->state() == ZkState::kConnecting; }));
  const auto lost = this->Await(client->Get(this->folder_));
  ASSERT_FALSE(lost.has_value());
  EXPECT_TRUE(IsUnknownOutcome(lost.error())) << ToString(lost.error());
  this->world_.RestoreConnection();
  ASSERT_TRUE(this->RunUntil([&] { return client->state() == ZkState::kConnected; }));
  EXPECT_EQ(client->session_id(), id);
  EXPECT_THAT(client.states, ElementsAre(ZkState::kConnected, ZkState::kConnecting, ZkState::kConnected));
  ASSERT_TRUE(this->RunUntil([&] { return this->admin_->session->state() == ZkState::kConnected; }));
  EXPECT_TRUE(this->Exists(this->Path("e")));
  EXPECT_THAT(seen.events, IsEmpty());
  ASSERT_TRUE(this->Await(client->Set(ZkSet{this->Path("e"), "new", kAnyVersion})).has_value());
  EXPECT_TRUE(this->RunUntil([&] { return !seen.events.empty(); })) << "watches live over a reconnect";
  EXPECT_THAT(seen.events, ElementsAre(Event(ZkWatchEvent::kDataChanged, this->Path("e"))));
}

// --- Nodes
// --------------------------------------------------------------------------------------------------------

TYPED_TEST_P(CoordinationContract, NodesHaveDataVersionsAndChildren) {
  ZkSession& session = *this->admin_->session;
  const auto made = this->Await(session.Create(ZkCreate{this->Path("a"), "one", ZkCreateMode::kPersistent}));
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->path, this->Path("a"));
  EXPECT_EQ(made->stat.version, 0);
  EXPECT_EQ(made->stat.ephemeral_owner, 0);
  const auto set = this->Await(session.Set(ZkSet{this->Path("a"), "two", 0}));
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->version, 1);
  const auto node = this->Await(session.Get(this->Path("a")));
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(node->data, "two");
  EXPECT_EQ(node->stat.czxid, made->stat.czxid);
  EXPECT_GT(node->stat.mzxid, node->stat.czxid);
  this->Make(this->Path("c"));
  this->Make(this->Path("b"), std::string("\0\xff", 2));
  EXPECT_THAT(*this->Await(session.Children(this->folder_)), ElementsAre("a", "b", "c")) << "sorted";
  EXPECT_EQ(this->Await(session.Get(this->Path("b")))->data, std::string("\0\xff", 2));
  EXPECT_EQ(this->Await(session.Exists(this->folder_))->value().num_children, 3);
  EXPECT_TRUE(this->Await(session.Sync(this->folder_)).has_value());
}

TYPED_TEST_P(CoordinationContract, RefusalsHaveTheirOwnCodes) {
  ZkSession& session = *this->admin_->session;
  this->Make(this->Path("a"));
  this->Make(this->Path("a/b"));
  EXPECT_EQ(this->Await(session.Get(this->Path("none"))).error(), ZkCode::kNoNode);
  EXPECT_EQ(this->Await(session.Exists(this->Path("none"))).value(), std::nullopt);
  EXPECT_EQ(this->Await(session.Children(this->Path("none"))).error(), ZkCode::kNoNode);
  EXPECT_EQ(this->Await(session.Create(ZkCreate{this->Path("a"), "", {}})).error(), ZkCode::kNodeExists);
  EXPECT_EQ(this->Await(session.Create(ZkCreate{this->Path("x/y"), "", {}})).error(), ZkCode::kNoNode);
  EXPECT_EQ(this->Await(session.Set(ZkSet{this->Path("a"), "", 7})).error(), ZkCode::kBadVersion);
  EXPECT_EQ(this->Await(session.Set(ZkSet{this->Path("none"), "", 0})).error(), ZkCode::kNoNode);
  EXPECT_EQ(this->Await(session.Delete(ZkDelete{this->Path("a")})).error(), ZkCode::kNotEmpty);
  EXPECT_EQ(this->Await(session.Delete(ZkDelete{this->Path("a/b"), 3})).error(), ZkCode::kBadVersion);
  EXPECT_TRUE(this->Await(session.Delete(ZkDelete{this->Path("a/b"), 0})).has_value());
  EXPECT_EQ(this->Await(session.Delete(ZkDelete{this->Path("a/b")})).error(), ZkCode::kNoNode);
  ASSERT_TRUE(
      this->Await(session.Create(ZkCreate{this->Path("e"), "", ZkCreateMode::kEphemeral})).has_value());
  EXPECT_EQ(this->Await(session.Create(ZkCreate{this->Path("e/c"), "", {}})).error(),
            ZkCode::kNoChildrenForEphemerals);
}

TYPED_TEST_P(CoordinationContract, SequentialNodesCountUpInTenDigits) {
  ZkSession& session = *this->admin_->session;
  const auto first =
      this->Await(session.Create(ZkCreate{this->Path("n_"), "", ZkCreateMode::kPersistentSequential}));
  const auto second =
      this->Await(session.Create(ZkCreate{this->Path("n_"), "", ZkCreateMode::kEphemeralSequential}));
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(first->path, this->Path("n_0000000000"));
  EXPECT_EQ(second->path, this->Path("n_0000000001"));
  EXPECT_EQ(second->stat.ephemeral_owner, session.session_id());
}

TYPED_TEST_P(CoordinationContract, WhatThePacketLimitForbidsIsRefusedAndTheSessionLives) {
  ZkSession& session = *this->admin_->session;
  const std::string big(1'100'000, 'x');
  EXPECT_EQ(this->Await(session.Create(ZkCreate{this->Path("big"), big, {}})).error(), ZkCode::kTooLarge);
  EXPECT_EQ(this->Await(session.Set(ZkSet{this->folder_, big, kAnyVersion})).error(), ZkCode::kTooLarge);
  std::vector<ZkOp> ops;
  for (int i = 0; i < 11; ++i)
    ops.push_back(ZkCreate{this->Path(std::to_string(i)), std::string(100'000, 'y'), {}});
  EXPECT_EQ(this->Await(session.Multi(ops)).error(), ZkCode::kTooLarge);
  ops.resize(9);
  EXPECT_TRUE(this->Await(session.Multi(ops)).has_value());
  EXPECT_EQ(session.state(), ZkState::kConnected);
}

// --- Multi
// --------------------------------------------------------------------------------------------------------

TYPED_TEST_P(CoordinationContract, AMultiDoesAllItsOpsAtOnce) {
  ZkSession& session = *this->admin_->session;
  this->Make(this->Path("fence"));
  this->Make(this->Path("old"));
  std::vector<ZkOp> ops;
  ops.push_back(ZkCheck{this->Path("fence"), 0});
  ops.push_back(ZkCreate{this->Path("e"), "", ZkCreateMode::kEphemeral});
  ops.push_back(ZkSet{this->Path("e"), "data", 0});
  ops.push_back(ZkDelete{this->Path("old"), 0});
  const auto results = this->Await(session.Multi(ops));
  ASSERT_TRUE(results.has_value()) << ToString(results.error());
  ASSERT_EQ(results->size(), 4u);
  for (const ZkOpResult& result : *results) EXPECT_EQ(result.code, ZkCode::kOk);
  EXPECT_EQ((*results)[1].path, this->Path("e"));
  // So a creator learns the czxid of what it created: the broker epoch.
  const auto node = this->Await(session.Get(this->Path("e")));
  EXPECT_EQ((*results)[2].stat.czxid, node->stat.czxid);
  EXPECT_EQ((*results)[2].stat.version, 1);
  EXPECT_EQ(node->data, "data");
  EXPECT_FALSE(this->Exists(this->Path("old")));
  const auto none = this->Await(session.Multi({}));
  EXPECT_TRUE(none.has_value() && none->empty());
}

TYPED_TEST_P(CoordinationContract, AMultiThatFailsDoesNothingAndNamesTheOpAtFault) {
  ZkSession& session = *this->admin_->session;
  this->Make(this->Path("fence"));
  std::vector<ZkOp> ops;
  ops.push_back(ZkCreate{this->Path("new"), "", {}});
  ops.push_back(ZkCheck{this->Path("fence"), 5});
  ops.push_back(ZkSet{this->Path("fence"), "x", kAnyVersion});
  const auto results = this->Await(session.Multi(ops));
  ASSERT_TRUE(results.has_value()) << ToString(results.error());
  ASSERT_EQ(results->size(), 3u);
  EXPECT_EQ((*results)[0].code, ZkCode::kRuntimeInconsistency);
  EXPECT_EQ((*results)[1].code, ZkCode::kBadVersion);
  EXPECT_EQ((*results)[2].code, ZkCode::kRuntimeInconsistency);
  EXPECT_FALSE(this->Exists(this->Path("new")));
  EXPECT_EQ(this->Await(session.Get(this->Path("fence")))->stat.version, 0);
}

// --- Watches
// ------------------------------------------------------------------------------------------------------

TYPED_TEST_P(CoordinationContract, ADataWatchFiresOnce) {
  Client& watcher = *this->Connect();
  this->Make(this->Path("a"));
  Seen seen;
  ASSERT_TRUE(this->Await(watcher->Get(this->Path("a"), seen.Watch())).has_value());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        this->Await(this->admin_->session->Set(ZkSet{this->Path("a"), "x", kAnyVersion})).has_value());
  }
  ASSERT_TRUE(this->RunUntil([&] { return !seen.events.empty(); }));
  ASSERT_TRUE(this->Await(watcher->Sync(this->Path("a"))).has_value());  // whatever was to come has come
  EXPECT_THAT(seen.events, ElementsAre(Event(ZkWatchEvent::kDataChanged, this->Path("a"))));
}

TYPED_TEST_P(CoordinationContract, AnExistsWatchSeesTheCreationAndTheDeletion) {
  Client& watcher = *this->Connect();
  Seen created;
  EXPECT_EQ(this->Await(watcher->Exists(this->Path("a"), created.Watch())).value(), std::nullopt);
  this->Make(this->Path("a"));
  ASSERT_TRUE(this->RunUntil([&] { return !created.events.empty(); }));
  EXPECT_THAT(created.events, ElementsAre(Event(ZkWatchEvent::kCreated, this->Path("a"))));
  Seen deleted;
  EXPECT_NE(this->Await(watcher->Exists(this->Path("a"), deleted.Watch())).value(), std::nullopt);
  ASSERT_TRUE(this->Await(this->admin_->session->Delete(ZkDelete{this->Path("a")})).has_value());
  ASSERT_TRUE(this->RunUntil([&] { return !deleted.events.empty(); }));
  EXPECT_THAT(deleted.events, ElementsAre(Event(ZkWatchEvent::kDeleted, this->Path("a"))));
}

TYPED_TEST_P(CoordinationContract, AChildrenWatchSeesChildrenComeAndGoAndTheNodeItselfGo) {
  Client& watcher = *this->Connect();
  ZkSession& admin = *this->admin_->session;
  this->Make(this->Path("p"));
  Seen seen;
  const auto arm = [&] {
    ASSERT_TRUE(this->Await(watcher->Children(this->Path("p"), seen.Watch())).has_value());
  };
  arm();
  ASSERT_TRUE(
      this->Await(admin.Set(ZkSet{this->Path("p"), "data is not children", kAnyVersion})).has_value());
  this->Make(this->Path("p/c"));
  ASSERT_TRUE(this->RunUntil([&] { return seen.events.size() == 1; }));
  arm();
  ASSERT_TRUE(this->Await(admin.Delete(ZkDelete{this->Path("p/c")})).has_value());
  ASSERT_TRUE(this->RunUntil([&] { return seen.events.size() == 2; }));
  arm();
  ASSERT_TRUE(this->Await(admin.Delete(ZkDelete{this->Path("p")})).has_value());
  ASSERT_TRUE(this->RunUntil([&] { return seen.events.size() == 3; }));
  EXPECT_THAT(seen.events, ElementsAre(Event(ZkWatchEvent::kChildrenChanged, this->Path("p")),
                                       Event(ZkWatchEvent::kChildrenChanged, this->Path("p")),
                                       Event(ZkWatchEvent::kDeleted, this->Path("p"))));
}

TYPED_TEST_P(CoordinationContract, AReadThatFailsLeavesNoWatch) {
  Client& watcher = *this->Connect();
  Seen seen;
  EXPECT_EQ(this->Await(watcher->Get(this->Path("a"), seen.Watch())).error(), ZkCode::kNoNode);
  EXPECT_EQ(this->Await(watcher->Children(this->Path("a"), seen.Watch())).error(), ZkCode::kNoNode);
  this->Make(this->Path("a"));
  this->Make(this->Path("a/b"));
  ASSERT_TRUE(this->Await(watcher->Sync(this->folder_)).has_value());
  EXPECT_THAT(seen.events, IsEmpty());
}

TYPED_TEST_P(CoordinationContract, AWatchIsCalledBeforeTheChangeCanBeRead) {
  Client& watcher = *this->Connect();
  this->Make(this->Path("a"), "old");
  Seen seen;
  ASSERT_TRUE(this->Await(watcher->Get(this->Path("a"), seen.Watch())).has_value());
  // One coroutine reads until it sees the change; what it finds then must have been announced.
  auto read_until_new = [](ZkSession* session, std::string path, Seen* watched) -> Task<bool> {
    while (true) {
      const auto node = co_await session->Get(path);
      if (!node) co_return false;
      if (node->data == "new") co_return !watched->events.empty();
    }
  };
  bool written = false;
  auto write = [](ZkSession* session, std::string path, bool* done) -> Task<void> {
    const auto set = co_await session->Set(ZkSet{path, "new", kAnyVersion});
    EXPECT_TRUE(set.has_value());
    *done = true;
  };
  this->scope_.Spawn("writer", write(this->admin_->session.get(), this->Path("a"), &written));
  EXPECT_TRUE(this->Await(read_until_new(watcher.session.get(), this->Path("a"), &seen)));
  // The reader may see it before the writer is told.
  EXPECT_TRUE(this->RunUntil([&] { return written; }));
}

TYPED_TEST_P(CoordinationContract, AWatchOnOnesOwnWriteIsCalledBeforeTheWriteIsAnswered) {
  Client& client = *this->Connect();
  this->Make(this->Path("a"));
  Seen seen;
  ASSERT_TRUE(this->Await(client->Get(this->Path("a"), seen.Watch())).has_value());
  auto write = [](ZkSession* session, std::string path, Seen* watched) -> Task<size_t> {
    const auto set = co_await session->Set(ZkSet{path, "new", kAnyVersion});
    EXPECT_TRUE(set.has_value());
    co_return watched->events.size();
  };
  EXPECT_EQ(this->Await(write(client.session.get(), this->Path("a"), &seen)), 1u);
}

TYPED_TEST_P(CoordinationContract, NoWatchIsCalledAfterTheExpiryOrTheClose) {
  Client& expired = *this->Connect();
  Client& closed = *this->Connect();
  this->Make(this->Path("a"));
  Seen seen;
  ASSERT_TRUE(this->Await(expired->Get(this->Path("a"), seen.Watch())).has_value());
  ASSERT_TRUE(this->Await(closed->Get(this->Path("a"), seen.Watch())).has_value());
  this->Expire(*expired.session);
  ASSERT_TRUE(this->RunUntil([&] { return expired->state() == ZkState::kExpired; }));
  this->Await(closed->Close());
  ASSERT_TRUE(this->Await(this->admin_->session->Set(ZkSet{this->Path("a"), "x", kAnyVersion})).has_value());
  ASSERT_TRUE(this->Await(this->admin_->session->Sync(this->Path("a"))).has_value());
  EXPECT_THAT(seen.events, IsEmpty());
}

// --- Chroot
// -------------------------------------------------------------------------------------------------------

TYPED_TEST_P(CoordinationContract, AChrootIsPutBeforeEveryPathAndTakenOffEveryAnswer) {
  this->Make(this->Path("root"));
  Client& inside = *this->Connect(this->Path("root"));
  Seen seen;
  EXPECT_EQ(this->Await(inside->Exists("/a", seen.Watch())).value(), std::nullopt);
  const auto made = this->Await(inside->Create(ZkCreate{"/a", "", {}}));
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->path, "/a");
  EXPECT_TRUE(this->Exists(this->Path("root/a")));
  ASSERT_TRUE(this->RunUntil([&] { return !seen.events.empty(); }));
  EXPECT_THAT(seen.events, ElementsAre(Event(ZkWatchEvent::kCreated, "/a")));
  const auto results = this->Await(inside->Multi({ZkCreate{"/b_", "", ZkCreateMode::kPersistentSequential}}));
  ASSERT_TRUE(results.has_value());
  EXPECT_EQ((*results)[0].path, "/b_0000000001");
  EXPECT_THAT(*this->Await(inside->Children("/")), ElementsAre("a", "b_0000000001"));
}

TYPED_TEST_P(CoordinationContract, AMissingChrootIsAMissingNode) {
  Client& inside = *this->Connect(this->Path("none"));
  EXPECT_EQ(this->Await(inside->Exists("/")).value(), std::nullopt);
  EXPECT_EQ(this->Await(inside->Create(ZkCreate{"/a", "", {}})).error(), ZkCode::kNoNode);
}

REGISTER_TYPED_TEST_SUITE_P(
    CoordinationContract, ASessionHasAnIdAPasswordATimeoutAndALeaseOnceConnected,
    TheLeaseIsKeptFreshWhenNobodyAsks, CallsMadeBeforeTheConnectionIsUpAreAnswered,
    CloseTakesTheEphemeralsAlong, ExpiryIsToldOnceEndsCallsAndTakesTheEphemeralsAlong,
    ASuccessorWithIdAndPasswordEndsAFormerSession, AWrongPasswordMeansThatTheSessionIsGone,
    AConnectionLostAndRegainedIsTheSameSession, NodesHaveDataVersionsAndChildren, RefusalsHaveTheirOwnCodes,
    SequentialNodesCountUpInTenDigits, WhatThePacketLimitForbidsIsRefusedAndTheSessionLives,
    AMultiDoesAllItsOpsAtOnce, AMultiThatFailsDoesNothingAndNamesTheOpAtFault, ADataWatchFiresOnce,
    AnExistsWatchSeesTheCreationAndTheDeletion, AChildrenWatchSeesChildrenComeAndGoAndTheNodeItselfGo,
    AReadThatFailsLeavesNoWatch, AWatchIsCalledBeforeTheChangeCanBeRead,
    AWatchOnOnesOwnWriteIsCalledBeforeTheWriteIsAnswered, NoWatchIsCalledAfterTheExpiryOrTheClose,
    AChrootIsPutBeforeEveryPathAndTakenOffEveryAnswer, AMissingChrootIsAMissingNode);

}  // namespace tidemark::zktest
