// Arguments of calls on files: descriptors, open flags, modes, mounts, handles.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

constexpr std::uint32_t kAccessMode = 3;
constexpr Name kAccessModes[] = {{0, "O_RDONLY"}, {1, "O_WRONLY"}, {2, "O_RDWR"}, {3, "O_ACCMODE"}};
constexpr std::uint64_t kCreates = 0x40;        // O_CREAT
constexpr std::uint64_t kTemporary = 0x400000;  // __O_TMPFILE

bool takes_mode(std::uint64_t flags) { return (flags & (kCreates | kTemporary)) != 0; }

struct FileHandle {
  std::uint32_t bytes;
  std::int32_t type;
};

void print_handle(Printer& printer, std::uint64_t at, bool with_content) {
  constexpr std::uint32_t kMost = 128;  // MAX_HANDLE_SZ
  const auto handle = at == 0 ? std::nullopt : printer.load<FileHandle>(at);
  if (!handle) return printer.pointer(at);
  printer.format("{{handle_bytes={}", handle->bytes);
  if (with_content) {
    printer.format(", handle_type={}, f_handle=", handle->type);
    std::array<std::uint8_t, kMost> content;
    const auto shown = MutableByteView(content).first(std::min(handle->bytes, kMost));
    if (printer.read(at + sizeof *handle, shown)) {
      printer.text("\"");
      for (const std::uint8_t byte : shown) printer.format("\\x{:02x}", byte);
      printer.text("\"");
    } else {
      printer.pointer(at + sizeof *handle);
    }
  }
  printer.text("}");
}

}  // namespace

void print_open_flags(Printer& printer, std::uint64_t flags) {
  printer.text(kAccessModes[flags & kAccessMode].text);
  printer.more_flags(names::open_flags, flags & ~std::uint64_t{kAccessMode});
}

namespace arguments {

void print_fd(Printer& printer, unsigned at) { printer.fd(printer.int_arg(at)); }
void print_fd_range(Printer& printer, unsigned at) { printer.unsigned_decimal(printer.uint_arg(at)); }
void print_dir_fd(Printer& printer, unsigned at) { printer.dir_fd(printer.int_arg(at)); }
void print_open_flags(Printer& printer, unsigned at) {
  strace::print_open_flags(printer, printer.uint_arg(at));
}
void print_open_flags_only(Printer& printer, unsigned at) {
  const std::uint32_t flags = printer.uint_arg(at);
  if ((flags & ~std::uint32_t{kAccessMode}) == flags && flags != 0) {
    constexpr Names kTable{names::open_flags.rows, "O_???"};
    return printer.flags(kTable, flags);
  }
  flags == 0 ? printer.text("0") : printer.flags({names::open_flags.rows, "O_???"}, flags);
}
void print_cloexec_flag(Printer& printer, unsigned at) {
  constexpr Name kRow[] = {{0x80000, "O_CLOEXEC"}};
  printer.flags({kRow, {}}, printer.uint_arg(at));
}

void print_open_mode(Printer& printer, unsigned at) {
  if (!takes_mode(printer.uint_arg(at - 1))) return;
  printer.next();
  printer.octal(printer.uint_arg(at) & 0xffff);
}

void print_open_how(Printer& printer, unsigned at) {
  struct How {
    std::uint64_t flags, mode, resolve;
  };
  const std::uint64_t where = printer.arg(at);
  const auto how = where == 0 || printer.arg(at + 1) < sizeof(How) ? std::nullopt : printer.load<How>(where);
  if (!how) return printer.pointer(where);
  printer.text("{flags=");
  strace::print_open_flags(printer, how->flags);
  if (how->mode != 0 || takes_mode(how->flags)) {
    printer.text(", mode=");
    printer.octal(how->mode);
  }
  printer.text(", resolve=");
  printer.flags(names::resolve_flags, how->resolve);
  printer.text("}");
}

void print_permissions(Printer& printer, unsigned at) { printer.octal(printer.uint_arg(at) & 0xffff); }

void print_mknod_mode(Printer& printer, unsigned at) { printer.mode(printer.uint_arg(at) & 0xffff); }

void print_mknod_device(Printer& printer, unsigned at) {
  const std::uint32_t type = printer.uint_arg(at - 1) & 0170000;
  if (type != 0020000 && type != 0060000) return;
  printer.next();
  printer.device(printer.uint_arg(at));
}

void print_device_number(Printer& printer, unsigned at) { printer.device(printer.uint_arg(at)); }

void print_fd_pair(Printer& printer, unsigned at) {
  const auto pair = printer.failed() || printer.arg(at) == 0
                        ? std::nullopt
                        : printer.load<std::array<std::int32_t, 2>>(printer.arg(at));
  if (!pair) return printer.pointer(printer.arg(at));
  printer.text("[");
  printer.fd((*pair)[0]);
  printer.text(", ");
  printer.fd((*pair)[1]);
  printer.text("]");
}

constexpr std::uint32_t kMountMagic = 0xc0ed0000;  // MS_MGC_VAL
constexpr std::uint32_t kMountMagicMask = 0xffff0000;
// With these the type and the data are not looked at: bind, move, remount, and changes of propagation.
constexpr std::uint32_t kPropagation = 0x1e0000;
constexpr std::uint32_t kNoType = 0x20 | 0x1000 | 0x2000 | kPropagation;
constexpr std::uint32_t kNoData = 0x1000 | 0x2000 | kPropagation;

void print_mount_type(Printer& printer, unsigned at) {
  const bool ignored = (printer.arg(at + 1) & kNoType) != 0;
  ignored ? printer.pointer(printer.arg(at)) : printer.string(printer.arg(at));
}

void print_mount_flags_(Printer& printer, unsigned at) {
  std::uint64_t flags = printer.arg(at);
  if ((flags & kMountMagicMask) == kMountMagic) {
    printer.text("MS_MGC_VAL");
    flags &= ~std::uint64_t{kMountMagicMask};
    if (flags != 0) printer.more_flags(names::mount_flags, flags);
    return;
  }
  printer.flags(names::mount_flags, flags);
}

void print_mount_data(Printer& printer, unsigned at) {
  const bool ignored = (printer.arg(at - 1) & kNoData) != 0;
  ignored ? printer.pointer(printer.arg(at)) : printer.string(printer.arg(at));
}

void print_swap_flags_(Printer& printer, unsigned at) {
  constexpr std::uint32_t kPriority = 0x7fff;
  const std::uint32_t flags = printer.uint_arg(at);
  const std::uint32_t named = flags & ~kPriority;
  if (named == 0) return printer.unsigned_decimal(flags);
  printer.flags(names::swap_flags, named);
  printer.format("|{}", flags & kPriority);
}

void print_file_handle_in(Printer& printer, unsigned at) { print_handle(printer, printer.arg(at), true); }
void print_file_handle_out(Printer& printer, unsigned at) {
  Printer reading = printer.before_return();
  print_handle(reading, printer.arg(at), !printer.failed());
}
void print_mount_id_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_cell<std::int32_t>(printer, printer.arg(at), [&](std::int32_t id) { printer.decimal(id); });
}

void print_fsconfig_rest(Printer& printer, unsigned at) {
  enum : std::uint32_t { kFlag, kString, kBinary, kPath, kPathEmpty, kFd };
  const std::uint32_t command = printer.uint_arg(at - 1);
  printer.next();
  command <= kFd ? printer.string(printer.arg(at)) : printer.pointer(printer.arg(at));
  printer.next();
  switch (command) {
    case kString:
      printer.string(printer.arg(at + 1));
      break;
    case kBinary:
      printer.buffer(printer.arg(at + 1), printer.uint_arg(at + 2));
      break;
    case kPath:
    case kPathEmpty:
      printer.path(printer.arg(at + 1));
      break;
    default:
      printer.pointer(printer.arg(at + 1));
  }
  printer.next();
  command == kPath || command == kPathEmpty ? printer.dir_fd(printer.int_arg(at + 2))
                                            : printer.decimal(printer.int_arg(at + 2));
}

void print_mount_attr_in(Printer& printer, unsigned at) {
  struct MountAttr {
    std::uint64_t set, clear, propagation, user_namespace;
  };
  const std::uint64_t where = printer.arg(at);
  const auto attr =
      where == 0 || printer.arg(at + 1) < sizeof(MountAttr) ? std::nullopt : printer.load<MountAttr>(where);
  if (!attr) return printer.pointer(where);
  printer.text("{attr_set=");
  printer.flags(names::mount_attributes, attr->set);
  printer.text(", attr_clr=");
  printer.flags(names::mount_attributes, attr->clear);
  printer.text(", propagation=");
  printer.named(names::mount_propagation, attr->propagation);
  printer.text(", userns_fd=");
  printer.fd(static_cast<std::int32_t>(attr->user_namespace));
  printer.text("}");
}

void print_statx_flags(Printer& printer, unsigned at) {
  constexpr std::uint32_t kSync = 0x6000;
  constexpr Name kSyncTypes[] = {{0, "AT_STATX_SYNC_AS_STAT"},
                                 {0x2000, "AT_STATX_FORCE_SYNC"},
                                 {0x4000, "AT_STATX_DONT_SYNC"},
                                 {0x6000, "AT_STATX_FORCE_SYNC|AT_STATX_DONT_SYNC"}};
  const std::uint32_t flags = printer.uint_arg(at);
  printer.text(find_name({kSyncTypes, {}}, flags & kSync));
  printer.more_flags(names::at_flags, flags & ~kSync);
}

}  // namespace arguments

}  // namespace ringside::strace
