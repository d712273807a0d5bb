// What tidemark-dump-log finds in segment files, told to a DumpWriter in Kafka's order. Reads only, shares no
// state with a running broker, and needs none. Pure functions over a FileSystem; blocking calls;
// any thread. Text goes to a sink piece by piece, so that a segment's dump is never held whole.
#pragma once

#include <string>

#include "common/io/file_system.h"
#include "common/result.h"
#include "tools/dump_log_writer.h"

namespace tidemark {

// One `.log`, `.index` or `.timeindex` file. The topic and partition that header checksums cover come from
// the folder that the file lies in; where that does not tell, only the bodies' checksums are verified, and a
// line says so. False when something in the file is invalid (it is told in the text). Bytes at the end that
// are no whole batch are told as well, but are no damage by themselves: an unclean stop leaves them.
// NOT_FOUND, IO_ERROR; INVALID_REQUEST for a file of another name.
Result<bool> DumpFile(FileSystem& files, const std::string& path, const DumpOptions& options,
                      const TextSink& out);

}  // namespace tidemark
