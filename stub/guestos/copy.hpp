// Guest memory copied out once, so that what has been checked is what is used: for tables that are worked
// through as a whole.  Pages that are not there read as zeroes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"

namespace ringside::guestos {

struct Copy {
  Gva at;  // of the first byte
  Bytes bytes;

  Gva end() const { return at + bytes.size(); }
  // Little-endian; nothing when any byte is outside.
  template <typename T>
  std::optional<T> value(std::uint64_t offset) const {
    if (offset > bytes.size() || sizeof(T) > bytes.size() - offset) return std::nullopt;
    return load<T>(bytes.data() + offset);
  }
};

Copy copy_out(const VirtualMemory& memory, Gva at, std::size_t size);

// Up to the NUL, or to the first page that is not there; cut off at `most`.  Allocates.
std::string text_at(const VirtualMemory& memory, Gva at, std::size_t most);

// The same into a place of the caller's; how many bytes, nothing when not even the first can be read.
std::optional<std::size_t> text_into(const VirtualMemory& memory, Gva at, std::span<char> into) noexcept;

}  // namespace ringside::guestos
