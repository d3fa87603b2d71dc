// Guest physical memory as one byte array that starts at 0: what lies beyond it is missing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "arch/guest_view.hpp"

namespace ringside::fakes {

class ArrayMemory : public PhysicalMemory {
 public:
  explicit ArrayMemory(std::size_t size) : bytes_(size) {}

  bool read(Gpa from, MutableByteView to) const noexcept override {
    count();
    if (!holds(from, to.size())) return false;
    if (!to.empty()) std::memcpy(to.data(), bytes_.data() + from.value, to.size());
    return true;
  }
  bool write(Gpa to, ByteView from) noexcept override {
    count();
    if (!holds(to, from.size())) return false;
    if (!from.empty()) std::memcpy(bytes_.data() + to.value, from.data(), from.size());
    return true;
  }

  // Reads and writes so far.
  std::size_t accesses() const { return accesses_; }

  template <typename T>
  void put(std::uint64_t at, T value) {
    store(bytes_.data() + at, value);
  }

 private:
  // The search for a kernel has a thread of its own.
  void count() const { std::atomic_ref(accesses_).fetch_add(1, std::memory_order_relaxed); }
  bool holds(Gpa at, std::size_t length) const noexcept {
    return at.value <= bytes_.size() && length <= bytes_.size() - at.value;
  }
  std::vector<std::uint8_t> bytes_;
  mutable std::size_t accesses_ = 0;
};

}  // namespace ringside::fakes
