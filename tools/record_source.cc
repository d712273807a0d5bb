#include "tools/record_source.h"

#include <fmt/format.h>

#include <cstdio>

#include "client/group_consumer.h"
#include "client/list_offsets.h"
#include "tools/output.h"

namespace tidemark {
namespace {

// Says on stderr when records may have been missed; runs on the client's loop.
ConsumerOptions Talking(ConsumerOptions options) {
  options.on_reset = [](const PositionReset& reset) { Say("warning: {}", ToString(reset)); };
  return options;
}

class AssignedSource final : public RecordSource {
 public:
  AssignedSource(ToolSession& session, const ConsumerOptions& options, AssignedPartitions what)
      : session_(session), options_(Talking(options)), what_(std::move(what)) {}

  Result<> Open() override {
    return session_.Run([this]() -> Task<Result<>> {
      consumer_ = std::make_unique<Consumer>(session_.cluster(), options_);
      for (const std::string& topic : what_.topics) {
        if (what_.partition) {
          TM_CO_RETURN_IF_ERROR(co_await consumer_->Assign(topic, *what_.partition, what_.start));
        } else {
          TM_CO_RETURN_IF_ERROR(co_await consumer_->AssignAll(topic, what_.start));
        }
      }
      co_return Result<>();
    });
  }
  Result<PolledBatch> Poll(MonoTime deadline) override {
    return session_.Run([&] { return consumer_->Poll(deadline); });
  }
  // Other partitions go on after damage in one.
  bool EndsWith(const Error& error) const override {
    return error.code == v1::UNKNOWN_TOPIC_ID || error.code == v1::OFFSET_OUT_OF_RANGE;
  }
  std::map<TopicPartition, Error> Refused() override {
    return session_.Run(
        [this]() -> Task<std::map<TopicPartition, Error>> { co_return consumer_->Refused(); });
  }
  void Unread(const PolledBatch&, size_t) override {}
  Result<> Close() override {
    session_.Run([this]() -> Task<void> {
      co_await consumer_->Close();
      consumer_.reset();
    });
    return {};
  }

 private:
  ToolSession& session_;
  const ConsumerOptions options_;
  const AssignedPartitions what_;
  std::unique_ptr<Consumer> consumer_;
};

// Says what people should know; runs on the client's loop.
class TalkingListener final : public RebalanceListener {
 public:
  Task<void> OnLost(std::vector<TopicPartition> partitions, Error why) override {
    Say("warning: {} partitions were taken away: {}; joining again", partitions.size(), ToString(why));
    co_return;
  }
};

class GroupSource final : public RecordSource {
 public:
  GroupSource(ToolSession& session, const ConsumerOptions& options, std::vector<std::string> topics,
              std::string regex)
      : session_(session), options_(Talking(options)), topics_(std::move(topics)), regex_(std::move(regex)) {}

  Result<> Open() override {
    for (const std::string& topic : topics_) {
      // A group may wait for a topic that is made later; a person who names one has rather mistyped it.
      TM_RETURN_IF_ERROR(session_.Run(
          [&] { return EnsureTopic(session_.cluster(), topic, session_.After(kAdminTimeout), {}); }));
    }
    return session_.Run([this]() -> Task<Result<>> {
      consumer_ = std::make_unique<GroupConsumer>(session_.cluster(), options_, &listener_);
      begun_ = session_.loop().Now();
      co_return regex_.empty() ? consumer_->Subscribe(topics_) : consumer_->SubscribePattern(regex_);
    });
  }
  Result<PolledBatch> Poll(MonoTime deadline) override {
    return session_.Run([&]() -> Task<Result<PolledBatch>> {
      auto batch = co_await consumer_->Poll(deadline);
      SayWhatItWaitsFor();
      co_return batch;
    });
  }
  bool EndsWith(const Error& error) const override {
    return error.code != v1::CORRUPT_MESSAGE && error.code != v1::LOG_TRUNCATED;
  }
  std::map<TopicPartition, Error> Refused() override {
    return session_.Run(
        [this]() -> Task<std::map<TopicPartition, Error>> { co_return consumer_->Refused(); });
  }
  void Unread(const PolledBatch& batch, size_t count) override {
    StartPosition start{StartPosition::Kind::kOffset, static_cast<int64_t>(batch.records[count].view.offset)};
    if (count > 0) start.epoch = batch.records[count - 1].leader_epoch;
    session_.Run([&]() -> Task<void> {
      // Where the partition has been taken away meanwhile nothing is committed anyway.
      (void)consumer_->Seek({batch.topic, batch.partition}, start);
      co_return;
    });
  }
  Result<> Close() override {
    if (!consumer_) return {};
    return session_.Run([this]() -> Task<Result<>> {
      Result<> closed = co_await consumer_->Close();
      consumer_.reset();
      co_return closed;
    });
  }

 private:
  // After two seconds, and once per reason.
  void SayWhatItWaitsFor() {
    const auto problem = consumer_->problem();
    if (!problem) {
      begun_ = session_.loop().Now();
      said_ = v1::NONE;
    } else if (problem->code != said_ && session_.loop().Now() - begun_ >= 2s) {
      said_ = problem->code;
      Say("waiting for group '{}': {}", options_.group_id, ToString(*problem));
    }
  }

  ToolSession& session_;
  const ConsumerOptions options_;
  const std::vector<std::string> topics_;
  const std::string regex_;
  TalkingListener listener_;
  std::unique_ptr<GroupConsumer> consumer_;
  MonoTime begun_{};
  ErrorCode said_ = v1::NONE;
};

}  // namespace

std::unique_ptr<RecordSource> MakeAssignedSource(ToolSession& session, const ConsumerOptions& options,
                                                 AssignedPartitions what) {
  return std::make_unique<AssignedSource>(session, options, std::move(what));
}

std::unique_ptr<RecordSource> MakeGroupSource(ToolSession& session, const ConsumerOptions& options,
                                              std::vector<std::string> topics, std::string regex) {
  return std::make_unique<GroupSource>(session, options, std::move(topics), std::move(regex));
}

}  // namespace tidemark
