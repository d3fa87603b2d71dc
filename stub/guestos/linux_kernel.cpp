#include "stub/guestos/linux_kernel.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "stub/guestos/build_id.hpp"
#include "stub/guestos/copy.hpp"
#include "stub/guestos/kallsyms.hpp"
#include "stub/guestos/kernel_log.hpp"
#include "stub/guestos/module_lookup.hpp"
#include "stub/guestos/modules.hpp"
#include "stub/guestos/syscall_metadata.hpp"
#include "stub/guestos/syscall_sites.hpp"

namespace ringside::guestos {
namespace {

constexpr std::size_t kLongestBanner = 1024;

Unexpected<Error> unknown(std::string_view what) {
  return fail(Errc::kUnsupported,
              "this kernel does not tell where its " + std::string(what) + " are (no BTF?)");
}

}  // namespace

LinuxKernel::LinuxKernel(SymbolTable symbols, std::optional<Btf> btf, const VirtualMemory& memory)
    : symbols_(std::move(symbols)), btf_(std::move(btf)) {
  text_ = symbols_.find("_text").value_or(symbols_.find("_stext").value_or(kLinkText));
  end_ = symbols_.find("_end").value_or(Gva{UINT64_MAX});
  if (const auto at = symbols_.find("linux_banner")) banner_ = text_at(memory, *at, kLongestBanner);
  while (banner_.ends_with('\n')) banner_.pop_back();
  std::ranges::replace_if(
      banner_, [](char c) { return c < ' ' || c > '~'; }, '?');
  build_id_ = read_build_id(symbols_, memory);
  sites_ = find_syscall_sites(symbols_, memory);
  per_cpu_offsets_ = symbols_.find("__per_cpu_offset");
  if (per_cpu_offsets_) {
    const auto after = symbols_.after(*per_cpu_offsets_);
    per_cpu_count_ = after ? (*after - *per_cpu_offsets_) / 8 : 0;
  }
  current_ = current_layout(btf_ ? &*btf_ : nullptr, symbols_);
  scheduler_ = range("__sched_text_start", "__sched_text_end");
  locks_ = range("__lock_text_start", "__lock_text_end");
  if (btf_) modules_ = module_layout(*btf_, symbols_);
  unwinder_.emplace(symbols_, btf_ ? &*btf_ : nullptr, modules_, memory);
  if (!btf_) return;
  if (const auto task = task_layout(*btf_)) task_.emplace(*task);
  if (const auto list = task_list_layout(*btf_, symbols_); list && task_)
    task_list_.emplace(*task_, *list, SleepingPlaces{range("_stext", "_etext"), scheduler_, &symbols_});
  sleep_ = sleep_layout(*btf_);
  const auto path = path_layout(*btf_);
  const auto file = file_layout(*btf_);
  if (path && file) paths_.emplace(*path, *file);
  log_ = log_layout(*btf_, symbols_);
  syscalls_ = read_syscalls(symbols_, *btf_, memory);
}

GvaRange LinuxKernel::range(std::string_view begin, std::string_view end) const {
  return {symbols_.find(begin).value_or(Gva{}), symbols_.find(end).value_or(Gva{})};
}

std::optional<Kernel::Near> LinuxKernel::nearest(Gva at) const {
  if (at < text_ || at >= end_) return std::nullopt;
  const auto symbol = symbols_.at_or_before(at);
  if (!symbol || symbol->at < text_) return std::nullopt;
  return Near{symbol->name, at - symbol->at};
}

std::optional<Kernel::Place> LinuxKernel::place(Gva at, const VirtualMemory& memory,
                                                std::span<char> into) const noexcept {
  constexpr std::uint32_t kMostModules = 4096;
  if (const auto near = nearest(at)) {
    const Gva begin = at - near->offset;
    return Place{near->name, near->offset, symbols_.after(begin).value_or(end_) - begin, {}};
  }
  std::uint32_t fuel = kMostModules;
  const auto module = modules_ ? find_module(*modules_, at, memory, fuel) : std::nullopt;
  return module ? place_in_module(*modules_, *module, at, memory, into) : std::nullopt;
}

StackWalk LinuxKernel::walk_stack(const StackRegisters& from, const VirtualMemory& memory,
                                  std::span<StackFrame> into) const noexcept {
  return unwinder_->walk(from, memory, into);
}

Result<StackRegisters> LinuxKernel::sleeping_stack(Gva task, const VirtualMemory& memory) const {
  if (!sleep_) return unknown("stacks");
  std::array<std::uint8_t, 8> running{};
  const bool read = memory.read(task + sleep_->on_cpu, MutableByteView(running).first(sleep_->on_cpu_bytes));
  if (load<std::uint64_t>(running.data()) != 0)
    return fail(Errc::kBusy, "it is running: its stack is in a CPU's registers");
  const auto found = unwinder_->sleeping(*sleep_, task, memory);
  if (!read || !found) return fail(Errc::kNotMapped, "its stack cannot be read");
  return *found;
}

bool LinuxKernel::is_waiting(Gva at) const noexcept { return scheduler_.contains(at) || locks_.contains(at); }

std::optional<Gva> LinuxKernel::per_cpu(std::uint32_t cpu, const VirtualMemory& memory) const noexcept {
  if (!per_cpu_offsets_ || cpu >= per_cpu_count_) return std::nullopt;
  const auto offset = memory.load_at<std::uint64_t>(*per_cpu_offsets_ + 8 * std::uint64_t{cpu});
  if (!offset) return std::nullopt;
  return Gva{*offset};
}

std::optional<Gva> LinuxKernel::current_task(Gva per_cpu, const VirtualMemory& memory) const noexcept {
  if (!current_) return std::nullopt;
  const auto task = memory.load_at<std::uint64_t>(Gva{per_cpu.value + current_->offset.value});
  if (!task || *task == 0) return std::nullopt;
  return Gva{*task};
}

std::optional<TaskIds> LinuxKernel::task_ids(Gva task, const VirtualMemory& memory) const noexcept {
  return task_ ? task_->ids(task, memory) : std::nullopt;
}

std::optional<Gva> LinuxKernel::parent(Gva task, const VirtualMemory& memory) const noexcept {
  return task_ ? task_->parent(task, memory) : std::nullopt;
}

std::optional<std::size_t> LinuxKernel::fd_path(Gva task, int fd, const VirtualMemory& memory,
                                                std::span<char> into) const noexcept {
  return paths_ ? paths_->fd_path(task, fd, memory, into) : std::nullopt;
}

std::optional<std::size_t> LinuxKernel::working_directory(Gva task, const VirtualMemory& memory,
                                                          std::span<char> into) const noexcept {
  return paths_ ? paths_->working_directory(task, memory, into) : std::nullopt;
}

std::optional<std::uint64_t> LinuxKernel::member(std::string_view structure, std::string_view path) const {
  return btf_ ? btf_->member(structure, path) : std::nullopt;
}

std::optional<std::uint64_t> LinuxKernel::size_of(std::string_view structure) const {
  return btf_ ? btf_->size_of(structure) : std::nullopt;
}

const Kernel::SyscallDescription* LinuxKernel::syscall(std::uint32_t number) const {
  if (number >= syscalls_.size() || !syscalls_[number]) return nullptr;
  return &*syscalls_[number];
}

// A list that changes while it is read may lead astray once.
Result<std::vector<Kernel::Task>> LinuxKernel::tasks(const VirtualMemory& memory) const {
  constexpr int kTries = 3;
  if (!task_list_) return unknown("tasks");
  auto found = task_list_->list(memory);
  for (int tries = 1; !found && tries < kTries; ++tries) found = task_list_->list(memory);
  return found;
}

Result<std::vector<Kernel::Module>> LinuxKernel::modules(const VirtualMemory& memory) const {
  if (!modules_) return unknown("modules");
  return read_modules(*modules_, memory);
}

Result<std::string> LinuxKernel::kernel_log(const VirtualMemory& memory) const {
  if (!log_) return unknown("log records");
  return read_kernel_log(*log_, memory);
}

std::vector<Kernel::Symbol> LinuxKernel::all_symbols() const {
  std::vector<Symbol> all;
  all.reserve(symbols_.size());
  for (std::size_t i = 0; i < symbols_.size(); ++i) {
    const SymbolTable::Entry entry = symbols_[i];
    all.push_back({entry.at, entry.type, std::string(entry.name)});
  }
  return all;
}

Result<std::shared_ptr<const Kernel>> recognise(const VirtualMemory& memory, Gva hint) {
  constexpr std::uint64_t kLargestBtf = 32u << 20;
  SymbolTable symbols = RS_TRY(read_kallsyms(memory, hint));
  std::optional<Btf> btf;
  const auto begin = symbols.find("__start_BTF");
  const auto end = symbols.find("__stop_BTF");
  if (begin && end && *begin < *end && *end - *begin <= kLargestBtf) {
    if (auto parsed = Btf::parse(copy_out(memory, *begin, *end - *begin).bytes)) btf = std::move(*parsed);
  }
  return std::make_shared<const LinuxKernel>(std::move(symbols), std::move(btf), memory);
}

}  // namespace ringside::guestos
