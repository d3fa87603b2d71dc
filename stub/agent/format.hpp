// The format of a printf opcode, taken apart once: it arrives as C source text, escapes and all, so that `\n`
// is two bytes (gdb sends what stood between the quotes).
//
// Integers, characters, guest strings and pointers; no floating point, no %n, no `*`.  Thread: any;
// immutable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "arch/result.hpp"

namespace ringside::agent {

struct Conversion {
  static constexpr int kNoPrecision = -1;

  char letter = 0;         // one of d u x X o c s p
  std::uint8_t bits = 32;  // how much of the argument an integer uses
  bool left = false;       // -
  bool plus = false;       // +
  bool space = false;      // ' '
  bool alternate = false;  // #
  bool zero = false;       // 0
  int width = 0;
  int precision = kNoPrecision;
};

class Format {
 public:
  using Piece = std::variant<std::string, Conversion>;  // text as it is printed, or one argument
  static constexpr int kMaxField = 1024;                // largest width and precision

  // `source` without the NUL that ends it on the wire; as many conversions as there are arguments.
  static Result<Format> parse(std::string_view source, unsigned arguments);

  const std::vector<Piece>& pieces() const { return pieces_; }
  const std::string& source() const { return source_; }
  unsigned arguments() const { return arguments_; }
  bool reads_strings() const;

 private:
  Format() = default;

  std::string source_;
  std::vector<Piece> pieces_;
  unsigned arguments_ = 0;
};

}  // namespace ringside::agent
