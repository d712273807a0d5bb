// RecordSource: where the console consumer's records come from: partitions that it assigns to itself, or a
// consumer group. Main thread; the client runs on the session's loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/consumer.h"
#include "client/options.h"
#include "tools/session.h"

namespace tidemark {

class RecordSource {
 public:
  virtual ~RecordSource() = default;
  virtual Result<> Open() = 0;
  // The records are valid until the next call. LOG_TRUNCATED: what was printed stands in the log no more;
  // records go on.
  virtual Result<PolledBatch> Poll(MonoTime deadline) = 0;
  // True when nothing comes any more after this error of Poll.
  virtual bool EndsWith(const Error& error) const = 0;
  // Partitions of which nothing comes now, and why; they are asked again.
  virtual std::map<TopicPartition, Error> Refused() = 0;
  // The records of the last poll from the `count`th on were not printed: a group is not to count them as
  // read.
  virtual void Unread(const PolledBatch& batch, size_t count) = 0;
  // Commits what was printed, where there is a group, and ends.
  virtual Result<> Close() = 0;
};

struct AssignedPartitions {
  std::vector<std::string> topics;
  std::optional<PartitionIndex> partition;  // only this one of each
  StartPosition start;
};
std::unique_ptr<RecordSource> MakeAssignedSource(ToolSession& session, const ConsumerOptions& options,
                                                 AssignedPartitions what);

// Reads `topics` or, where they are empty, those whose names match `regex`, as a member of the options'
// group.
std::unique_ptr<RecordSource> MakeGroupSource(ToolSession& session, const ConsumerOptions& options,
                                              std::vector<std::string> topics, std::string regex);

}  // namespace tidemark
