// ZkHandle: the life of one handle of ZooKeeper's C client, on a thread of its own: opening (which looks
// names up) and closing (which joins the library's threads) block, and closing is forbidden on the library's
// own threads. In between the thread sleeps. Owned by a session's core; the callbacks come from foreign
// threads.
#pragma once

#include <zookeeper/zookeeper.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "common/time.h"
#include "common/zk/coordination.h"

namespace tidemark {

// What a result code of the C client means.
ZkCode ZkCodeOf(int rc);
// False for codes that the library made up itself because no answer came.
bool AnsweredByServer(int rc);

class ZkHandle {
 public:
  struct Options {
    std::string connect;
    Duration session_timeout{};
    int64_t session_id = 0;
    std::string password;
    watcher_fn on_session_event = nullptr;
    void* context = nullptr;                    // given to on_session_event; lives until Join() has returned
    std::function<void(zhandle_t*)> on_opened;  // own thread; use the handle only until RequestClose()
    std::function<void()> on_closed;            // own thread; the library calls nobody any more
  };

  explicit ZkHandle(Options options);
  ~ZkHandle();  // RequestClose() and Join()

  // The handle may not be used after this call. It ends the session on the server, if connected. Idempotent.
  void RequestClose();
  // Blocks until the handle is closed: a few milliseconds after on_closed, up to seconds before.
  void Join();

 private:
  void Run();
  zhandle_t* Open();
  // True when the close was requested within the limit.
  bool WaitForClose(Duration limit);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable close_requested_changed_;
  bool close_requested_ = false;
  std::thread thread_;
};

}  // namespace tidemark
