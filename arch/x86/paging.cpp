#include "arch/x86/paging.hpp"

#include <algorithm>
#include <optional>

#include "arch/x86/control.hpp"

namespace ringside::x86 {
namespace {

using Why = WalkFault::Why;

// Bits of an entry that mean the same in every mode (SDM 3A tables 4-4 to 4-20).
constexpr std::uint64_t kPresent = bit(0), kWritable = bit(1), kUser = bit(2), kAccessed = bit(5),
                        kDirty = bit(6), kLarge = bit(7), kNoExecute = bit(63);
constexpr std::uint64_t kAddress64 = 0x000f'ffff'ffff'f000;  // bits 51:12, the most MAXPHYADDR can be
constexpr std::uint64_t kAddress32 = 0xffff'f000;
constexpr std::uint64_t kPatOfLargePage = bit(12);  // PAT, not an address bit: must not leak into the frame

constexpr std::uint64_t low_bits(unsigned count) { return bit(count) - 1; }

// One kind of table, the same at each level but for the shift.
struct Shape {
  std::uint8_t top;          // number of the first level
  std::uint8_t index_bits;   // of the linear address for each level
  std::uint8_t entry_bytes;  // 4 or 8
  std::uint64_t table_mask;  // what of CR3 is the first table
};

constexpr Shape shape_of(PagingMode mode) {
  switch (mode) {
    case PagingMode::k32Bit:
      return {2, 10, 4, cr3::kTable32};
    case PagingMode::kPae:
      return {3, 9, 8, cr3::kTablePae};
    case PagingMode::k5Level:
      return {5, 9, 8, cr3::kTable64};
    default:
      return {4, 9, 8, cr3::kTable64};
  }
}

bool is_long(PagingMode mode) { return mode == PagingMode::k4Level || mode == PagingMode::k5Level; }

bool canonical(std::uint64_t at, unsigned width) {
  const std::uint64_t upper = at >> (width - 1);
  return upper == 0 || upper == (~std::uint64_t{0} >> (width - 1));
}

// Outside long mode linear addresses have 32 bits; a larger one comes from a debugger that thinks of another
// mode (a kernel symbol while the guest is still in real mode), and must not wrap into somebody's RAM.
bool is_address(PagingMode mode, Gva at) {
  switch (mode) {
    case PagingMode::k4Level:
      return canonical(at.value, 48);
    case PagingMode::k5Level:
      return canonical(at.value, 57);
    default:
      return at.value <= 0xffff'ffff;
  }
}

class Walker {
 public:
  // `trace`: where the entries go that are read; null where nobody wants them.
  Walker(const PagingState& state, Gva at, const PhysicalMemory& memory, WalkLevels* trace) noexcept
      : state_(state),
        at_(at),
        memory_(memory),
        mode_(paging_mode(state)),
        shape_(shape_of(mode_)),
        trace_(trace) {}

  WalkResult run() noexcept {
    if (!is_address(mode_, at_)) return unexpected(WalkFault{Why::kNonCanonical, 0});
    if (mode_ == PagingMode::kNone) return Leaf{Gpa{at_.value}, kPageSize, true, true, true, true, true};
    std::uint64_t table = state_.cr3 & shape_.table_mask;
    for (std::uint8_t level = shape_.top; level > 0; --level) {
      const auto entry = read_entry(table, level);
      if (!entry) return unexpected(WalkFault{Why::kMemoryMissing, level});
      if ((*entry & kPresent) == 0) return unexpected(WalkFault{Why::kNotPresent, level});
      if ((*entry & reserved(*entry, level)) != 0) return unexpected(WalkFault{Why::kReserved, level});
      narrow_rights(*entry, level);
      if (is_leaf(*entry, level)) return finish(*entry, level);
      table = *entry & address_mask();
    }
    return unexpected(WalkFault{});  // unreachable: level 1 is always a leaf
  }

 private:
  unsigned page_bits(std::uint8_t level) const { return 12u + (level - 1u) * shape_.index_bits; }
  std::uint64_t address_mask() const { return shape_.entry_bytes == 4 ? kAddress32 : kAddress64; }

  std::optional<std::uint64_t> read_entry(std::uint64_t table, std::uint8_t level) noexcept {
    const std::uint64_t index = (at_.value >> page_bits(level)) & low_bits(shape_.index_bits);
    const Gpa where{table + index * shape_.entry_bytes};
    const auto entry = shape_.entry_bytes == 4 ? widened(memory_.load_at<std::uint32_t>(where))
                                               : memory_.load_at<std::uint64_t>(where);
    if (entry && trace_ != nullptr) trace_->storage[trace_->count++] = {level, where, *entry};
    return entry;
  }

  static std::optional<std::uint64_t> widened(std::optional<std::uint32_t> value) {
    if (!value) return std::nullopt;
    return *value;
  }

  // Level 2 of 32-bit paging has large pages only with CR4.PSE; PS is ignored otherwise (SDM 3A 4.3).
  bool is_leaf(std::uint64_t entry, std::uint8_t level) const {
    if (level == 1) return true;
    if ((entry & kLarge) == 0) return false;
    if (mode_ == PagingMode::k32Bit) return (state_.cr4 & cr4::kPse) != 0;
    return level == 2 || (level == 3 && is_long(mode_));
  }

  std::uint64_t reserved(std::uint64_t entry, std::uint8_t level) const {
    if (mode_ == PagingMode::k32Bit) return is_leaf(entry, level) && level == 2 ? bit(21) : 0;
    std::uint64_t mask = (state_.efer & efer::kNxe) == 0 ? kNoExecute : 0;
    if (mode_ == PagingMode::kPae) mask |= low_bits(63) & ~low_bits(52);
    if (mode_ == PagingMode::kPae && level == 3) return mask | kNoExecute | 0x1e6;  // table 4-8
    if (level > 3) return mask | kLarge;
    if (level > 1 && is_leaf(entry, level)) mask |= low_bits(page_bits(level)) & ~low_bits(13);
    return mask;
  }

  void narrow_rights(std::uint64_t entry, std::uint8_t level) {
    if (mode_ == PagingMode::kPae && level == 3) return;  // a PDPTE has none, nor A (SDM 3A table 4-8)
    leaf_.writable = leaf_.writable && (entry & kWritable) != 0;
    leaf_.user = leaf_.user && (entry & kUser) != 0;
    leaf_.executable = leaf_.executable && (entry & kNoExecute) == 0;
    leaf_.accessed = leaf_.accessed && (entry & kAccessed) != 0;
  }

  Leaf finish(std::uint64_t entry, std::uint8_t level) {
    const std::uint64_t in_page = low_bits(page_bits(level));
    std::uint64_t frame = entry & address_mask() & ~in_page;
    if (mode_ == PagingMode::k32Bit && level == 2)
      frame |= ((entry >> 13) & 0xff) << 32;  // PSE-36, table 4-4
    if (level > 1) frame &= ~kPatOfLargePage;
    leaf_.gpa = Gpa{frame | (at_.value & in_page)};
    leaf_.page_size = in_page + 1;
    leaf_.dirty = (entry & kDirty) != 0;
    return leaf_;
  }

  const PagingState& state_;
  Gva at_;
  const PhysicalMemory& memory_;
  PagingMode mode_;
  Shape shape_;
  Leaf leaf_{{}, 0, true, true, true, true, false};
  WalkLevels* trace_;
};

// The longest run from `at` that lies in one page, at most `wanted`.
std::size_t run_length(const Leaf& leaf, Gva at, std::size_t wanted) {
  const std::uint64_t left = leaf.page_size - (at.value & (leaf.page_size - 1));
  return static_cast<std::size_t>(std::min<std::uint64_t>({left, bytes_to_page_end(at), wanted}));
}

}  // namespace

PagingMode paging_mode(const PagingState& state) noexcept {
  if ((state.cr0 & cr0::kPg) == 0) return PagingMode::kNone;
  if ((state.efer & efer::kLma) != 0) {
    return (state.cr4 & cr4::kLa57) != 0 ? PagingMode::k5Level : PagingMode::k4Level;
  }
  return (state.cr4 & cr4::kPae) != 0 ? PagingMode::kPae : PagingMode::k32Bit;
}

WalkLevels walk_levels(const PagingState& state, Gva at, const PhysicalMemory& memory) noexcept {
  WalkLevels levels;
  levels.result = Walker(state, at, memory, &levels).run();
  return levels;
}

WalkResult walk(const PagingState& state, Gva at, const PhysicalMemory& memory) noexcept {
  return Walker(state, at, memory, nullptr).run();
}

std::size_t read_virtual(const PagingState& state, Gva from, MutableByteView to,
                         const PhysicalMemory& memory) noexcept {
  std::size_t done = 0;
  while (done < to.size()) {
    const WalkResult leaf = walk(state, from + done, memory);
    if (!leaf) break;
    const std::size_t length = run_length(*leaf, from + done, to.size() - done);
    if (!memory.read(leaf->gpa, to.subspan(done, length))) break;
    done += length;
  }
  return done;
}

std::size_t write_virtual(const PagingState& state, Gva to, ByteView from, PhysicalMemory& memory) noexcept {
  std::size_t done = 0;
  while (done < from.size()) {
    const WalkResult leaf = walk(state, to + done, memory);
    if (!leaf) break;
    const std::size_t length = run_length(*leaf, to + done, from.size() - done);
    if (!memory.write(leaf->gpa, from.subspan(done, length))) break;
    done += length;
  }
  return done;
}

const char* to_text(PagingMode mode) noexcept {
  switch (mode) {
    case PagingMode::kNone:
      return "no paging";
    case PagingMode::k32Bit:
      return "32-bit paging";
    case PagingMode::kPae:
      return "PAE paging";
    case PagingMode::k4Level:
      return "4-level paging";
    case PagingMode::k5Level:
      return "5-level paging";
  }
  return "?";
}

const char* to_text(WalkFault::Why why) noexcept {
  switch (why) {
    case Why::kNonCanonical:
      return "not an address in this mode";
    case Why::kNotPresent:
      return "not present";
    case Why::kReserved:
      return "reserved bit set";
    case Why::kMemoryMissing:
      return "no memory for the table";
  }
  return "?";
}

}  // namespace ringside::x86
