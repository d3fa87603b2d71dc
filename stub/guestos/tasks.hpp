// Readers of task_struct: whom a CPU runs, who that is, and everyone there is.
//
// Thread: any; only list() allocates.  Lists that do not end are cut off.
#pragma once

#include "stub/guestos/kernel.hpp"
#include "stub/guestos/layout.hpp"

namespace ringside::guestos {

class TaskReader {
 public:
  explicit TaskReader(const TaskLayout& layout) : at_(layout) {}

  std::optional<TaskIds> ids(Gva task, const VirtualMemory& memory) const noexcept;
  std::optional<Gva> parent(Gva task, const VirtualMemory& memory) const noexcept;

 private:
  TaskLayout at_;
};

// Kernel text that tells nothing about why a task sleeps: the scheduler itself (__sched).
struct SleepingPlaces {
  GvaRange text;
  GvaRange scheduler;
  const SymbolTable* symbols = nullptr;
};

class TaskList {
 public:
  TaskList(const TaskReader& reader, const TaskListLayout& layout, const SleepingPlaces& places)
      : reader_(reader), at_(layout), places_(places) {}

  Result<std::vector<Kernel::Task>> list(const VirtualMemory& memory) const;

 private:
  std::optional<Kernel::Task> describe(Gva task, const VirtualMemory& memory) const;
  std::string where(Gva task, const VirtualMemory& memory) const;

  const TaskReader& reader_;
  TaskListLayout at_;
  SleepingPlaces places_;
};

// As ps shows it, from __state and exit_state (fs/proc/array.c, get_task_state).
char state_letter(std::uint32_t state, std::uint32_t exit_state) noexcept;

}  // namespace ringside::guestos
