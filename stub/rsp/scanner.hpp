// A cursor over a packet's body.  Each step takes something off the front, or says that it is not there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "stub/rsp/hex.hpp"

namespace ringside::rsp {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  // One or more hex digits that fit 64 bits.
  std::optional<std::uint64_t> number() {
    const auto is_digit = [](char c) { return hex_digit(c).has_value(); };
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
    return parse_hex_u64(take_front(static_cast<std::size_t>(end - rest_.begin())));
  }
  // Up to the next `c`, which is taken off but not given; all of it when there is none.
  std::string_view until(char c) {
    const std::string_view front = take_front(std::min(rest_.find(c), rest_.size()));
    take(c);
    return front;
  }
  // Exactly so many characters.
  std::optional<std::string_view> exactly(std::size_t count) {
    if (rest_.size() < count) return std::nullopt;
    return take_front(count);
  }

 private:
  std::string_view take_front(std::size_t count) {
    const std::string_view front = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return front;
  }

  std::string_view rest_;
};

}  // namespace ringside::rsp
