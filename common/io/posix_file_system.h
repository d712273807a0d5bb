// The real FileSystem: POSIX calls of Linux. Any thread. Files are created with mode 0600 and directories
// with 0750: what a log holds is nobody else's business.
#pragma once

#include <memory>

#include "common/io/file_system.h"

namespace tidemark {

std::unique_ptr<FileSystem> MakePosixFileSystem();

}  // namespace tidemark
