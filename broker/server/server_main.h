// The programs tidemark-server-start and tidemark-server-stop. tools/main.cc calls them by name.
#pragma once

#include "common/error.h"

namespace tidemark {

// tidemark-server-start [-daemon] server.properties [--override name=value]... [glog's flags]
// In the foreground it is the broker itself: same pid, logs on stderr. Ends on SIGTERM or SIGINT after a
// controlled shutdown. Exit status: 0 after an orderly end, 1 when the broker could not start or go on, 2 for
// a wrong command line or configuration, also one that log.dirs or ZooKeeper contradict.
int ServerMain(int argc, char** argv);

// Of a broker that could not start.
int StartExitStatus(const Error& error);

// tidemark-server-stop [server.properties]
// Stops the broker whose log directory the file names; without a file the only broker of this user. Exit
// status: 0 when it is gone, 1 when there is none, 2 when there are several (they are listed) or the command
// line is wrong.
int ServerStopMain(int argc, char** argv);

}  // namespace tidemark
