// The decompressors on arbitrary bytes: first byte the codec, next two the declared size.
#include <cstdint>

#include <glog/logging.h>

#include "common/record/compression.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark;
  if (size < 3) return 0;
  const auto codec = static_cast<v1::Compression>(data[0] % 6);
  const size_t declared = data[1] | data[2] << 8;
  ScratchBuffer scratch;  // a fresh one, so that a sanitizer sees a write past the declared size
  const auto out = Decompress(codec, {reinterpret_cast<const char*>(data + 3), size - 3}, declared, scratch);
  if (out) CHECK_EQ(out->size(), declared);
  CHECK_LE(scratch.capacity(), declared);
  return 0;
}
