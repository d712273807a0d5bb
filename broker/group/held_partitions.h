// Sets of partitions as groups use them, and their wire forms. Values; pure.
#pragma once

#include <map>
#include <set>

#include "common/types.h"
#include "tidemark/v1/group_records.pb.h"

namespace tidemark {

using PartitionKeys = std::set<PartitionKey>;
// What a member may hold, each with the member epoch that gave it.
using HeldPartitions = std::map<PartitionKey, uint32_t>;

// INVALID_REQUEST where a topic id is not 16 bytes.
Result<PartitionKeys> PartitionKeysFrom(const v1::GroupPartitions& partitions);
Result<HeldPartitions> HeldFrom(const google::protobuf::RepeatedPtrField<v1::HeldTopicPartitions>& topics);

void FillPartitions(const PartitionKeys& keys, v1::GroupPartitions* out);
void FillPartitions(const HeldPartitions& held, v1::GroupPartitions* out);
void FillHeld(const HeldPartitions& held, google::protobuf::RepeatedPtrField<v1::HeldTopicPartitions>* out);

}  // namespace tidemark
