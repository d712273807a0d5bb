// The input of tidemark-delete-records, apart from the command so that it is tested by itself. Pure.
#pragma once

#include <string>
#include <vector>

#include "client/delete_records.h"
#include "common/result.h"

namespace tidemark {

// Kafka's offset file: {"partitions": [{"topic": NAME, "partition": N, "offset": N}], "version": 1}. An
// offset of -1 is the high watermark. INVALID_REQUEST says what is wrong: no such JSON, a part missing, a
// partition twice.
Result<std::vector<RecordDeletion>> ParseOffsetFile(const std::string& text);

class ToolSession;

// Deletes, a part of them at a time where there are many, with a bar; outcomes in the order asked.
std::vector<DeletionOutcome> DeleteRecordsShown(ToolSession& session,
                                                const std::vector<RecordDeletion>& deletions);
// Where the log of `start` to `end` begins after the deletion. OFFSET_OUT_OF_RANGE: it ends before that.
Result<Offset> NewLogStart(const RecordDeletion& deletion, Offset start, Offset end);

}  // namespace tidemark
