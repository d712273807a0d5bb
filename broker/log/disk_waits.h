// DiskWaits: what a shard's logs wait for their disks to do, for the watchdog: reads that missed the page
// cache, changes of files, checkpoints. Not scans (recovery, surveys, compaction, the scrubber): they may
// take long on a disk that answers. Owned by ShardLogs; its loop only.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "common/time.h"

namespace tidemark {

class DiskWaits {
 public:
  struct Entry {
    MonoTime since;
    size_t directory = 0;  // LogDirectory::index
  };
  // Something is waited for while it lives. It may outlive the DiskWaits: frames end as they do.
  class Mark {
   public:
    Mark(const DiskWaits& waits, MonoTime now, size_t directory)
        : entries_(waits.entries_), place_(entries_->insert(entries_->end(), {now, directory})) {}
    ~Mark() { entries_->erase(place_); }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    const std::shared_ptr<std::list<Entry>> entries_;
    const std::list<Entry>::iterator place_;
  };

  // Time does not go back: the first is the oldest.
  std::optional<Entry> Oldest() const {
    return entries_->empty() ? std::nullopt : std::optional(entries_->front());
  }

 private:
  const std::shared_ptr<std::list<Entry>> entries_ = std::make_shared<std::list<Entry>>();
};

}  // namespace tidemark
