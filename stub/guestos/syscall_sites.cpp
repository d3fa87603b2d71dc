#include "stub/guestos/syscall_sites.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

using Kind = SyscallSite::Kind;

constexpr std::size_t kLongestFunction = 16384;
constexpr std::uint64_t kCallBytes = 5;
constexpr std::uint8_t kCall = 0xe8;  // call rel32
// Calls may be led to code in the padding before a function (arch/x86/kernel/callthunks.c).
constexpr std::uint64_t kMostPadding = 16;

class Finder {
 public:
  Finder(const SymbolTable& symbols, const VirtualMemory& memory) : symbols_(symbols), memory_(memory) {}

  bool has(std::string_view function) const { return symbols_.find(function).has_value(); }

  // At the begin of the function; false when there is none.
  bool at_begin(Kind kind, std::string_view function) {
    const auto begin = symbols_.find(function);
    if (begin) sites_.push_back({kind, past_prologue(*begin)});
    return begin.has_value();
  }

  // Behind every call of `callee` in `caller`; false when there is none.
  bool behind_calls(Kind kind, std::string_view caller, std::string_view callee) {
    const auto begin = symbols_.find(caller);
    const auto target = symbols_.find(callee);
    if (!begin || !target) return false;
    const Copy text = copy_out(memory_, *begin, length_of(*begin));
    bool any = false;
    for (std::uint64_t at = 0; at + kCallBytes <= text.bytes.size(); ++at) {
      if (text.bytes[at] != kCall) continue;
      const Gva next = *begin + at + kCallBytes;
      const auto distance = std::int64_t{*text.value<std::int32_t>(at + 1)};
      if (*target - (next + static_cast<std::uint64_t>(distance)) > kMostPadding) continue;
      sites_.push_back({kind, next});
      any = true;
    }
    return any;
  }

  std::vector<SyscallSite> take() { return std::move(sites_); }

 private:
  // Up to the next symbol.
  std::size_t length_of(Gva begin) const {
    const auto after = symbols_.after(begin);
    const std::uint64_t length = after ? *after - begin : kLongestFunction;
    return static_cast<std::size_t>(std::min<std::uint64_t>(length, kLongestFunction));
  }

  // Behind endbr64, or what the kernel has sealed it with, and behind the place that ftrace patches.
  Gva past_prologue(Gva at) const {
    using Four = std::array<std::uint8_t, 4>;
    constexpr std::array kLandings{Four{0xf3, 0x0f, 0x1e, 0xfa}, Four{0x66, 0x0f, 0x1f, 0x00},
                                   Four{0x0f, 0x1f, 0x40, 0xd6}};
    constexpr std::array<std::uint8_t, 5> kNop5{0x0f, 0x1f, 0x44, 0x00, 0x00};
    if (const auto four = memory_.load_at<Four>(at);
        four && std::ranges::find(kLandings, *four) != kLandings.end())
      at = at + sizeof(Four);
    const auto five = memory_.load_at<std::array<std::uint8_t, 5>>(at);
    if (five && (*five == kNop5 || (*five)[0] == kCall)) at = at + sizeof *five;
    return at;
  }

  const SymbolTable& symbols_;
  const VirtualMemory& memory_;
  std::vector<SyscallSite> sites_;
};

void find_entries32(Finder& finder) {
  const bool known = finder.has("__do_fast_syscall_32") &&
                     (finder.has("do_int80_emulation") || finder.has("do_int80_syscall_32"));
  if (!known) {
    finder.at_begin(Kind::kEntry32, "ia32_sys_call");
    return;
  }
  finder.at_begin(Kind::kEntryFast32, "__do_fast_syscall_32");
  finder.at_begin(Kind::kEntryInt80, "do_int80_emulation");
  finder.at_begin(Kind::kEntryInt80, "fred_int80_emulation");
  finder.at_begin(Kind::kEntry32, "do_int80_syscall_32");
}

// The entry code, and what it calls.  `results`: every 64-bit call has been seen before it comes there.
void find_leaves(Finder& finder, bool results) {
  if (!results) finder.behind_calls(Kind::kLeave, "entry_SYSCALL_64_after_hwframe", "do_syscall_64");
  constexpr std::pair<std::string_view, std::string_view> kCalls[] = {
      {"entry_SYSCALL_compat_after_hwframe", "do_fast_syscall_32"},
      {"entry_SYSENTER_compat_after_hwframe", "do_SYSENTER_32"},
      {"asm_int80_emulation", "int80_emulation"},
      {"asm_int80_emulation", "do_int80_emulation"},
      {"entry_INT80_compat", "do_int80_syscall_32"}};
  for (const auto& [caller, callee] : kCalls) finder.behind_calls(Kind::kLeave, caller, callee);
}

// True when there is one place for all.
bool find_results(Finder& finder) {
  if (finder.at_begin(Kind::kResult, "syscall_exit_to_user_mode")) return true;
  finder.behind_calls(Kind::kResultRax, "do_syscall_64", "x64_sys_call");
  finder.behind_calls(Kind::kResultRax, "do_syscall_64", "x32_sys_call");
  for (const std::string_view caller :
       {"__do_fast_syscall_32", "do_int80_emulation", "do_int80_syscall_32", "fred_int80_emulation"}) {
    finder.behind_calls(Kind::kResultRax, caller, "ia32_sys_call");
  }
  return false;
}

}  // namespace

std::vector<SyscallSite> find_syscall_sites(const SymbolTable& symbols, const VirtualMemory& memory) {
  Finder finder(symbols, memory);
  finder.at_begin(Kind::kEntry64, "do_syscall_64");
  find_entries32(finder);
  find_leaves(finder, find_results(finder));
  finder.at_begin(Kind::kNewTask, "wake_up_new_task");
  finder.at_begin(Kind::kExit, "do_exit");
  finder.at_begin(Kind::kSignalEntry, "get_signal");
  finder.behind_calls(Kind::kSignalReturn, "arch_do_signal_or_restart", "get_signal");
  return finder.take();
}

}  // namespace ringside::guestos
