// What to return when the world misbehaved: a value, or an error that says what the caller may do.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace medley {

// What the caller may do about it.
enum class ErrorCode {
  kInvalid,      // fix the input
  kNotFound,     // name something that exists
  kDenied,       // not allowed, asking again does not help
  kUnavailable,  // the other side is down or full: retry later or elsewhere
  kTimedOut,     // the other side is too slow: retry later or elsewhere
  kGarbled,      // the other side answered something that makes no sense
  kInternal,     // give up
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one line for people: where, what is wrong, what would be right
  std::string param;    // the field at fault, where there is one ("messages[0].role")
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Preconditions: ok() for the value, !ok() for the error.
  T& value() & { return checked<0>(); }
  const T& value() const& { return checked<0>(); }
  T&& value() && { return std::move(checked<0>()); }
  T& operator*() & { return checked<0>(); }
  const T& operator*() const& { return checked<0>(); }
  T&& operator*() && { return std::move(checked<0>()); }
  T* operator->() { return &checked<0>(); }
  const T* operator->() const { return &checked<0>(); }
  const Error& error() const& { return checked<1>(); }
  Error&& error() && { return std::move(checked<1>()); }

 private:
  template <std::size_t I>
  auto& checked() {
    MEDLEY_CHECK(state_.index() == I, state_.index() == 1 ? std::get<1>(state_).message : "");
    return std::get<I>(state_);
  }
  template <std::size_t I>
  const auto& checked() const {
    MEDLEY_CHECK(state_.index() == I, state_.index() == 1 ? std::get<1>(state_).message : "");
    return std::get<I>(state_);
  }

  std::variant<T, Error> state_;
};

// For operations that answer nothing but success.
struct Done {};
using Status = Result<Done>;

}  // namespace medley

// Leaves the function with the error of `expression`, else defines or assigns `target`.
#define MEDLEY_TRY(target, expression) \
  MEDLEY_TRY_IMPL(MEDLEY_CONCAT(try_, __LINE__), target, expression)
#define MEDLEY_TRY_IMPL(name, target, expression) \
  auto name = (expression);                       \
  if (!name.ok())                                 \
    return std::move(name).error();               \
  target = std::move(name).value()
#define MEDLEY_TRY_STATUS(expression)       \
  do {                                      \
    auto try_status = (expression);         \
    if (!try_status.ok())                   \
      return std::move(try_status).error(); \
  } while (false)
#define MEDLEY_CONCAT(a, b) MEDLEY_CONCAT_IMPL(a, b)
#define MEDLEY_CONCAT_IMPL(a, b) a##b
