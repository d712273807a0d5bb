#include "controller/partition_leadership.h"

#include <algorithm>
#include <functional>
#include <set>

#include <glog/logging.h>
#include <nlohmann/json.hpp>

#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr const char* kEpochsMember = "isr_broker_epochs";
// Kafka's epochs are signed; room for raising stays.
constexpr LeaderEpoch kMaxLeaderEpoch = 0x7ffffff0;

// Takes the epochs of the ISR out of the members not known to the common codec.
Result<> TakeEpochs(Leadership* state) {
  if (state->unknown_members.empty()) return {};
  nlohmann::json members = nlohmann::json::parse(state->unknown_members, nullptr, /*allow_exceptions=*/false);
  if (!members.is_object()) return Fail(v1::INVALID_CONFIG, "the members not known are no JSON object");
  const auto epochs = members.find(kEpochsMember);
  if (epochs == members.end()) return {};
  if (!epochs->is_array()) return Fail(v1::INVALID_CONFIG, "{} is not a list", kEpochsMember);
  // Someone else may have changed the ISR and kept our member: then the epochs say nothing.
  if (epochs->size() == state->isr.size()) {
    for (size_t i = 0; i < state->isr.size(); ++i) {
      const auto& epoch = (*epochs)[i];
      if (!epoch.is_number_integer())
        return Fail(v1::INVALID_CONFIG, "{} has a member that is no number", kEpochsMember);
      state->isr[i].epoch = epoch.get<int64_t>();
    }
  }
  members.erase(epochs);
  state->unknown_members = members.empty() ? std::string() : members.dump();
  return {};
}

std::string PutEpochs(const Leadership& state) {
  nlohmann::json members = nlohmann::json::object();
  if (!state.unknown_members.empty()) {
    members = nlohmann::json::parse(state.unknown_members, nullptr, /*allow_exceptions=*/false);
    CHECK(members.is_object()) << "was checked when it was read";
  }
  nlohmann::json epochs = nlohmann::json::array();
  for (const IsrMember& member : state.isr) epochs.push_back(member.epoch);
  members[kEpochsMember] = std::move(epochs);
  return members.dump();
}

Result<> CheckPossible(const Leadership& state) {
  std::set<BrokerId> seen;
  for (const IsrMember& member : state.isr) {
    if (member.id < 0) return Fail(v1::INVALID_CONFIG, "the ISR names broker {}", member.id);
    if (!seen.insert(member.id).second)
      return Fail(v1::INVALID_CONFIG, "the ISR names broker {} twice", member.id);
  }
  if (state.isr.empty()) return Fail(v1::INVALID_CONFIG, "the ISR is empty");
  if (state.leader < kNoBroker) return Fail(v1::INVALID_CONFIG, "the leader is broker {}", state.leader);
  if (state.leader != kNoBroker && !seen.contains(state.leader)) {
    return Fail(v1::INVALID_CONFIG, "the leader, broker {}, is not in the ISR", state.leader);
  }
  if (state.leader_epoch > kMaxLeaderEpoch) {
    return Fail(v1::INVALID_CONFIG, "leader epoch {} is out of range", state.leader_epoch);
  }
  return {};
}

using Members = std::vector<IsrMember>;

template <typename Keep>
Members Filter(const Members& members, Keep keep) {
  Members out;
  std::ranges::copy_if(members, std::back_inserter(out), keep);
  return out;
}

// The decision's view of the ISR while it is being narrowed.
struct Narrowing {
  const PartitionFacts& facts;
  const Relief& relief;

  bool Usable(const IsrMember& m) const {
    const ReplicaFacts* replica = facts.Replica(m.id);
    return replica != nullptr && replica->usable;
  }
  // The member's broker has had a new life since it was taken in.
  bool Bounced(const IsrMember& m) const { return facts.Replica(m.id)->epoch != m.epoch; }
  // Whether its log outlived its last life is not known yet: it can be neither counted on nor given up.
  bool Unproven(const IsrMember& m) const { return Usable(m) && Bounced(m) && facts.Replica(m.id)->unproven; }
  bool Lossy(const IsrMember& m) const {
    return Bounced(m) && !facts.synced && !facts.Replica(m.id)->clean_start;
  }
  bool Leaving(const IsrMember& m) const {
    return facts.Replica(m.id)->shutting_down || (relief.leave_isr && m.id == relief.replica);
  }
  // Lower is better.
  int Reluctance(const IsrMember& m) const {
    return (Bounced(m) ? 1 : 0) + (facts.Replica(m.id)->shutting_down ? 2 : 0) +
           (m.id == relief.replica ? 4 : 0);
  }
  // Where the search begins: behind one that is relieved and stays, or two of those that ask would hand
  // leadership to each other for ever and never to the third.
  size_t First() const {
    const auto relieved = std::ranges::find(facts.replicas, relief.replica, &ReplicaFacts::id);
    if (relief.leave_isr || relieved == facts.replicas.end()) return 0;
    return static_cast<size_t>(relieved - facts.replicas.begin()) + 1;
  }
  // Best first by reluctance, then by assignment order.
  IsrMember Best(const Members& members) const {
    std::optional<IsrMember> best;
    const size_t first = First();
    for (size_t i = 0; i < facts.replicas.size(); ++i) {
      const ReplicaFacts& replica = facts.replicas[(first + i) % facts.replicas.size()];
      const auto it = std::ranges::find(members, replica.id, &IsrMember::id);
      if (it == members.end()) continue;
      if (!best || Reluctance(*it) < Reluctance(*best)) best = *it;
    }
    CHECK(best) << "the ISR has a usable member, and only replicas are usable";
    return *best;
  }
  // Usable members that stay.
  Members Narrow(const Members& usable) const {
    Members solid = Filter(usable, [this](const IsrMember& m) { return !Lossy(m); });
    if (solid.empty()) {
      // All bounced after unclean stops. The one that led has the most.
      const auto leader = std::ranges::find(usable, facts.state.leader, &IsrMember::id);
      solid = {leader != usable.end() ? *leader : Best(usable)};
    }
    Members staying = Filter(solid, [this](const IsrMember& m) { return !Leaving(m); });
    return staying.empty() ? solid : staying;
  }
};

std::optional<Leadership> WithoutLeader(const PartitionFacts& facts) {
  if (facts.state.leader == kNoBroker) return std::nullopt;
  Leadership next = facts.state;
  next.leader = kNoBroker;
  next.leader_epoch += 1;
  return next;
}

std::optional<Leadership> DecideWithoutIsr(const PartitionFacts& facts) {
  Leadership next = facts.state;
  if (facts.unclean_allowed) {
    const ReplicaFacts* best = nullptr;
    const auto reluctance = [](const ReplicaFacts& replica) {
      return (replica.lost ? 4 : 0) + (replica.unproven ? 2 : 0) + (replica.shutting_down ? 1 : 0);
    };
    for (const ReplicaFacts& replica : facts.replicas) {
      if (!replica.usable && !replica.lost) continue;
      if (best == nullptr || reluctance(replica) < reluctance(*best)) best = &replica;
    }
    if (best != nullptr) {
      next.leader = best->id;
      next.leader_epoch += 1;
      next.isr = {{best->id, best->epoch}};
      next.recovery = v1::LEADER_RECOVERY_STATE_RECOVERING;
      return next;
    }
  }
  return WithoutLeader(facts);
}

}  // namespace

const IsrMember* Leadership::Member(BrokerId id) const {
  const auto it = std::ranges::find(isr, id, &IsrMember::id);
  return it == isr.end() ? nullptr : &*it;
}

const ReplicaFacts* PartitionFacts::Replica(BrokerId id) const {
  const auto it = std::ranges::find(replicas, id, &ReplicaFacts::id);
  return it == replicas.end() ? nullptr : &*it;
}

Result<Leadership> DecodeLeadership(std::string_view json) {
  TM_ASSIGN_OR_RETURN(const v1::PartitionStateZnode node, DecodePartitionState(json));
  Leadership state;
  state.leader = node.leader();
  state.leader_epoch = node.leader_epoch();
  for (const BrokerId id : node.isr()) state.isr.push_back({id, kNoBrokerEpoch});
  if (node.leader_recovery_state() > 1) {
    return Fail(v1::INVALID_CONFIG, "leader_recovery_state is {}", node.leader_recovery_state());
  }
  state.recovery = static_cast<v1::LeaderRecoveryState>(node.leader_recovery_state());
  state.controller_epoch = node.controller_epoch();
  state.eligible.assign(node.eligible_leader_replicas().begin(), node.eligible_leader_replicas().end());
  state.unknown_members = node.unknown_members();
  TM_RETURN_IF_ERROR(TakeEpochs(&state));
  TM_RETURN_IF_ERROR(CheckPossible(state));
  return state;
}

std::string EncodeLeadership(const Leadership& state) {
  CHECK(!state.isr.empty());
  CHECK(state.leader == kNoBroker || state.Member(state.leader) != nullptr);
  v1::PartitionStateZnode node;
  node.set_leader(state.leader);
  node.set_leader_epoch(state.leader_epoch);
  node.set_controller_epoch(state.controller_epoch);
  for (const IsrMember& member : state.isr) node.add_isr(member.id);
  node.set_leader_recovery_state(static_cast<uint32_t>(state.recovery));
  node.mutable_eligible_leader_replicas()->Assign(state.eligible.begin(), state.eligible.end());
  node.set_unknown_members(PutEpochs(state));
  return EncodePartitionState(node);
}

std::optional<Leadership> DecideLeadership(const PartitionFacts& facts, const Relief& relief) {
  const Narrowing narrowing{facts, relief};
  const Members unproven = Filter(facts.state.isr, [&](const IsrMember& m) { return narrowing.Unproven(m); });
  const Members usable = Filter(
      facts.state.isr, [&](const IsrMember& m) { return narrowing.Usable(m) && !narrowing.Unproven(m); });
  if (usable.empty()) return unproven.empty() ? DecideWithoutIsr(facts) : WithoutLeader(facts);

  Leadership next = facts.state;
  next.isr = narrowing.Narrow(usable);
  const auto leader = std::ranges::find(next.isr, facts.state.leader, &IsrMember::id);
  const bool may_stay = leader != next.isr.end() && !narrowing.Bounced(*leader);
  const IsrMember best = narrowing.Best(next.isr);
  if (!may_stay || (leader->id == relief.replica && best.id != leader->id)) {
    next.leader = best.id;
    next.leader_epoch += 1;
  }
  // Members that bounced and stay do so in their present life.
  for (IsrMember& member : next.isr) member.epoch = facts.Replica(member.id)->epoch;
  std::ranges::copy_if(unproven, std::back_inserter(next.isr),
                       [&](const IsrMember& m) { return !narrowing.Lossy(m) && !narrowing.Leaving(m); });
  const bool same_reign = next.leader != kNoBroker && next.leader_epoch == facts.state.leader_epoch;
  if (relief.fence && same_reign && facts.Replica(relief.replica) != nullptr && !next.Member(relief.replica))
    next.leader_epoch += 1;
  if (next == facts.state) return std::nullopt;
  return next;
}

std::optional<Leadership> InitialLeadership(const PartitionFacts& facts) {
  Leadership state;
  const auto take = [&](bool shutting_down) {
    for (const ReplicaFacts& replica : facts.replicas) {
      if (replica.usable && replica.shutting_down == shutting_down)
        state.isr.push_back({replica.id, replica.epoch});
    }
  };
  take(false);
  if (state.isr.empty()) take(true);
  if (state.isr.empty()) return std::nullopt;
  state.leader = state.isr.front().id;
  return state;
}

std::optional<BrokerId> PreferredLeader(const PartitionFacts& facts) {
  if (facts.replicas.empty()) return std::nullopt;
  const ReplicaFacts& first = facts.replicas.front();
  if (!first.usable || first.shutting_down || facts.state.Member(first.id) == nullptr) return std::nullopt;
  return first.id;
}

}  // namespace tidemark
