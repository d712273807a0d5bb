// The admin HTTP server over a real loopback socket.
#include "common/metrics/admin_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::HasSubstr;

// Sends one request and reads until the server closes.
std::string Ask(const Endpoint& endpoint, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(fd, buffer, sizeof buffer)) > 0;)
    answer.append(buffer, static_cast<size_t>(n));
  close(fd);
  return answer;
}

std::string Get(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
}

TEST(AdminHttp, AnswersFromWhateverThreadReplies) {
  std::vector<std::future<void>> repliers;
  auto server = StartAdminHttp({"127.0.0.1", 0}, [&](const AdminRequest& request, AdminReplyFn reply) {
    repliers.push_back(std::async(std::launch::async, [path = request.path, reply] {
      reply({.status = path == "/readyz" ? 503 : 200, .body = "at " + path + "\n"});
    }));
  });
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_NE((*server)->endpoint().port, 0);
  const std::string ok = Ask((*server)->endpoint(), Get("/metrics"));
  EXPECT_THAT(ok, HasSubstr("200 OK"));
  EXPECT_THAT(ok, HasSubstr("at /metrics\n"));
  EXPECT_THAT(Ask((*server)->endpoint(), Get("/readyz")), HasSubstr("503"));
}

TEST(AdminHttp, HandsOnTheQueryAndWhatFormatIsWanted) {
  auto server = StartAdminHttp({"127.0.0.1", 0}, [&](const AdminRequest& request, AdminReplyFn reply) {
    std::string body = request.path;
    for (const auto& [name, value] : request.query) body += " " + name + "=" + value;
    reply({.body = body + (request.WantsJson() ? " json\n" : " text\n")});
  });
  ASSERT_TRUE(server) << server.error().message;
  const Endpoint at = (*server)->endpoint();
  EXPECT_THAT(Ask(at, Get("/restartz")), HasSubstr("/restartz text\n"));
  EXPECT_THAT(Ask(at, Get("/a?format=json&b=x%20y")), HasSubstr("/a b=x y format=json json\n"));
  EXPECT_THAT(Ask(at, Get("/a?format=text&%zz&=&b")), HasSubstr("text\n"));
  EXPECT_THAT(
      Ask(at,
          "GET /a HTTP/1.1\r\nHost: x\r\nAccept: text/html, application/json\r\nConnection: close\r\n\r\n"),
      HasSubstr("/a json\n"));
}

TEST(AdminHttp, ServesOnlyReading) {
  auto server = StartAdminHttp({"127.0.0.1", 0},
                               [](const AdminRequest&, AdminReplyFn reply) { reply({.body = "no"}); });
  ASSERT_TRUE(server);
  EXPECT_THAT(
      Ask((*server)->endpoint(), "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
      HasSubstr("501"));
}

TEST(AdminHttp, AReplyAfterItsEndIsDropped) {
  std::promise<AdminReplyFn> held;
  auto server = StartAdminHttp(
      {"127.0.0.1", 0}, [&](const AdminRequest&, AdminReplyFn reply) { held.set_value(std::move(reply)); });
  ASSERT_TRUE(server);
  auto client =
      std::async(std::launch::async, [endpoint = (*server)->endpoint()] { return Ask(endpoint, Get("/")); });
  const AdminReplyFn reply = held.get_future().get();
  server->reset();
  client.get();
  reply({.body = "too late"});
}

TEST(AdminHttp, SaysWhichAddressItCannotBind) {
  auto handler = [](const AdminRequest&, AdminReplyFn) {};
  auto first = StartAdminHttp({"127.0.0.1", 0}, handler);
  ASSERT_TRUE(first);
  auto second = StartAdminHttp((*first)->endpoint(), handler);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string((*first)->endpoint().port)));
}

}  // namespace
}  // namespace tidemark
