#include "tools/kafka_rows.h"

namespace tidemark {

FlagSpec RowsFlag() {
  FlagSpec flag = OutputFlag();
  flag.help = "Prints rows, as the nouns and verbs do (default: Kafka's text).";
  return flag;
}

Result<std::optional<OutputFormat>> RowFormatOf(const Arguments& arguments) {
  const bool dry_run = arguments.Has("dry-run") && !arguments.Has("reset-offsets");
  if (!arguments.Has("output") && !dry_run) return std::nullopt;
  TM_ASSIGN_OR_RETURN(const OutputFormat format, FormatOf(arguments));
  return format;
}

}  // namespace tidemark
