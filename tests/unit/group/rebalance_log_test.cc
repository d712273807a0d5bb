// The log lines of rebalances: what they say, and how many there may be.
#include "broker/group/rebalance_log.h"

#include <gmock/gmock.h>

namespace tidemark {
namespace {

using testing::Eq;
using testing::HasSubstr;
using testing::Not;
using testing::Optional;

class RebalanceLines : public testing::Test {
 protected:
  RebalanceLines() : group_("readers") { Rebalance("member 'a' joined"); }
  void Rebalance(const std::string& detail) {
    v1::GroupMetadataValue metadata;
    metadata.set_group_epoch(++epoch_);
    metadata.mutable_last_rebalance()->set_cause(v1::REBALANCE_CAUSE_MEMBER_JOINED);
    metadata.mutable_last_rebalance()->set_detail(detail);
    GroupChange(group_).PutMetadata(std::move(metadata));
  }

  Group group_;
  RebalanceLog log_;
  uint32_t epoch_ = 6;
  MonoTime now_ = MonoTime(1h);
};

TEST_F(RebalanceLines, NameGroupEpochAndCause) {
  EXPECT_THAT(log_.LineFor(group_, now_),
              Optional(Eq("group 'readers' rebalances, epoch 7: member_joined: member 'a' "
                          "joined; it has 0 members")));
}

TEST_F(RebalanceLines, AreOneLineWhateverAClientCallsItself) {
  Rebalance("member 'a\nE1121 12:00:00 broker.cc:1] all is lost\x7f' joined");
  EXPECT_THAT(log_.LineFor(group_, now_),
              Optional(HasSubstr("member 'a\\x0aE1121 12:00:00 broker.cc:1] all is lost\\x7f'")));
}

TEST_F(RebalanceLines, AreLimitedAndTheNextOneSaysHowManyWereLeftOut) {
  for (size_t i = 0; i < RebalanceLog::kBurst; ++i) ASSERT_TRUE(log_.LineFor(group_, now_)) << i;
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(log_.LineFor(group_, now_));
  now_ += RebalanceLog::kInterval;
  EXPECT_THAT(log_.LineFor(group_, now_),
              Optional(HasSubstr("(7 rebalances of groups before this one were not logged)")));
  EXPECT_FALSE(log_.LineFor(group_, now_)) << "one per interval";
  now_ += RebalanceLog::kInterval;
  EXPECT_THAT(log_.LineFor(group_, now_), Optional(HasSubstr("(1 rebalances")));
  now_ += 1h;
  for (size_t i = 0; i < RebalanceLog::kBurst; ++i)
    EXPECT_THAT(log_.LineFor(group_, now_), Optional(Not(HasSubstr("not logged")))) << i;
  EXPECT_FALSE(log_.LineFor(group_, now_)) << "a quiet hour does not pay for more than a burst";
}

}  // namespace
}  // namespace tidemark
