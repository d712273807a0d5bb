// Error: a code of the protocol's one table (proto/tidemark/v1/error.proto) and a sentence for a person.
// The class of a code (retry, refresh metadata, ...) is looked up here and travels in every reply.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "tidemark/v1/error.pb.h"

namespace tidemark {

using v1::ErrorClass;
using v1::ErrorCode;

struct Error {
  ErrorCode code = v1::UNKNOWN_SERVER_ERROR;
  // One sentence without a full stop: what was wrong, with its values. May be empty.
  std::string message;
  // What was asked may have been done all the same, or may yet be.
  bool unknown_outcome = false;
};

// "NOT_LEADER_OR_FOLLOWER"; "ERROR_<n>" for a number not known here.
std::string ErrorName(ErrorCode code);

// The class of a code; FATAL for a number not known here.
ErrorClass ClassOf(ErrorCode code);

// True for errors after which the same work may succeed (classes RETRY and REFRESH_METADATA).
bool IsRetriable(ErrorCode code);

// The meaning of a code in one sentence, for answers whose message is empty and for `tidemark explain`.
std::string_view ErrorMeaning(ErrorCode code);

// "message (NAME)", or the meaning where the message is empty.
std::string ToString(const Error& error);

// Fills the wire form, class included.
void ToProto(const Error& error, v1::Error* out);
v1::Error ToProto(const Error& error);

// The error a peer sent; code NONE never reaches here.
Error FromProto(const v1::Error& error);

// return Fail(v1::INVALID_REQUEST, "partition {} of {}", p, topic);
template <typename... Args>
[[nodiscard]] std::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format,
                                          Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}
[[nodiscard]] inline std::unexpected<Error> Fail(ErrorCode code) { return std::unexpected(Error{code, {}}); }

}  // namespace tidemark
