// A Format and its arguments to text, in a fixed buffer: nothing here allocates, and neither text nor guest
// strings can be longer than the bounds below.  What is cut off is said, by three dots.
// Thread: whoever runs the program (a vCPU's thread).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "stub/agent/environment.hpp"
#include "stub/agent/format.hpp"

namespace ringside::agent {

inline constexpr std::size_t kMaxText = 8192;    // bytes of one printf
inline constexpr std::size_t kMaxString = 4096;  // bytes of one %s

class Text {
 public:
  std::string_view view() const { return {bytes_.data(), size_}; }
  std::size_t size() const { return size_; }
  bool cut() const { return cut_; }

  void append(std::string_view text);
  void append(std::size_t count, char c);
  // Spaces around what has been written since `start`, as far as `width` asks for them.
  void justify(std::size_t start, const Conversion& field);
  // To be called last: three dots in place of what did not fit.
  void mark_cut();

 private:
  std::array<char, kMaxText> bytes_;  // only what has been written is ever read
  std::size_t size_ = 0;
  bool cut_ = false;
};

// `arguments` in the order of the conversions, as many as Format::parse was told.  Guest strings are read
// through `guest`, in pieces that do not cross a page; what cannot be read is printed as <unreadable 0x...>.
void print(const Format& format, std::span<const std::uint64_t> arguments, Environment& guest,
           Text& out) noexcept;

}  // namespace ringside::agent
