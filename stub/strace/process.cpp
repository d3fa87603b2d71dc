// Arguments of calls on processes: creation, waiting, scheduling, capabilities, tracing.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

enum : std::uint64_t {
  kPidfd = 0x1000,               // CLONE_PIDFD
  kSetTls = 0x80000,             // CLONE_SETTLS
  kParentSetTid = 0x100000,      // CLONE_PARENT_SETTID
  kChildClearTid = 0x200000,     // CLONE_CHILD_CLEARTID
  kChildSetTid = 0x1000000,      // CLONE_CHILD_SETTID
  kIntoCgroup = 0x200000000,     // CLONE_INTO_CGROUP
  kClearHandlers = 0x100000000,  // CLONE_CLEAR_SIGHAND
};
constexpr std::uint64_t kExitSignal = 0xff;

void print_clone_flags(Printer& printer, std::uint32_t flags) {
  const std::uint32_t named = flags & ~static_cast<std::uint32_t>(kExitSignal);
  const std::uint32_t number = flags & kExitSignal;
  if (named != 0) printer.flags(names::clone_flags, named);
  if (number != 0) {
    if (named != 0) printer.text("|");
    printer.signal(number);
  }
  if (flags == 0) printer.text("0");
}

// A pid that the kernel has stored; the pointer when it did not.
void print_stored_id(Printer& printer, std::uint64_t at) {
  if (printer.failed()) return printer.pointer(at);
  print_cell<std::int32_t>(printer, at, [&](std::int32_t id) { printer.decimal(id); });
}

}  // namespace

void print_wait_status(Printer& printer, std::uint32_t status) {
  const std::uint32_t signal = status & 0x7f;
  const std::uint32_t code = status >> 8 & 0xff;
  constexpr Name kEvents[] = {{1, "PTRACE_EVENT_FORK"},       {2, "PTRACE_EVENT_VFORK"},
                              {3, "PTRACE_EVENT_CLONE"},      {4, "PTRACE_EVENT_EXEC"},
                              {5, "PTRACE_EVENT_VFORK_DONE"}, {6, "PTRACE_EVENT_EXIT"},
                              {7, "PTRACE_EVENT_SECCOMP"},    {128, "PTRACE_EVENT_STOP"}};
  if (status == 0xffff) return printer.text("{WIFCONTINUED(s)}");
  if ((status & 0xff) == 0x7f) {
    printer.text("{WIFSTOPPED(s) && WSTOPSIG(s) == ");
    printer.signal(code & 0x7f);
    printer.text((code & 0x80) != 0 ? " | 0x80}" : "}");
    if (status >> 16 == 0) return;
    printer.text("|");
    printer.named({kEvents, {}}, status >> 16);
    return printer.text("<<16");
  }
  if (signal == 0) {
    printer.format("{{WIFEXITED(s) && WEXITSTATUS(s) == {}}}", code);
  } else {
    printer.text("{WIFSIGNALED(s) && WTERMSIG(s) == ");
    printer.signal(signal);
    printer.text((status & 0x80) != 0 ? " && WCOREDUMP(s)}" : "}");
  }
  if (const std::uint32_t rest = status & 0xffff0000; rest != 0) printer.format("|{:#x}", rest);
}

void print_capability_set(Printer& printer, std::uint64_t set) {
  if (set == 0) return printer.text("0");
  bool first = true;
  for (const Name& row : names::capabilities.rows) {
    const std::uint64_t bit = std::uint64_t{1} << row.value;
    if ((set & bit) == 0) continue;
    printer.format("{}1<<{}", first ? "" : "|", row.text);
    set &= ~bit;
    first = false;
  }
  if (set == 0) return;
  if (!first) printer.text("|");
  printer.hex(set);
  if (first) printer.comment("CAP_???");
}

void print_personality(Printer& printer, std::uint32_t value) {
  constexpr std::uint32_t kType = 0xff;
  printer.named(names::personalities, value & kType);
  printer.more_flags(names::personality_flags, value & ~kType);
}

void print_io_priority(Printer& printer, std::uint32_t value) {
  constexpr Name kClasses[] = {
      {0, "IOPRIO_CLASS_NONE"}, {1, "IOPRIO_CLASS_RT"}, {2, "IOPRIO_CLASS_BE"}, {3, "IOPRIO_CLASS_IDLE"}};
  printer.text("IOPRIO_PRIO_VALUE(");
  printer.named({kClasses, "IOPRIO_CLASS_???"}, value >> 13);
  printer.format(", {})", value & 0x1fff);
}

namespace arguments {

// The registers: flags, stack, parent_tid, then child_tid and tls on x86-64, tls and child_tid on i386.
void print_clone_start(Printer& printer, unsigned at) {
  printer.text("child_stack=");
  printer.pointer(printer.arg(at + 1));
  printer.next();
  printer.text("flags=");
  print_clone_flags(printer, printer.uint_arg(at));
}

void print_clone_rest(Printer& printer, unsigned) {
  const std::uint64_t flags = printer.arg(0);
  const std::uint64_t child = printer.arg(printer.i386() ? 4 : 3);
  const std::uint64_t tls = printer.arg(printer.i386() ? 3 : 4);
  if ((flags & (kParentSetTid | kPidfd)) != 0) {
    printer.next();
    printer.text("parent_tid=");
    print_stored_id(printer, printer.arg(2));
  }
  if ((flags & kSetTls) != 0) {
    printer.next();
    printer.text("tls=");
    printer.pointer(tls);
  }
  if ((flags & (kChildSetTid | kChildClearTid)) != 0) {
    printer.next();
    printer.text("child_tidptr=");
    printer.pointer(child);
  }
}

namespace {

struct CloneArgs {
  std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;  // version 0
  std::uint64_t set_tid, set_tid_size;                                                     // 1
  std::uint64_t cgroup;                                                                    // 2
};

std::optional<CloneArgs> load_clone_args(const Printer& printer, std::uint64_t at, std::uint64_t size) {
  CloneArgs found{};
  constexpr std::uint64_t kLeast = 64;
  if (at == 0 || size < kLeast) return std::nullopt;
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(size, sizeof found));
  if (!printer.read(at, {reinterpret_cast<std::uint8_t*>(&found), bytes})) return std::nullopt;
  return found;
}

void print_set_tid(Printer& printer, const CloneArgs& clone) {
  printer.text(", set_tid=");
  const auto show = [&](std::uint64_t element) {
    const auto id = printer.load<std::int32_t>(element);
    if (id) printer.decimal(*id);
    return id.has_value();
  };
  print_array(printer, clone.set_tid, clone.set_tid_size, 4, show);
  printer.format(", set_tid_size={}", clone.set_tid_size);
}

void print_clone_args(Printer& printer, const CloneArgs& clone) {
  constexpr Name kHigh[] = {{1, "CLONE_CLEAR_SIGHAND"}, {2, "CLONE_INTO_CGROUP"}};
  printer.text("{flags=");
  const auto low = static_cast<std::uint32_t>(clone.flags);
  if (low != 0 || clone.flags == 0) printer.flags(names::clone3_flags, low);
  if (clone.flags >> 32 != 0) {
    if (low != 0) printer.text("|");
    printer.flags({kHigh, "CLONE_???"}, clone.flags >> 32);
  }
  const auto address = [&](std::string_view name, std::uint64_t value) {
    printer.format(", {}=", name);
    printer.pointer(value);
  };
  if ((clone.flags & kPidfd) != 0) address("pidfd", clone.pidfd);
  if ((clone.flags & (kChildSetTid | kChildClearTid)) != 0) address("child_tid", clone.child_tid);
  if ((clone.flags & kParentSetTid) != 0) address("parent_tid", clone.parent_tid);
  printer.text(", exit_signal=");
  printer.signal(clone.exit_signal);
  address("stack", clone.stack);
  printer.text(", stack_size=");
  printer.hex(clone.stack_size);
  if ((clone.flags & kSetTls) != 0) address("tls", clone.tls);
  if (clone.set_tid != 0 || clone.set_tid_size != 0) print_set_tid(printer, clone);
  if ((clone.flags & kIntoCgroup) != 0 || clone.cgroup != 0) printer.format(", cgroup={}", clone.cgroup);
  printer.text("}");
}

// What the kernel has stored for the parent.
void print_clone_results(Printer& printer, const CloneArgs& clone) {
  const bool pidfd = (clone.flags & kPidfd) != 0;
  const bool parent = (clone.flags & kParentSetTid) != 0;
  if (!pidfd && !parent) return;
  printer.text(" => {");
  if (pidfd) {
    printer.text("pidfd=");
    print_cell<std::int32_t>(printer, clone.pidfd, [&](std::int32_t fd) { printer.fd(fd); });
  }
  if (parent) {
    printer.text(pidfd ? ", parent_tid=" : "parent_tid=");
    print_stored_id(printer, clone.parent_tid);
  }
  printer.text("}");
}

}  // namespace

void print_clone_arguments(Printer& printer, unsigned at) {
  const auto clone = load_clone_args(printer, printer.arg(at), printer.arg(at + 1));
  if (printer.phase() == Phase::kReturn) {
    if (clone && !printer.failed()) print_clone_results(printer, *clone);
    return;
  }
  clone ? print_clone_args(printer, *clone) : printer.pointer(printer.arg(at));
}

void print_wait_status(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  // Nobody waited for: the kernel stores nothing.
  const bool stored = !printer.failed() && printer.call().result != 0 && where != 0;
  const auto status = stored ? printer.load<std::uint32_t>(where) : std::nullopt;
  if (!status) return printer.pointer(where);
  printer.text("[");
  strace::print_wait_status(printer, *status);
  printer.text("]");
}

void print_siginfo_waitid(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_siginfo_at(printer, printer.arg(at));
}

namespace {

void print_cpu_set(Printer& printer, std::uint64_t at, std::uint64_t bytes) {
  constexpr std::uint64_t kMostBytes = 1024;
  if (at == 0) return printer.text("NULL");
  std::array<std::uint8_t, kMostBytes> set;
  const auto shown = MutableByteView(set).first(static_cast<std::size_t>(std::min(bytes, kMostBytes)));
  if (!printer.read(at, shown)) return printer.pointer(at);
  printer.text("[");
  bool first = true;
  for (std::size_t cpu = 0; cpu < shown.size() * 8; ++cpu) {
    if ((set[cpu / 8] >> cpu % 8 & 1) == 0) continue;
    printer.format("{}{}", first ? "" : " ", cpu);
    first = false;
  }
  printer.text("]");
}

}  // namespace

void print_cpu_set_in(Printer& printer, unsigned at) {
  print_cpu_set(printer, printer.arg(at), printer.uint_arg(at - 1));
}
void print_cpu_set_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_cpu_set(printer, printer.arg(at), static_cast<std::uint64_t>(printer.call().result));
}

void print_syslog_action(Printer& printer, unsigned at) {
  constexpr Name kActions[] = {
      {0, "SYSLOG_ACTION_CLOSE"},       {1, "SYSLOG_ACTION_OPEN"},        {2, "SYSLOG_ACTION_READ"},
      {3, "SYSLOG_ACTION_READ_ALL"},    {4, "SYSLOG_ACTION_READ_CLEAR"},  {5, "SYSLOG_ACTION_CLEAR"},
      {6, "SYSLOG_ACTION_CONSOLE_OFF"}, {7, "SYSLOG_ACTION_CONSOLE_ON"},  {8, "SYSLOG_ACTION_CONSOLE_LEVEL"},
      {9, "SYSLOG_ACTION_SIZE_UNREAD"}, {10, "SYSLOG_ACTION_SIZE_BUFFER"}};
  const std::string_view name = find_name({kActions, {}}, printer.uint_arg(at));
  printer.decimal(printer.int_arg(at));
  printer.comment(name.empty() ? "SYSLOG_ACTION_???" : name);
}

When when_syslog_rest(const Call& call) {
  const auto action = static_cast<std::uint32_t>(call.args[0]);
  return action >= 2 && action <= 4 ? When::kReturn : When::kEntry;  // the three that read
}

void print_syslog_rest(Printer& printer, unsigned at) {
  constexpr std::uint32_t kUsesArguments = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 8;
  const std::uint32_t action = printer.uint_arg(0);
  if (action <= 10 && (kUsesArguments >> action & 1) == 0) return;
  printer.next();
  const bool read = when_syslog_rest(printer.call()) == When::kReturn && !printer.failed();
  read ? printer.buffer(printer.arg(at), static_cast<std::uint64_t>(printer.call().result))
       : printer.pointer(printer.arg(at));
  printer.next();
  printer.decimal(printer.int_arg(at + 1));
}

void print_membarrier_rest(Printer& printer, unsigned at) {
  constexpr std::uint32_t kOneCpu = 1;  // MEMBARRIER_CMD_FLAG_CPU
  if ((printer.uint_arg(at - 1) & kOneCpu) == 0) return;
  printer.next();
  printer.decimal(printer.int_arg(at));
}

void print_restarted(Printer& printer, unsigned) {
  printer.text("<... resuming interrupted system call ...>");
}

void print_personality_(Printer& printer, unsigned at) {
  const std::uint32_t value = printer.uint_arg(at);
  value == 0xffffffff ? printer.text("0xffffffff") : print_personality(printer, value);
}

void print_io_priority(Printer& printer, unsigned at) {
  strace::print_io_priority(printer, printer.uint_arg(at));
}

// Of what is compared as a whole (KCMP_VM and its like) nothing more is said.
void print_kcmp_rest(Printer& printer, unsigned at) {
  enum : std::uint32_t { kFile = 0, kEpollTarget = 7 };
  const std::uint32_t type = printer.uint_arg(at - 1);
  if (type > kFile && type < kEpollTarget) return;
  printer.next();
  type <= kEpollTarget ? printer.fd(printer.int_arg(at)) : printer.hex(printer.arg(at));
  printer.next();
  if (type == kFile) return printer.fd(printer.int_arg(at + 1));
  type == kEpollTarget ? printer.pointer(printer.arg(at + 1)) : printer.hex(printer.arg(at + 1));
}

void print_reboot_argument(Printer& printer, unsigned at) {
  constexpr std::uint32_t kRestart2 = 0xa1b2c3d4;
  if (printer.uint_arg(at - 1) != kRestart2) return;
  printer.next();
  printer.string(printer.arg(at));
}

void print_seccomp_rest(Printer& printer, unsigned at) {
  enum : std::uint32_t { kStrict, kFilter, kAvailable };
  const std::uint32_t operation = printer.uint_arg(0);
  printer.next();
  operation == kFilter ? printer.flags(names::seccomp_filter_flags, printer.uint_arg(at))
                       : printer.hex(printer.uint_arg(at));
  printer.next();
  const std::uint64_t where = printer.arg(at + 1);
  if (operation == kAvailable) {
    return print_cell<std::uint32_t>(
        printer, where, [&](std::uint32_t action) { printer.named(names::seccomp_actions, action); });
  }
  const auto length = operation == kFilter && where != 0 ? printer.load<std::uint16_t>(where) : std::nullopt;
  const auto filter = length ? printer.load_word(where + printer.word_size()) : std::nullopt;
  if (!filter) return printer.pointer(where);
  printer.format("{{len={}, filter=", *length);
  printer.pointer(*filter);
  printer.text("}");
}

}  // namespace arguments

}  // namespace ringside::strace
