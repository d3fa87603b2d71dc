#include "stub/guestos/syscall_metadata.hpp"

#include <algorithm>
#include <string>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

constexpr std::size_t kMostCalls = 1024;
constexpr unsigned kMostArguments = 6;
constexpr std::size_t kLongestText = 96;

struct Metadata {
  std::uint64_t name, argument_count, types, names;
};

std::optional<Metadata> layout(const Btf& btf) {
  const auto name = btf.member("syscall_metadata", "name");
  const auto count = btf.member("syscall_metadata", "nb_args");
  const auto types = btf.member("syscall_metadata", "types");
  const auto names = btf.member("syscall_metadata", "args");
  if (!name || !count || !types || !names) return std::nullopt;
  return Metadata{*name, *count, *types, *names};
}

std::string pointed_text(const VirtualMemory& memory, Gva at) {
  const auto text = memory.load_at<std::uint64_t>(at);
  return text ? text_at(memory, Gva{*text}, kLongestText) : std::string{};
}

std::optional<Kernel::SyscallDescription> describe(const Metadata& at, Gva metadata,
                                                   const VirtualMemory& memory) {
  constexpr std::string_view kPrefix = "sys_";
  Kernel::SyscallDescription call{.name = pointed_text(memory, metadata + at.name), .arguments = {}};
  if (!call.name.starts_with(kPrefix)) return std::nullopt;
  call.name.erase(0, kPrefix.size());
  // A bit field in newer kernels; the number is small in either.
  const unsigned count = memory.load_at<std::uint8_t>(metadata + at.argument_count).value_or(0) & 0x7f;
  const auto types = memory.load_at<std::uint64_t>(metadata + at.types);
  const auto names = memory.load_at<std::uint64_t>(metadata + at.names);
  if (!types || !names || count > kMostArguments) return std::nullopt;
  for (unsigned i = 0; i < count; ++i) {
    call.arguments.push_back(
        {pointed_text(memory, Gva{*types} + 8 * i), pointed_text(memory, Gva{*names} + 8 * i)});
  }
  return call;
}

}  // namespace

std::vector<std::optional<Kernel::SyscallDescription>> read_syscalls(const SymbolTable& symbols,
                                                                     const Btf& btf,
                                                                     const VirtualMemory& memory) {
  constexpr std::string_view kPrefix = "__x64_sys_";
  std::vector<std::optional<Kernel::SyscallDescription>> calls;
  const auto at = layout(btf);
  const auto table = symbols.find("sys_call_table");
  const auto end = table ? symbols.after(*table) : std::nullopt;
  if (!at || !end) return calls;
  const std::size_t count = std::min<std::size_t>((*end - *table) / 8, kMostCalls);
  for (std::size_t number = 0; number < count; ++number) {
    const auto function = memory.load_at<std::uint64_t>(*table + 8 * number);
    const auto name = function ? symbols.alias(Gva{*function}, kPrefix) : std::nullopt;
    if (!name) continue;
    const auto metadata = symbols.find("__syscall_meta__" + std::string(name->substr(kPrefix.size())));
    if (!metadata) continue;
    calls.resize(number + 1);
    calls[number] = describe(*at, *metadata, memory);
  }
  return calls;
}

}  // namespace ringside::guestos
