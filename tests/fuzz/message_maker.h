// Messages out of a fuzzer's bytes, by reflection: every byte string makes some message of the type, most of
// them nearly right, so that a fuzzer gets past the parser into what the broker does with the fields. Values
// come from a pool (names, ids, epochs, batches that mean something where the message goes) and now and then
// from the raw bytes. Owned by one run of a target; one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <google/protobuf/message.h>

namespace tidemark::fuzzing {

// Reads the fuzzer's bytes; zeros when they are used up.
class ByteSource {
 public:
  ByteSource(const uint8_t* data, size_t size) : left_(data, size) {}
  bool empty() const { return left_.empty(); }
  uint8_t Byte();
  // Below `bound`, which is at most 65,536.
  size_t Below(size_t bound);
  uint64_t Word();
  // At most so many bytes.
  std::string Bytes(size_t most);

 private:
  std::span<const uint8_t> left_;
};

// What fields may be set to. Grows by what answers carry (ids of members, epochs); bounded.
struct ValuePool {
  std::vector<uint64_t> numbers{
      0, 1, 2, 3, 100, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
  std::vector<std::string> strings{"", "no/slash", "..", "\xff\xfe", std::string(300, 'x')};

  void Number(uint64_t value);
  void String(std::string value);
  // All numbers and strings of a message.
  void Learn(const google::protobuf::Message& message);
};

// Sets fields of the message, of which one per oneof, to a depth that ends.
void MakeMessage(ByteSource& source, const ValuePool& pool, google::protobuf::Message* message);

}  // namespace tidemark::fuzzing
