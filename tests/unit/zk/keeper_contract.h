// What ZkKeeper makes of a Coordination, over the real and the simulated one alike; see
// coordination_contract.h.
#pragma once

#include "tests/unit/zk/coordination_contract.h"

namespace tidemark::zktest {

class KeeperLog final : public ZkKeeper::Listener {
 public:
  void OnZkUp(ZkSession& session, bool new_session) override {
    heard.push_back(new_session ? "up new" : "up again");
    last = &session;
  }
  void OnZkSuspended() override { heard.push_back("suspended"); }
  void OnZkExpired() override { heard.push_back("expired"); }

  std::vector<std::string> heard;
  ZkSession* last = nullptr;
};

template <typename World>
class ZkKeeperContract : public ContractBase<World> {
 protected:
  std::unique_ptr<ZkKeeper> Started(const std::string& chroot, KeeperLog* log) {
    ZkKeeper::Options options;
    options.connect = this->world_.servers() + chroot;
    options.session_timeout = this->world_.session_timeout();
    auto keeper = std::make_unique<ZkKeeper>(this->world_.loop(), this->world_.coordination(), options);
    if (log != nullptr) keeper->AddListener(log);
    EXPECT_TRUE(keeper->Start().has_value());
    return keeper;
  }
};
TYPED_TEST_SUITE_P(ZkKeeperContract);

TYPED_TEST_P(ZkKeeperContract, ComesUpWithANewSessionAndAValidLease) {
  KeeperLog log;
  auto keeper = this->Started("", &log);
  EXPECT_EQ(keeper->session(), nullptr);
  EXPECT_TRUE(keeper->down_since().has_value());
  EXPECT_FALSE(keeper->lease_valid());
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  EXPECT_THAT(log.heard, ElementsAre("up new"));
  EXPECT_EQ(log.last, keeper->session());
  EXPECT_EQ(keeper->generation(), 1u);
  EXPECT_TRUE(keeper->lease_valid());
  EXPECT_FALSE(keeper->down_since().has_value());
  this->Await(keeper->Close());
  EXPECT_EQ(keeper->session(), nullptr);
  EXPECT_THAT(log.heard, ElementsAre("up new"));
}

TYPED_TEST_P(ZkKeeperContract, AfterAnExpiryTellsItFirstAndThenBringsANewSession) {
  KeeperLog log;
  auto keeper = this->Started("", &log);
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  ZkSession* first = keeper->session();
  this->Expire(*first);
  ASSERT_TRUE(this->RunUntil([&] { return keeper->generation() == 2; }));
  // The connection may be lost, and even regained, before the expiry is learnt.
  std::erase(log.heard, "suspended");
  std::erase(log.heard, "up again");
  EXPECT_THAT(log.heard, ElementsAre("up new", "expired", "up new"));
  EXPECT_NE(keeper->session(), first);
  EXPECT_EQ(this->Await(first->Get("/")).error(), ZkCode::kSessionExpired)
      << "a former session's pointer is valid";
  this->Await(keeper->Close());
}

TYPED_TEST_P(ZkKeeperContract, LeavesAtOnceAndStaysAwayUntilItReturns) {
  KeeperLog log;
  auto keeper = this->Started("", &log);
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  ASSERT_TRUE(this->Await(keeper->session()->Create({.path = "/here", .mode = ZkCreateMode::kEphemeral}))
                  .has_value());
  auto other = this->Started("", nullptr);
  ASSERT_TRUE(this->Await(other->WaitConnected()).has_value());
  this->Await(keeper->Leave());
  EXPECT_THAT(log.heard, ElementsAre("up new", "expired"));
  EXPECT_EQ(keeper->session(), nullptr);
  EXPECT_FALSE(keeper->lease_valid());
  const auto gone = this->Await(other->session()->Exists("/here"));
  ASSERT_TRUE(gone.has_value());
  EXPECT_FALSE(gone->has_value()) << "its ephemerals went with the session";
  EXPECT_EQ(keeper->generation(), 1u);
  keeper->Return();
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  EXPECT_THAT(log.heard, ElementsAre("up new", "expired", "up new"));
  this->Await(keeper->Close());
  this->Await(other->Close());
}

TYPED_TEST_P(ZkKeeperContract, KeepsTheSessionOverALostConnection) {
  KeeperLog log;
  auto keeper = this->Started("", &log);
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  this->world_.CutConnection();
  ASSERT_TRUE(this->RunUntil([&] { return !keeper->connected(); }));
  EXPECT_NE(keeper->session(), nullptr) << "suspended, not gone";
  EXPECT_TRUE(keeper->down_since().has_value());
  this->world_.RestoreConnection();
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  EXPECT_THAT(log.heard, ElementsAre("up new", "suspended", "up again"));
  EXPECT_EQ(keeper->generation(), 1u);
  this->Await(keeper->Close());
}

TYPED_TEST_P(ZkKeeperContract, CreatesAMissingChroot) {
  auto keeper = this->Started(this->folder_ + "/deep/root", nullptr);
  ASSERT_TRUE(this->Await(keeper->WaitConnected()).has_value());
  EXPECT_TRUE(this->Exists(this->Path("deep/root")));
  EXPECT_TRUE(this->Await(EnsurePersistentPaths(*keeper->session())).has_value());
  EXPECT_TRUE(this->Await(EnsurePersistentPaths(*keeper->session())).has_value()) << "idempotent";
  EXPECT_TRUE(this->Exists(this->Path("deep/root/brokers/ids")));
  this->Await(keeper->Close());
}

TYPED_TEST_P(ZkKeeperContract, EndsAFormerSessionAtOnceAndAgainWhenItIsGone) {
  Client& former = *this->Connect();
  ASSERT_TRUE(
      this->Await(former->Create(ZkCreate{this->Path("e"), "", ZkCreateMode::kEphemeral})).has_value());
  const ZkFormerSession saved{former->session_id(), former->password()};
  const auto end = [&] {
    const auto ended = this->Await(
        ZkKeeper::EndFormerSession(this->world_.loop(), this->world_.coordination(), this->world_.servers(),
                                   this->world_.session_timeout(), saved, 30s));
    EXPECT_TRUE(ended.has_value()) << ToString(ended.error());
    return !this->Exists(this->Path("e"));
  };
  // A former owner that lives, as here, may take the session back before the close arrives: then once more.
  EXPECT_TRUE(this->RunUntil(end));
  EXPECT_TRUE(end()) << "it is gone already";
}

TYPED_TEST_P(ZkKeeperContract, SaysSoWhenAFormerSessionCouldNotBeEnded) {
  const ZkFormerSession saved{this->admin_->session->session_id(), this->admin_->session->password()};
  this->world_.CutConnection();
  const auto ended = this->Await(ZkKeeper::EndFormerSession(this->world_.loop(), this->world_.coordination(),
                                                            this->world_.servers(),
                                                            this->world_.session_timeout(), saved, 100ms));
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, v1::REQUEST_TIMED_OUT);
  this->world_.RestoreConnection();
}

REGISTER_TYPED_TEST_SUITE_P(ZkKeeperContract, ComesUpWithANewSessionAndAValidLease,
                            AfterAnExpiryTellsItFirstAndThenBringsANewSession,
                            LeavesAtOnceAndStaysAwayUntilItReturns, KeepsTheSessionOverALostConnection,
                            CreatesAMissingChroot, EndsAFormerSessionAtOnceAndAgainWhenItIsGone,
                            SaysSoWhenAFormerSessionCouldNotBeEnded);

}  // namespace tidemark::zktest
