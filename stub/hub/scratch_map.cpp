#include "stub/hub/scratch_map.hpp"

#include <algorithm>

#include "arch/x86/paging.hpp"

namespace ringside::hub {
namespace {

constexpr Gva kKernelImage{0xffffffff80000000};  // Linux Documentation/arch/x86/x86_64/mm.rst
constexpr std::uint64_t kDirectoryBytes = 1ull << 30;
constexpr std::uint64_t kEntryBytes = 2u << 20;
// The image begins at the bottom of the directory's range, or with KASLR anywhere below its end.
constexpr unsigned kLastEntry = 509;
constexpr unsigned kFirstEntry = 128;
// Present, accessed, dirty, 2 MiB, global; not writable, executable, for the kernel (SDM 3A table 4-17).
constexpr std::uint64_t kCodePage = 0x1e1;

}  // namespace

std::uint64_t ScratchMap::entry() const { return page_->value | kCodePage; }

bool ScratchMap::stands() const {
  return mapped_ && memory_.load_at<std::uint64_t>(mapped_->entry_at) == entry();
}

bool ScratchMap::covers(Gva code) {
  return code >= kKernelImage && code - kKernelImage < 2 * kDirectoryBytes;
}

std::optional<ScratchPage> ScratchMap::reach(const x86::PagingState& paging) {
  if (!page_) return std::nullopt;
  if (stands()) return mapped_->page;
  mapped_.reset();
  const x86::WalkLevels walk = x86::walk_levels(paging, kKernelImage, memory_);
  const auto levels = walk.levels();
  const auto directory = std::ranges::find(levels, 2, &x86::WalkLevel::level);
  const x86::PagingMode mode = x86::paging_mode(paging);
  const bool long_mode = mode == x86::PagingMode::k4Level || mode == x86::PagingMode::k5Level;
  if (!long_mode || directory == levels.end()) return std::nullopt;
  for (unsigned i = kLastEntry; i >= kFirstEntry; --i) {
    const Gpa at = directory->entry_at + i * sizeof(std::uint64_t);
    if (memory_.load_at<std::uint64_t>(at) != 0u) continue;
    const std::uint64_t value = entry();
    if (!memory_.write(at, bytes_of(value))) return std::nullopt;
    mapped_ = {at, {kKernelImage + i * kEntryBytes, *page_}};
    return mapped_->page;
  }
  return std::nullopt;
}

void ScratchMap::withdraw() {
  constexpr std::uint64_t kUnused = 0;
  if (stands()) static_cast<void>(memory_.write(mapped_->entry_at, bytes_of(kUnused)));
  mapped_.reset();
}

}  // namespace ringside::hub
