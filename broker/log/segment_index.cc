#include "broker/log/segment_index.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <glog/logging.h>

#include "common/record/crc32c.h"

namespace tidemark {
namespace {

constexpr uint32_t kEntrySeed = 0x7e11;
constexpr uint32_t kSealSeed = 0x5ea1;

template <typename T>
void AppendFixed(std::string* out, T value) {
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof value);
  out->append(bytes.data(), bytes.size());
}

template <typename T>
T ReadFixed(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The base offset is part of the checksum, so that another segment's index is not taken for this one's.
uint32_t EntryCrc(uint32_t seed, Offset base, std::string_view fields) {
  std::string head;
  AppendFixed(&head, seed);
  AppendFixed(&head, base);
  return Crc32cExtend(Crc32c(head), fields);
}

void AppendOffsetEntry(std::string* out, uint32_t seed, Offset base, uint32_t relative, uint32_t position) {
  const size_t start = out->size();
  AppendFixed(out, relative);
  AppendFixed(out, position);
  AppendFixed(out, EntryCrc(seed, base, std::string_view(*out).substr(start)));
}

void AppendTimeEntry(std::string* out, uint32_t seed, Offset base, WallMillis timestamp, uint32_t relative) {
  const size_t start = out->size();
  AppendFixed(out, timestamp);
  AppendFixed(out, relative);
  AppendFixed(out, EntryCrc(seed, base, std::string_view(*out).substr(start)));
}

std::optional<SegmentIndex::OffsetEntry> ParseOffsetEntry(const char* at, uint32_t seed, Offset base) {
  if (EntryCrc(seed, base, {at, 8}) != ReadFixed<uint32_t>(at + 8)) return std::nullopt;
  return SegmentIndex::OffsetEntry{ReadFixed<uint32_t>(at), ReadFixed<uint32_t>(at + 4)};
}

std::optional<SegmentIndex::TimeEntry> ParseTimeEntry(const char* at, uint32_t seed, Offset base) {
  if (EntryCrc(seed, base, {at, 12}) != ReadFixed<uint32_t>(at + 12)) return std::nullopt;
  return SegmentIndex::TimeEntry{ReadFixed<int64_t>(at), ReadFixed<uint32_t>(at + 8)};
}

// One index file opened for lookups by entry number.
template <size_t kEntryBytes>
class EntryFile {
 public:
  static std::optional<EntryFile> Open(FileSystem& files, const std::string& path) {
    auto file = files.Open(path, OpenMode::kRead);
    if (!file) return std::nullopt;
    const auto size = (*file)->Size();
    if (!size || *size % kEntryBytes != 0 || *size == 0) return std::nullopt;
    return EntryFile(std::move(*file), *size / kEntryBytes);
  }

  // Entries but the seal.
  size_t size() const { return count_ - 1; }

  // `i` may be size(): the seal. Null when it cannot be read.
  const char* Read(size_t i) {
    const auto read = file_->ReadAt(i * kEntryBytes, buffer_);
    return read && *read == kEntryBytes ? buffer_.data() : nullptr;
  }

 private:
  EntryFile(std::unique_ptr<File> file, size_t count) : file_(std::move(file)), count_(count) {}
  std::unique_ptr<File> file_;
  size_t count_;
  std::array<char, kEntryBytes> buffer_;
};

using OffsetFile = EntryFile<SegmentIndex::kOffsetEntryBytes>;
using TimeFile = EntryFile<SegmentIndex::kTimeEntryBytes>;

}  // namespace

void SegmentIndex::OnBatch(Offset base_offset, uint64_t position, WallMillis max_timestamp,
                           uint32_t interval) {
  CHECK_GE(base_offset, base_);
  CHECK_LE(position, std::numeric_limits<uint32_t>::max());
  if (max_timestamp > max_timestamp_) {
    max_timestamp_ = max_timestamp;
    max_timestamp_offset_ = base_offset;
  }
  if (position < last_indexed_position_ + std::max(interval, 1u)) return;
  last_indexed_position_ = position;
  offsets_.push_back({static_cast<uint32_t>(base_offset - base_), static_cast<uint32_t>(position)});
  times_.push_back({max_timestamp_,
                    static_cast<uint32_t>(max_timestamp_offset_ - std::min(base_, max_timestamp_offset_))});
}

void SegmentIndex::Reach(WallMillis max_timestamp, Offset offset) {
  CHECK_GE(offset, base_);
  if (max_timestamp <= max_timestamp_) return;
  max_timestamp_ = max_timestamp;
  max_timestamp_offset_ = offset;
}

uint64_t SegmentIndex::PositionFor(Offset offset) const {
  const auto after = std::upper_bound(
      offsets_.begin(), offsets_.end(), offset,
      [this](Offset wanted, const OffsetEntry& entry) { return wanted < base_ + entry.relative_offset; });
  return after == offsets_.begin() ? 0 : (after - 1)->position;
}

uint64_t SegmentIndex::PositionForTimestamp(WallMillis timestamp) const {
  const auto reached =
      std::lower_bound(times_.begin(), times_.end(), timestamp,
                       [](const TimeEntry& entry, WallMillis wanted) { return entry.timestamp < wanted; });
  return reached == times_.begin() ? 0 : offsets_[static_cast<size_t>(reached - times_.begin()) - 1].position;
}

std::optional<SegmentIndex::Peak> SegmentIndex::PeakBelow(Offset offset) const {
  const auto after = std::lower_bound(
      offsets_.begin(), offsets_.end(), offset,
      [this](const OffsetEntry& entry, Offset wanted) { return base_ + entry.relative_offset < wanted; });
  // The last that begins below may reach beyond; the one before it ends where that begins, or earlier.
  if (after - offsets_.begin() < 2) return std::nullopt;
  const auto at = static_cast<size_t>(after - offsets_.begin()) - 2;
  return Peak{times_[at].timestamp, offsets_[at].position};
}

uint64_t SegmentIndex::LastStartUpTo(uint64_t position) const {
  const auto after =
      std::upper_bound(offsets_.begin(), offsets_.end(), position,
                       [](uint64_t wanted, const OffsetEntry& entry) { return wanted < entry.position; });
  return after == offsets_.begin() ? 0 : (after - 1)->position;
}

void SegmentIndex::TruncateTo(Offset offset) {
  while (!offsets_.empty() && base_ + offsets_.back().relative_offset >= offset) {
    offsets_.pop_back();
    times_.pop_back();
  }
  last_indexed_position_ = offsets_.empty() ? 0 : offsets_.back().position;
  max_timestamp_ = times_.empty() ? kNoTimestamp : times_.back().timestamp;
  max_timestamp_offset_ = times_.empty() ? 0 : base_ + times_.back().relative_offset;
}

std::string SegmentIndex::EncodeOffsets(size_t first) const {
  std::string out;
  for (size_t i = first; i < offsets_.size(); ++i) {
    AppendOffsetEntry(&out, kEntrySeed, base_, offsets_[i].relative_offset, offsets_[i].position);
  }
  return out;
}

std::string SegmentIndex::EncodeTimes(size_t first) const {
  std::string out;
  for (size_t i = first; i < times_.size(); ++i) {
    AppendTimeEntry(&out, kEntrySeed, base_, times_[i].timestamp, times_[i].relative_offset);
  }
  return out;
}

std::string SegmentIndex::SealOffsets(Offset end, uint64_t size) const {
  CHECK_LE(size, std::numeric_limits<uint32_t>::max());
  std::string out;
  AppendOffsetEntry(&out, kSealSeed, base_, static_cast<uint32_t>(end - base_), static_cast<uint32_t>(size));
  return out;
}

std::string SegmentIndex::SealTimes() const {
  std::string out;
  const Offset offset = std::max(max_timestamp_offset_, base_);
  AppendTimeEntry(&out, kSealSeed, base_, max_timestamp_, static_cast<uint32_t>(offset - base_));
  return out;
}

SegmentIndex SegmentIndex::Decode(Offset base, std::string_view offsets, std::string_view times) {
  SegmentIndex index(base);
  const size_t count = std::min(offsets.size() / kOffsetEntryBytes, times.size() / kTimeEntryBytes);
  for (size_t i = 0; i < count; ++i) {
    const auto offset = ParseOffsetEntry(offsets.data() + i * kOffsetEntryBytes, kEntrySeed, base);
    const auto time = ParseTimeEntry(times.data() + i * kTimeEntryBytes, kEntrySeed, base);
    if (!offset || !time || time->relative_offset > offset->relative_offset) break;
    if (i > 0 && (offset->relative_offset <= index.offsets_.back().relative_offset ||
                  offset->position <= index.offsets_.back().position ||
                  time->timestamp < index.times_.back().timestamp)) {
      break;
    }
    index.offsets_.push_back(*offset);
    index.times_.push_back(*time);
  }
  index.TruncateTo(base + kMaxSegmentOffsets + 1);  // sets what follows from the last entry
  return index;
}

std::optional<SegmentSeal> ReadSeal(FileSystem& files, const std::string& path_prefix, Offset base) {
  auto offsets = OffsetFile::Open(files, path_prefix + ".index");
  auto times = TimeFile::Open(files, path_prefix + ".timeindex");
  if (!offsets || !times || offsets->size() != times->size()) return std::nullopt;
  const char* offset_bytes = offsets->Read(offsets->size());
  const char* time_bytes = times->Read(times->size());
  if (offset_bytes == nullptr || time_bytes == nullptr) return std::nullopt;
  const auto end = ParseOffsetEntry(offset_bytes, kSealSeed, base);
  const auto greatest = ParseTimeEntry(time_bytes, kSealSeed, base);
  if (!end || !greatest) return std::nullopt;
  return SegmentSeal{base + end->relative_offset, end->position, greatest->timestamp,
                     base + greatest->relative_offset};
}

std::optional<uint64_t> LookUpPosition(FileSystem& files, const std::string& path_prefix, Offset base,
                                       Offset offset) {
  auto file = OffsetFile::Open(files, path_prefix + ".index");
  if (!file) return std::nullopt;
  uint64_t position = 0;
  for (size_t low = 0, high = file->size(); low < high;) {
    const size_t middle = (low + high) / 2;
    const char* bytes = file->Read(middle);
    const auto entry = bytes != nullptr ? ParseOffsetEntry(bytes, kEntrySeed, base) : std::nullopt;
    if (!entry) return std::nullopt;
    if (base + entry->relative_offset <= offset) {
      position = entry->position;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return position;
}

std::optional<uint64_t> LookUpTimestamp(FileSystem& files, const std::string& path_prefix, Offset base,
                                        WallMillis timestamp) {
  auto offsets = OffsetFile::Open(files, path_prefix + ".index");
  auto times = TimeFile::Open(files, path_prefix + ".timeindex");
  if (!offsets || !times || offsets->size() != times->size()) return std::nullopt;
  size_t low = 0;
  for (size_t high = times->size(); low < high;) {
    const size_t middle = (low + high) / 2;
    const char* bytes = times->Read(middle);
    const auto entry = bytes != nullptr ? ParseTimeEntry(bytes, kEntrySeed, base) : std::nullopt;
    if (!entry) return std::nullopt;
    if (entry->timestamp < timestamp) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return 0;
  const char* bytes = offsets->Read(low - 1);
  const auto entry = bytes != nullptr ? ParseOffsetEntry(bytes, kEntrySeed, base) : std::nullopt;
  if (!entry) return std::nullopt;
  return entry->position;
}

Result<> WriteIndex(FileSystem& files, const IndexWrite& write) {
  const auto write_one = [&](std::string_view suffix, size_t entry_bytes,
                             const std::string& bytes) -> Result<> {
    TM_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files.Open(write.path_prefix + std::string(suffix), OpenMode::kCreate));
    if (write.truncate_first) TM_RETURN_IF_ERROR(file->Truncate(0));
    TM_RETURN_IF_ERROR(file->WriteAt(write.first_entry * entry_bytes, bytes));
    if (write.sync) TM_RETURN_IF_ERROR(file->Sync());
    return {};
  };
  TM_RETURN_IF_ERROR(write_one(".index", SegmentIndex::kOffsetEntryBytes, write.offsets));
  return write_one(".timeindex", SegmentIndex::kTimeEntryBytes, write.times);
}

}  // namespace tidemark
