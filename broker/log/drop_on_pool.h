// What its last user lets go of on a loop and what is dropped on the blocking pool all the same. Whoever
// closes a removed file last frees its blocks, tens of milliseconds for a gigabyte, and a shard must not
// stand still for that. Any thread; the pool outlives what is made here.
#pragma once

#include <memory>
#include <utility>

#include "common/async/blocking_pool.h"
#include "common/io/file_system.h"

namespace tidemark {

// For work in steps that holds files and much memory (compaction, repair).
template <typename T>
std::shared_ptr<T> DroppedOnPool(BlockingPool& pool, std::unique_ptr<T> object) {
  return {object.release(),
          [&pool](T* raw) { pool.Submit([owned = std::unique_ptr<T>(raw)]() mutable { owned.reset(); }); }};
}

// A segment's file, which readers and flushes may hold longer than its log. One that still has its name is
// closed at once: behind a slow disk descriptors would gather in the pool's queue without bound.
inline std::shared_ptr<File> FreedOnPool(BlockingPool& pool, std::shared_ptr<File> file) {
  File* const raw = file.get();
  return {raw, [&pool, file = std::move(file)](File*) mutable {
            if (!file->HasName()) pool.Submit([last = std::move(file)]() mutable { last.reset(); });
            file.reset();
          }};
}

}  // namespace tidemark
