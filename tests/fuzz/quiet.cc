// What targets with much to log do first: nothing below FATAL is written, nor what protobuf says of bytes
// that do not parse.
#include <glog/logging.h>
#include <google/protobuf/stubs/logging.h>

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  FLAGS_minloglevel = google::FATAL;
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}
