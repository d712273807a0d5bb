// The makers of the commands, one per file of this folder; commands.cc lists them.
#pragma once

#include "tools/command.h"

namespace tidemark {

Command BrokerApiVersionsCommand();
Command ClusterCommand();
Command ConfigsCommand();
Command ConsoleConsumerCommand();
Command ConsoleProducerCommand();
Command ConsumerGroupsCommand();
Command ConsumerPerfCommand();
Command DeleteRecordsCommand();
Command DumpLogCommand();
Command GetOffsetsCommand();
Command LogDirsCommand();
Command ProducerPerfCommand();
Command TopicsCommand();

// A wrong command line: prints the error, returns kExitUsage.
int ReportUsage(const Error& error);

}  // namespace tidemark
