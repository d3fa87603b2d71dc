#include "stub/guestos/tasks.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

constexpr std::uint32_t kKernelThread = 0x00200000;  // PF_KTHREAD
constexpr std::size_t kMostTasks = 100'000;

// The scheduler by another name, and what every function returns through.
bool tells_nothing(std::string_view name) {
  return name.starts_with("schedule") || name.starts_with("__schedule") || name.ends_with("return_thunk") ||
         name.starts_with("__x86_");
}

}  // namespace

std::string_view TaskIds::comm() const {
  const auto end = std::ranges::find(comm_bytes, '\0');
  return {comm_bytes.data(), static_cast<std::size_t>(end - comm_bytes.begin())};
}

// Numbers and name lie close together: as a rule one walk of the page tables does for all of them.
std::optional<TaskIds> TaskReader::ids(Gva task, const VirtualMemory& memory) const noexcept {
  TaskIds ids{.task = task, .pid = 0, .tgid = 0, .comm_bytes = {}, .kernel_thread = false};
  const auto [first, last] = std::minmax({at_.pid, at_.tgid, at_.comm});
  std::array<std::uint8_t, 1024> bytes;
  const std::uint64_t size = last - first + ids.comm_bytes.size();
  const bool together = size <= bytes.size();
  if (together && !memory.read(task + first, std::span(bytes).first(size))) return std::nullopt;
  const auto get = [&, first = first](Offset at, auto& value) {
    const MutableByteView into(reinterpret_cast<std::uint8_t*>(&value), sizeof value);
    if (!together) return memory.read(task + at, into);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at - first), into.size(), into.begin());
    return true;
  };
  const auto flags = memory.load_at<std::uint32_t>(task + at_.flags);
  if (!flags || !get(at_.pid, ids.pid) || !get(at_.tgid, ids.tgid) || !get(at_.comm, ids.comm_bytes))
    return std::nullopt;
  ids.kernel_thread = (*flags & kKernelThread) != 0;
  return ids;
}

std::optional<Gva> TaskReader::parent(Gva task, const VirtualMemory& memory) const noexcept {
  const auto parent = memory.load_at<std::uint64_t>(task + at_.real_parent);
  if (!parent) return std::nullopt;
  return Gva{*parent};
}

char state_letter(std::uint32_t state, std::uint32_t exit_state) noexcept {
  constexpr std::uint32_t kIdle = 0x402, kReported = 0x7f;  // TASK_IDLE, TASK_REPORT
  constexpr std::string_view kLetters = "RSDTtXZP";
  const std::uint32_t all = state | exit_state;
  if ((all & kIdle) == kIdle) return 'I';
  constexpr std::uint32_t kWaitsForLock = 0x1000, kFrozen = 0x8000;  // TASK_RTLOCK_WAIT, TASK_FROZEN
  if ((all & (kWaitsForLock | kFrozen)) != 0 && (all & kReported) == 0) return 'D';
  return kLetters[static_cast<std::size_t>(std::bit_width(all & kReported))];
}

// The nearest return address above the switch that is not the scheduler's: stack words that are behind a
// call. Without unwinding it may be a stale one, so it is a hint for people.
std::string TaskList::where(Gva task, const VirtualMemory& memory) const {
  constexpr std::uint64_t kMostWords = 64, kCallBytes = 5;
  constexpr std::uint8_t kCall = 0xe8;
  const auto sp = memory.load_at<std::uint64_t>(task + at_.saved_sp);
  if (!sp || places_.symbols == nullptr) return {};
  const Gva first = Gva{*sp} + at_.frame_ret_addr;
  for (std::uint64_t i = 0; i < kMostWords; ++i) {
    const auto word = memory.load_at<std::uint64_t>(first + 8 * i);
    if (!word) break;
    const Gva back{*word};
    if (!places_.text.contains(back) || places_.scheduler.contains(back)) continue;
    if (memory.load_at<std::uint8_t>(back - kCallBytes) != kCall) continue;
    const auto symbol = places_.symbols->at_or_before(back - 1);
    if (!symbol || tells_nothing(symbol->name)) continue;
    return std::string(symbol->name);
  }
  return {};
}

std::optional<Kernel::Task> TaskList::describe(Gva task, const VirtualMemory& memory) const {
  const auto ids = reader_.ids(task, memory);
  const auto state = memory.load_at<std::uint32_t>(task + at_.state);
  const auto exit_state = memory.load_at<std::uint32_t>(task + at_.exit_state);
  if (!ids || !state || !exit_state) return std::nullopt;
  Kernel::Task found{.ids = *ids, .state = state_letter(*state, *exit_state), .where = {}, .cpu = {}};
  found.cpu = memory.load_at<std::uint32_t>(task + at_.cpu);
  if (const auto parent = reader_.parent(task, memory)) {
    if (const auto parent_ids = reader_.ids(*parent, memory)) found.parent_tgid = parent_ids->tgid;
  }
  if (found.state != 'R' && found.state != 'Z' && found.state != 'X') found.where = where(task, memory);
  return found;
}

// init_task heads the list of processes; a process's threads hang on its signal_struct, itself among them.
Result<std::vector<Kernel::Task>> TaskList::list(const VirtualMemory& memory) const {
  std::vector<Kernel::Task> all;
  const Gva head = at_.init_task + at_.tasks;
  auto node = memory.load_at<std::uint64_t>(head);
  for (std::size_t steps = 0; node && *node != head.value; ++steps) {
    const Gva leader = Gva{*node} - at_.tasks;
    const auto described = describe(leader, memory);
    if (!described || steps >= kMostTasks || all.size() >= kMostTasks) {
      return fail(Errc::kMalformed, "the guest's list of tasks is damaged, or has no end");
    }
    all.push_back(*described);
    const auto signal = memory.load_at<std::uint64_t>(leader + at_.signal);
    const Gva threads = Gva{signal.value_or(0)} + at_.thread_head;
    auto thread = memory.load_at<std::uint64_t>(threads);
    while (thread && *thread != threads.value && all.size() < kMostTasks) {
      const Gva task = Gva{*thread} - at_.thread_node;
      if (task != leader) {
        const auto one = describe(task, memory);
        if (!one) break;
        all.push_back(*one);
      }
      ++steps;
      if (steps >= kMostTasks) break;
      thread = memory.load_at<std::uint64_t>(Gva{*thread});
    }
    node = memory.load_at<std::uint64_t>(Gva{*node});
  }
  if (!node) return fail(Errc::kNotMapped, "the guest's list of tasks cannot be read");
  return all;
}

}  // namespace ringside::guestos
