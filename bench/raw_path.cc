// The bare path: what sockets, checksums and files cost without any broker logic. The denominator of the
// throughput figures in bench/README.md. Threads stand in for processes: a client, a leader and (with
// --replicas 3) two followers.
//
//   raw_path produce --replicas 1|3 --batch 65536 --bytes 1073741824 --dir DIR
//   raw_path consume --batch 65536 --bytes 1073741824 --dir DIR       (reads what a produce run left)
//   raw_path echo    --count 20000                     (100-byte round trips between two libevent loops)
#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "common/record/crc32c.h"

namespace {

constexpr size_t kPipeline = 5;  // batches under way

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

struct Options {
  std::string mode;
  size_t replicas = 1;
  size_t batch = 65536;
  uint64_t bytes = 1u << 30;
  uint64_t count = 20000;
  std::string dir = ".";
};

Options Parse(int argc, char** argv) {
  Options options;
  if (argc > 1) options.mode = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--replicas") options.replicas = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--batch") options.batch = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--bytes") options.bytes = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--count") options.count = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--dir") options.dir = argv[i + 1];
  }
  return options;
}

// A connected pair over loopback TCP.
std::pair<int, int> Connect() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  Require(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener, 1) == 0,
          "listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  Require(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "connect");
  const int server = accept(listener, nullptr, nullptr);
  close(listener);
  const int one = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return {client, server};
}

void SendAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
    Require(n > 0, "send");
    data += n, size -= static_cast<size_t>(n);
  }
}

void ReceiveAll(int fd, char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = recv(fd, data, size, 0);
    Require(n > 0, "recv");
    data += n, size -= static_cast<size_t>(n);
  }
}

std::string FileName(const Options& options, size_t replica) {
  return options.dir + "/raw-" + std::to_string(replica) + ".log";
}

// Receives batches, checks and appends each, and answers one byte.
void Follow(int fd, const std::string& path, size_t batch, uint64_t batches) {
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  Require(file >= 0, "open");
  std::vector<char> buffer(batch);
  uint32_t sum = 0;
  for (uint64_t i = 0; i < batches; ++i) {
    ReceiveAll(fd, buffer.data(), batch);
    sum ^= tidemark::Crc32c({buffer.data(), batch});
    Require(write(file, buffer.data(), batch) == static_cast<ssize_t>(batch), "write");
    SendAll(fd, "k", 1);
  }
  close(file);
  if (sum == 0x12345678) std::puts("");  // keeps the checksum alive
}

void Lead(int client, std::vector<int> followers, const Options& options, uint64_t batches) {
  const int file = open(FileName(options, 0).c_str(), O_CREAT | O_TRUNC | O_RDWR, 0644);
  Require(file >= 0, "open");
  std::vector<char> buffer(options.batch), copy(options.batch);
  uint32_t sum = 0;
  for (uint64_t i = 0; i < batches; ++i) {
    ReceiveAll(client, buffer.data(), options.batch);
    sum ^= tidemark::Crc32c({buffer.data(), options.batch});
    Require(write(file, buffer.data(), options.batch) == static_cast<ssize_t>(options.batch), "write");
    for (int follower : followers) {  // as a follower's fetch: read back from the page cache, then send
      Require(pread(file, copy.data(), options.batch, static_cast<off_t>(i * options.batch)) ==
                  static_cast<ssize_t>(options.batch),
              "pread");
      SendAll(follower, copy.data(), options.batch);
    }
    char ack;
    for (int follower : followers) ReceiveAll(follower, &ack, 1);
    SendAll(client, "k", 1);
  }
  close(file);
  if (sum == 0x12345678) std::puts("");
}

void Produce(const Options& options) {
  const uint64_t batches = options.bytes / options.batch;
  std::vector<std::thread> threads;
  std::vector<int> followers;
  for (size_t replica = 1; replica < options.replicas; ++replica) {
    auto [leader_side, follower_side] = Connect();
    followers.push_back(leader_side);
    threads.emplace_back([follower_side, &options, replica, batches] {
      Follow(follower_side, FileName(options, replica), options.batch, batches);
    });
  }
  auto [client, server] = Connect();
  threads.emplace_back([server, followers, &options, batches] { Lead(server, followers, options, batches); });
  std::vector<char> batch(options.batch, 'x');
  std::vector<char> acks(kPipeline);
  const auto started = std::chrono::steady_clock::now();
  uint64_t sent = 0, acknowledged = 0;
  while (acknowledged < batches) {
    while (sent < batches && sent - acknowledged < kPipeline) {
      batch[sent % options.batch]++;
      const uint32_t sum = tidemark::Crc32c({batch.data(), batch.size()});
      std::memcpy(batch.data(), &sum, sizeof sum);
      SendAll(client, batch.data(), batch.size());
      ++sent;
    }
    const ssize_t n = recv(client, acks.data(), acks.size(), 0);
    Require(n > 0, "recv");
    acknowledged += static_cast<uint64_t>(n);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  for (std::thread& thread : threads) thread.join();
  std::printf("raw produce replicas=%zu batch=%zu MB/s=%.1f\n", options.replicas, options.batch,
              static_cast<double>(batches * options.batch) / 1e6 / seconds);
}

void Consume(const Options& options) {
  auto [client, server] = Connect();
  const uint64_t batches = options.bytes / options.batch;
  std::thread leader([server, &options, batches] {
    const int file = open(FileName(options, 0).c_str(), O_RDONLY);
    Require(file >= 0, "open");
    std::vector<char> buffer(options.batch);
    for (uint64_t i = 0; i < batches; ++i) {
      Require(pread(file, buffer.data(), options.batch, static_cast<off_t>(i * options.batch)) ==
                  static_cast<ssize_t>(options.batch),
              "pread");
      SendAll(server, buffer.data(), options.batch);
    }
  });
  std::vector<char> buffer(options.batch);
  uint32_t sum = 0;
  const auto started = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < batches; ++i) {
    ReceiveAll(client, buffer.data(), options.batch);
    sum ^= tidemark::Crc32c({buffer.data(), options.batch});
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  leader.join();
  std::printf("raw consume batch=%zu MB/s=%.1f sum=%08x\n", options.batch,
              static_cast<double>(batches * options.batch) / 1e6 / seconds, sum);
}

// One side of the echo: a libevent loop that waits for whole messages on a socket.
class EchoSide {
 public:
  using OnMessage = bool (*)(EchoSide& side);  // false ends the loop
  static constexpr size_t kMessage = 100;

  EchoSide(int fd, OnMessage on_message, uint64_t count)
      : fd_(fd), on_message_(on_message), left_(count), base_(event_base_new()) {
    Require(evutil_make_socket_nonblocking(fd) == 0, "nonblocking");
    event_ = event_new(base_, fd, EV_READ | EV_PERSIST, &EchoSide::Readable, this);
    Require(event_add(event_, nullptr) == 0, "event_add");
  }
  ~EchoSide() {
    event_free(event_);
    event_base_free(base_);
  }
  EchoSide(const EchoSide&) = delete;
  EchoSide& operator=(const EchoSide&) = delete;

  void Send() {
    sent_ = std::chrono::steady_clock::now();
    SendAll(fd_, buffer_, kMessage);
  }
  void Run() { event_base_dispatch(base_); }
  bool TakeOne() { return --left_ > 0; }
  double MicrosSinceSent() const {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - sent_).count();
  }
  std::vector<double> micros;

 private:
  static void Readable(int, short, void* self) { static_cast<EchoSide*>(self)->Read(); }
  void Read() {
    const ssize_t n = recv(fd_, buffer_ + have_, kMessage - have_, 0);
    if (n < 0 && errno == EAGAIN) return;
    Require(n > 0, "recv");
    have_ += static_cast<size_t>(n);
    if (have_ < kMessage) return;
    have_ = 0;
    if (!on_message_(*this)) event_base_loopbreak(base_);
  }

  int fd_;
  OnMessage on_message_;
  uint64_t left_;
  event_base* base_;
  event* event_ = nullptr;
  char buffer_[kMessage] = {};
  size_t have_ = 0;
  std::chrono::steady_clock::time_point sent_;
};

void Echo(const Options& options) {
  auto [client, server] = Connect();
  std::thread echo([server, &options] {
    EchoSide side(
        server,
        [](EchoSide& s) {
          s.Send();
          return s.TakeOne();
        },
        options.count);
    side.Run();
  });
  EchoSide side(
      client,
      [](EchoSide& s) {
        s.micros.push_back(s.MicrosSinceSent());
        if (!s.TakeOne()) return false;
        s.Send();
        return true;
      },
      options.count);
  side.Send();
  side.Run();
  echo.join();
  std::ranges::sort(side.micros);
  std::printf("raw echo p50_us=%.1f p99_us=%.1f\n", side.micros[side.micros.size() / 2],
              side.micros[side.micros.size() * 99 / 100]);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  if (options.mode == "produce") {
    Produce(options);
  } else if (options.mode == "consume") {
    Consume(options);
  } else if (options.mode == "echo") {
    Echo(options);
  } else {
    std::fputs(
        "usage: raw_path produce|consume|echo [--replicas N] [--batch N] [--bytes N] [--count N] [--dir D]\n",
        stderr);
    return 2;
  }
  return 0;
}
