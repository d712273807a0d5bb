#include "common/net/framing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <glog/logging.h>

namespace tidemark {
namespace {

constexpr size_t kSmallest = 4096;       // of an idle connection's first read
constexpr size_t kOrdinary = 64 * 1024;  // kept by a busy connection whatever it sends
constexpr int kFramesPerLook = 32;

uint32_t ReadLength(const char* bytes) {
  const auto* b = reinterpret_cast<const unsigned char*>(bytes);
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | uint32_t{b[3]};
}

bool IsHttp(std::string_view four) {
  constexpr std::array<std::string_view, 10> kMethods = {"GET ", "POST", "PUT ", "HEAD", "DELE",
                                                         "OPTI", "PATC", "CONN", "TRAC", "PRI "};
  return std::find(kMethods.begin(), kMethods.end(), four) != kMethods.end();
}

}  // namespace

std::span<char> FrameReader::Buffer() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    ShrinkIfUnused();
  }
  if (frame_size_ > kOrdinary) {
    // A large frame: read up to its end and not beyond, so that no bytes of the next one have to be moved.
    if (begin_ + frame_size_ > capacity_ && (begin_ > 0 || end_ == capacity_)) {
      Reallocate(std::max(capacity_, std::min(frame_size_, std::max(2 * buffered(), kOrdinary))));
    }
    return {data_.get() + end_, std::min(capacity_, begin_ + frame_size_) - end_};
  }
  const size_t wanted = std::max(frame_size_, kFrameHeaderSize);
  if (capacity_ == 0) {
    Reallocate(kSmallest);
  } else if (begin_ + wanted > capacity_ || end_ == capacity_) {
    Reallocate(std::max(capacity_, std::min(kOrdinary, std::max(2 * capacity_, wanted))));
  }
  return {data_.get() + end_, capacity_ - end_};
}

FrameStatus FrameReader::Next(std::string_view* frame) {
  if (frame_size_ == 0) {
    if (end_ - begin_ < kFrameHeaderSize) return FrameStatus::kMore;
    const char* header = data_.get() + begin_;
    const uint32_t length = ReadLength(header);
    if (length > max_frame_bytes_) {
      refused_length_ = length;
      if (IsHttp({header, kFrameHeaderSize})) return FrameStatus::kHttp;
      if (header[0] == 0x16 && header[1] == 0x03) return FrameStatus::kTls;
      return FrameStatus::kTooLarge;
    }
    frame_size_ = kFrameHeaderSize + length;
  }
  if (end_ - begin_ < frame_size_) return FrameStatus::kMore;
  *frame = {data_.get() + begin_ + kFrameHeaderSize, frame_size_ - kFrameHeaderSize};
  largest_recent_ = std::max(largest_recent_, frame_size_);
  begin_ += frame_size_;
  frame_size_ = 0;
  ++frames_since_look_;
  return FrameStatus::kFrame;
}

void FrameReader::ReleaseIfEmpty() {
  if (begin_ == end_ && frame_size_ == 0) Clear();
}

void FrameReader::Clear() {
  data_.reset();
  capacity_ = begin_ = end_ = frame_size_ = 0;
}

// A buffer that grew for large frames is given back when none of the last ones needed it.
void FrameReader::ShrinkIfUnused() {
  if (frames_since_look_ < kFramesPerLook) return;
  if (capacity_ > kOrdinary && capacity_ > 4 * largest_recent_) {
    data_ = std::make_unique_for_overwrite<char[]>(kOrdinary);
    capacity_ = kOrdinary;
  }
  frames_since_look_ = 0;
  largest_recent_ = 0;
}

// Moves what is buffered to the front of a buffer of `capacity`; when the capacity stays, of the same buffer.
void FrameReader::Reallocate(size_t capacity) {
  const size_t arrived = buffered();
  CHECK_LT(arrived, capacity);
  if (capacity == capacity_) {
    std::memmove(data_.get(), data_.get() + begin_, arrived);
  } else {
    auto grown = std::make_unique_for_overwrite<char[]>(capacity);
    if (arrived > 0) std::memcpy(grown.get(), data_.get() + begin_, arrived);
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = arrived;
}

std::string EncodeFrame(const google::protobuf::MessageLite& message) {
  auto frame = EncodeFrameWithin(message, kMaxMessageBytes);
  CHECK(frame) << "a message of " << frame.error() << " bytes";
  return std::move(*frame);
}

std::expected<std::string, size_t> EncodeFrameWithin(const google::protobuf::MessageLite& message,
                                                     size_t max_bytes) {
  CHECK_LE(max_bytes, kMaxMessageBytes);
  const size_t size = message.ByteSizeLong();
  if (size > max_bytes) return std::unexpected(size);
  std::string frame;
  // libstdc++ 12 hands the callback the grown capacity, not the size asked for: only the latter counts.
  frame.resize_and_overwrite(kFrameHeaderSize + size, [&](char* out, size_t) {
    out[0] = static_cast<char>(size >> 24);
    out[1] = static_cast<char>(size >> 16);
    out[2] = static_cast<char>(size >> 8);
    out[3] = static_cast<char>(size);
    message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(out + kFrameHeaderSize));
    return kFrameHeaderSize + size;
  });
  return frame;
}

}  // namespace tidemark
