// What the service manager is told, over real datagram sockets with a name in the file system and without.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/server/service_status.h"
#include "common/env/service_manager.h"
#include "common/utf8.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

// A bound socket as systemd's; `name` as in NOTIFY_SOCKET.
class Manager {
 public:
  explicit Manager(const std::string& name) : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    if (name[0] == '/') path_ = name;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0) << std::strerror(errno);
  }
  ~Manager() {
    close(fd_);
    if (!path_.empty()) unlink(path_.c_str());
  }
  // The next message; empty when there is none.
  std::string Next() {
    char buffer[4096];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    return n < 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }

 private:
  int fd_;
  std::string path_;
};

TEST(ServiceManager, SendsToAPathAndToAnAbstractName) {
  for (const std::string& name :
       {"/tmp/tidemark-notify-" + std::to_string(getpid()), "@tidemark-notify-" + std::to_string(getpid())}) {
    Manager manager(name);
    const ServiceManager self(name, std::nullopt);
    ASSERT_TRUE(self.Send("READY=1\nSTATUS=here")) << name;
    EXPECT_EQ(manager.Next(), "READY=1\nSTATUS=here");
  }
}

TEST(ServiceManager, ReadsTheEnvironmentAndTakesItOut) {
  setenv("NOTIFY_SOCKET", "@x", 1);
  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  const ServiceManager self = ServiceManager::FromEnvironment();
  EXPECT_TRUE(self.present());
  EXPECT_EQ(self.watchdog(), Duration(3s));
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_FALSE(ServiceManager::FromEnvironment().present());
}

TEST(ServiceManager, AWatchdogForAnotherProcessIsNotOurs) {
  setenv("NOTIFY_SOCKET", "@x", 1);
  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceManager::FromEnvironment().watchdog(), std::nullopt);
}

TEST(ServiceManager, SaysWhatIsWrongAndNeverWaits) {
  EXPECT_TRUE(ServiceManager().Send("READY=1"));
  EXPECT_EQ(ServiceManager("relative", {}).Send("x").error().code, v1::INVALID_CONFIG);
  EXPECT_EQ(ServiceManager("/" + std::string(200, 'x'), {}).Send("x").error().code, v1::INVALID_CONFIG);
  EXPECT_EQ(ServiceManager("/nowhere/at/all", {}).Send("x").error().code, v1::IO_ERROR);
  // A manager that does not read: its queue fills up, and the next message is refused.
  const std::string name = "@tidemark-full-" + std::to_string(getpid());
  Manager manager(name);
  Result<> sent;
  for (int i = 0; i < 10000 && sent; ++i) sent = ServiceManager(name, {}).Send("STATUS=again");
  EXPECT_FALSE(sent);
}

TEST(ServiceMessage, IsReadyAlsoWhenSomethingIsMissingLater) {
  EXPECT_EQ(ServiceMessage(ServicePhase::kStarting, {"recovering 3 logs"}, ""),
            "STATUS=starting: recovering 3 logs");
  EXPECT_EQ(ServiceMessage(ServicePhase::kStarting, {}, ""), "STATUS=starting");
  EXPECT_EQ(ServiceMessage(ServicePhase::kServing, {}, "broker 1 serves"), "READY=1\nSTATUS=broker 1 serves");
  EXPECT_EQ(ServiceMessage(ServicePhase::kServing, {"a", "b"}, "broker 1 serves"),
            "READY=1\nSTATUS=not ready: a (and 1 more, see /readyz)");
  EXPECT_THAT(ServiceMessage(ServicePhase::kStopping, {}, ""), HasSubstr("STOPPING=1\nSTATUS=stopping"));
  EXPECT_THAT(ServiceMessage(ServicePhase::kStopping, {"every disk failed"}, ""),
              HasSubstr("every disk failed"));
}

TEST(ServiceMessage, ALineEndInAReasonBeginsNoOtherAssignment) {
  const std::string message =
      ServiceMessage(ServicePhase::kStarting, {"x\nREADY=1" + std::string(1000, 'y')}, "");
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 500u);
}

TEST(ServiceMessage, ALongReasonIsCutBetweenCharacters) {
  for (size_t before = 0; before < 4; ++before) {
    std::string reason(before, 'x');
    for (int i = 0; i < 300; ++i) reason += "\u20ac";
    EXPECT_TRUE(IsValidUtf8(ServiceMessage(ServicePhase::kServing, {reason}, ""))) << before;
  }
}

}  // namespace
}  // namespace tidemark
