#include "broker/server/metadata_answer.h"

#include <set>
#include <string>
#include <string_view>
#include <unordered_set>

#include "common/nearest_name.h"

namespace tidemark {
namespace {

// Says of unknown names what may have been meant. Each hint compares with every topic there is, so only the
// first names of an answer get one.
class NameHints {
 public:
  explicit NameHints(const ClusterSnapshot& snapshot) : snapshot_(snapshot) {}

  Error Unknown(const std::string& name) {
    if (Result<> legal = ValidateTopicName(name); !legal) return legal.error();
    const std::string nearest = given_++ < kMost ? NearestName(name, snapshot_.TopicNames()) : std::string();
    return {v1::UNKNOWN_TOPIC_OR_PARTITION,
            nearest.empty() ? fmt::format("there is no topic '{}'", name)
                            : fmt::format("there is no topic '{}'; did you mean '{}'?", name, nearest)};
  }

 private:
  static constexpr int kMost = 8;
  const ClusterSnapshot& snapshot_;
  int given_ = 0;
};

// The topics of one answer that are named one by one.
class NamedTopics {
 public:
  NamedTopics(const ClusterSnapshot& snapshot, v1::MetadataResponse* out)
      : snapshot_(snapshot), hints_(snapshot), out_(out) {}

  // The bytes added to the answer: none where that was told before.
  size_t Add(const v1::MetadataRequest::Topic& wanted) {
    const bool by_name = wanted.id().empty();
    const Result<TopicId> id = by_name ? TopicId() : TopicId::FromBytes(wanted.id());
    const TopicInfo* topic = nullptr;
    if (id) topic = by_name ? snapshot_.Topic(wanted.name()) : snapshot_.Topic(*id);
    if (topic != nullptr) {
      if (!told_.insert(topic).second) return 0;
      v1::TopicMetadata* added = out_->add_topics();
      snapshot_.FillTopic(*topic, added);
      return added->ByteSizeLong();
    }
    const bool news =
        by_name ? unknown_names_.insert(wanted.name()).second : unknown_ids_.insert(wanted.id()).second;
    if (!news) return 0;
    v1::TopicMetadata* added = out_->add_topics();
    added->set_name(wanted.name());
    added->set_id(wanted.id());
    Error error{v1::UNKNOWN_TOPIC_ID, "no topic has this id"};
    if (!id) {
      error = id.error();
    } else if (by_name) {
      error = hints_.Unknown(wanted.name());
    }
    ToProto(error, added->mutable_error());
    return added->ByteSizeLong();
  }

 private:
  const ClusterSnapshot& snapshot_;
  NameHints hints_;
  v1::MetadataResponse* out_;
  std::unordered_set<const TopicInfo*> told_;
  // Of the request.
  std::set<std::string_view> unknown_names_;
  std::set<std::string_view> unknown_ids_;
};

// Counts down to what an answer may have.
class AnswerRoom {
 public:
  explicit AnswerRoom(size_t most) : most_(most) {}
  Result<> Take(size_t bytes) {
    taken_ += bytes;
    if (taken_ <= most_) return {};
    return Fail(v1::MESSAGE_TOO_LARGE, "the answer would have more than {} bytes: ask for fewer topics",
                most_);
  }

 private:
  const size_t most_;
  size_t taken_ = 0;
};

}  // namespace

Result<> FillMetadata(const ClusterSnapshot& snapshot, const v1::MetadataRequest& request, size_t most_bytes,
                      v1::MetadataResponse* out) {
  AnswerRoom room(most_bytes);
  if (request.all_topics()) {
    for (const std::string& name : snapshot.TopicNames()) {
      v1::TopicMetadata* added = out->add_topics();
      snapshot.FillTopic(*snapshot.Topic(name), added);
      TM_RETURN_IF_ERROR(room.Take(added->ByteSizeLong()));
    }
    return {};
  }
  NamedTopics topics(snapshot, out);
  for (const auto& wanted : request.topics()) TM_RETURN_IF_ERROR(room.Take(topics.Add(wanted)));
  return {};
}

}  // namespace tidemark
