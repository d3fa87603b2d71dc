// gdb's `catch syscall` for one tracer: stops at the calls it names, when they are made and when they return.
//
// 64-bit calls only: the numbers are theirs, and a 32-bit call of the same number is another call.
// Thread: on_hit() vCPU threads; the rest the hub.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "stub/guestos/kernel.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::strace {

class SyscallCatch final : public tracer::Watcher {
 public:
  static constexpr std::size_t kNumbers = 1024;
  using Numbers = std::bitset<kNumbers>;

  explicit SyscallCatch(std::shared_ptr<const guestos::Kernel> kernel) : kernel_(std::move(kernel)) {}

  std::vector<Gva> places() const;
  // While no vCPU runs that could ask.
  void set(const Numbers& wanted) { wanted_.store(std::make_shared<const Numbers>(wanted)); }

  // What a stop's mark says.
  struct Caught {
    std::uint32_t number = 0;
    bool returns = false;
  };
  static Caught from_mark(std::uint64_t mark) {
    return {.number = static_cast<std::uint32_t>(mark), .returns = (mark & kReturns) != 0};
  }
  std::optional<std::uint64_t> on_hit(const tracer::Hit& hit) noexcept override;

 private:
  static constexpr std::uint64_t kReturns = std::uint64_t{1} << 32;
  bool is_return(guestos::SyscallSite::Kind kind) const;

  const std::shared_ptr<const guestos::Kernel> kernel_;
  std::atomic<std::shared_ptr<const Numbers>> wanted_{std::make_shared<const Numbers>()};
};

}  // namespace ringside::strace
