// How long a client over its quota is delayed. In virtual time: the clock is a number.
#include "broker/server/quota_ledger.h"

#include <functional>
#include <queue>

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr MonoTime At(Duration d) { return MonoTime(std::chrono::hours(5)) + d; }
const QuotaWindows kWindows;  // 11 of a second
constexpr QuotaKind kProduce = QuotaKind::kProduce;

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

TEST(QuotaLedger, WhoKeepsToItsQuotaIsNeverDelayed) {
  QuotaLedger ledger(kWindows);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(ledger.Charge(kProduce, "app", 100, 1000, At(i * 100ms)), Duration::zero());
  }
}

TEST(QuotaLedger, ABurstIsNotJudgedByItsInstant) {
  QuotaLedger ledger(kWindows);
  // Ten full windows' worth at once is what the quota lets through in that time.
  EXPECT_EQ(ledger.Charge(kProduce, "app", 10'000, 1000, At(0s)), Duration::zero());
  EXPECT_NEAR(Seconds(ledger.Charge(kProduce, "app", 500, 1000, At(0s))), 0.5, 1e-6);
}

// A client that waits out each delay comes to its rate, whatever the size of its requests.
TEST(QuotaLedger, WhoWaitsOutItsDelaysComesToItsRate) {
  for (const double request : {50.0, 1000.0, 7000.0, 30'000.0}) {
    QuotaLedger ledger(kWindows);
    Duration now{};
    double sent = 0;
    const double limit = 1000;
    while (now < 600s) {
      const Duration delay = ledger.Charge(kProduce, "app", request, limit, At(now));
      sent += request;
      now += std::max<Duration>(delay, 1ms);
    }
    // Beyond what is free at the beginning.
    EXPECT_NEAR((sent - 10 * limit) / Seconds(now), limit, limit * 0.05) << "requests of " << request;
  }
}

// What `connections` of one client id get through in `time`, each of which waits out its delays: requests
// whose delays are over, above what is free at the beginning.
double RateOf(int connections, double request, double limit, Duration time) {
  QuotaLedger ledger(kWindows);
  using Turn = std::pair<Duration, bool>;  // when, and whether a request of it was sent before
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  for (int i = 0; i < connections; ++i) turns.emplace(i * 1ms, false);
  double through = 0;
  while (turns.top().first < time) {
    const auto [now, sent] = turns.top();
    turns.pop();
    if (sent) through += request;
    turns.emplace(now + std::max<Duration>(ledger.Charge(kProduce, "app", request, limit, At(now)), 1ms),
                  true);
  }
  return (through - 10 * limit) / Seconds(time);
}

TEST(QuotaLedger, AllConnectionsOfAClientComeToOneRate) {
  for (const int connections : {1, 2, 20, 100}) {
    for (const double request : {50.0, 1000.0, 5000.0}) {
      EXPECT_NEAR(RateOf(connections, request, 1000, 7200s), 1000, 50)
          << connections << " with requests of " << request;
    }
  }
  EXPECT_NEAR(RateOf(20, 200'000, 20'000, 7200s), 20'000, 1000) << "ten seconds' worth each";
}

// As fetches on new connections are: what was used before is known without using more.
TEST(QuotaLedger, WhatIsOwedIsKnownWithoutAskingForMore) {
  QuotaLedger ledger(kWindows);
  EXPECT_EQ(ledger.Owed(QuotaKind::kFetch, "app", 1000, At(0s)), Duration::zero());
  EXPECT_EQ(ledger.size(), 0u);
  const Duration charged = ledger.Charge(QuotaKind::kFetch, "app", 60'000, 1000, At(0s));
  EXPECT_EQ(charged, Duration(50s));
  EXPECT_EQ(ledger.Owed(QuotaKind::kFetch, "app", 1000, At(0s)), charged);
  EXPECT_NEAR(Seconds(ledger.Owed(QuotaKind::kFetch, "app", 1000, At(20s))), 30, 1e-6);
  EXPECT_EQ(ledger.Owed(QuotaKind::kFetch, "app", 1e6, At(20s)), Duration::zero()) << "of the quota of now";
  EXPECT_EQ(ledger.Owed(kProduce, "app", 1000, At(20s)), Duration::zero());
  EXPECT_EQ(ledger.Owed(QuotaKind::kFetch, "other", 1000, At(20s)), Duration::zero());
  EXPECT_EQ(ledger.Owed(QuotaKind::kFetch, "app", 1e-3, At(20s)), QuotaLedger::kMostDebt);
}

TEST(QuotaLedger, AnotherClientAndAnotherKindAreNotConcerned) {
  QuotaLedger ledger(kWindows);
  EXPECT_GT(ledger.Charge(kProduce, "loud", 1e6, 1000, At(0s)), Duration::zero());
  EXPECT_EQ(ledger.Charge(kProduce, "quiet", 1000, 1000, At(0s)), Duration::zero());
  EXPECT_EQ(ledger.Charge(QuotaKind::kFetch, "loud", 1000, 1000, At(0s)), Duration::zero());
}

TEST(QuotaLedger, WhoIsQuietForLongEnoughBeginsAnew) {
  QuotaLedger ledger(kWindows);
  EXPECT_GT(ledger.Charge(kProduce, "app", 20'000, 1000, At(0s)), Duration::zero());
  EXPECT_EQ(ledger.Charge(kProduce, "app", 1000, 1000, At(11s)), Duration::zero());
}

TEST(QuotaLedger, AHigherQuotaCountsFromTheNextCharge) {
  QuotaLedger ledger(kWindows);
  EXPECT_GT(ledger.Charge(kProduce, "app", 20'000, 1000, At(0s)), Duration::zero());
  EXPECT_EQ(ledger.Charge(kProduce, "app", 1000, 100'000, At(1ms)), Duration::zero());
}

TEST(QuotaLedger, RequestsAreDelayedNoLongerThanAWindow) {
  QuotaLedger ledger(kWindows);
  EXPECT_EQ(ledger.Charge(QuotaKind::kRequest, "app", 1e6, 1, At(0s)), Duration(1s));
  EXPECT_EQ(ledger.Charge(kProduce, "app", 1e12, 1, At(0s)), QuotaLedger::kMostDebt);
}

TEST(QuotaLedger, RequestsAreDelayedForASecondAtMostHoweverLongTheWindowsAre) {
  QuotaLedger ledger({.samples = 2, .length = 600s});
  EXPECT_EQ(ledger.Charge(QuotaKind::kRequest, "app", 1e9, 1, At(0s)), Duration(1s));
}

TEST(QuotaLedger, ManyNamesTakeBoundedMemoryAndSlowNobodyElse) {
  QuotaLedger ledger(kWindows, 100);
  for (int i = 0; i < 200'000; ++i) {
    EXPECT_EQ(ledger.Charge(kProduce, std::to_string(i), 9000, 1000, At(0s)), Duration::zero());
  }
  EXPECT_LE(ledger.size(), 100u);
}

TEST(QuotaLedger, WhoIsFarOverItsQuotaStaysSoWhileOthersComeAndGo) {
  QuotaLedger ledger(kWindows, 100);
  EXPECT_GT(ledger.Charge(kProduce, "loud", 500'000, 1000, At(0s)), Duration::zero());
  for (int i = 0; i < 10'000; ++i) (void)ledger.Charge(kProduce, std::to_string(i), 2000, 1000, At(0s));
  EXPECT_NEAR(Seconds(ledger.Charge(kProduce, "loud", 1, 1000, At(400s))), 90, 0.1);
}

TEST(QuotaLedger, ADelayIsTheWholeDebtAndNoDebtIsForHours) {
  QuotaLedger ledger(kWindows);
  EXPECT_EQ(ledger.Charge(kProduce, "app", 60'000, 1000, At(0s)), Duration(50s));
  EXPECT_NEAR(Seconds(ledger.Charge(kProduce, "app", 60'000, 1000, At(0s))), 110, 0.1);
  EXPECT_NEAR(Seconds(ledger.Charge(kProduce, "app", 1, 1000, At(108s))), 2, 0.1);
  EXPECT_EQ(ledger.Charge(kProduce, "app", 1e9, 1000, At(108s)), QuotaLedger::kMostDebt);
  EXPECT_NEAR(Seconds(ledger.Charge(kProduce, "app", 1, 1000, At(3700s))), 8, 0.1) << "the rest is forgiven";
}

TEST(QuotaLedger, WhoIsQuietIsForgotten) {
  QuotaLedger ledger(kWindows);
  for (int i = 0; i < 1000; ++i) (void)ledger.Charge(kProduce, std::to_string(i), 1000, 1000, At(0s));
  EXPECT_EQ(ledger.size(), 1000u);
  for (int i = 0; i < 200; ++i)
    (void)ledger.Charge(kProduce, "later" + std::to_string(i), 1000, 1000, At(20s));
  EXPECT_LE(ledger.size(), 200u);
}

TEST(QuotaPicture, TheOwnQuotaStandsOverTheDefaultEachForItself) {
  QuotaPicture picture;
  EXPECT_FALSE(picture.any());
  picture.defaults = LimitsOf({{"producer_byte_rate", "100"}, {"consumer_byte_rate", "200"}});
  picture.by_client["app"] = LimitsOf({{"producer_byte_rate", "500.5"}, {"request_percentage", "50"}});
  EXPECT_EQ(picture.Of("app"), (QuotaLimits{.produce = 500.5, .fetch = 200, .request = 50}));
  EXPECT_EQ(picture.Of("other"), (QuotaLimits{.produce = 100, .fetch = 200, .request = {}}));
}

}  // namespace
}  // namespace tidemark
