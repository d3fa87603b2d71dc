// What paging, agent expressions and the Linux readers are written on: guest memory and registers as an
// interface, so that none of them needs a machine.  All calls are total: hostile addresses return false.
//
// Thread: guest RAM may be read by any thread at any time (the guest may write it meanwhile: copy, then
// check, then use).  Implementations neither allocate nor make a system call.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"

namespace ringside {

// Guest physical memory.  An access is all or nothing, and may cross page and region borders.
class PhysicalMemory {
 public:
  virtual ~PhysicalMemory() = default;
  [[nodiscard]] virtual bool read(Gpa from, MutableByteView to) const noexcept = 0;
  [[nodiscard]] virtual bool write(Gpa to, ByteView from) noexcept = 0;

  template <typename T>
  [[nodiscard]] std::optional<T> load_at(Gpa from) const noexcept {
    T value;
    if (!read(from, {reinterpret_cast<std::uint8_t*>(&value), sizeof value})) return std::nullopt;
    return value;
  }
};

// One virtual address space of the guest, as the CPU at hand would see it, with inserted breakpoints hidden.
class VirtualMemory {
 public:
  virtual ~VirtualMemory() = default;
  [[nodiscard]] virtual bool read(Gva from,
                                  MutableByteView to) const noexcept = 0;  // all or nothing; may cross pages

  template <typename T>
  [[nodiscard]] std::optional<T> load_at(Gva from) const noexcept {
    T value;
    if (!read(from, {reinterpret_cast<std::uint8_t*>(&value), sizeof value})) return std::nullopt;
    return value;
  }
};

}  // namespace ringside
