// Chooses where the kernel goes: its slide in virtual memory and, independently, its physical address, both
// as its own decompressor would (choose_random_location in arch/x86/boot/compressed/kaslr.c).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/addr.hpp"
#include "arch/result.hpp"

namespace ringside::boot {

// 64-bit random numbers from the host, or a reproducible sequence from a seed (SplitMix64).
class KaslrRandom {
 public:
  static Result<KaslrRandom> create(std::optional<std::uint64_t> seed);
  std::uint64_t below(
      std::uint64_t limit);  // 0..limit-1; the bias of a modulo is far below what matters here

 private:
  explicit KaslrRandom(std::uint64_t state) : state_(state) {}
  std::uint64_t state_;
};

// Is `word` one of the command line's words?  What follows a lone "--" belongs to init.
bool has_word(std::string_view cmdline, std::string_view word);

// Number of aligned slides with which an image linked at `text` stays inside the kernel's 1 GiB window; at
// least 1 (no slide) for an image that fits at all, else 0.
std::uint64_t slide_slots(Gva text, std::uint64_t image_bytes, std::uint64_t alignment);

// Number of aligned begins of `bytes` in [begin, end).
std::uint64_t placement_slots(Gpa begin, Gpa end, std::uint64_t bytes, std::uint64_t alignment);

}  // namespace ringside::boot
