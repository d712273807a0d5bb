// The counters of what runs inside a Partition. Included by its .cc files only.
#pragma once

#include "broker/replica/partition.h"

namespace tidemark {

class Partition::Use {
 public:
  explicit Use(Partition& partition) : partition_(partition) { ++partition_.uses_; }
  ~Use() {
    if (--partition_.uses_ == 0) partition_.idle_.NotifyAll();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Partition& partition_;
};

class Partition::ReadUse {
 public:
  explicit ReadUse(Partition& partition) : partition_(partition) { ++partition_.reads_; }
  ~ReadUse() {
    if (--partition_.reads_ == 0) partition_.idle_.NotifyAll();
  }
  ReadUse(const ReadUse&) = delete;
  ReadUse& operator=(const ReadUse&) = delete;

 private:
  Partition& partition_;
};

}  // namespace tidemark
