// The contract suites of Coordination and ZkKeeper against the simulated ZooKeeper.
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"
#include "tests/unit/zk/coordination_contract.h"
#include "tests/unit/zk/keeper_contract.h"

namespace tidemark::zktest {

template <uint64_t kSeed>
class SimContractWorld final : public ContractWorld {
 public:
  SimContractWorld() { process_.main_loop().SetDrivenFromOutside(); }
  EventLoop& loop() override { return process_.main_loop(); }
  Coordination& coordination() override { return process_.coordination(); }
  std::string servers() override { return "zookeeper:2181"; }
  Duration session_timeout() override { return 6s; }
  bool RunUntil(const std::function<bool()>& condition) override { return world_.RunUntil(condition, 300s); }
  void CutConnection() override { world_.zookeeper().Stop(); }
  void RestoreConnection() override { world_.zookeeper().Start(); }

 private:
  SimWorld world_{kSeed};
  SimProcess& process_ = world_.StartProcess("a");
};

INSTANTIATE_TYPED_TEST_SUITE_P(Sim1, CoordinationContract, SimContractWorld<1>);
INSTANTIATE_TYPED_TEST_SUITE_P(Sim2, CoordinationContract, SimContractWorld<2>);
INSTANTIATE_TYPED_TEST_SUITE_P(Sim1, ZkKeeperContract, SimContractWorld<1>);
INSTANTIATE_TYPED_TEST_SUITE_P(Sim2, ZkKeeperContract, SimContractWorld<2>);

}  // namespace tidemark::zktest
