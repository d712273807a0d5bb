#include "common/net/framing.h"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/unit/net/transport_contract.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {
namespace {

std::string Framed(const std::string& content) {
  std::string frame(4, '\0');
  for (int i = 0; i < 4; ++i)
    frame[static_cast<size_t>(i)] = static_cast<char>(content.size() >> (24 - 8 * i));
  return frame + content;
}

// Gives `bytes` to the reader in pieces of at most `step`, and takes all frames.
std::vector<std::string> Feed(FrameReader* reader, std::string_view bytes, size_t step, FrameStatus* last) {
  std::vector<std::string> frames;
  while (!bytes.empty()) {
    const std::span<char> buffer = reader->Buffer();
    EXPECT_FALSE(buffer.empty());
    const size_t n = std::min({buffer.size(), bytes.size(), step});
    std::memcpy(buffer.data(), bytes.data(), n);
    bytes.remove_prefix(n);
    reader->Commit(n);
    std::string_view frame;
    while ((*last = reader->Next(&frame)) == FrameStatus::kFrame) frames.emplace_back(frame);
    if (*last != FrameStatus::kMore) break;
  }
  return frames;
}

TEST(FrameReader, CutsFramesOfAnySizeOutOfPiecesOfAnySize) {
  std::vector<std::string> contents;
  std::string stream;
  for (size_t size : {0, 1, 3, 100, 5000, 70000, 10, 300000, 65532, 65533, 1, 1000000, 0, 7}) {
    contents.push_back(PatternBytes(size, static_cast<uint32_t>(size)));
    stream += Framed(contents.back());
  }
  for (size_t step : {1000000000, 100000, 65536, 4097, 1448, 3}) {
    FrameReader reader(1 << 20);
    FrameStatus last;
    EXPECT_TRUE(Feed(&reader, stream, step, &last) == contents) << "in steps of " << step;
    EXPECT_EQ(last, FrameStatus::kMore);
    EXPECT_EQ(reader.buffered(), 0u);
  }
}

TEST(FrameReader, AllocatesNothingForALengthThatOnlyClaims) {
  FrameReader reader(16 << 20);
  FrameStatus last;
  Feed(&reader, std::string("\x00\xff\xff\xff", 4), 4, &last);
  EXPECT_EQ(last, FrameStatus::kMore);
  EXPECT_FALSE(reader.Buffer().empty());
  EXPECT_LE(reader.capacity(), 64u * 1024);
  Feed(&reader, PatternBytes(200000, 1), 1 << 20, &last);
  EXPECT_LE(reader.capacity(), 2 * 200004u) << "at most twice what has come";
}

TEST(FrameReader, GivesALargeBufferBackWhenLargeFramesStop) {
  FrameReader reader(16 << 20);
  FrameStatus last;
  Feed(&reader, Framed(PatternBytes(4 << 20, 1)), 1 << 20, &last);
  EXPECT_GE(reader.capacity(), size_t{4} << 20);
  for (int i = 0; i < 100; ++i) Feed(&reader, Framed("small"), 1 << 20, &last);
  EXPECT_LE(reader.capacity(), 64u * 1024);
  reader.ReleaseIfEmpty();
  EXPECT_EQ(reader.capacity(), 0u);
  EXPECT_EQ(Feed(&reader, Framed("again"), 2, &last), std::vector<std::string>{"again"});
}

TEST(FrameReader, RefusesALengthOverTheLimitByItsHeaderAlone) {
  FrameReader reader(1000);
  FrameStatus last;
  Feed(&reader, std::string("\x00\x00\x03\xe9", 4), 1, &last);
  EXPECT_EQ(last, FrameStatus::kTooLarge);
  EXPECT_EQ(reader.refused_length(), 1001u);
}

TEST(FrameReader, KnowsOtherProtocolsGreetings) {
  for (const char* greeting :
       {"GET / HTTP/1.1\r\n", "POST /", "HEAD /", "PUT /x", "DELETE /", "OPTIONS *", "PRI * HTTP/2.0"}) {
    FrameReader reader(16 << 20);
    FrameStatus last;
    Feed(&reader, greeting, 2, &last);
    EXPECT_EQ(last, FrameStatus::kHttp) << greeting;
  }
  FrameReader reader(16 << 20);
  FrameStatus last;
  Feed(&reader, std::string("\x16\x03\x01\x02\x00\x01\x00", 7), 100, &last);
  EXPECT_EQ(last, FrameStatus::kTls);
}

TEST(EncodeFrame, IsTheLengthAndTheMessage) {
  v1::Request request;
  request.mutable_header()->set_client_id("me");
  request.mutable_metadata();
  const std::string content = request.SerializeAsString();
  EXPECT_EQ(EncodeFrame(request), Framed(content));
  for (size_t size = 0; size < 100; ++size) {
    request.mutable_header()->set_client_id(std::string(size, 'x'));
    EXPECT_EQ(EncodeFrame(request), Framed(request.SerializeAsString())) << size;
  }
  EXPECT_EQ(EncodeFrame(v1::Request()), std::string(4, '\0'));
}

TEST(EncodeFrame, TellsTheSizeOfAMessageOverTheLimit) {
  v1::Request request;
  request.mutable_header()->set_client_id(std::string(100, 'x'));
  const size_t size = request.ByteSizeLong();
  const auto fits = EncodeFrameWithin(request, size);
  ASSERT_TRUE(fits);
  EXPECT_EQ(*fits, EncodeFrame(request));
  const auto refused = EncodeFrameWithin(request, size - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), size);
}

}  // namespace
}  // namespace tidemark
