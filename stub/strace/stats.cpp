// Structures about files: stat, statx, statfs, directory entries.  Shortened as strace shortens them.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

constexpr std::uint32_t kFormat = 0170000;
bool is_device(std::uint32_t mode) { return (mode & kFormat) == 0020000 || (mode & kFormat) == 0060000; }

// Where the members that are shown stand (asm/stat.h, by structure).
struct StatLayout {
  std::uint64_t mode, device, size, end;
  unsigned mode_bytes, device_bytes, size_bytes;
};
constexpr StatLayout kStatX64{24, 40, 48, 144, 4, 8, 8};
constexpr StatLayout kStatI386{8, 16, 20, 64, 2, 4, 4};     // struct stat: old name of newstat
constexpr StatLayout kStat64I386{16, 32, 44, 96, 4, 8, 8};  // struct stat64

std::optional<std::uint64_t> load_sized(const Printer& printer, std::uint64_t at, unsigned bytes) {
  std::uint64_t value = 0;
  if (!printer.read(at, {reinterpret_cast<std::uint8_t*>(&value), bytes})) return std::nullopt;
  return value;
}

void print_stat(Printer& printer, std::uint64_t at, const StatLayout& layout) {
  const bool readable =
      !printer.failed() && at != 0 && printer.load<std::uint8_t>(at + layout.end - 1).has_value();
  const auto mode = readable ? load_sized(printer, at + layout.mode, layout.mode_bytes) : std::nullopt;
  const auto device = readable ? load_sized(printer, at + layout.device, layout.device_bytes) : std::nullopt;
  const auto size = readable ? load_sized(printer, at + layout.size, layout.size_bytes) : std::nullopt;
  if (!mode || !device || !size) return printer.pointer(at);
  printer.text("{st_mode=");
  printer.mode(static_cast<std::uint32_t>(*mode));
  if (is_device(static_cast<std::uint32_t>(*mode))) {
    printer.text(", st_rdev=");
    printer.device(*device);
  } else {
    printer.format(", st_size={}", *size);
  }
  printer.text(", ...}");
}

struct Statx {
  std::uint32_t mask, block_size;
  std::uint64_t attributes;
  std::uint32_t links, user, group;
  std::uint16_t mode, spare;
  std::uint64_t inode, size;
};

struct Statfs {
  std::uint64_t type, block_size, blocks, free_blocks, available, files, free_files;
  std::array<std::uint32_t, 2> id;
  std::uint64_t name_length, fragment_size, flags;
};

// A structure of `long`s with 64-bit counts in the middle, or not; packed on i386 (asm-generic/statfs.h).
std::optional<Statfs> load_statfs(const Printer& printer, std::uint64_t at, bool wide_counts) {
  bool complete = true;
  const auto take = [&](std::uint64_t bytes) {
    const auto value = load_sized(printer, at, static_cast<unsigned>(bytes));
    complete = complete && value.has_value();
    at += bytes;
    return value.value_or(0);
  };
  const std::uint64_t word = printer.word_size();
  const std::uint64_t count = wide_counts ? 8 : word;
  Statfs found{};
  found.type = take(word);
  found.block_size = take(word);
  found.blocks = take(count);
  found.free_blocks = take(count);
  found.available = take(count);
  found.files = take(count);
  found.free_files = take(count);
  found.id = {static_cast<std::uint32_t>(take(4)), static_cast<std::uint32_t>(take(4))};
  found.name_length = take(word);
  found.fragment_size = take(word);
  found.flags = take(word);
  return complete ? std::optional(found) : std::nullopt;
}

void print_statfs(Printer& printer, std::uint64_t at, bool wide_counts) {
  const auto found = printer.failed() || at == 0 ? std::nullopt : load_statfs(printer, at, wide_counts);
  if (!found) return printer.pointer(at);
  printer.text("{f_type=");
  printer.named(names::statfs_types, static_cast<std::uint32_t>(found->type));
  printer.format(", f_bsize={}, f_blocks={}, f_bfree={}, f_bavail={}, f_files={}, f_ffree={}",
                 found->block_size, found->blocks, found->free_blocks, found->available, found->files,
                 found->free_files);
  printer.text(", f_fsid={val=[");
  printer.hex(found->id[0]);
  printer.text(", ");
  printer.hex(found->id[1]);
  printer.format("]}}, f_namelen={}, f_frsize={}, f_flags=", found->name_length, found->fragment_size);
  printer.flags(names::statfs_flags, found->flags);
  printer.text("}");
}

}  // namespace

void print_stat_out(Printer& printer, unsigned at) {
  print_stat(printer, printer.arg(at), printer.i386() ? kStatI386 : kStatX64);
}
void print_stat64_out(Printer& printer, unsigned at) { print_stat(printer, printer.arg(at), kStat64I386); }

void print_statx_out(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  const auto found = printer.failed() || where == 0 ? std::nullopt : printer.load<Statx>(where);
  if (!found) return printer.pointer(where);
  printer.text("{stx_mask=");
  printer.flags(names::statx_mask, found->mask);
  printer.text(", stx_attributes=");
  printer.flags(names::statx_attributes, found->attributes);
  printer.text(", stx_mode=");
  printer.mode(found->mode);
  printer.format(", stx_size={}, ...}}", found->size);
}

void print_statfs_out(Printer& printer, unsigned at) { print_statfs(printer, printer.arg(at), false); }
void print_statfs64_out(Printer& printer, unsigned at) { print_statfs(printer, printer.arg(at), true); }

// Only how many there are.  d_reclen stands behind d_ino and d_off, which are longs in getdents.
void print_dents_out(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  printer.pointer(where);
  if (printer.failed() || (where == 0 && printer.call().result != 0)) return;
  const bool wide = printer.call().number == (printer.i386() ? 220u : 217u);  // getdents64
  const std::uint64_t length_at = wide ? 16 : 2 * printer.word_size();
  const std::uint64_t least = length_at + 2;
  const auto bytes = static_cast<std::uint64_t>(printer.call().result);
  constexpr std::uint64_t kMost = 1 << 20;  // of bytes: what one call can return, and more
  std::uint64_t count = 0;
  std::uint64_t used = 0;
  while (used < bytes && used < kMost) {
    const auto length = printer.load<std::uint16_t>(where + used + length_at);
    if (!length || *length < least || bytes - used < least) break;
    used += *length;
    ++count;
  }
  printer.format(" /* {}{} entries */", count, used < bytes ? "+" : "");
}

}  // namespace ringside::strace::arguments
