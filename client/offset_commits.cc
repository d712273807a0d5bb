#include "client/offset_commits.h"

namespace tidemark::internal {

void FillCommit(const CommitItems& items, v1::OffsetCommitRequest* out) {
  v1::OffsetCommitRequest::Topic* topic = nullptr;
  std::optional<TopicId> begun;
  for (const auto& [key, item] : items) {
    // Sorted by topic, so each topic is begun once.
    if (begun != key.topic) {
      topic = out->add_topics();
      topic->set_topic_id(key.topic.ToBytes());
      begun = key.topic;
    }
    v1::OffsetCommitRequest::Partition* partition = topic->add_partitions();
    partition->set_partition(key.partition);
    partition->set_offset(item.what.offset);
    if (item.what.leader_epoch) partition->set_leader_epoch(*item.what.leader_epoch);
    partition->set_metadata(item.what.metadata);
  }
}

std::map<PartitionKey, Result<>> ReadCommit(const CommitItems& items,
                                            const v1::OffsetCommitResponse& answer) {
  std::map<std::pair<std::string, PartitionIndex>, const v1::Error*> told;
  for (const auto& topic : answer.topics()) {
    for (const auto& partition : topic.partitions())
      told[{topic.topic_id(), partition.partition()}] = &partition.error();
  }
  std::map<PartitionKey, Result<>> outcomes;
  for (const auto& [key, item] : items) {
    const auto found = told.find({key.topic.ToBytes(), key.partition});
    if (found == told.end()) {
      outcomes[key] = Fail(v1::UNKNOWN_SERVER_ERROR, "the coordinator did not answer for {}-{}", item.topic,
                           key.partition);
    } else if (found->second->code() != v1::NONE) {
      outcomes[key] = std::unexpected(FromProto(*found->second));
    } else {
      outcomes[key] = {};
    }
  }
  return outcomes;
}

}  // namespace tidemark::internal
