// Framing: a frame is a 4-byte big-endian length and so many bytes of one protobuf message. FrameReader is
// where a stream's bytes arrive and frames are cut out of them; EncodeFrame makes a message a frame. One
// connection, its loop.
//
// The length is checked before anything is allocated, and memory grows only as bytes arrive: at most twice
// what has come. A buffer that grew is kept while large frames keep coming and given back when they stop.
// Invariants: begin_ <= end_ <= capacity_; Buffer() is never empty; a view of Next() lives until the next
// Buffer().
#pragma once

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tidemark {

inline constexpr size_t kFrameHeaderSize = 4;
// Protobuf neither writes nor reads a longer message.
inline constexpr size_t kMaxMessageBytes = INT32_MAX;

enum class FrameStatus {
  kFrame,     // a whole frame
  kMore,      // more bytes are needed
  kTooLarge,  // the length is over the limit
  kHttp,      // not a length but the start of an HTTP request
  kTls,       // ... of a TLS greeting
};

class FrameReader {
 public:
  explicit FrameReader(size_t max_frame_bytes) : max_frame_bytes_(max_frame_bytes) {}

  // Where the next bytes go.
  std::span<char> Buffer();
  // `size` bytes were put at the start of Buffer().
  void Commit(size_t size) { end_ += size; }
  // The next frame's content. After any status but kFrame and kMore the stream is of no use any more.
  FrameStatus Next(std::string_view* frame);
  // The length found by a Next() that answered kTooLarge.
  uint64_t refused_length() const { return refused_length_; }
  // Bytes that have arrived and are not yet handed out.
  size_t buffered() const { return end_ - begin_; }
  size_t capacity() const { return capacity_; }
  // Frees the buffer of a connection that is idle; no-op when part of a frame is in it.
  void ReleaseIfEmpty();
  // Frees the buffer with what is in it; for a connection that has ended.
  void Clear();

 private:
  void Reallocate(size_t capacity);
  void ShrinkIfUnused();

  const size_t max_frame_bytes_;
  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t frame_size_ = 0;      // header included, of the frame at begin_ once its length is known; else 0
  size_t largest_recent_ = 0;  // frame since the last look at the buffer's size
  int frames_since_look_ = 0;
  uint64_t refused_length_ = 0;
};

// The message as a frame, in one allocation. It is known to be of bounded size.
std::string EncodeFrame(const google::protobuf::MessageLite& message);
// The same for one whose size nobody has bounded; the size alone where it is above `max_bytes`, which is at
// most kMaxMessageBytes.
std::expected<std::string, size_t> EncodeFrameWithin(const google::protobuf::MessageLite& message,
                                                     size_t max_bytes);

}  // namespace tidemark
