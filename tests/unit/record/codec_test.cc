// Checksums, hashes, codecs and the histogram against known values.
#include <gtest/gtest.h>

#include "common/metrics/hdr_histogram.h"
#include "common/record/compression.h"
#include "common/record/crc32c.h"
#include "common/record/murmur2.h"
#include "tests/unit/record/sample.h"

namespace tidemark::testing {
namespace {

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Crc32c, HardwareAndTableAgreeAtEveryLengthAndAlignment) {
  std::string bytes;
  for (int i = 0; i < 600; ++i) bytes.push_back(static_cast<char>(i * 31 + 7));
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; size + start < bytes.size(); size += 7) {
      const std::string_view part = std::string_view(bytes).substr(start, size);
      ASSERT_EQ(Crc32c(part), Crc32cExtendPortable(0, part));
    }
  }
}

TEST(Crc32c, ExtendContinues) {
  const std::string text = "a batch in two pieces";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(Crc32cExtend(Crc32c(text.substr(0, cut)), text.substr(cut)), Crc32c(text));
  }
}

TEST(Murmur2, KafkasVectors) {
  EXPECT_EQ(Murmur2("21"), -973932308);
  EXPECT_EQ(Murmur2("foobar"), -790332482);
  EXPECT_EQ(Murmur2("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(Murmur2("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(Murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(Murmur2("abc"), 479470107);
}

TEST(Murmur2, PartitionIsThePositiveHashModulo) {
  EXPECT_EQ(PartitionForKey("21", 100), ((-973932308u) & 0x7fffffff) % 100);
  EXPECT_EQ(PartitionForKey("abc", 3), 479470107u % 3);
  EXPECT_EQ(PartitionForKey("", 1), 0u);
}

class Codec : public ::testing::TestWithParam<v1::Compression> {};
INSTANTIATE_TEST_SUITE_P(Record, Codec, ::testing::ValuesIn(kAllCodecs),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

std::string Compressed(v1::Compression codec, std::string_view in) {
  std::string out;
  EXPECT_TRUE(Compress(codec, in, &out).has_value());
  return out;
}

TEST_P(Codec, RoundTrip) {
  std::string noise;
  for (uint32_t i = 0, x = 1; i < 300'000; ++i)
    noise.push_back(static_cast<char>((x = x * 1664525 + 1013904223) >> 24));
  for (const std::string& in : {std::string("x"), std::string(1 << 20, 'a'), noise}) {
    const std::string out = Compressed(GetParam(), in);
    ScratchBuffer scratch;
    auto back = Decompress(GetParam(), out, in.size(), scratch);
    ASSERT_TRUE(back.has_value()) << back.error().message;
    EXPECT_EQ(*back, in);
  }
}

TEST_P(Codec, TheDeclaredSizeIsExact) {
  const std::string in = "some records some records some records";
  const std::string out = Compressed(GetParam(), in);
  ScratchBuffer scratch;
  for (size_t size : {size_t{0}, in.size() - 1, in.size() + 1, in.size() * 2}) {
    auto back = Decompress(GetParam(), out, size, scratch);
    ASSERT_FALSE(back.has_value()) << size;
    EXPECT_EQ(back.error().code, v1::CORRUPT_MESSAGE);
  }
}

TEST_P(Codec, TrailingBytesAreRefused) {
  const std::string in = "some records some records some records";
  const std::string out = Compressed(GetParam(), in);
  ScratchBuffer scratch;
  EXPECT_FALSE(Decompress(GetParam(), out + "x", in.size(), scratch).has_value());
  EXPECT_FALSE(Decompress(GetParam(), out + out, in.size(), scratch).has_value());
}

TEST_P(Codec, EveryTruncationIsRefused) {
  const std::string in = "some records some records some records";
  const std::string out = Compressed(GetParam(), in);
  ScratchBuffer scratch;
  for (size_t size = 0; size < out.size(); ++size) {
    const std::string cut(out, 0, size);
    EXPECT_FALSE(Decompress(GetParam(), cut, in.size(), scratch).has_value()) << size;
  }
}

TEST(Codec, NamesAreKafkas) {
  for (v1::Compression codec : kAllCodecs) {
    auto parsed = ParseCompression(CompressionName(codec));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(*parsed, codec);
  }
  auto unknown = ParseCompression("brotli");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("zstd"), std::string::npos);
}

TEST(HdrHistogram, PercentilesHaveThreeDigits) {
  HdrHistogram histogram;
  for (uint64_t i = 1; i <= 100'000; ++i) histogram.Record(i);
  for (double percent : {50.0, 95.0, 99.0, 99.9}) {
    const double exact = percent * 1000;
    EXPECT_NEAR(static_cast<double>(histogram.Percentile(percent)), exact, exact / 1000) << percent;
  }
  EXPECT_EQ(histogram.max(), 100'000u);
  EXPECT_EQ(histogram.min(), 1u);
  EXPECT_EQ(histogram.Percentile(100), 100'000u);
  EXPECT_DOUBLE_EQ(histogram.mean(), 50'000.5);
}

TEST(HdrHistogram, SmallValuesAreExactAndLargeOnesCapped) {
  HdrHistogram histogram(1'000'000);
  EXPECT_EQ(histogram.Percentile(99), 0u);
  histogram.Record(0);
  histogram.Record(2047);
  histogram.Record(5'000'000);
  EXPECT_EQ(histogram.Percentile(1), 0u);
  EXPECT_EQ(histogram.Percentile(50), 2047u);
  EXPECT_EQ(histogram.max(), 1'000'000u);
}

TEST(HdrHistogram, MergeAddsUp) {
  HdrHistogram a;
  HdrHistogram b;
  a.Record(10, 5);
  b.Record(1000, 5);
  a.Merge(b);
  EXPECT_EQ(a.count(), 10u);
  EXPECT_EQ(a.Percentile(50), 10u);
  EXPECT_EQ(a.Percentile(51), 1000u);
  EXPECT_DOUBLE_EQ(a.mean(), 505);
  a.Reset();
  EXPECT_EQ(a.count(), 0u);
}

}  // namespace
}  // namespace tidemark::testing
