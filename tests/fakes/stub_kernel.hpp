// A guest's Linux of which only some symbols and structures are known; memory is whoever asks.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "stub/guestos/kernel.hpp"

namespace ringside::fakes {

class StubKernel final : public guestos::Kernel {
 public:
  std::map<std::string, Gva, std::less<>> symbols;
  std::map<std::string, std::uint64_t, std::less<>> members;  // "module.list"
  std::map<std::string, std::uint64_t, std::less<>> sizes;

  std::optional<Gva> symbol(std::string_view name) const override {
    const auto found = symbols.find(name);
    return found == symbols.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::uint64_t> member(std::string_view structure, std::string_view path) const override {
    const auto found = members.find(std::string(structure) + "." + std::string(path));
    return found == members.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::uint64_t> size_of(std::string_view structure) const override {
    const auto found = sizes.find(structure);
    return found == sizes.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<Symbol> all_symbols() const override {
    std::vector<Symbol> all;
    for (const auto& [name, at] : symbols) all.push_back({at, 't', name});
    std::ranges::sort(all, {}, &Symbol::at);
    return all;
  }

  std::optional<Near> nearest(Gva) const override { return std::nullopt; }
  std::optional<Place> place(Gva, const VirtualMemory&, std::span<char>) const noexcept override {
    return std::nullopt;
  }
  std::uint64_t slide() const override { return 0; }
  Gva link_text() const override { return {}; }
  std::string banner() const override { return "Linux version 9.9 (stub)"; }
  std::span<const guestos::SyscallSite> syscall_sites() const override { return {}; }
  std::optional<Gva> per_cpu(std::uint32_t, const VirtualMemory&) const noexcept override {
    return std::nullopt;
  }
  std::optional<Gva> current_task(Gva, const VirtualMemory&) const noexcept override { return std::nullopt; }
  std::optional<guestos::TaskIds> task_ids(Gva, const VirtualMemory&) const noexcept override {
    return std::nullopt;
  }
  std::optional<Gva> parent(Gva, const VirtualMemory&) const noexcept override { return std::nullopt; }
  std::optional<std::size_t> fd_path(Gva, int, const VirtualMemory&,
                                     std::span<char>) const noexcept override {
    return std::nullopt;
  }
  std::optional<std::size_t> working_directory(Gva, const VirtualMemory&,
                                               std::span<char>) const noexcept override {
    return std::nullopt;
  }
  guestos::StackWalk walk_stack(const guestos::StackRegisters&, const VirtualMemory&,
                                std::span<guestos::StackFrame>) const noexcept override {
    return {};
  }
  Result<guestos::StackRegisters> sleeping_stack(Gva, const VirtualMemory&) const override {
    return fail(Errc::kNotFound, "a stub");
  }
  bool is_waiting(Gva) const noexcept override { return false; }
  const SyscallDescription* syscall(std::uint32_t) const override { return nullptr; }
  Result<std::vector<Task>> tasks(const VirtualMemory&) const override { return std::vector<Task>{}; }
  Result<std::vector<Module>> modules(const VirtualMemory&) const override { return std::vector<Module>{}; }
  Result<std::string> kernel_log(const VirtualMemory&) const override { return std::string{}; }
  std::string build_id() const override { return {}; }
};

}  // namespace ringside::fakes
