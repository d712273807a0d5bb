#include "common/net/request_rules.h"
#include "common/net/server_connection.h"

namespace tidemark {

ServerCall::~ServerCall() {
  if (!pending_) return;
  if (expects_answer_) {
    ReplyError({v1::UNKNOWN_SERVER_ERROR, "the broker dropped the request without an answer"});
  } else {
    Finish();
  }
}

void ServerCall::Begin(size_t bytes, MonoTime begun, MonoTime deadline) {
  size_ = bytes_ = bytes;
  begun_ = begun;
  deadline_ = deadline;
  correlation_id_ = request_.header().correlation_id();
  expects_answer_ = ExpectsAnswer(request_);
  pending_ = true;
  connection_->BeginCall(bytes);
}

void ServerCall::Reply(v1::Response response) {
  CHECK(pending_) << "a request is answered once";
  connection_->loop().CheckOwner();
  if (expects_answer_ && connection_->info() != nullptr) {
    response.mutable_header()->set_correlation_id(correlation_id_);
    connection_->Send(response);
  }
  Finish();
}

void ServerCall::ReplyError(const Error& error) {
  v1::Response response;
  ToProto(error, response.mutable_header()->mutable_error());
  Reply(std::move(response));
}

void ServerCall::ReleaseRequestBytes() {
  if (bytes_ > 0) connection_->ReleaseBytes(std::exchange(bytes_, 0));
}

void ServerCall::Finish() {
  CHECK(pending_) << "a request is answered once";
  pending_ = false;
  ReleaseRequestBytes();
  connection_->EndCall();
}

}  // namespace tidemark
