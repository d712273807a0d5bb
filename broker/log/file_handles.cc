#include "broker/log/file_handles.h"

#include <algorithm>
#include <utility>

namespace tidemark {

FileHandles::FileHandles(size_t capacity, std::function<void()> flush)
    : capacity_(std::max<size_t>(capacity, 1)), flush_(std::move(flush)) {}

void FileHandles::NoteOpen(const std::shared_ptr<Segment>& segment) {
  segment->handle.used = true;
  if (segment->handle.listed) return;
  segment->handle.listed = true;
  listed_.push_back(segment);
  if (listed_.size() > capacity_) Sweep(segment.get());
}

bool FileHandles::HasRoom() {
  const size_t limit = capacity_ + capacity_ / 4;
  if (listed_.size() >= limit) Sweep(nullptr);
  return listed_.size() < limit;
}

void FileHandles::Sweep(const Segment* keep) {
  if (listed_.size() < look_again_at_) return;
  // Twice round: the first look takes the mark away, the second closes.
  for (size_t left = 2 * listed_.size(); left > 0 && listed_.size() > capacity_; --left) {
    std::weak_ptr<Segment> next = std::move(listed_.front());
    listed_.pop_front();
    const std::shared_ptr<Segment> segment = next.lock();
    if (!segment) continue;
    const bool stays = segment->dirty || segment->flushing || segment.get() == keep;
    if (segment->file && (stays || std::exchange(segment->handle.used, false))) {
      listed_.push_back(std::move(next));
      continue;
    }
    segment->file.reset();  // readers and flushes under way hold their own reference
    segment->handle = {};
  }
  if (listed_.size() <= capacity_) return;
  look_again_at_ = listed_.size() + capacity_ / 16 + 1;
  flush_();
}

}  // namespace tidemark
