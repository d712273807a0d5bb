// One trial of a RotExplorer.
#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/scrub_cursor.h"
#include "common/record/batch.h"
#include "tests/simulation/bit_rot/rot_explorer.h"
#include "tests/simulation/bit_rot/warning_counter.h"
#include "tests/simulation/log_property/log_machine.h"
#include "tools/dump_log_verify.h"

namespace tidemark {
namespace {

constexpr const char* kTrialDirectory = "/data";

}  // namespace

void RotExplorer::CountHurt(const Hurt& hurt) {
  if (hurt.how == How::kFlip) ++counts_.flips;
  if (hurt.how == How::kCut) ++counts_.truncations;
  if (hurt.how == How::kRemove) ++counts_.removals;
  switch (hurt.kind) {
    case Kind::kSegment:
      ++counts_.in_segments;
      break;
    case Kind::kIndex:
      ++counts_.in_indexes;
      break;
    case Kind::kCheckpoint:
      ++counts_.in_checkpoints;
      break;
    case Kind::kEpochs:
      ++counts_.in_epochs;
      break;
    case Kind::kMetadata:
      ++counts_.in_metadata;
      break;
    case Kind::kIdentity:
      ++counts_.in_identity;
      break;
    case Kind::kMark:
      ++counts_.in_marks;
      break;
  }
}

std::string RotExplorer::Describe(const Hurt& hurt) {
  if (hurt.how == How::kRemove) return fmt::format("removed {} ({})", hurt.path, hurt.before.size());
  return fmt::format("{} byte {} of {} ({})", hurt.how == How::kCut ? "cut at" : "flipped", hurt.position,
                     hurt.path, hurt.before.size());
}

// One to three files, half of them segments, the others of a kind drawn evenly; one bit or the end of each,
// or all of it.
std::vector<RotExplorer::Hurt> RotExplorer::Damage(SimDisk& disk) {
  std::map<Kind, std::vector<std::string>> kinds;
  for (const std::string& path : disk.Paths()) {
    if (!disk.Content(path)->empty()) kinds[KindOf(path)].push_back(path);
  }
  std::vector<Hurt> hurts;
  std::set<std::string> hurt_paths;
  const uint64_t wanted = random_.Chance(0.6) ? 1 : 2 + random_.Below(2);
  while (hurts.size() < wanted) {
    auto kind = kinds.begin();
    if (!random_.Chance(0.5)) std::advance(kind, static_cast<ptrdiff_t>(random_.Below(kinds.size())));
    const std::string& path = kind->second[random_.Below(kind->second.size())];
    if (!hurt_paths.insert(path).second) continue;
    Hurt hurt{.path = path, .kind = kind->first, .before = *disk.Content(path)};
    if (random_.Chance(0.3)) hurt.how = random_.Chance(0.6) ? How::kCut : How::kRemove;
    hurt.position = random_.Below(hurt.before.size());
    switch (hurt.how) {
      case How::kFlip:
        CHECK(disk.FlipBit(path, hurt.position * 8 + random_.Below(8)));
        break;
      case How::kCut:
        CHECK(disk.SetContent(path, hurt.before.substr(0, hurt.position)));
        break;
      case How::kRemove:
        disk.RemovePath(path);
        break;
    }
    VLOG(1) << Describe(hurt);
    CountHurt(hurt);
    hurts.push_back(std::move(hurt));
  }
  return hurts;
}

// Nobody misses a mark, an index file of the last segment, an epoch table without an entry, or a file all of
// whose records are below the log start: it was about to go.
bool RotExplorer::Matters(const Hurt& hurt, const Base& base) {
  if (hurt.kind == Kind::kMark) return false;
  if (hurt.how != How::kRemove) return true;
  if (hurt.kind == Kind::kIndex) return false;
  if (hurt.kind == Kind::kEpochs) return !hurt.before.starts_with("0\n0\n");
  if (hurt.kind != Kind::kSegment) return true;
  for (const Original& original : base.partitions) {
    const std::string folder =
        fmt::format("{}/{}-{}/", kTrialDirectory, original.topic, original.key.partition);
    if (!hurt.path.starts_with(folder)) continue;
    const auto last = std::ranges::find_if(
        original.batches, [&](const auto& batch) { return hurt.before.ends_with(batch.second); });
    CHECK(last != original.batches.end()) << hurt.path;
    BatchView batch;
    CHECK(ParseBatch(last->second, &batch, nullptr, nullptr) == BatchParse::kOk);
    return batch.base_offset + ParseBody(batch.body)->last_offset_delta >= original.start;
  }
  return true;
}

std::vector<std::string> RotExplorer::Verify(LogMachine& machine) {
  std::vector<std::string> findings;
  const auto summary = VerifyPath(machine.process().files(), kTrialDirectory, [&](std::string_view line) {
    if (line.starts_with("damage: /") || line.starts_with("note: /")) findings.emplace_back(line);
  });
  CHECK(summary) << ToString(summary.error());
  return findings;
}

Task<void> RotExplorer::CheckReads(const Original& original, Log* log) {
  CHECK_LE(log->end_offset(), original.end) << original.topic;
  const Offset end = log->end_offset();
  for (Offset at = log->start_offset(); at < end;) {
    const auto read = co_await log->Read(at, ~0ull, 1 + random_.Below(5000));
    if (!read) {
      ++counts_.reads_refused;
      CHECK(read.error().code == v1::CORRUPT_MESSAGE || log->damage())
          << original.topic << " at " << at << ": " << ToString(read.error());
      if (log->damage()) co_return;
      const DamagedRange* range = log->damaged().Find(at);
      CHECK(range != nullptr) << original.topic << " refuses " << at
                              << " and knows of no damage: " << ToString(read.error());
      at = range->last + 1;
      continue;
    }
    CHECK_GT(read->next_offset, at) << original.topic << ": a read below the end gives nothing";
    std::string_view rest = read->bytes;
    while (!rest.empty()) {
      BatchView batch;
      CHECK(ParseBatch(rest, &batch, nullptr, nullptr) == BatchParse::kOk) << original.topic << " at " << at;
      const auto was = original.batches.find(batch.base_offset);
      CHECK(was != original.batches.end() && was->second == rest.substr(0, batch.total_bytes()))
          << original.topic << ": WRONG BYTES in batch " << batch.base_offset << " of a read from " << at;
      rest.remove_prefix(batch.total_bytes());
      ++counts_.batches_read;
    }
    at = read->next_offset;
  }
}

Task<void> RotExplorer::Scrub(Log* log) {
  const auto cursor = std::make_shared<ScrubCursor>();
  while (true) {
    const auto step = co_await log->Scrub(cursor, 1 + random_.Below(4000));
    if (!step) {
      CHECK(log->damage()) << ToString(step.error());
      co_return;
    }
    counts_.indexes_rebuilt += step->index_rebuilt ? 1 : 0;
    if (step->done) co_return;
  }
}

Task<void> RotExplorer::CheckLog(LogMachine& machine, const Original& original) {
  const auto opened =
      co_await machine.logs().OpenOrCreate(original.key, original.topic, config_, LogExpected::kHeld);
  if (!opened) {
    VLOG(1) << original.topic << " is refused: " << ToString(opened.error());
    ++counts_.logs_refused;
    ++told_;
    co_return;
  }
  Log* const log = *opened;
  co_await CheckReads(original, log);
  if (!log->damage()) co_await Scrub(log);
  co_await CheckReads(original, log);
  if (log->damage()) {
    ++counts_.logs_damaged;
    ++told_;
    co_return;
  }
  counts_.ranges_damaged += log->damaged().ranges().size();
  told_ += log->damaged().ranges().size();
  if (log->end_offset() < original.end || log->start_offset() > original.start) {
    ++counts_.tails_cut;
    CHECK_GT(warnings_->told().size(), 0u)
        << original.topic << " was [" << original.start << ", " << original.end << "), is ["
        << log->start_offset() << ", " << log->end_offset() << "), and nothing was said";
    // All of it was on disk by the checkpoints: only without them may what is bad or gone be a tail that is
    // not whole, or what was deleted.
    CHECK(points_hurt_) << original.topic << " was [" << original.start << ", " << original.end << "), is ["
                        << log->start_offset() << ", " << log->end_offset()
                        << "): what was on disk was given up";
  } else if (log->damaged().empty()) {
    // Made anew, the table may lack epochs without a record.
    for (const auto& [offset, bytes] : original.batches) {
      BatchView batch;
      CHECK(ParseBatch(bytes, &batch, nullptr, nullptr) == BatchParse::kOk);
      CHECK(offset < original.start || log->epochs().EpochAt(offset) == batch.leader_epoch)
          << original.topic << ": the epoch table is wrong at " << offset;
    }
  }
}

Task<void> RotExplorer::OpenAndCheck(LogMachine& machine, const Base& base) {
  const auto opened = co_await machine.Open();
  if (!opened) {
    VLOG(1) << "the start is refused: " << ToString(opened.error());
    ++counts_.starts_refused;
    ++told_;
    co_return;
  }
  for (const Original& original : base.partitions) co_await CheckLog(machine, original);
  co_await Sleep(machine.process().main_loop(), 2s, "indexes are written");
}

// A byte that is still wrong is known to be.
void RotExplorer::CheckKnown(const Hurt& hurt, LogMachine& machine, const Base& base) const {
  if (hurt.kind != Kind::kSegment || hurt.how == How::kCut) return;
  const bool removed = hurt.how == How::kRemove;
  const auto now = machine.disk().Content(hurt.path);
  if (removed && now) return;
  if (!removed &&
      (!now || now->size() <= hurt.position || (*now)[hurt.position] == hurt.before[hurt.position]))
    return;
  for (const Original& original : base.partitions) {
    const std::string folder =
        fmt::format("{}/{}-{}/", kTrialDirectory, original.topic, original.key.partition);
    if (!hurt.path.starts_with(folder)) continue;
    const Log* log = machine.logs().Find(original.key);
    if (log == nullptr || log->damage()) return;
    const Offset segment = std::stoull(hurt.path.substr(folder.size()));
    if (removed) {
      CHECK(segment < log->start_offset() || segment >= log->end_offset() ||
            log->damaged().Find(segment) != nullptr)
          << hurt.path << " is gone, and the broker does not know";
      return;
    }
    CHECK(std::ranges::any_of(log->damaged().ranges(),
                              [&](const DamagedRange& range) {
                                return range.segment == segment && range.begin <= hurt.position &&
                                       hurt.position < range.end;
                              }))
        << "byte " << hurt.position << " of " << hurt.path << " is wrong, and the broker does not know";
  }
}

void RotExplorer::Learn(Base* base) {
  LogMachine machine(random_.Next(), {kTrialDirectory});
  machine.disk().Restore(base->tree->Clone());
  machine.Boot();
  base->findings = Verify(machine);
  warnings_->Clear();
  told_ = 0;
  CHECK(machine.Run([&] { return OpenAndCheck(machine, *base); }));
  CHECK_EQ(told_, 0u) << "something is told of what is whole";
  base->warnings = warnings_->told();
  CHECK(machine.Close());
}

void RotExplorer::Try(const Base& base) {
  ++counts_.trials;
  LogMachine machine(random_.Next(), {kTrialDirectory});
  machine.disk().Restore(base.tree->Clone());
  const std::vector<Hurt> hurts = Damage(machine.disk());
  // Nor an index file of a segment that is gone and not missed: it goes with it.
  const auto is_with = [&](const Hurt& h) {
    return std::ranges::any_of(hurts, [&](const Hurt& other) {
      return h.kind == Kind::kIndex && other.kind == Kind::kSegment && other.how == How::kRemove &&
             h.path.starts_with(other.path.substr(0, other.path.size() - 3)) && !Matters(other, base);
    });
  };
  const bool matters =
      std::ranges::any_of(hurts, [&](const Hurt& h) { return Matters(h, base) && !is_with(h); });
  points_hurt_ = std::ranges::any_of(hurts, [](const Hurt& h) { return h.kind == Kind::kCheckpoint; });
  machine.Boot();
  warnings_->Clear();
  told_ = 0;
  uint64_t findings = 0;
  const uint64_t rebuilt = counts_.indexes_rebuilt;
  const uint64_t refused = counts_.starts_refused;
  for (const std::string& line : Verify(machine)) {
    if (std::ranges::find(base.findings, line) == base.findings.end()) ++findings;
  }
  counts_.verify_findings += findings;
  const auto told_of = [&] {
    std::string out;
    for (const Hurt& hurt : hurts) out += Describe(hurt) + "; ";
    return out;
  };
  const auto starts = [&] {
    std::string out;
    for (const Original& original : base.partitions)
      out += fmt::format("{} has [{}, {}); ", original.topic, original.start, original.end);
    return out;
  };
  CHECK(!matters || findings > 0) << "offline verification says nothing of " << told_of() << starts();
  CHECK(machine.Run([&] { return OpenAndCheck(machine, base); }));
  uint64_t warnings = 0;
  for (const std::string& line : warnings_->told()) {
    if (std::ranges::find(base.warnings, line) == base.warnings.end()) ++warnings;
  }
  counts_.warnings += warnings;
  if (counts_.starts_refused == refused) {
    for (const Hurt& hurt : hurts) CheckKnown(hurt, machine, base);
  }
  if (told_ > 0) {
    CHECK(machine.Close());
    return;
  }
  for (const std::string& line : Verify(machine)) {
    const bool data = line.find(".log:") != std::string::npos || line.find("index:") != std::string::npos;
    CHECK(!data || !line.starts_with("damage:")) << "after the scrub: " << line << " of " << told_of();
  }
  if (!matters || warnings + (counts_.indexes_rebuilt - rebuilt) > 0) {
    CHECK(machine.Close());
    return;
  }
  // Only what is made anew in any case may be made anew without a word.
  const auto closed = machine.CloseCleanly();
  CHECK(closed && *closed);
  machine.Boot();
  for (const std::string& line : Verify(machine)) {
    CHECK(std::ranges::find(base.findings, line) != base.findings.end())
        << "the broker says nothing of " << told_of() << " and leaves " << line;
  }
  ++counts_.healed_silently;
}

}  // namespace tidemark
