#include "stub/hub/kernel_spotter.hpp"

#include <algorithm>

#include "arch/x86/paging.hpp"

namespace ringside::hub {
namespace {

constexpr Gva kImages{0xffffffff80000000};  // __START_KERNEL_map (Linux arch/x86/include/asm/page_64_types.h)
constexpr std::uint64_t kRange = 1u << 30;  // KERNEL_IMAGE_SIZE with KASLR; modules are behind it
constexpr std::uint64_t kStep = 2u << 20;
constexpr Gva kUsualLink{0xffffffff81000000};  // with the usual CONFIG_PHYSICAL_START

bool stands_at(Gva at, const std::string& words, const x86::PagingState& paging,
               const PhysicalMemory& memory) {
  Bytes there(words.size());
  return !words.empty() && x86::read_virtual(paging, at, there, memory) == words.size() &&
         std::ranges::equal(there, words, {}, {}, [](char c) { return static_cast<std::uint8_t>(c); });
}

}  // namespace

std::optional<KernelPlace> find_kernel(const x86::PagingState& paging, const PhysicalMemory& memory,
                                       const api::MachineInfo& info) {
  KernelPlace place;
  for (std::uint64_t offset = 0; offset < kRange; offset += kStep) {
    const auto leaf = x86::walk(paging, kImages + offset, memory);
    const bool begun = place.bytes > 0;
    if (leaf && !begun) {
      place.text = kImages + offset;
      place.at = leaf->gpa;
    }
    if (leaf && leaf->gpa == place.at + place.bytes) {
      place.bytes += kStep;
    } else if (begun) {
      break;
    }
  }
  if (place.bytes == 0) return std::nullopt;
  place.link_text = kUsualLink;
  if (!info.kernel || info.kernel->banner.empty()) return place;
  const std::uint64_t banner = info.kernel->link_banner - info.kernel->link_text;
  place.as_loaded = stands_at(place.text + banner, info.kernel->banner, paging, memory);
  if (place.as_loaded) place.link_text = info.kernel->link_text;
  return place;
}

std::optional<KernelPlace> KernelSpotter::look(api::VcpuAccess& vcpu, const api::GuestEvent& event) {
  if (event.kind == api::GuestEvent::Kind::kMark || vcpu.core().rip < kImages.value) return std::nullopt;
  const x86::CpuContext& context = vcpu.context();
  const auto place = find_kernel(context.paging, memory_, info_);
  if (!place) return std::nullopt;
  const std::uint64_t offset = context.linear_rip() - place->text;
  if (offset >= place->bytes) return std::nullopt;
  const std::lock_guard lock(mutex_);
  // The boot CPU does not pass its startup code a second time: kexec has put a kernel into the same place.
  const bool again =
      vcpu.id().number == 0 && event.kind == api::GuestEvent::Kind::kReadEfer && offset == startup_;
  if (last_ == place && !again) return std::nullopt;
  last_ = place;
  startup_ = offset;
  return place;
}

void KernelSpotter::forget() {
  const std::lock_guard lock(mutex_);
  last_.reset();
  startup_ = 0;
}

}  // namespace ringside::hub
