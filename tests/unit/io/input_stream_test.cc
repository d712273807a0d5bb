#include "common/io/input_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include <glog/logging.h>

namespace tidemark {
namespace {

// The reading end of a pipe that holds `text` and that nobody writes to any more, by its path.
class FinishedPipe {
 public:
  explicit FinishedPipe(const std::string& text) {
    int ends[2];
    CHECK_EQ(::pipe(ends), 0);
    CHECK_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(ends[1]);
    reading_ = ends[0];
  }
  ~FinishedPipe() { ::close(reading_); }
  std::string path() const { return "/dev/fd/" + std::to_string(reading_); }

 private:
  int reading_;
};

TEST(InputStream, APipeIsReadToItsEndAlthoughItHasNoSize) {
  const std::string text = std::string(40'000, 'a') + "\nlast";
  EXPECT_EQ(ReadToEnd(FinishedPipe(text).path()).value(), text);
  EXPECT_EQ(ReadToEnd(FinishedPipe("").path()).value(), "");
  EXPECT_THAT(ReadToEnd("/proc/self/stat").value(), testing::Not(testing::IsEmpty()));
}

TEST(InputStream, WhatIsTooLargeOrNoFileIsAnError) {
  EXPECT_EQ(ReadToEnd(FinishedPipe("12345").path(), 5).value(), "12345");
  EXPECT_EQ(ReadToEnd(FinishedPipe("123456").path(), 5).error().code, v1::IO_ERROR);
  EXPECT_EQ(ReadToEnd("/dev/zero", 1 << 20).error().code, v1::IO_ERROR);
  EXPECT_EQ(ReadToEnd("/").error().code, v1::IO_ERROR);
  EXPECT_EQ(ReadToEnd("/nonexistent/file").error().code, v1::NOT_FOUND);
}

}  // namespace
}  // namespace tidemark
