// CoordinatorLink: requests to the broker that coordinates one group, wherever it is now. Owned by whoever
// speaks for the group (a group consumer, an admin call); loop-affine. It keeps no state of the group: any
// request may be sent again after an error that says so.
//
// A coordinator that was replaced may not know it, and may name itself to whoever asks. So a coordinator that
// has failed is not the one that is asked who comes next while another broker answers; where another one
// names it again, it may be asked itself the time after that. What is sent names the highest epoch of a
// coordinator that was told, below which no answer is followed and no coordinator serves.
//
// Heartbeats and commits of a member carry a serial, drawn as they are handed to the connection: what is left
// behind in one that broke is not obeyed after what was sent later over another.
#pragma once

#include <optional>
#include <string>

#include "client/cluster.h"

namespace tidemark::internal {

class CoordinatorLink {
 public:
  CoordinatorLink(Cluster& cluster, std::string group) : cluster_(cluster), group_(std::move(group)) {}

  // One try: finds the coordinator where it is not known, and sends. The error of the answer's one group is
  // the error of the call. An error that another coordinator may not give makes it be found anew next time.
  Task<Result<v1::Response>> Try(v1::Request request, Duration limit, std::stop_token stop);
  // Finds the coordinator, and tries to until the deadline. For who does not wait for a cluster to grow:
  // COORDINATOR_NOT_AVAILABLE, with the broker's reason, when for some seconds there is not even the topic
  // that holds the groups, which a broker that is asked for a coordinator makes.
  Task<Result<>> Locate(MonoTime deadline, std::stop_token stop);
  // Tries until the answer does not depend on who coordinates, or until the deadline. `*unknown_outcome`,
  // where given, becomes true when a try may have had its effect although it failed.
  Task<Result<v1::Response>> Call(v1::Request request, MonoTime deadline, std::stop_token stop,
                                  bool* unknown_outcome = nullptr);

  const std::string& group() const { return group_; }
  // Broker id; kNoBroker: not known.
  BrokerId coordinator() const { return coordinator_; }

 private:
  Task<Result<>> Find(MonoTime deadline, std::stop_token stop);
  Task<bool> HasNoTopic(std::stop_token stop);
  // `any`: also the one that has failed.
  Task<Result<v1::Response>> AskWhere(bool any, MonoTime deadline, std::stop_token stop);
  // What is said anew with each send.
  void Stamp(v1::Request* request);

  Cluster& cluster_;
  const std::string group_;
  BrokerId coordinator_ = kNoBroker;
  Endpoint endpoint_;
  BrokerId failed_ = kNoBroker;  // the last one, where it failed or sent elsewhere
  // The broker asked last named that one again. It may coordinate in a new epoch, of which others have not
  // heard: the next question, and no more than that one, goes to any.
  bool named_again_ = false;
  std::optional<LeaderEpoch> epoch_;  // the highest told
  uint64_t last_serial_ = 0;          // of all sends; a member keeps one link for as long as its id
};

}  // namespace tidemark::internal
