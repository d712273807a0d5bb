// The contract suites of the seams, against the simulated implementations.
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/unit/io/file_contract.h"
#include "tests/unit/net/transport_contract.h"

namespace tidemark {
namespace {

class SimFileWorld final : public FileWorld {
 public:
  explicit SimFileWorld(uint64_t seed) : world_(seed), process_(world_.StartProcess("a")) {
    CHECK(process_.files().CreateDirectories("/data"));
  }
  FileSystem& files() override { return process_.files(); }
  std::string directory() override { return "/data"; }

 private:
  SimWorld world_;
  SimProcess& process_;
};

INSTANTIATE_TEST_SUITE_P(Sim, FileContract,
                         testing::Values(FileWorldFactory([] { return std::make_unique<SimFileWorld>(1); }),
                                         FileWorldFactory([] { return std::make_unique<SimFileWorld>(2); })));

}  // namespace

template <uint64_t kSeed>
class SimHarness {
 public:
  Transport& transport() { return process_.transport(); }
  EventLoop& loop() { return process_.main_loop(); }
  EventLoop& other_loop() { return other_->loop(); }
  std::string host() { return "a"; }
  void Run(Task<void> task) {
    process_.Await([&task]() -> Task<void> { return std::move(task); });
  }

 private:
  SimWorld world_{kSeed};
  SimProcess& process_ = world_.StartProcess("a");
  std::unique_ptr<LoopThread> other_ = process_.StartLoop("other");
};

INSTANTIATE_TYPED_TEST_SUITE_P(Sim1, TransportContract, SimHarness<1>);
INSTANTIATE_TYPED_TEST_SUITE_P(Sim2, TransportContract, SimHarness<2>);

}  // namespace tidemark
