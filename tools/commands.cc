#include "tools/commands.h"

#include "broker/server/server_main.h"

namespace tidemark {

const std::vector<Command>& Commands() {
  static const auto* commands = new std::vector<Command>{
      {"server-start",
       "runs a broker in the foreground (with -daemon: in the background)",
       {},
       {},
       {},
       nullptr,
       ServerMain},
      {"server-stop",
       "stops the broker of a properties file, or the only one of this user",
       {},
       {},
       {},
       nullptr,
       ServerStopMain},
      TopicsCommand(),
      ConfigsCommand(),
      ConsoleProducerCommand(),
      ConsoleConsumerCommand(),
      ConsumerGroupsCommand(),
      DeleteRecordsCommand(),
      DumpLogCommand(),
      GetOffsetsCommand(),
      LogDirsCommand(),
      ProducerPerfCommand(),
      ConsumerPerfCommand(),
      ClusterCommand(),
      BrokerApiVersionsCommand(),
  };
  return *commands;
}

}  // namespace tidemark
