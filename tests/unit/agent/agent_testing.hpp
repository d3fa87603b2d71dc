// Bytecode as the packets spell it: hex digits, with blanks wherever they help to read.
#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "stub/agent/program.hpp"

namespace ringside::agent {

inline Bytes bytecode(std::string_view hex) {
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits += c;
  }
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline Program program(const Bytes& code) {
  auto verified = Program::verify(code);
  if (!verified) throw std::runtime_error(verified.error().text);
  return std::move(*verified);
}
inline Program program(std::string_view hex) { return program(bytecode(hex)); }

// What verification says against it; empty when nothing.
inline std::string complaint(const Bytes& code) {
  const auto verified = Program::verify(code);
  return verified ? "" : verified.error().text;
}
inline std::string complaint(std::string_view hex) { return complaint(bytecode(hex)); }

// `34 nargs length text NUL`, behind the pushes that it needs; arguments[0] is the first conversion's.
inline Bytes printing(std::string_view format, const std::vector<std::uint64_t>& arguments) {
  Bytes code;
  for (auto value = arguments.rbegin(); value != arguments.rend(); ++value) {
    code.push_back(0x25);
    for (int shift = 56; shift >= 0; shift -= 8) code.push_back(static_cast<std::uint8_t>(*value >> shift));
  }
  const std::size_t length = format.size() + 1;
  const Bytes head{0x22,
                   0,
                   0x22,
                   0,
                   0x34,
                   static_cast<std::uint8_t>(arguments.size()),
                   static_cast<std::uint8_t>(length >> 8),
                   static_cast<std::uint8_t>(length)};
  code.insert(code.end(), head.begin(), head.end());
  code.insert(code.end(), format.begin(), format.end());
  code.push_back(0);
  code.push_back(0x27);
  return code;
}

}  // namespace ringside::agent
