// A Kernel as recognise() finds it: symbols, types, and the readers for which this kernel has everything.
// Immutable.
#pragma once

#include "stub/guestos/btf.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/guestos/layout.hpp"
#include "stub/guestos/paths.hpp"
#include "stub/guestos/symbols.hpp"
#include "stub/guestos/tasks.hpp"
#include "stub/guestos/unwind.hpp"

namespace ringside::guestos {

// Linked there unless CONFIG_PHYSICAL_START says otherwise, which nobody's kernel does.
inline constexpr Gva kLinkText{0xffffffff81000000};

class LinuxKernel final : public Kernel {
 public:
  // Without `btf` there are symbols and nothing that stands on structures.
  LinuxKernel(SymbolTable symbols, std::optional<Btf> btf, const VirtualMemory& memory);
  LinuxKernel(const LinuxKernel&) = delete;  // its readers hold on to its symbols
  LinuxKernel& operator=(const LinuxKernel&) = delete;

  std::optional<Gva> symbol(std::string_view name) const override { return symbols_.find(name); }
  std::optional<Near> nearest(Gva at) const override;
  std::optional<Place> place(Gva at, const VirtualMemory& memory,
                             std::span<char> into) const noexcept override;
  std::uint64_t slide() const override { return text_ - kLinkText; }
  Gva link_text() const override { return kLinkText; }
  std::string banner() const override { return banner_; }
  std::span<const SyscallSite> syscall_sites() const override { return sites_; }

  std::optional<Gva> per_cpu(std::uint32_t cpu, const VirtualMemory& memory) const noexcept override;
  std::optional<Gva> current_task(Gva per_cpu, const VirtualMemory& memory) const noexcept override;
  std::optional<TaskIds> task_ids(Gva task, const VirtualMemory& memory) const noexcept override;
  std::optional<Gva> parent(Gva task, const VirtualMemory& memory) const noexcept override;
  std::optional<std::size_t> fd_path(Gva task, int fd, const VirtualMemory& memory,
                                     std::span<char> into) const noexcept override;
  std::optional<std::size_t> working_directory(Gva task, const VirtualMemory& memory,
                                               std::span<char> into) const noexcept override;

  StackWalk walk_stack(const StackRegisters& from, const VirtualMemory& memory,
                       std::span<StackFrame> into) const noexcept override;
  Result<StackRegisters> sleeping_stack(Gva task, const VirtualMemory& memory) const override;
  bool is_waiting(Gva at) const noexcept override;

  std::optional<std::uint64_t> member(std::string_view structure, std::string_view path) const override;
  std::optional<std::uint64_t> size_of(std::string_view structure) const override;
  const SyscallDescription* syscall(std::uint32_t number) const override;

  Result<std::vector<Task>> tasks(const VirtualMemory& memory) const override;
  Result<std::vector<Module>> modules(const VirtualMemory& memory) const override;
  Result<std::string> kernel_log(const VirtualMemory& memory) const override;
  std::vector<Symbol> all_symbols() const override;
  std::string build_id() const override { return build_id_; }

 private:
  GvaRange range(std::string_view begin, std::string_view end) const;

  SymbolTable symbols_;
  std::optional<Btf> btf_;
  Gva text_, end_;
  std::string banner_, build_id_;
  std::vector<SyscallSite> sites_;
  std::vector<std::optional<SyscallDescription>> syscalls_;
  std::optional<Gva> per_cpu_offsets_;
  std::uint64_t per_cpu_count_ = 0;
  std::optional<CurrentLayout> current_;
  std::optional<TaskReader> task_;
  std::optional<TaskList> task_list_;
  std::optional<PathReader> paths_;
  std::optional<ModuleLayout> modules_;
  std::optional<LogLayout> log_;
  GvaRange scheduler_, locks_;
  std::optional<SleepLayout> sleep_;
  std::optional<Unwinder> unwinder_;
};

}  // namespace ringside::guestos
