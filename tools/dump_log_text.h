// What tidemark-dump-log prints of segment files: Kafka's words and order, as far as they apply. Reads only,
// shares no state with a running broker, and needs none. Pure functions over a FileSystem; blocking calls;
// any thread. Text goes to a sink piece by piece, so that a segment's dump is never held whole.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/io/file_system.h"
#include "common/result.h"

namespace tidemark {

// Receives whole lines with their line ends, in order.
using TextSink = std::function<void(std::string_view)>;

struct DumpOptions {
  bool deep = false;           // the records below each batch
  bool print_data = false;     // as `deep`, with keys and values
  bool skip_metadata = false;  // with print_data: keys and values alone
  // Of index files: nothing but what is wrong.
  bool verify_index_only = false;
};

// One `.log`, `.index` or `.timeindex` file. The topic and partition that header checksums cover come from
// the folder that the file lies in; where that does not tell, only the bodies' checksums are verified, and a
// line says so. False when something in the file is invalid (it is told in the text). Bytes at the end that
// are no whole batch are told as well, but are no damage by themselves: an unclean stop leaves them.
// NOT_FOUND, IO_ERROR; INVALID_REQUEST for a file of another name.
Result<bool> DumpFile(FileSystem& files, const std::string& path, const DumpOptions& options,
                      const TextSink& out);

}  // namespace tidemark
