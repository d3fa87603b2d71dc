// Result<T>: how everything that can fail says so, and RS_CHECK for what must never happen.
//
// An Error carries a code (what kind of answer it becomes) and one sentence for a person that says what is
// wrong and, where possible, what to do.  Socket bytes, guest memory and argv may be wrong at any time: that
// is an Error.  RS_CHECK is for our own invariants only; it stays on in release builds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "arch/expected.hpp"

namespace ringside {

enum class Errc : std::uint8_t {
  kMalformed,    // input that breaks its own format: a packet, a kernel image, an option
  kUnsupported,  // understood, and not available here
  kNotMapped,    // a guest address without memory behind it
  kRefused,      // not allowed: read-only tracer, another tracer's right
  kExhausted,    // a limit is reached: debug registers, breakpoints, queue
  kNotFound,     // names something that does not exist: a vCPU, a file
  kBusy,         // cannot be done in the present state; try after a stop
  kGone,         // the guest or the peer has left
  kSystem,       // the operating system or KVM said no; the text has errno's words
};

struct Error {
  Errc code = Errc::kSystem;
  std::string text;
};

template <typename T>
using Result = Expected<T, Error>;

// Builds the unexpected side: `return fail(Errc::kNotMapped, fmt::format(...))`.
[[nodiscard]] inline Unexpected<Error> fail(Errc code, std::string text) {
  return Unexpected<Error>(Error{code, std::move(text)});
}

// The operating system's reason in words: "open /dev/kvm: Permission denied".
[[nodiscard]] Unexpected<Error> fail_errno(std::string_view what, int error_number);

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace ringside

// Our own invariant; aborts with its text when it does not hold, in release builds too.
#define RS_CHECK(expression) \
  (static_cast<bool>(expression) ? void(0) : ::ringside::check_failed(#expression, __FILE__, __LINE__))

// Value of a Result, or return its error from the enclosing function.  One a statement (it declares a name);
// never around co_await, which GCC 12 cannot compile inside a statement expression.
#define RS_TRY(expression)                                                                           \
  __extension__({                                                                                    \
    auto rs_try_result = (expression);                                                               \
    if (!rs_try_result.has_value()) return ::ringside::unexpected(std::move(rs_try_result).error()); \
    ::ringside::detail::take(std::move(rs_try_result));                                              \
  })

namespace ringside::detail {
template <typename R>
auto take(R&& result) {
  if constexpr (std::is_void_v<typename std::remove_cvref_t<R>::value_type>) {
    return;
  } else {
    return std::move(*result);
  }
}
}  // namespace ringside::detail
