#include "common/record/compression.h"

#include <array>

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

namespace tidemark {

namespace {

constexpr std::array<std::string_view, 5> kNames = {"none", "gzip", "snappy", "lz4", "zstd"};
constexpr int kGzipWindowBits = 15 + 16;  // 16: with gzip's header and trailer
constexpr int kZstdLevel = 3;

std::unexpected<Error> Corrupt(std::string_view codec, std::string_view what) {
  return Fail(v1::CORRUPT_MESSAGE, "records, compressed with {}: {}", codec, what);
}
std::unexpected<Error> WrongSize(std::string_view codec, size_t size) {
  return Fail(v1::CORRUPT_MESSAGE,
              "records, compressed with {}: do not give the {} bytes that records_size says", codec, size);
}

// Grows `out` by `bound`, lets `write` fill it, and keeps what was written.
template <typename F>
void AppendBounded(std::string* out, size_t bound, F write) {
  const size_t before = out->size();
  out->resize_and_overwrite(before + bound,
                            [&](char* data, size_t) { return before + write(data + before); });
}

Result<> CompressGzip(std::string_view in, std::string* out) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindowBits, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return Fail(v1::UNKNOWN_SERVER_ERROR, "gzip could not be initialised");
  }
  int result = Z_OK;
  AppendBounded(out, deflateBound(&stream, in.size()), [&](char* data) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(data);
    stream.avail_out = static_cast<uInt>(deflateBound(&stream, in.size()));
    result = deflate(&stream, Z_FINISH);
    return static_cast<size_t>(stream.total_out);
  });
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return Fail(v1::UNKNOWN_SERVER_ERROR, "gzip failed: {}", result);
  return {};
}

Result<> CompressLz4(std::string_view in, std::string* out) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.contentSize = in.size();
  preferences.frameInfo.contentChecksumFlag = LZ4F_noContentChecksum;  // the batch has its own
  size_t written = 0;
  const size_t bound = LZ4F_compressFrameBound(in.size(), &preferences);
  AppendBounded(out, bound, [&](char* data) {
    written = LZ4F_compressFrame(data, bound, in.data(), in.size(), &preferences);
    return LZ4F_isError(written) ? size_t{0} : written;
  });
  if (LZ4F_isError(written))
    return Fail(v1::UNKNOWN_SERVER_ERROR, "lz4 failed: {}", LZ4F_getErrorName(written));
  return {};
}

struct FreeZstd {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Result<> CompressZstd(std::string_view in, std::string* out) {
  // A context costs more than a small batch, so each thread keeps one.
  thread_local std::unique_ptr<ZSTD_CCtx, FreeZstd> context(ZSTD_createCCtx());
  size_t written = 0;
  const size_t bound = ZSTD_compressBound(in.size());
  AppendBounded(out, bound, [&](char* data) {
    written = ZSTD_compressCCtx(context.get(), data, bound, in.data(), in.size(), kZstdLevel);
    return ZSTD_isError(written) ? size_t{0} : written;
  });
  if (ZSTD_isError(written))
    return Fail(v1::UNKNOWN_SERVER_ERROR, "zstd failed: {}", ZSTD_getErrorName(written));
  return {};
}

Result<> DecompressGzip(std::string_view in, std::span<char> out) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindowBits) != Z_OK) {
    return Fail(v1::UNKNOWN_SERVER_ERROR, "gzip could not be initialised");
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool is_whole = result == Z_STREAM_END && stream.total_out == out.size();
  const size_t left_over = stream.avail_in;
  inflateEnd(&stream);
  if (result != Z_STREAM_END && result != Z_BUF_ERROR) return Corrupt("gzip", "not a gzip stream");
  if (!is_whole) return WrongSize("gzip", out.size());
  if (left_over != 0) return Corrupt("gzip", "bytes after the end of the stream");
  return {};
}

Result<> DecompressSnappy(std::string_view in, std::span<char> out) {
  size_t length = 0;
  if (!snappy::GetUncompressedLength(in.data(), in.size(), &length)) return Corrupt("snappy", "no length");
  if (length != out.size()) return WrongSize("snappy", out.size());
  if (!snappy::RawUncompress(in.data(), in.size(), out.data())) return Corrupt("snappy", "malformed");
  return {};
}

Result<> DecompressLz4(std::string_view in, std::span<char> out) {
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
    return Fail(v1::UNKNOWN_SERVER_ERROR, "lz4 could not be initialised");
  }
  const std::unique_ptr<LZ4F_dctx, decltype([](LZ4F_dctx* c) { LZ4F_freeDecompressionContext(c); })> owned(
      context);
  size_t consumed = 0;
  size_t produced = 0;
  size_t hint = 1;
  while (hint != 0) {
    size_t out_size = out.size() - produced;
    size_t in_size = in.size() - consumed;
    hint =
        LZ4F_decompress(context, out.data() + produced, &out_size, in.data() + consumed, &in_size, nullptr);
    if (LZ4F_isError(hint)) return Corrupt("lz4", LZ4F_getErrorName(hint));
    consumed += in_size;
    produced += out_size;
    // Neither input taken nor output given: the frame is cut short, or wants more room than was declared.
    if (hint != 0 && in_size == 0 && out_size == 0) return WrongSize("lz4", out.size());
  }
  if (produced != out.size()) return WrongSize("lz4", out.size());
  if (consumed != in.size()) return Corrupt("lz4", "bytes after the end of the frame");
  return {};
}

Result<> DecompressZstd(std::string_view in, std::span<char> out) {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  const size_t frame = ZSTD_findFrameCompressedSize(in.data(), in.size());
  if (ZSTD_isError(frame)) return Corrupt("zstd", ZSTD_getErrorName(frame));
  if (frame != in.size()) return Corrupt("zstd", "bytes after the end of the frame");
  const size_t written = ZSTD_decompressDCtx(context.get(), out.data(), out.size(), in.data(), in.size());
  if (ZSTD_isError(written)) return Corrupt("zstd", ZSTD_getErrorName(written));
  if (written != out.size()) return WrongSize("zstd", out.size());
  return {};
}

}  // namespace

std::span<char> ScratchBuffer::Reserve(size_t size) {
  if (size > capacity_) {
    bytes_.reset();
    bytes_ = std::make_unique_for_overwrite<char[]>(size);
    capacity_ = size;
  }
  return {bytes_.get(), size};
}

void ScratchBuffer::ShrinkTo(size_t size) {
  if (capacity_ <= size) return;
  bytes_.reset();
  capacity_ = 0;
}

bool IsKnownCompression(v1::Compression codec) { return v1::Compression_IsValid(static_cast<int>(codec)); }

std::string_view CompressionName(v1::Compression codec) {
  const auto index = static_cast<size_t>(codec);
  return index < kNames.size() ? kNames[index] : "unknown";
}

Result<v1::Compression> ParseCompression(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<v1::Compression>(i);
  }
  return Fail(v1::INVALID_CONFIG, "compression '{}' is not one of none, gzip, snappy, lz4, zstd", name);
}

Result<> Compress(v1::Compression codec, std::string_view in, std::string* out) {
  switch (codec) {
    case v1::COMPRESSION_NONE:
      out->append(in);
      return {};
    case v1::COMPRESSION_GZIP:
      return CompressGzip(in, out);
    case v1::COMPRESSION_SNAPPY:
      AppendBounded(out, snappy::MaxCompressedLength(in.size()), [&](char* data) {
        size_t written = 0;
        snappy::RawCompress(in.data(), in.size(), data, &written);
        return written;
      });
      return {};
    case v1::COMPRESSION_LZ4:
      return CompressLz4(in, out);
    case v1::COMPRESSION_ZSTD:
      return CompressZstd(in, out);
    default:
      return Fail(v1::UNSUPPORTED_COMPRESSION_TYPE, "compression is {}", static_cast<int>(codec));
  }
}

Result<std::string_view> Decompress(v1::Compression codec, std::string_view in, size_t size,
                                    ScratchBuffer& scratch) {
  if (!IsKnownCompression(codec)) {
    return Fail(v1::UNSUPPORTED_COMPRESSION_TYPE, "compression is {}", static_cast<int>(codec));
  }
  if (codec == v1::COMPRESSION_NONE) {
    if (in.size() != size) return WrongSize("none", size);
    return in;
  }
  const std::span<char> out = scratch.Reserve(size);
  Result<> done = [&]() -> Result<> {
    switch (codec) {
      case v1::COMPRESSION_GZIP:
        return DecompressGzip(in, out);
      case v1::COMPRESSION_SNAPPY:
        return DecompressSnappy(in, out);
      case v1::COMPRESSION_LZ4:
        return DecompressLz4(in, out);
      default:
        return DecompressZstd(in, out);
    }
  }();
  if (!done) return std::unexpected(std::move(done.error()));
  return std::string_view(out.data(), out.size());
}

}  // namespace tidemark
