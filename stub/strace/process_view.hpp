// The process that makes a call, as the decoders want it: out of the guest's memory, at a hit.
// Thread: the vCPU's.  Borrows everything.
#pragma once

#include <array>

#include "stub/guestos/kernel.hpp"
#include "stub/strace/call.hpp"
#include "stub/strace/text.hpp"

namespace ringside::strace {

// Says whether something could not be read.
class WatchedMemory final : public VirtualMemory {
 public:
  explicit WatchedMemory(const VirtualMemory& inner) : inner_(inner) {}
  bool read(Gva from, MutableByteView to) const noexcept override {
    const bool done = inner_.read(from, to);
    missed_ = missed_ || (!done && from.value != 0);
    return done;
  }
  bool missed() const { return missed_; }

 private:
  const VirtualMemory& inner_;
  mutable bool missed_ = false;
};

// What a program may hand to a call, and the kernel would take from it: nothing of the kernel's half, though the
// CPU, which is in the kernel at a hit, could read that too.
class UserMemory final : public VirtualMemory {
 public:
  explicit UserMemory(const VirtualMemory& inner) : inner_(inner) {}
  bool read(Gva from, MutableByteView to) const noexcept override {
    constexpr std::uint64_t kUserEnd = std::uint64_t{1} << 56;  // with five levels of page tables
    return from.value < kUserEnd && to.size() <= kUserEnd - from.value && inner_.read(from, to);
  }

 private:
  const VirtualMemory& inner_;
};

class ProcessView final : public Process {
 public:
  ProcessView(const guestos::Kernel& kernel, Gva task, const VirtualMemory& memory)
      : kernel_(kernel), task_(task), memory_(memory), user_(memory) {}
  const VirtualMemory& memory() const noexcept override { return user_; }
  bool fd_path(int fd, Text& into) const noexcept override {
    std::array<char, 4096> path;
    const auto size = kernel_.fd_path(task_, fd, memory_, path);
    if (size) into.add(std::string_view(path.data(), *size));
    return size.has_value();
  }
  bool working_directory(Text& into) const noexcept override {
    std::array<char, 4096> path;
    const auto size = kernel_.working_directory(task_, memory_, path);
    if (size) into.add(std::string_view(path.data(), *size));
    return size.has_value();
  }

 private:
  const guestos::Kernel& kernel_;
  Gva task_;
  const VirtualMemory& memory_;
  UserMemory user_;
};

}  // namespace ringside::strace
