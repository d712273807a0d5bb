#include "common/record/crc32c.h"

#include <array>

#include <isa-l/crc.h>

namespace tidemark {

namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78u : 0u);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

}  // namespace

uint32_t Crc32cExtendPortable(uint32_t crc, std::string_view bytes) {
  crc = ~crc;
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t Crc32cExtend(uint32_t crc, std::string_view bytes) {
#if defined(__x86_64__) || defined(__aarch64__)
  // libisal neither inverts before nor after, takes an int, and does not write through its pointer.
  constexpr size_t kMostAtOnce = 1u << 30;
  crc = ~crc;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kMostAtOnce);
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())),
                      static_cast<int>(size), crc);
    bytes.remove_prefix(size);
  }
  return ~crc;
#else
  return Crc32cExtendPortable(crc, bytes);
#endif
}

uint32_t Crc32c(std::string_view bytes) { return Crc32cExtend(0, bytes); }

}  // namespace tidemark
