// In which log directory a new replica is made.
#include <gtest/gtest.h>

#include <vector>

#include "broker/log/placement.h"

namespace tidemark {
namespace {

constexpr uint64_t kGiB = 1ull << 30;

size_t Choose(std::vector<DirectoryRoom> directories) {
  for (size_t i = 0; i < directories.size(); ++i) directories[i].index = 10 + i;
  return ChooseByRoom(directories) - 10;
}

TEST(Placement, ANewReplicaGoesWhereMostIsFree) {
  EXPECT_EQ(Choose({{.free_bytes = 10 * kGiB}, {.free_bytes = 30 * kGiB}, {.free_bytes = 20 * kGiB}}), 1u);
  EXPECT_EQ(Choose({{.free_bytes = 10 * kGiB}, {.free_bytes = 30 * kGiB, .partitions = 1000}}), 1u)
      << "however many are there";
}

TEST(Placement, WhatYoungReplicasWillTakeCountsAsTaken) {
  EXPECT_EQ(Choose({{.free_bytes = 10 * kGiB}, {.free_bytes = 12 * kGiB, .promised_bytes = 5 * kGiB}}), 0u);
  EXPECT_EQ(Choose({{.free_bytes = 1 * kGiB, .promised_bytes = 9 * kGiB},
                    {.free_bytes = 1 * kGiB, .promised_bytes = 3 * kGiB}}),
            1u)
      << "more may be promised than there is";
}

TEST(Placement, DirectoriesOfOneFileSystemShareByNumber) {
  EXPECT_EQ(Choose({{.free_bytes = 100 * kGiB, .partitions = 3},
                    {.free_bytes = 100 * kGiB - 4096, .partitions = 2}}),
            1u);
  EXPECT_EQ(Choose({{.free_bytes = 5 * kGiB}, {.free_bytes = 5 * kGiB}}), 0u) << "then the first";
  EXPECT_EQ(Choose({{.free_bytes = ~0ull, .partitions = 1}, {.free_bytes = ~0ull}}), 1u) << "not known";
}

TEST(Placement, AFullDirectoryIsChosenOnlyWhenNoOtherIsBetter) {
  EXPECT_EQ(Choose({{.free_bytes = 0}, {.free_bytes = 1, .partitions = 9}}), 1u);
  EXPECT_EQ(Choose({{.free_bytes = 0, .partitions = 2}, {.free_bytes = 0, .partitions = 1}}), 1u);
}

}  // namespace
}  // namespace tidemark
