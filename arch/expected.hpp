// Expected<T, E>: std::expected where the library shows it, otherwise a stand-in with the same spelling.
//
// libstdc++ 12 hides <expected> from clang 14, whose __cpp_concepts is too low for the conditionally trivial
// members it uses.  The fuzzers need that compiler, so ours covers the members this project calls: no monadic
// ones (libstdc++ 12 has none either).  Code writes Expected, Unexpected, fail() and RS_TRY, never std::.
#pragma once

#include <utility>
#include <version>

#ifdef __cpp_lib_expected
#include <expected>
#else
#include <cstdlib>
#include <type_traits>
#include <variant>
#endif

namespace ringside {

#ifdef __cpp_lib_expected

template <typename T, typename E>
using Expected = std::expected<T, E>;
template <typename E>
using Unexpected = std::unexpected<E>;

#else

template <typename E>
class Unexpected {
 public:
  constexpr explicit Unexpected(E error) : error_(std::move(error)) {}
  constexpr const E& error() const& { return error_; }
  constexpr E& error() & { return error_; }
  constexpr E&& error() && { return std::move(error_); }

 private:
  E error_;
};

template <typename T, typename E>
class [[nodiscard]] Expected {
 public:
  using value_type = T;
  using error_type = E;

  constexpr Expected() = default;
  template <typename U = T>
  requires(
      std::is_constructible_v<T, U> && !std::is_same_v<std::remove_cvref_t<U>, Expected> &&
      !std::is_same_v<std::remove_cvref_t<U>, Unexpected<E>>) constexpr explicit(!std::is_convertible_v<U, T>)
      Expected(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  template <typename G>
  requires std::is_constructible_v<E, G>
  constexpr Expected(Unexpected<G> error) : state_(std::in_place_index<1>, std::move(error).error()) {}

  constexpr bool has_value() const noexcept { return state_.index() == 0; }
  constexpr explicit operator bool() const noexcept { return has_value(); }

  constexpr const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  constexpr T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  constexpr T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  constexpr const T* operator->() const noexcept { return std::get_if<0>(&state_); }
  constexpr T* operator->() noexcept { return std::get_if<0>(&state_); }
  constexpr const T& value() const& { return has_value() ? **this : (std::abort(), **this); }
  constexpr T& value() & { return has_value() ? **this : (std::abort(), **this); }
  constexpr T&& value() && { return has_value() ? *std::move(*this) : (std::abort(), *std::move(*this)); }
  template <typename U>
  constexpr T value_or(U&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(other));
  }
  template <typename U>
  constexpr T value_or(U&& other) && {
    return has_value() ? *std::move(*this) : static_cast<T>(std::forward<U>(other));
  }

  constexpr const E& error() const& noexcept { return *std::get_if<1>(&state_); }
  constexpr E& error() & noexcept { return *std::get_if<1>(&state_); }
  constexpr E&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  friend constexpr bool operator==(const Expected& a, const Expected& b) { return a.state_ == b.state_; }
  template <typename U>
  requires(!std::is_same_v<U, Expected>) friend constexpr bool operator==(const Expected& a, const U& b) {
    return a.has_value() && *a == b;
  }

 private:
  std::variant<T, E> state_;
};

template <typename E>
class [[nodiscard]] Expected<void, E> {
 public:
  using value_type = void;
  using error_type = E;

  constexpr Expected() = default;
  template <typename G>
  requires std::is_constructible_v<E, G>
  constexpr Expected(Unexpected<G> error) : state_(std::in_place_index<1>, std::move(error).error()) {}

  constexpr bool has_value() const noexcept { return state_.index() == 0; }
  constexpr explicit operator bool() const noexcept { return has_value(); }
  constexpr void operator*() const noexcept {}
  constexpr void value() const { has_value() ? void() : std::abort(); }
  constexpr const E& error() const& noexcept { return *std::get_if<1>(&state_); }
  constexpr E&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<std::monostate, E> state_;
};

#endif

// The failing side with its type deduced (CTAD through an alias is beyond clang 14).
template <typename E>
[[nodiscard]] constexpr Unexpected<std::remove_cvref_t<E>> unexpected(E&& error) {
  return Unexpected<std::remove_cvref_t<E>>(std::forward<E>(error));
}

}  // namespace ringside
