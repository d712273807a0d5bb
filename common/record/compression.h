// The five codecs of `BatchBody.records`. Decompression is exact: the result has precisely the declared size,
// nothing more than that is ever allocated or written, and bytes left over after the end are refused. Any
// thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/result.h"
#include "tidemark/v1/record.pb.h"

namespace tidemark {

// A buffer that is reused: grows to what is asked, keeps it, does not clear it.
class ScratchBuffer {
 public:
  // At least `size` bytes; what it held before is lost when it grows.
  std::span<char> Reserve(size_t size);
  // Gives memory above `size` back.
  void ShrinkTo(size_t size);
  size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
};

bool IsKnownCompression(v1::Compression codec);
// Kafka's names: none, gzip, snappy, lz4, zstd. "unknown" for a number not known here.
std::string_view CompressionName(v1::Compression codec);
// INVALID_CONFIG lists the legal names.
Result<v1::Compression> ParseCompression(std::string_view name);

// Appends `in`, compressed, to `*out`. Codec `none` appends it as it is.
Result<> Compress(v1::Compression codec, std::string_view in, std::string* out);

// Decompresses `in`, which must give exactly `size` bytes, into `scratch`; the view is valid until scratch is
// used again. Codec `none` gives `in` itself. CORRUPT_MESSAGE says what is wrong;
// UNSUPPORTED_COMPRESSION_TYPE.
Result<std::string_view> Decompress(v1::Compression codec, std::string_view in, size_t size,
                                    ScratchBuffer& scratch);

}  // namespace tidemark
