// What is known of the guest's Linux kernel, found in guest memory alone: symbols, structure offsets, and the
// readers that stand on them.  By presence of symbols and members, never by version number.
//
// A Kernel is immutable: made once (recognise()), shared by all tracers, good until the guest is reset.  The
// readers take memory as the CPU at hand sees it; they neither allocate nor make a system call, run on vCPU
// threads, and bound every loop: guest memory is hostile.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/addr.hpp"
#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "arch/x86/cpu.hpp"
#include "stub/guestos/stack.hpp"

namespace ringside::guestos {

struct TaskIds {
  Gva task;
  std::int32_t pid = 0;   // the thread's number (task_struct.pid)
  std::int32_t tgid = 0;  // the process's: what people call pid
  std::array<char, 16> comm_bytes{};
  bool kernel_thread = false;
  std::string_view comm() const;  // up to the NUL
};

// Where system calls can be observed, on this kernel.
struct SyscallSite {
  enum class Kind : std::uint8_t {
    kEntry64,      // `syscall` from 64-bit code; pt_regs in rdi, valid
    kEntry32,      // int 0x80, sysenter, syscall of 32-bit code; pt_regs in rdi, valid
    kEntryInt80,   // int 0x80: the same, but the number is still in ax, not in orig_ax
    kEntryFast32,  // sysenter and syscall of 32-bit code: the same, but the 6th argument is still where sp
                   // points, not in bp
    kResult,     // pt_regs in rdi, its ax is the result; before signals are looked at.  A new task comes here
                 // once without a call of its own
    kResultRax,  // the result is in rax, no pt_regs; 64-bit and 32-bit calls.  Only where there is no kResult
    kLeave,      // pt_regs at rsp: back to user mode; for calls that were refused before they were made
    kNewTask,    // rdi: the new task_struct, not run yet; current is its parent (wake_up_new_task)
    kExit,       // rdi: code as for wait4, current is what ends (do_exit)
    kSignalEntry,   // get_signal: rdi = struct ksignal, to be filled
    kSignalReturn,  // behind a call of get_signal: al says whether there is one to handle
  };
  Kind kind;
  Gva at;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // Symbols, at the addresses where the kernel runs.
  virtual std::optional<Gva> symbol(std::string_view name) const = 0;
  struct Near {
    std::string_view name;
    std::uint64_t offset = 0;
  };
  virtual std::optional<Near> nearest(Gva at) const = 0;
  // Where in the kernel's or a module's code or data; module symbols are searched for, one by one.  Names are in
  // the kernel, or put into `into` (at least 256 bytes; longer names are cut off), and may have any byte.
  struct Place {
    std::string_view name;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;  // up to the next symbol
    std::string_view module = {};
  };
  virtual std::optional<Place> place(Gva at, const VirtualMemory& memory,
                                     std::span<char> into) const noexcept = 0;
  virtual std::uint64_t slide() const = 0;  // to be added to link addresses; modulo 2^64
  virtual Gva link_text() const = 0;        // of _text, before the slide
  virtual std::string banner() const = 0;   // "Linux version 6.1.0-…"

  virtual std::span<const SyscallSite> syscall_sites() const = 0;

  // What is added to a per-CPU address for this CPU, as Linux numbers them: vCPUs in order.  The GS base of a
  // CPU in kernel mode is the same; this one needs no register, and is right in every mode.
  virtual std::optional<Gva> per_cpu(std::uint32_t cpu, const VirtualMemory& memory) const noexcept = 0;
  // The task that a vCPU in kernel mode runs; `per_cpu` is its GS base (in user mode: KERNEL_GS_BASE).
  virtual std::optional<Gva> current_task(Gva per_cpu, const VirtualMemory& memory) const noexcept = 0;
  virtual std::optional<TaskIds> task_ids(Gva task, const VirtualMemory& memory) const noexcept = 0;
  virtual std::optional<Gva> parent(Gva task, const VirtualMemory& memory) const noexcept = 0;  // real_parent

  // Paths as /proc/PID/fd and /proc/PID/cwd show them ("socket:[123]", "pipe:[7]", "/etc/passwd (deleted)").
  // How many bytes of `into` they took; nothing when they cannot be known.
  virtual std::optional<std::size_t> fd_path(Gva task, int fd, const VirtualMemory& memory,
                                             std::span<char> into) const noexcept = 0;
  virtual std::optional<std::size_t> working_directory(Gva task, const VirtualMemory& memory,
                                                       std::span<char> into) const noexcept = 0;

  // The kernel's stack: by ORC, else by frame pointers (unwind.hpp).  Fills `into`, which bounds the walk.
  virtual StackWalk walk_stack(const StackRegisters& from, const VirtualMemory& memory,
                               std::span<StackFrame> into) const noexcept = 0;
  // Where the stack of a task begins that is not running; of one that is, it is in a CPU's registers.
  virtual Result<StackRegisters> sleeping_stack(Gva task, const VirtualMemory& memory) const = 0;
  // Code that every sleeper is in, which /proc/PID/stack leaves out: the scheduler, and locks.
  virtual bool is_waiting(Gva at) const noexcept = 0;

  // Offset in bytes of a structure's member in BTF; "a.b" goes into nested ones, unnamed ones are looked
  // through.
  virtual std::optional<std::uint64_t> member(std::string_view structure, std::string_view path) const = 0;
  virtual std::optional<std::uint64_t> size_of(std::string_view structure) const = 0;

  // The kernel's own description of a 64-bit call (CONFIG_FTRACE_SYSCALLS), for those without a decoder.
  struct SyscallArgument {
    std::string type;  // "const char *"
    std::string name;
  };
  struct SyscallDescription {
    std::string name;  // "openat"
    std::vector<SyscallArgument> arguments;
  };
  virtual const SyscallDescription* syscall(std::uint32_t number) const = 0;

  // For lists that people ask for; may allocate.  Bounded: a list that does not end is cut off, and says so.
  struct Task {
    TaskIds ids;
    std::int32_t parent_tgid = 0;
    char state = '?';   // as ps shows it: R S D T t Z X I
    std::string where;  // symbol it sleeps in, if that can be known
    std::optional<std::uint32_t> cpu;
  };
  struct Module {
    struct Section {
      std::string name;
      Gva at;
    };
    std::string name;
    Gva at;  // of its core text
    std::uint64_t size = 0;
    std::vector<Section> sections;
  };
  virtual Result<std::vector<Task>> tasks(const VirtualMemory& memory) const = 0;
  virtual Result<std::vector<Module>> modules(const VirtualMemory& memory) const = 0;
  virtual Result<std::string> kernel_log(const VirtualMemory& memory) const = 0;  // as dmesg prints it

  // Every symbol, by address: for a symbol file.
  struct Symbol {
    Gva at;
    char type;  // as nm: t T d D …
    std::string name;
  };
  virtual std::vector<Symbol> all_symbols() const = 0;
  virtual std::string build_id() const = 0;  // hex; empty when there is none
};

// Looks for a Linux kernel in `memory`, which is what a CPU of the guest sees; `hint` is an address inside
// the kernel, such as LSTAR.  Takes some hundred milliseconds: not for a thread that others wait for.  The
// error says what was not found.
Result<std::shared_ptr<const Kernel>> recognise(const VirtualMemory& memory, Gva hint);

}  // namespace ringside::guestos
