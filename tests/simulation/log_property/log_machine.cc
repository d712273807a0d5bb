#include "tests/simulation/log_property/log_machine.h"

#include <glog/logging.h>

namespace tidemark {
namespace {

Task<void> NoteTheEnd(std::shared_ptr<std::function<Task<void>()>> body, std::shared_ptr<bool> done) {
  co_await (*body)();
  *done = true;
}

}  // namespace

LogMachine::LogMachine(uint64_t seed, std::vector<std::string> directories)
    : world_(seed), directories_(std::move(directories)) {}

LogMachine::~LogMachine() {
  Kill(false);
  CHECK(disk().freed_on_loops().empty()) << disk().freed_on_loops().front() << " was freed by a loop";
}

void LogMachine::Boot() {
  CHECK(!alive());
  process_ = &world_.StartProcess(kHostName);
}

Task<Result<>> LogMachine::Open() {
  TM_CO_ASSIGN_OR_RETURN(auto opened, co_await LogDirs::Open(*process_, process_->main_loop(), directories_));
  dirs_ = std::shared_ptr<LogDirs>(std::move(opened));
  process_->Keep(dirs_);
  TM_CO_RETURN_IF_ERROR(co_await dirs_->Bind(1, "cluster"));
  logs_ = std::make_shared<ShardLogs>(*dirs_, process_->main_loop());
  process_->Keep(logs_);
  co_return {};
}

bool LogMachine::Run(std::function<Task<void>()> body) {
  auto done = std::make_shared<bool>(false);
  auto fn = std::make_shared<std::function<Task<void>()>>(std::move(body));
  process_->Keep(done);
  process_->Keep(fn);
  SimProcess& process = *process_;
  process.Spawn("body", [done, fn] { return NoteTheEnd(fn, done); });
  CHECK(world_.RunUntil([&] { return *done || !process.alive(); }, 3600s)) << "stuck";
  return *done && process.alive();
}

void LogMachine::Kill(bool power_loss) {
  if (alive()) process_->Kill(power_loss);
  logs_.reset();
  dirs_.reset();
}

std::optional<bool> LogMachine::CloseCleanly() {
  auto clean = std::make_shared<bool>(false);
  const bool lived = Run([this, clean]() -> Task<void> {
    *clean = logs_ != nullptr && co_await logs_->CloseCleanly();
    if (dirs_ != nullptr && *clean) *clean = (co_await dirs_->CloseCleanly()).has_value();
    if (dirs_ != nullptr && !*clean) co_await dirs_->Close();
  });
  if (!lived) return std::nullopt;
  logs_.reset();
  dirs_.reset();
  process_->Exit();
  return *clean;
}

bool LogMachine::Close() {
  const bool lived = Run([this]() -> Task<void> {
    if (logs_ != nullptr) co_await logs_->Close();
    if (dirs_ != nullptr) co_await dirs_->Close();
  });
  if (!lived) return false;
  logs_.reset();
  dirs_.reset();
  process_->Exit();
  return true;
}

}  // namespace tidemark
