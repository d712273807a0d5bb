// The fetcher's positions: where reading of a partition begins, and where it goes on when its leader says
// that there is nothing at that place, or that other records were read before it.
#include <algorithm>
#include <utility>

#include "client/fetcher.h"
#include "client/list_offsets.h"

namespace tidemark::internal {

void Fetcher::TellReset(Assignment& assignment) {
  std::optional<PositionReset> reset = std::exchange(assignment.reset, std::nullopt);
  if (!reset || !options_.on_reset) return;
  reset->now = *assignment.fetch_offset;
  options_.on_reset(*reset);
}

// Finds the offset to begin at.
Task<void> Fetcher::Resolve(AssignmentPtr owned, uint64_t generation) {
  Assignment& assignment = *owned;
  using Kind = StartPosition::Kind;
  const StartPosition start = assignment.start;
  const int64_t timestamp = start.kind == Kind::kBeginning ? kEarliestTimestamp
                            : start.kind == Kind::kEnd     ? kLatestTimestamp
                                                           : std::max<int64_t>(start.value, 0);
  const std::vector<PartitionIndex> asked = {assignment.partition};
  const MonoTime deadline = loop_.Now() + options_.client.request_timeout;
  auto offsets = co_await AskOffsets(cluster_, assignment.topic, asked, timestamp, deadline,
                                     scope_.stop_token(), Telling::kNever);
  if (offsets && offsets->front().offset && !*offsets->front().offset) {
    // No record is that young: the end.
    offsets = co_await AskOffsets(cluster_, assignment.topic, asked, kLatestTimestamp, deadline,
                                  scope_.stop_token(), Telling::kNever);
  }
  assignment.in_flight = false;
  if (scope_.stopping()) co_return;
  if (assignment.generation == generation) {
    const TopicPicture* picture = cluster_.Find(assignment.topic);
    std::optional<Error> error;
    if (!offsets) error = offsets.error();
    if (offsets && !offsets->front().offset) error = offsets->front().offset.error();
    if (picture != nullptr && picture->id != assignment.id) {
      FailPartition(assignment,
                    {v1::UNKNOWN_TOPIC_ID,
                     fmt::format("{}: the topic was deleted and created again", Where(assignment))});
    } else if (error && !IsRetriable(error->code)) {
      FailPartition(assignment, std::move(*error));
    } else if (error) {
      Delay(assignment, std::move(error));
    } else {
      // All that was fetched before has been polled.
      assignment.fetch_offset = assignment.next_offset = offsets->front().offset->value_or(0);
      assignment.last_epoch.reset();
      assignment.history.Begin(assignment.next_offset, std::nullopt);
      assignment.refused.reset();
      TellReset(assignment);
      arrived_.NotifyAll();
    }
  }
  Wake();
}

void Fetcher::OutOfRange(const Asked& asked, Offset log_start, const Error& error) {
  Assignment& assignment = *asked.assignment;
  if (JudgeOutOfRange(*assignment.fetch_offset, log_start, asked.leader, loop_.Now(), &assignment.doubt) ==
      RangeVerdict::kLookElsewhere) {
    return LookAgain(asked);
  }
  if (options_.auto_offset_reset == OffsetReset::kNone) {
    return FailPartition(assignment, AtOffset(assignment, error));
  }
  // The log start has passed that place meanwhile, or somebody else leads: from the position on again.
  if (assignment.parted_at) {
    BeginGeneration(assignment);
    BackToPosition(assignment);
    return Delay(assignment);
  }
  assignment.reset = PositionReset{.topic = assignment.topic,
                                   .partition = assignment.partition,
                                   .asked = *assignment.fetch_offset,
                                   .log_start = log_start,
                                   .policy = options_.auto_offset_reset};
  // What was fetched before stays good and is polled first: the generation goes on.
  assignment.start.kind = options_.auto_offset_reset == OffsetReset::kEarliest
                              ? StartPosition::Kind::kBeginning
                              : StartPosition::Kind::kEnd;
  assignment.fetch_offset.reset();
  Wake();
}

// What was fetched of the history that the log has left is dropped; what is left is asked for anew. The
// position stays until Poll has told of it: who takes the partition over before that finds out by itself.
void Fetcher::Diverging(const Asked& asked, const v1::FetchResponse::Partition& answer) {
  Assignment& assignment = *asked.assignment;
  const EpochEnd leaders{answer.diverging().epoch(), answer.diverging().end_offset()};
  const auto point =
      PartingPoint(assignment.history, *assignment.fetch_offset, leaders, answer.log_start_offset());
  if (!point || !assignment.history.last_epoch()) {
    return HandleError(assignment,
                       {v1::UNKNOWN_SERVER_ERROR,
                        fmt::format("broker {} answers that its log parts from what was read, at offset {}",
                                    asked.leader.leader, leaders.end_offset)});
  }
  if (JudgeDiverging(asked.leader, loop_.Now(), &assignment.doubt) == RangeVerdict::kLookElsewhere)
    return LookAgain(asked);
  // Up to there what Poll gave stands in the history that was fetched.
  const std::optional<Offset> parted_before = assignment.parted_at;
  const Offset given = parted_before.value_or(assignment.next_offset);
  BeginGeneration(assignment);
  assignment.fetch_offset = std::min(*point, given);
  assignment.history.CutTo(*assignment.fetch_offset);
  if (parted_before || *point < given) assignment.parted_at = assignment.fetch_offset;
}

// False: with auto.offset.reset=none it is for the application to say where to go on.
bool Fetcher::TellParted(Assignment& assignment) {
  const Offset point = *assignment.parted_at;
  const std::string what = fmt::format(
      "{}: what was read from offset {} to {}{} is no longer in the log: a leader without it was elected "
      "(unclean), or its disk has lost it",
      Where(assignment), point, assignment.next_offset - 1,
      assignment.last_epoch ? fmt::format(" (leader epoch {})", *assignment.last_epoch) : "");
  if (options_.auto_offset_reset == OffsetReset::kNone) {
    assignment.parted_at.reset();
    BackToPosition(assignment);
    FailPartition(assignment, {v1::OFFSET_OUT_OF_RANGE,
                               fmt::format("{}; seek to {} to read what stands there now", what, point)});
    return false;
  }
  assignment.telling = true;
  Tell(assignment, {v1::LOG_TRUNCATED, fmt::format("{}; reading goes on at {}", what, point)}, true);
  return true;
}

void Fetcher::BackToPosition(Assignment& assignment) {
  assignment.fetch_offset = assignment.next_offset;
  assignment.history.Begin(assignment.next_offset, assignment.last_epoch);
}

void Fetcher::LookAgain(const Asked& asked) {
  asked.assignment->in_flight = true;
  scope_.Spawn("another look at a leader",
               LookElsewhere(asked.assignment, asked.generation, asked.leader.leader));
}

// Asks another broker who leads; then the fetch is repeated, at whoever that is.
Task<void> Fetcher::LookElsewhere(AssignmentPtr owned, uint64_t generation, BrokerId doubted) {
  const auto said =
      co_await cluster_.SecondOpinion(owned->topic, owned->partition, doubted,
                                      loop_.Now() + options_.client.request_timeout, scope_.stop_token());
  owned->in_flight = false;
  if (scope_.stopping()) co_return;
  if (owned->generation == generation) {
    if (said) NoteSecondOpinion(*said, &owned->doubt);
    Delay(*owned);
  }
  Wake();
}

}  // namespace tidemark::internal
