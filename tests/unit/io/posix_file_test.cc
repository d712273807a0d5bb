#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include <glog/logging.h>

#include "common/io/posix_file_system.h"
#include "tests/unit/io/file_contract.h"

namespace tidemark {
namespace {

class PosixWorld final : public FileWorld {
 public:
  PosixWorld() : files_(MakePosixFileSystem()) {
    const char* base = std::getenv("TMPDIR");
    std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/tidemark-io-XXXXXX";
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
  }
  ~PosixWorld() override { CHECK(RemoveAll(*files_, directory_)); }
  FileSystem& files() override { return *files_; }
  std::string directory() override { return directory_; }

 private:
  std::unique_ptr<FileSystem> files_;
  std::string directory_;
};

INSTANTIATE_TEST_SUITE_P(Posix, FileContract,
                         testing::Values(FileWorldFactory([] { return std::make_unique<PosixWorld>(); })),
                         [](const auto&) { return std::string("Real"); });

TEST(PosixFiles, FilesAreReadableByTheirOwnerOnly) {
  PosixWorld world;
  const std::string path = world.directory() + "/f";
  ASSERT_TRUE(WriteFileDurably(world.files(), path, "secret"));
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(Checksum, ContentComesBackWithoutItsLine) {
  const std::string with = WithChecksum("a=1\nb=2\n");
  EXPECT_THAT(with, testing::StartsWith("a=1\nb=2\ncrc32c "));
  EXPECT_EQ(VerifyChecksum(with, "f").value(), "a=1\nb=2\n");
  EXPECT_EQ(VerifyChecksum(WithChecksum("no newline"), "f").value(), "no newline\n");
  EXPECT_EQ(VerifyChecksum(WithChecksum(""), "f").value(), "");
}

TEST(Checksum, EveryFlippedBitIsSeen) {
  const std::string with = WithChecksum("some content\n");
  for (size_t bit = 0; bit < with.size() * 8; ++bit) {
    std::string bad = with;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    // The digits' case carries no information.
    if (std::tolower(bad[bit / 8]) == with[bit / 8] && bit / 8 >= with.size() - 9) continue;
    EXPECT_FALSE(VerifyChecksum(bad, "f")) << bit;
  }
}

TEST(Checksum, ATruncatedFileIsSeen) {
  const std::string with = WithChecksum("some content\n");
  for (size_t size = 0; size < with.size(); ++size) {
    EXPECT_EQ(VerifyChecksum(with.substr(0, size), "f").error().code, v1::CORRUPT_MESSAGE);
  }
}

}  // namespace
}  // namespace tidemark
