#include "broker/log/offset_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <glog/logging.h>

namespace tidemark {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;
  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void Take(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
  uint64_t Finish() {
    for (int i = 0; i < 4; ++i) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

Hash128 SipHash128(const SipKey& key, std::string_view bytes) {
  SipState state{0x736f6d6570736575ULL ^ key[0], 0x646f72616e646f6dULL ^ key[1] ^ 0xee,
                 0x6c7967656e657261ULL ^ key[0], 0x7465646279746573ULL ^ key[1]};
  const char* at = bytes.data();
  const char* const whole_end = at + bytes.size() / 8 * 8;
  for (; at < whole_end; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    state.Take(word);
  }
  uint64_t last = static_cast<uint64_t>(bytes.size()) << 56;
  if (const size_t rest = bytes.size() % 8; rest > 0) {
    uint64_t tail = 0;
    std::memcpy(&tail, at, rest);
    last |= tail;
  }
  state.Take(last);
  state.v2 ^= 0xee;
  Hash128 out;
  out.low = state.Finish();
  state.v1 ^= 0xdd;
  out.high = state.Finish();
  return out;
}

OffsetMap::OffsetMap(SipKey key, uint64_t memory_bytes, double load_factor, uint64_t most_keys) : key_(key) {
  const double load = std::clamp(load_factor, 0.01, 0.99);
  uint64_t slots = std::max<uint64_t>(memory_bytes / kSlotBytes, kLeastSlots);
  const double wanted = static_cast<double>(most_keys) / load + 2;
  if (wanted < static_cast<double>(slots))
    slots = std::max<uint64_t>(static_cast<uint64_t>(wanted), kLeastSlots);
  slots_.resize(slots);
  // One slot at least stays free, so that every search ends.
  capacity_ = std::clamp<size_t>(static_cast<size_t>(static_cast<double>(slots) * load), 1, slots - 1);
}

size_t OffsetMap::SlotOf(const Hash128& hash) const {
  // The high bits of a product instead of a division: the table's size need not be a power of two.
  auto slot = static_cast<size_t>((static_cast<unsigned __int128>(hash.low) * slots_.size()) >> 64);
  while (slots_[slot].offset != kFree && slots_[slot].hash != hash) {
    if (++slot == slots_.size()) slot = 0;
  }
  return slot;
}

bool OffsetMap::Put(std::string_view key, Offset offset) {
  CHECK_NE(offset, kFree);
  const Hash128 hash = SipHash128(key_, key);
  Slot& slot = slots_[SlotOf(hash)];
  if (slot.offset == kFree) {
    if (size_ == capacity_) return false;
    ++size_;
    slot.hash = hash;
  } else {
    CHECK_LT(slot.offset, offset) << "offsets rise";
  }
  slot.offset = offset;
  return true;
}

std::optional<Offset> OffsetMap::Find(std::string_view key) const {
  const Slot& slot = slots_[SlotOf(SipHash128(key_, key))];
  if (slot.offset == kFree) return std::nullopt;
  return slot.offset;
}

}  // namespace tidemark
