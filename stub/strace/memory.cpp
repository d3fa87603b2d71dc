// Arguments of calls on memory: mappings, policies.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

constexpr std::uint32_t kMapType = 0xf;
constexpr std::uint32_t kHugeShift = 26;  // MAP_HUGE_SHIFT, MFD_HUGE_SHIFT
constexpr std::uint32_t kHugeBits = 0x3f;

void print_map(Printer& printer, std::uint32_t flags) {
  printer.named(names::map_types, flags & kMapType);
  printer.more_flags(names::map_flags, flags & ~kMapType & ((1u << kHugeShift) - 1));
  if (flags >> kHugeShift != 0) printer.format("|{}<<MAP_HUGE_SHIFT", flags >> kHugeShift & kHugeBits);
}

// One word of a bit mask, in hex with all its digits.
// Longs of as many bits as are asked for, less one (Linux: mm/mempolicy.c, get_nodes).
void print_mask(Printer& printer, std::uint64_t at, std::uint64_t bits) {
  constexpr std::uint64_t kMostWords = 32;
  const std::uint64_t word_bits = 8 * printer.word_size();
  if (at == 0) return printer.text("NULL");
  if (bits == 0) return printer.text("[]");
  const std::uint64_t words = (bits - 1) / word_bits + ((bits - 1) % word_bits != 0 ? 1 : 0);
  if (words == 0 || !printer.load_word(at)) return printer.pointer(at);
  printer.text("[");
  for (std::uint64_t i = 0; i < words; ++i) {
    if (i > 0) printer.text(", ");
    const auto word = printer.load_word(at + printer.word_size() * i);
    if (!word || i == kMostWords) {
      printer.text("...");
      break;
    }
    const std::uint64_t digits = word_bits / 4;
    *word == 0 ? printer.format("{:0{}}", 0, digits) : printer.format("{:#0{}x}", *word, digits);  // %#0*lx
  }
  printer.text("]");
}

void print_policy(Printer& printer, std::uint64_t policy) {
  constexpr Name kModeFlags[] = {
      {0x8000, "MPOL_F_STATIC_NODES"}, {0x4000, "MPOL_F_RELATIVE_NODES"}, {0x2000, "MPOL_F_NUMA_BALANCING"}};
  constexpr std::uint64_t kModeFlagBits = 0xe000;
  const std::string_view name = find_name(names::memory_policies, policy & ~kModeFlagBits);
  if (name.empty()) return printer.flags({kModeFlags, names::memory_policies.unknown}, policy);
  printer.text(name);
  printer.more_flags({kModeFlags, {}}, policy & kModeFlagBits);
}

}  // namespace

void print_map_offset(Printer& printer, unsigned at) { printer.hex(printer.arg(at)); }
void print_map_page_offset(Printer& printer, unsigned at) { printer.hex(printer.arg(at) * kPageSize); }
void print_map_flags(Printer& printer, unsigned at) { print_map(printer, printer.uint_arg(at)); }
void print_remap_flags(Printer& printer, unsigned at) { print_map(printer, printer.uint_arg(at)); }

// One pointer to the six of them (Linux: arch/x86/kernel/sys_ia32.c, ia32_mmap).
void print_old_mmap(Printer& printer, unsigned at) {
  struct Arguments {
    std::uint32_t address, length, protection, flags, fd, offset;
  };
  const auto all = printer.load<Arguments>(printer.arg(at));
  if (!all) return printer.pointer(printer.arg(at));
  printer.pointer(all->address);
  printer.next();
  printer.unsigned_decimal(all->length);
  printer.next();
  printer.flags(names::protection, all->protection);
  printer.next();
  print_map(printer, all->flags);
  printer.next();
  printer.fd(static_cast<std::int32_t>(all->fd));
  printer.next();
  printer.hex(all->offset);
}

void print_mremap_address(Printer& printer, unsigned at) {
  constexpr std::uint32_t kMoveThere = 3;  // MREMAP_MAYMOVE | MREMAP_FIXED
  if ((printer.uint_arg(at - 1) & kMoveThere) != kMoveThere) return;
  printer.next();
  printer.pointer(printer.arg(at));
}

void print_mincore_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  const std::uint64_t pages = printer.arg(1) / kPageSize + ((printer.arg(1) & kPageMask) != 0 ? 1 : 0);
  const auto show = [&](std::uint64_t element) {
    const auto page = printer.load<std::uint8_t>(element);
    if (page) printer.unsigned_decimal(*page & 1);
    return page.has_value();
  };
  print_array(printer, printer.arg(at), pages, 1, show, printer.style().string_limit);
}

void print_memfd_flags_(Printer& printer, unsigned at) {
  const std::uint32_t flags = printer.uint_arg(at);
  const std::uint32_t huge = flags >> kHugeShift;
  const std::uint32_t plain = flags & ((1u << kHugeShift) - 1);
  if (plain != 0 || huge == 0) printer.flags(names::memfd_flags, plain);
  if (huge == 0) return;
  printer.format("{}{}<<MFD_HUGE_SHIFT", plain != 0 ? "|" : "", huge & kHugeBits);
}

void print_memory_policy(Printer& printer, unsigned at) { print_policy(printer, printer.uint_arg(at)); }
void print_long_memory_policy(Printer& printer, unsigned at) { print_policy(printer, printer.arg(at)); }

void print_node_mask(Printer& printer, unsigned at) {
  print_mask(printer, printer.arg(at), printer.arg(at + 1));
}
void print_node_mask_out(Printer& printer, unsigned at) {
  if (printer.failed() && printer.arg(at + 1) != 0) return printer.pointer(printer.arg(at));
  print_mask(printer, printer.arg(at), printer.arg(at + 1));
}
void print_node_mask_old(Printer& printer, unsigned at) {
  print_mask(printer, printer.arg(at), printer.arg(at - 1));
}
void print_node_mask_new(Printer& printer, unsigned at) {
  print_mask(printer, printer.arg(at), printer.arg(at - 2));
}

void print_policy_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_cell<std::uint32_t>(printer, printer.arg(at),
                            [&](std::uint32_t policy) { printer.named(names::memory_policies, policy); });
}

void print_page_list(Printer& printer, unsigned at) {
  const auto show = [&](std::uint64_t element) {
    const auto page = printer.load_word(element);
    if (page) printer.pointer(*page);
    return page.has_value();
  };
  print_array(printer, printer.arg(at), printer.arg(1), printer.word_size(), show,
              printer.style().string_limit);
}

void print_node_list(Printer& printer, unsigned at) {
  const auto show = [&](std::uint64_t element) {
    const auto node = printer.load<std::int32_t>(element);
    if (node) printer.decimal(*node);
    return node.has_value();
  };
  print_array(printer, printer.arg(at), printer.arg(1), 4, show, printer.style().string_limit);
}

void print_status_list(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  const auto show = [&](std::uint64_t element) {
    const auto status = printer.load<std::int32_t>(element);
    if (!status) return false;
    const ErrorName* const error =
        *status < 0 ? find_error(static_cast<std::uint64_t>(-std::int64_t{*status})) : nullptr;
    error != nullptr ? printer.format("-{}", error->name) : printer.decimal(*status);
    return true;
  };
  print_array(printer, printer.arg(at), printer.arg(1), 4, show, printer.style().string_limit);
}

void print_uffd_flags_(Printer& printer, unsigned at) {
  printer.flags(names::uffd_flags, printer.uint_arg(at));
}

}  // namespace ringside::strace::arguments
