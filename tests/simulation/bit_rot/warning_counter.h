// WarningCounter: counts and keeps what is logged as a warning or an error. One per process; glog may call it
// from any thread, a simulation has one.
#pragma once

#include <string>
#include <vector>

#include <glog/logging.h>

namespace tidemark {

class WarningCounter final : public google::LogSink {
 public:
  WarningCounter() { google::AddLogSink(this); }
  ~WarningCounter() override { google::RemoveLogSink(this); }

  void send(google::LogSeverity severity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t length) override {
    if (severity >= google::GLOG_WARNING) told_.emplace_back(message, length);
  }

  void Clear() { told_.clear(); }
  const std::vector<std::string>& told() const { return told_; }

 private:
  std::vector<std::string> told_;
};

}  // namespace tidemark
