// Arguments of System V IPC, POSIX message queues and keys.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

constexpr std::uint32_t kPermissions = 0777;
constexpr std::uint32_t kIpc64 = 0x100;  // IPC_64
constexpr Name kShmget[] = {
    {01000, "IPC_CREAT"}, {02000, "IPC_EXCL"}, {04000, "SHM_HUGETLB"}, {010000, "SHM_NORESERVE"}};
constexpr Name kSemget[] = {{01000, "IPC_CREAT"}, {02000, "IPC_EXCL"}, {04000, "IPC_NOWAIT"}};
constexpr std::uint32_t kHugeShift = 26;

void print_get_flags(Printer& printer, std::uint32_t flags, const Names& names, std::uint32_t huge) {
  const std::uint32_t named = flags & ~kPermissions;
  if (named != 0) {
    printer.flags(names, named);
    printer.text("|");
  }
  if (huge != 0) printer.format("{}<<SHM_HUGE_SHIFT|", huge);
  printer.octal(flags & kPermissions);
}

void print_control_command(Printer& printer, unsigned at, const Names& names) {
  const std::uint32_t command = printer.uint_arg(at);
  if ((command & kIpc64) != 0) printer.text("IPC_64|");
  printer.named(names, command & ~kIpc64);
}

void print_mq_attr(Printer& printer, std::uint64_t at) {
  std::array<std::uint64_t, 4> values{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = at == 0 ? std::nullopt : printer.load_word(at + i * printer.word_size());
    if (!value) return printer.pointer(at);
    values[i] = *value;
  }
  printer.text("{mq_flags=");
  printer.flags({names::open_flags.rows, "O_???"}, values[0]);
  printer.format(", mq_maxmsg={}, mq_msgsize={}, mq_curmsgs={}}}", values[1], values[2], values[3]);
}

void print_key(Printer& printer, std::uint32_t key) {
  const std::string_view name = find_name(names::keyrings, key);
  name.empty() ? printer.decimal(static_cast<std::int32_t>(key)) : printer.text(name);
}

}  // namespace

// One that is not known: the interface's version, and the number.
void print_ipc_call(Printer& printer, unsigned at) {
  const std::uint32_t call = printer.uint_arg(at);
  if (call >> 16 != 0) printer.format("{}<<16|", call >> 16);
  printer.unsigned_decimal(call & 0xffff);
}

void print_ipc_key(Printer& printer, unsigned at) {
  const std::uint32_t key = printer.uint_arg(at);
  key == 0 ? printer.text("IPC_PRIVATE") : printer.hex(key);
}

void print_shmget_flags(Printer& printer, unsigned at) {
  const std::uint32_t flags = printer.uint_arg(at);
  print_get_flags(printer, flags & ((1u << kHugeShift) - 1), {kShmget, {}}, flags >> kHugeShift);
}
void print_semget_flags(Printer& printer, unsigned at) {
  print_get_flags(printer, printer.uint_arg(at), {kSemget, {}}, 0);
}
void print_msgsnd_flags(Printer& printer, unsigned at) {
  printer.flags(names::msgrcv_flags, printer.uint_arg(at));
}

void print_shmctl_command(Printer& printer, unsigned at) {
  print_control_command(printer, at, names::shmctl_commands);
}
void print_msgctl_command(Printer& printer, unsigned at) {
  print_control_command(printer, at, names::msgctl_commands);
}
void print_semctl_command(Printer& printer, unsigned at) {
  print_control_command(printer, at, names::semctl_commands);
}

void print_sembufs(Printer& printer, unsigned at) {
  struct Sembuf {
    std::uint16_t number;
    std::int16_t operation;
    std::uint16_t flags;
  };
  const auto show = [&](std::uint64_t element) {
    const auto buffer = printer.load<Sembuf>(element);
    if (!buffer) return false;
    printer.format("{{sem_num={}, sem_op={}, sem_flg=", buffer->number, buffer->operation);
    printer.flags(names::semop_flags, buffer->flags);
    printer.text("}");
    return true;
  };
  print_array(printer, printer.arg(at), printer.uint_arg(at + 1), sizeof(Sembuf), show,
              printer.style().string_limit);
}

void print_mq_rest(Printer& printer, unsigned at) {
  constexpr std::uint32_t kCreates = 0x40;
  if ((printer.uint_arg(at - 1) & kCreates) == 0) return;
  printer.next();
  printer.octal(printer.uint_arg(at) & 0xffff);
  printer.next();
  print_mq_attr(printer, printer.arg(at + 1));
}
void print_mq_attr_in(Printer& printer, unsigned at) { print_mq_attr(printer, printer.arg(at)); }
void print_mq_attr_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_mq_attr(printer, printer.arg(at));
}

void print_keyring(Printer& printer, unsigned at) { print_key(printer, printer.uint_arg(at)); }

// KEYCTL_DESCRIBE, KEYCTL_READ and KEYCTL_GET_SECURITY give text back.
constexpr std::uint32_t kDescribe = 6;
constexpr std::uint32_t kRead = 11;
constexpr std::uint32_t kGetSecurity = 17;
bool gives_text(std::uint32_t operation) {
  return operation == kDescribe || operation == kRead || operation == kGetSecurity;
}
When when_keyctl_rest(const Call& call) {
  return gives_text(static_cast<std::uint32_t>(call.args[0])) ? When::kReturn : When::kEntry;
}

void print_keyctl_rest(Printer& printer, unsigned at) {
  const auto next = [&](unsigned n) {
    printer.next();
    return printer.arg(at + n);
  };
  switch (const std::uint32_t operation = printer.uint_arg(0); operation) {
    case 0:  // KEYCTL_GET_KEYRING_ID
      printer.next(), print_key(printer, printer.uint_arg(at));
      return printer.decimal(static_cast<std::int32_t>(next(1)));
    case 1:  // KEYCTL_JOIN_SESSION_KEYRING
      return printer.string(next(0));
    case 3:   // KEYCTL_REVOKE
    case 7:   // KEYCTL_CLEAR
    case 21:  // KEYCTL_INVALIDATE
    case 16:  // KEYCTL_ASSUME_AUTHORITY
      return printer.next(), print_key(printer, printer.uint_arg(at));
    case 5:  // KEYCTL_SETPERM
      printer.next(), print_key(printer, printer.uint_arg(at));
      return printer.flags(names::key_permissions, static_cast<std::uint32_t>(next(1)));
    case 8:  // KEYCTL_LINK
    case 9:  // KEYCTL_UNLINK
      printer.next(), print_key(printer, printer.uint_arg(at));
      return printer.next(), print_key(printer, printer.uint_arg(at + 1));
    case kDescribe:
    case kRead:
    case kGetSecurity: {
      printer.next(), print_key(printer, printer.uint_arg(at));
      const std::uint64_t buffer = next(1);
      const std::uint64_t size = printer.arg(at + 2);
      printer.failed()
          ? printer.pointer(buffer)
          : printer.buffer(buffer, std::min(size, static_cast<std::uint64_t>(printer.call().result)));
      return printer.unsigned_decimal(next(2));
    }
    default:
      for (unsigned i = 0; i < 4; ++i) printer.hex(next(i));
  }
}

}  // namespace ringside::strace::arguments
