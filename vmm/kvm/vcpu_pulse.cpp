// Whether a vCPU takes interrupts (api::Pulse).
#include <array>
#include <cstring>

#include <unistd.h>

#include "arch/x86/control.hpp"
#include "vmm/kvm/vcpu_fd.hpp"

namespace ringside::kvm {
namespace {

constexpr std::uint32_t kTscDeadline = 0x6e0;  // SDM 4 table 2-2
constexpr std::string_view kInjections = "irq_injections";
constexpr std::size_t kLongestName = 255;

// The descriptor that has that name (KVM api 4.133).
std::optional<std::uint64_t> find_counter(int fd, std::string_view name) {
  kvm_stats_header header{};
  if (::pread(fd, &header, sizeof header, 0) != sizeof header || header.name_size > kLongestName)
    return std::nullopt;
  std::array<char, sizeof(kvm_stats_desc) + kLongestName> row{};
  const std::size_t bytes = sizeof(kvm_stats_desc) + header.name_size;
  for (std::uint32_t i = 0; i < header.num_desc; ++i) {
    if (::pread(fd, row.data(), bytes, static_cast<off_t>(header.desc_offset + i * bytes)) !=
        static_cast<ssize_t>(bytes))
      return std::nullopt;
    kvm_stats_desc counter;
    std::memcpy(&counter, row.data(), sizeof counter);
    const std::string_view here(row.data() + sizeof counter,
                                ::strnlen(row.data() + sizeof counter, header.name_size));
    if (here == name) return header.data_offset + counter.offset;
  }
  return std::nullopt;
}

}  // namespace

// Where KVM has no statistics, or hardware delivers interrupts without it, the timer has to do.
std::uint64_t VcpuFd::interrupts_taken() {
  if (!stats_) {
    const auto number = call("KVM_GET_STATS_FD", KVM_GET_STATS_FD, 0);
    stats_.emplace(number ? Fd(*number) : Fd());
    if (stats_->open()) injections_at_ = find_counter(stats_->number(), kInjections);
  }
  std::uint64_t count = 0;
  if (!injections_at_ ||
      ::pread(stats_->number(), &count, sizeof count, static_cast<off_t>(*injections_at_)) != sizeof count)
    return 0;
  return count;
}

std::optional<api::Pulse> VcpuFd::pulse() {
  const auto state = mp_state();
  if (!state) return std::nullopt;
  return api::Pulse{.asleep = state->mp_state != KVM_MP_STATE_RUNNABLE,
                    .interrupts_on = (core().rflags & x86::rflags::kIf) != 0,
                    .taken = interrupts_taken(),
                    .timer = read_msr(kTscDeadline).value_or(0)};
}

}  // namespace ringside::kvm
