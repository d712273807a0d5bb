#include "common/metrics/admin_http.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/thread.h>
#include <glog/logging.h>

namespace tidemark {
namespace {

constexpr timeval kReplyTimeout = {5, 0};
constexpr int kIdleSeconds = 60;

// Where replies from other threads wait for the HTTP thread. Outlives the server in the hands of late
// repliers.
struct Mailbox {
  std::mutex mutex;
  event* wake = nullptr;  // null once the server has gone
  std::deque<std::pair<uint64_t, AdminReply>> replies;

  void Put(uint64_t request, AdminReply reply) {
    const std::lock_guard lock(mutex);
    if (wake == nullptr) return;
    replies.emplace_back(request, std::move(reply));
    event_active(wake, 0, 0);
  }
};

class AdminHttp final : public AdminServer {
 public:
  explicit AdminHttp(AdminHandler handler)
      : handler_(std::move(handler)), mailbox_(std::make_shared<Mailbox>()) {}

  ~AdminHttp() override {
    {
      const std::lock_guard lock(mailbox_->mutex);
      stopping_ = true;
      if (mailbox_->wake != nullptr) event_active(mailbox_->wake, 0, 0);
    }
    if (thread_.joinable()) thread_.join();
    event* wake = nullptr;
    {
      const std::lock_guard lock(mailbox_->mutex);
      wake = std::exchange(mailbox_->wake, nullptr);
    }
    // Each held request is answered: libevent frees a request that it gave away only when it is replied to.
    while (!pending_.empty()) Answer(pending_.begin()->first, Unavailable("the broker is stopping"));
    if (wake != nullptr) event_free(wake);
    if (http_ != nullptr) evhttp_free(http_);
    if (base_ != nullptr) event_base_free(base_);
  }

  Endpoint endpoint() const override { return endpoint_; }

  Result<> Start(const Endpoint& address) {
    evthread_use_pthreads();
    base_ = event_base_new();
    http_ = base_ == nullptr ? nullptr : evhttp_new(base_);
    if (http_ == nullptr) return Fail(v1::IO_ERROR, "admin listener: libevent gives no HTTP server");
    evhttp_set_allowed_methods(http_, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(http_, 16 << 10);
    evhttp_set_max_body_size(http_, 16 << 10);
    evhttp_set_timeout(http_, kIdleSeconds);
    evhttp_set_gencb(
        http_, [](evhttp_request* r, void* self) { static_cast<AdminHttp*>(self)->OnRequest(r); }, this);
    const char* host = address.host.empty() ? "0.0.0.0" : address.host.c_str();
    evhttp_bound_socket* bound = evhttp_bind_socket_with_handle(http_, host, address.port);
    if (bound == nullptr) {
      return Fail(v1::IO_ERROR, "admin listener: cannot bind {}: {}", ToString(address),
                  std::strerror(errno));
    }
    const int fd = evhttp_bound_socket_get_fd(bound);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    endpoint_ = {address.host.empty() ? "0.0.0.0" : address.host, BoundPort(fd)};
    mailbox_->wake = event_new(
        base_, -1, EV_PERSIST, [](int, short, void* self) { static_cast<AdminHttp*>(self)->OnWake(); }, this);
    thread_ = std::thread([this] { event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY); });
    return {};
  }

 private:
  struct Pending {
    AdminHttp* self;
    uint64_t id;
    evhttp_request* request;
    event* timeout;
  };

  static AdminReply Unavailable(std::string why) { return {.status = 503, .body = std::move(why) + "\n"}; }

  static AdminRequest Parse(evhttp_request* request) {
    AdminRequest out;
    const evhttp_uri* uri = evhttp_request_get_evhttp_uri(request);
    const char* path = uri == nullptr ? nullptr : evhttp_uri_get_path(uri);
    out.path = path == nullptr || *path == '\0' ? "/" : path;
    const char* accept = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept");
    if (accept != nullptr) out.accept = accept;
    const char* query = uri == nullptr ? nullptr : evhttp_uri_get_query(uri);
    evkeyvalq values{};
    if (query == nullptr || evhttp_parse_query_str(query, &values) != 0) return out;
    for (const evkeyval* item = values.tqh_first; item != nullptr; item = item->next.tqe_next)
      out.query[item->key] = item->value;
    evhttp_clear_headers(&values);
    return out;
  }

  static uint16_t BoundPort(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
    return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  }

  void OnRequest(evhttp_request* request) {
    const AdminRequest asked = Parse(request);
    const uint64_t id = ++last_id_;
    auto pending = std::make_unique<Pending>(this, id, request, nullptr);
    pending->timeout = event_new(
        base_, -1, 0,
        [](int, short, void* arg) {
          const auto* late = static_cast<Pending*>(arg);
          late->self->Answer(late->id, Unavailable("no answer from the broker's loops within 5 s"));
        },
        pending.get());
    event_add(pending->timeout, &kReplyTimeout);
    pending_.emplace(id, std::move(pending));
    handler_(asked, [mailbox = mailbox_, id](AdminReply reply) { mailbox->Put(id, std::move(reply)); });
  }

  void Answer(uint64_t id, const AdminReply& reply) {
    const auto it = pending_.find(id);
    if (it == pending_.end()) return;
    evhttp_request* request = it->second->request;
    event_free(it->second->timeout);
    pending_.erase(it);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", reply.content_type.c_str());
    evbuffer* body = evbuffer_new();
    evbuffer_add(body, reply.body.data(), reply.body.size());
    evhttp_send_reply(request, reply.status, nullptr, body);
    evbuffer_free(body);
  }

  void OnWake() {
    std::deque<std::pair<uint64_t, AdminReply>> replies;
    bool stopping = false;
    {
      const std::lock_guard lock(mailbox_->mutex);
      replies.swap(mailbox_->replies);
      stopping = stopping_;
    }
    for (const auto& [id, reply] : replies) Answer(id, reply);
    if (stopping) event_base_loopbreak(base_);
  }

  AdminHandler handler_;
  std::shared_ptr<Mailbox> mailbox_;
  event_base* base_ = nullptr;
  evhttp* http_ = nullptr;
  Endpoint endpoint_;
  bool stopping_ = false;  // under mailbox_->mutex
  // HTTP thread only.
  std::unordered_map<uint64_t, std::unique_ptr<Pending>> pending_;
  uint64_t last_id_ = 0;
  std::thread thread_;
};

}  // namespace

bool AdminRequest::WantsJson() const {
  const auto format = query.find("format");
  if (format != query.end()) return format->second == "json";
  return accept.find("application/json") != std::string::npos;
}

Result<std::unique_ptr<AdminServer>> StartAdminHttp(const Endpoint& address, AdminHandler handler) {
  auto server = std::make_unique<AdminHttp>(std::move(handler));
  TM_RETURN_IF_ERROR(server->Start(address));
  return std::unique_ptr<AdminServer>(std::move(server));
}

}  // namespace tidemark
