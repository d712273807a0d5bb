// Result<T>: a value or an Error. Expected failures travel as values and cannot be dropped unseen; broken
// invariants are CHECKs. There are no exceptions in Tidemark's own code.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "common/error.h"

namespace tidemark {

// std::expected made [[nodiscard]] (libstdc++ 12's is not).
template <typename T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

// Returns from the current function with the error of `expr` if it failed.
#define TM_RETURN_IF_ERROR(expr)                                 \
  do {                                                           \
    if (auto tm_result_ = (expr); !tm_result_) [[unlikely]]      \
      return ::std::unexpected(::std::move(tm_result_).error()); \
  } while (false)

// As TM_RETURN_IF_ERROR, inside a coroutine.
#define TM_CO_RETURN_IF_ERROR(expr)                                 \
  do {                                                              \
    if (auto tm_result_ = (expr); !tm_result_) [[unlikely]]         \
      co_return ::std::unexpected(::std::move(tm_result_).error()); \
  } while (false)

#define TM_CONCAT_INNER(a, b) a##b
#define TM_CONCAT(a, b) TM_CONCAT_INNER(a, b)

// TM_ASSIGN_OR_RETURN(auto x, f()): x is f's value, or the error returns from the current function.
#define TM_ASSIGN_OR_RETURN(lhs, expr)                                             \
  auto TM_CONCAT(tm_value_, __LINE__) = (expr);                                    \
  if (!TM_CONCAT(tm_value_, __LINE__)) [[unlikely]]                                \
    return ::std::unexpected(::std::move(TM_CONCAT(tm_value_, __LINE__)).error()); \
  lhs = ::std::move(*TM_CONCAT(tm_value_, __LINE__))

// As TM_ASSIGN_OR_RETURN, inside a coroutine.
#define TM_CO_ASSIGN_OR_RETURN(lhs, expr)                                             \
  auto TM_CONCAT(tm_value_, __LINE__) = (expr);                                       \
  if (!TM_CONCAT(tm_value_, __LINE__)) [[unlikely]]                                   \
    co_return ::std::unexpected(::std::move(TM_CONCAT(tm_value_, __LINE__)).error()); \
  lhs = ::std::move(*TM_CONCAT(tm_value_, __LINE__))

}  // namespace tidemark
