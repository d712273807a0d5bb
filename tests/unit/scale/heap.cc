#include "tests/unit/scale/heap.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIDEMARK_SANITIZED_HEAP  // counts itself, and has operators of its own
#endif
#endif

#ifdef TIDEMARK_SANITIZED_HEAP
#include <sanitizer/allocator_interface.h>

namespace tidemark {

size_t HeapBytes() { return __sanitizer_get_current_allocated_bytes(); }

}  // namespace tidemark
#else
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> live_bytes{0};

void* Take(void* block) {
  if (block == nullptr) std::abort();
  live_bytes.fetch_add(malloc_usable_size(block), std::memory_order_relaxed);
  return block;
}

void Give(void* block) noexcept {
  if (block == nullptr) return;
  live_bytes.fetch_sub(malloc_usable_size(block), std::memory_order_relaxed);
  std::free(block);
}

void* TakeAligned(size_t bytes, std::align_val_t alignment) {
  const auto align = static_cast<size_t>(alignment);
  return Take(std::aligned_alloc(align, (bytes + align - 1) / align * align));
}

}  // namespace

// The other forms of the standard library call these.
void* operator new(size_t bytes) { return Take(std::malloc(bytes)); }
void* operator new(size_t bytes, std::align_val_t alignment) { return TakeAligned(bytes, alignment); }
void operator delete(void* block) noexcept { Give(block); }
void operator delete(void* block, size_t) noexcept { Give(block); }
void operator delete(void* block, std::align_val_t) noexcept { Give(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { Give(block); }

namespace tidemark {

size_t HeapBytes() { return live_bytes.load(std::memory_order_relaxed); }

}  // namespace tidemark
#endif
