// Batches for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/record/batch.h"
#include "common/record/builder.h"
#include "common/record/crc32c.h"

namespace tidemark::testing {

inline const std::vector<v1::Compression> kAllCodecs = {v1::COMPRESSION_NONE, v1::COMPRESSION_GZIP,
                                                        v1::COMPRESSION_SNAPPY, v1::COMPRESSION_LZ4,
                                                        v1::COMPRESSION_ZSTD};

inline TopicId SampleTopic(uint8_t seed = 7) {
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(seed + i * 13);
  return TopicId(bytes);
}

// Records with every combination of key, value and headers; timestamps that also go back.
inline FinishedBatch SampleBatch(v1::Compression codec = v1::COMPRESSION_NONE, int records = 8) {
  BatchBuilder builder;
  for (int i = 0; i < records; ++i) {
    const std::string key = "key-" + std::to_string(i);
    const std::string value(static_cast<size_t>(i) * 40, static_cast<char>('a' + i % 26));
    const std::vector<HeaderView> headers = {{"trace", "1234"}, {"empty", ""}, {"absent", std::nullopt}};
    EXPECT_TRUE(
        builder.Append(i % 3 == 0 ? std::nullopt : std::optional<std::string_view>(key),
                       i % 4 == 1 ? std::nullopt : std::optional<std::string_view>(value),
                       1'700'000'000'000 + (i % 2 == 0 ? i : -i),
                       i % 2 == 0 ? std::span<const HeaderView>(headers) : std::span<const HeaderView>()));
  }
  auto batch = builder.Finish(codec);
  EXPECT_TRUE(batch.has_value());
  return std::move(*batch);
}

inline std::string Stamped(const FinishedBatch& batch, Offset base_offset, LeaderEpoch epoch = 3,
                           const TopicId& topic = SampleTopic(), PartitionIndex partition = 2) {
  const BatchPrefix prefix =
      StampBatch(batch.body, batch.body_crc, base_offset, epoch, 1'700'000'001'000, topic, partition);
  return std::string(prefix.view()) + batch.body;
}

}  // namespace tidemark::testing
