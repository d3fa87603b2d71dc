#include "vmm/boot/boot_mode.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ringside::boot {
namespace {

constexpr std::array<std::pair<std::string_view, BootMode>, 7> kNames{{
    {"auto", BootMode::kAuto},
    {"real", BootMode::kReal},
    {"32", BootMode::kEntry32},
    {"64", BootMode::kEntry64},
    {"elf", BootMode::kElf},
    {"pvh", BootMode::kPvh},
    {"bzimage", BootMode::kEntry64},
}};

}  // namespace

std::optional<BootMode> boot_mode_of(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &std::pair<std::string_view, BootMode>::first);
  return found == kNames.end() ? std::nullopt : std::optional(found->second);
}

std::string_view name_of(BootMode mode) {
  return std::ranges::find(kNames, mode, &std::pair<std::string_view, BootMode>::second)->first;
}

}  // namespace ringside::boot
