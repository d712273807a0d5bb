// OffsetMap: the last offset of each key in a range of a log, in bounded memory: 128 bits of hash and an
// offset per key, in a table with open addressing that is never filled beyond its load factor. Owned by one
// pass of the cleaner; used by one pool thread at a time.
//
// Keys are told apart by a keyed 128-bit hash (SipHash) alone. The key is drawn anew for every map, so nobody
// can prepare two keys that collide; by chance two of n keys do with a probability of n^2 / 2^129.
//
// A full map refuses further keys and never drops one: what it says of the keys it has stays true.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace tidemark {

using SipKey = std::array<uint64_t, 2>;

// SipHash-2-4 with 128 bits of output.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};
Hash128 SipHash128(const SipKey& key, std::string_view bytes);

class OffsetMap {
 public:
  static constexpr size_t kSlotBytes = 24;
  static constexpr size_t kLeastSlots = 64;

  // At most `memory_bytes`, but never fewer than kLeastSlots slots; `most_keys` makes it smaller where fewer
  // keys than fit can come.
  OffsetMap(SipKey key, uint64_t memory_bytes, double load_factor, uint64_t most_keys);

  // `offset` is above all put before. False when the key is new and the map is full.
  bool Put(std::string_view key, Offset offset);
  std::optional<Offset> Find(std::string_view key) const;

  size_t size() const { return size_; }
  // Keys it may hold.
  size_t capacity() const { return capacity_; }
  size_t memory_bytes() const { return slots_.size() * kSlotBytes; }

 private:
  struct Slot {
    Hash128 hash;
    Offset offset = kFree;
  };
  static_assert(sizeof(Slot) == kSlotBytes);
  static constexpr Offset kFree = ~Offset{0};
  // The slot of the key, or the free one where it would go.
  size_t SlotOf(const Hash128& hash) const;

  const SipKey key_;
  std::vector<Slot> slots_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace tidemark
