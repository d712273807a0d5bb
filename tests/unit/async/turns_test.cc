#include "common/async/turns.h"

#include <algorithm>
#include <string>

#include "tests/unit/async/async_fixture.h"

namespace tidemark {
namespace {

struct Runner {
  Turns& turns;
  std::string* log;

  // Takes a turn, notes it, and keeps it until `release` is there.
  Task<void> Run(char name, std::shared_ptr<OneShot<bool>> release, MonoTime deadline, std::stop_token stop) {
    const auto turn = co_await turns.Take("turn", deadline, stop);
    log->push_back(turn ? name : '-');
    if (turn) (void)co_await release->Wait("release");
  }
};

class TurnsTest : public LoopTest {
 protected:
  std::shared_ptr<OneShot<bool>> Begin(char name, MonoTime deadline = kNoDeadline,
                                       std::stop_token stop = {}) {
    auto release = std::make_shared<OneShot<bool>>(loop_);
    scope_.Spawn("turn", runner_.Run(name, release, deadline, std::move(stop)));
    return release;
  }
  void Release(const std::shared_ptr<OneShot<bool>>& release) {
    release->Set(true);
    Settle();
  }

  Turns turns_{loop_, 2};
  std::string log_;
  Runner runner_{turns_, &log_};
};

TEST_F(TurnsTest, GoRoundInTheOrderOfAsking) {
  const auto a = Begin('a'), b = Begin('b'), c = Begin('c'), d = Begin('d');
  EXPECT_EQ(log_, "ab");
  EXPECT_EQ(turns_.waiting(), 2u);
  Release(b);
  EXPECT_EQ(log_, "abc");
  Release(a);
  EXPECT_EQ(log_, "abcd");
  Release(c);
  Release(d);
  const auto e = Begin('e'), f = Begin('f'), g = Begin('g');
  EXPECT_EQ(log_, "abcdef") << "none was lost";
  for (const auto& one : {e, f, g}) Release(one);
  EXPECT_EQ(log_, "abcdefg");
}

TEST_F(TurnsTest, ArePassedByWhoGaveUp) {
  std::stop_source stop;
  const auto a = Begin('a'), b = Begin('b');
  (void)Begin('c', kNoDeadline, stop.get_token());
  (void)Begin('d', kNoDeadline, stop.get_token());
  const auto e = Begin('e');
  // Given up and not resumed yet, when a turn comes free.
  stop.request_stop();
  a->Set(true);
  Settle();
  Settle();
  EXPECT_EQ(std::ranges::count(log_, '-'), 2);
  EXPECT_EQ(std::ranges::count(log_, 'e'), 1);
  EXPECT_EQ(turns_.waiting(), 0u);
  Release(b);
  Release(e);
  const auto f = Begin('f'), g = Begin('g');
  EXPECT_TRUE(log_.ends_with("fg")) << log_;
  Release(f);
  Release(g);
}

}  // namespace
}  // namespace tidemark
