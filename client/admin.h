// Admin: topics, configs and the state of replicas. Loop-affine. Every call goes to any broker, which
// forwards it to the controller; NOT_CONTROLLER and passing trouble are retried until the deadline. A
// repeated call that finds the work done has done it, where the answer of an earlier try was lost: a topic
// that is there as asked counts as created, one that is not there as deleted. Error::unknown_outcome of a
// call that failed: it may have been done, or may yet be.
#pragma once

#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/delete_records.h"
#include "tidemark/v1/admin_api.pb.h"

namespace tidemark {

class Admin {
 public:
  explicit Admin(Cluster& cluster) : cluster_(cluster) {}

  // Per-topic outcomes are in the answer.
  Task<Result<v1::CreateTopicsResponse>> CreateTopics(v1::CreateTopicsRequest request, MonoTime deadline);
  Task<Result<v1::DeleteTopicsResponse>> DeleteTopics(v1::DeleteTopicsRequest request, MonoTime deadline);
  Task<Result<v1::CreatePartitionsResponse>> CreatePartitions(v1::CreatePartitionsRequest request,
                                                              MonoTime deadline);
  Task<Result<v1::DescribeTopicsResponse>> DescribeTopics(std::vector<std::string> names, MonoTime deadline);
  // kNoBroker asks any; a broker tells all configs of itself only.
  Task<Result<v1::DescribeConfigsResponse>> DescribeConfigs(v1::DescribeConfigsRequest request,
                                                            MonoTime deadline, BrokerId broker = kNoBroker);
  Task<Result<v1::AlterConfigsResponse>> AlterConfigs(v1::AlterConfigsRequest request, MonoTime deadline);
  // The picture as one broker has it: kNoBroker asks any.
  Task<Result<v1::MetadataResponse>> Metadata(v1::MetadataRequest request, BrokerId broker,
                                              MonoTime deadline);
  Task<Result<v1::DescribeReplicasResponse>> DescribeReplicas(BrokerId broker,
                                                              std::vector<std::string> topic_ids,
                                                              MonoTime deadline);
  // One broker's log directories; empty `topic_ids`: with all replicas.
  Task<Result<v1::DescribeLogDirsResponse>> DescribeLogDirs(BrokerId broker,
                                                            std::vector<std::string> topic_ids,
                                                            MonoTime deadline);
  // Per-replica outcomes are in the answer.
  Task<Result<v1::AlterReplicaLogDirsResponse>> AlterReplicaLogDirs(BrokerId broker,
                                                                    v1::AlterReplicaLogDirsRequest request,
                                                                    MonoTime deadline);
  // What that broker understands.
  Task<Result<v1::ApiVersionsResponse>> ApiVersions(BrokerId broker, MonoTime deadline);
  // Asks the leaders; per-partition outcomes. Timestamps as in ListOffsetsRequest.
  struct OffsetAnswer {
    PartitionIndex partition = 0;
    Result<std::optional<Offset>> offset;
    WallMillis timestamp = -1;
  };
  Task<Result<std::vector<OffsetAnswer>>> ListOffsets(std::string topic, int64_t timestamp,
                                                      MonoTime deadline);
  // Deletes records through the leaders; per-partition outcomes, in the order asked.
  Task<std::vector<DeletionOutcome>> DeleteRecords(std::vector<RecordDeletion> deletions, MonoTime deadline);
  // Waits until every live broker's metadata shows the topic with leaders for all partitions (or, when
  // `gone`, shows it no more), and the leaders serve it. REQUEST_TIMED_OUT says which broker or partition it
  // waits for.
  Task<Result<>> AwaitTopic(std::string topic, bool gone, MonoTime deadline);

 private:
  // One request's worth.
  Task<Result<v1::DescribeConfigsResponse>> DescribeSomeConfigs(v1::DescribeConfigsRequest request,
                                                                MonoTime deadline, BrokerId broker);
  // Of a broker itself, in one try, told of when it takes long; for what changes nothing, so that no error
  // says that it may have been done.
  Task<Result<v1::Response>> ReadFrom(BrokerId broker, v1::Request request, MonoTime deadline);
  // `*may_be_done`, where given, becomes true when a try that failed may have had its effect; the error of a
  // call that has failed says so itself.
  Task<Result<v1::Response>> CallController(v1::Request request, MonoTime deadline,
                                            bool* may_be_done = nullptr);
  // What "exists already" of a repeated call is made of (admin_retries.cc).
  Task<void> KnowOwnTopics(const v1::CreateTopicsRequest& request, v1::CreateTopicsResponse* response,
                           MonoTime deadline);
  Task<void> KnowOwnPartitions(const v1::CreatePartitionsRequest& request,
                               v1::CreatePartitionsResponse* response, MonoTime deadline);
  Cluster& cluster_;
};

}  // namespace tidemark
