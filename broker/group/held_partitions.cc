#include "broker/group/held_partitions.h"

namespace tidemark {
namespace {

// Calls `add` with the message of each key's topic; keys come sorted, so a topic's are neighbours.
template <typename Topics, typename Keys, typename KeyOf, typename Add>
void FillByTopic(const Keys& keys, Topics* out, KeyOf key_of, Add add) {
  const TopicId* topic = nullptr;
  for (const auto& entry : keys) {
    const PartitionKey& key = key_of(entry);
    if (topic == nullptr || *topic != key.topic) {
      topic = &key.topic;
      out->Add()->set_topic_id(key.topic.ToBytes());
    }
    auto* last = out->Mutable(out->size() - 1);
    last->add_partitions(key.partition);
    add(entry, last);
  }
}

const PartitionKey& KeyOfHeld(const HeldPartitions::value_type& entry) { return entry.first; }
const PartitionKey& Itself(const PartitionKey& key) { return key; }

}  // namespace

Result<PartitionKeys> PartitionKeysFrom(const v1::GroupPartitions& partitions) {
  PartitionKeys keys;
  for (const v1::GroupTopicPartitions& topic : partitions.topics()) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.topic_id()));
    for (const uint32_t partition : topic.partitions()) keys.insert({id, partition});
  }
  return keys;
}

Result<HeldPartitions> HeldFrom(const google::protobuf::RepeatedPtrField<v1::HeldTopicPartitions>& topics) {
  HeldPartitions held;
  for (const v1::HeldTopicPartitions& topic : topics) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.topic_id()));
    if (topic.epochs_size() != topic.partitions_size()) {
      return Fail(v1::CORRUPT_MESSAGE, "epochs: {} for {} partitions", topic.epochs_size(),
                  topic.partitions_size());
    }
    for (int i = 0; i < topic.partitions_size(); ++i) held[{id, topic.partitions(i)}] = topic.epochs(i);
  }
  return held;
}

void FillPartitions(const PartitionKeys& keys, v1::GroupPartitions* out) {
  FillByTopic(keys, out->mutable_topics(), Itself, [](const PartitionKey&, v1::GroupTopicPartitions*) {});
}

void FillPartitions(const HeldPartitions& held, v1::GroupPartitions* out) {
  FillByTopic(held, out->mutable_topics(), KeyOfHeld,
              [](const HeldPartitions::value_type&, v1::GroupTopicPartitions*) {});
}

void FillHeld(const HeldPartitions& held, google::protobuf::RepeatedPtrField<v1::HeldTopicPartitions>* out) {
  FillByTopic(held, out, KeyOfHeld,
              [](const HeldPartitions::value_type& entry, v1::HeldTopicPartitions* topic) {
                topic->add_epochs(entry.second);
              });
}

}  // namespace tidemark
