// The kernel's tables of places that it patches: rows that begin with the place's address, relative to the row
// itself (Linux include/linux/jump_label.h: { s32 code; s32 target; long key; }; static_call_types.h: { s32 addr;
// s32 key; }; alternatives and the lists of retpolines, returns and endbr64 likewise).
#pragma once

#include <cstdint>
#include <vector>

#include "arch/addr.hpp"
#include "arch/guest_view.hpp"

namespace ringside::hub {

inline constexpr std::uint64_t kJumpEntryBytes = 16, kStaticCallSiteBytes = 8;

// Empty when there are more than can be, or the table cannot be read.
std::vector<Gva> read_patch_sites(const VirtualMemory& memory, Gva first, std::uint64_t count,
                                  std::uint64_t row);

}  // namespace ringside::hub
