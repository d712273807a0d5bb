// CRC-32C (Castagnoli), the checksum of batches and small files. In hardware through libisal. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidemark {

// The checksum of `bytes`; "123456789" gives 0xe3069283.
uint32_t Crc32c(std::string_view bytes);

// The checksum of what gave `crc` followed by `bytes`. Crc32cExtend(0, x) == Crc32c(x).
uint32_t Crc32cExtend(uint32_t crc, std::string_view bytes);

// The same by a table of 256 words: for processors that libisal has no code for, and for comparison in tests.
uint32_t Crc32cExtendPortable(uint32_t crc, std::string_view bytes);

}  // namespace tidemark
