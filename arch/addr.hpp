// Guest addresses as types: Gva (guest virtual, what an instruction uses), Gpa (guest physical, what the
// bus sees).  Neither converts into the other, nor into a host pointer, by itself.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace ringside {

template <typename Tag>
struct Address {
  std::uint64_t value = 0;

  constexpr auto operator<=>(const Address&) const = default;
  constexpr Address operator+(std::uint64_t offset) const {
    return {value + offset};
  }  // wraps, as the CPU does
  constexpr Address operator-(std::uint64_t offset) const { return {value - offset}; }
  constexpr std::uint64_t operator-(Address other) const { return value - other.value; }
};

using Gva = Address<struct GvaTag>;
using Gpa = Address<struct GpaTag>;

inline constexpr std::uint64_t kPageSize = 4096;
inline constexpr std::uint64_t kPageMask = kPageSize - 1;

// Bytes from `at` up to the end of its 4 KiB page: the longest access one translation is good for.
template <typename Tag>
constexpr std::size_t bytes_to_page_end(Address<Tag> at) {
  return static_cast<std::size_t>(kPageSize - (at.value & kPageMask));
}

// [begin, end) in guest virtual addresses; empty when end <= begin.
struct GvaRange {
  Gva begin;
  Gva end;
  constexpr bool contains(Gva at) const { return begin <= at && at < end; }
  constexpr auto operator<=>(const GvaRange&) const = default;
};

// The same in guest physical addresses.
struct GpaRange {
  Gpa begin;
  Gpa end;
  constexpr bool contains(Gpa at) const { return begin <= at && at < end; }
  constexpr auto operator<=>(const GpaRange&) const = default;
};

}  // namespace ringside

template <typename Tag>
struct std::hash<ringside::Address<Tag>> {
  std::size_t operator()(ringside::Address<Tag> at) const noexcept {
    return std::hash<std::uint64_t>{}(at.value);
  }
};
