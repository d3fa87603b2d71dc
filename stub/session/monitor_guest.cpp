// Monitor commands that need to know the guest's Linux.  Each line they print is meant for programs too.
#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "stub/guestos/vmcore.hpp"
#include "stub/session/monitor.hpp"

namespace ringside::session {
namespace {

using guestos::Kernel;

std::optional<std::uint64_t> parse_address(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The guest chose it.
std::string shown(std::string_view text) {
  std::string clean;
  for (const char c : text) clean += c >= ' ' && c != '\x7f' ? c : '?';
  return clean;
}

std::string task_table(const std::vector<Kernel::Task>& tasks) {
  std::string text =
      fmt::format("{:>7} {:>7} {:>7} S {:>3} {:<18} {}\n", "PID", "TGID", "PPID", "CPU", "COMMAND", "WHERE");
  for (const Kernel::Task& task : tasks) {
    const std::string comm = shown(task.ids.comm());
    text += fmt::format("{:>7} {:>7} {:>7} {} {:>3} {:<18} {}\n", task.ids.pid, task.ids.tgid,
                        task.parent_tgid, task.state, task.cpu ? std::to_string(*task.cpu) : "-",
                        task.ids.kernel_thread ? "[" + comm + "]" : comm,
                        task.where.empty() ? "-" : shown(task.where));
  }
  return text;
}

std::string module_table(const std::vector<Kernel::Module>& modules) {
  std::string text;
  for (const Kernel::Module& module : modules) {
    text += fmt::format("{} {} {:#x}\n", shown(module.name), module.size, module.at.value);
    for (const auto& section : module.sections) {
      text += fmt::format("  {} {:#x}\n", shown(section.name), section.at.value);
    }
  }
  return text.empty() ? "no modules are loaded\n" : text;
}

// The process of that number; its first thread, if several have it.
const Kernel::Task* find_task(const std::vector<Kernel::Task>& tasks, std::int32_t pid) {
  const auto found =
      std::ranges::find_if(tasks, [pid](const Kernel::Task& task) { return task.ids.pid == pid; });
  return found == tasks.end() ? nullptr : &*found;
}

std::string file_table(const Kernel& kernel, Gva task, const VirtualMemory& memory) {
  constexpr int kMostFiles = 1024;
  std::array<char, 4096> path;
  std::string text;
  if (const auto length = kernel.working_directory(task, memory, path))
    text += fmt::format("cwd {}\n", shown({path.data(), *length}));
  for (int fd = 0; fd < kMostFiles; ++fd) {
    if (const auto length = kernel.fd_path(task, fd, memory, path))
      text += fmt::format("{} {}\n", fd, shown({path.data(), *length}));
  }
  return text.empty() ? "it has no files\n" : text;
}

// As %pB has it in the kernel: of the instruction that called, at the one that it returns to.
std::string frame_line(const Kernel& kernel, Gva back, const VirtualMemory& memory) {
  std::array<char, 576> names;
  const auto place = kernel.place(back - 1, memory, names);
  if (!place) return fmt::format("{:#x}\n", back.value);
  const std::string module = place->module.empty() ? "" : " [" + shown(place->module) + "]";
  return fmt::format("{}+{:#x}/{:#x}{}\n", shown(place->name), place->offset + 1, place->size, module);
}

// The guest may run: what has been read counts if the task has slept on.
Result<std::string> stack_lines(const Kernel& kernel, const Kernel::Task& task, const VirtualMemory& memory) {
  constexpr int kTries = 3;
  if (task.state == 'Z' || task.state == 'X') return fail(Errc::kNotFound, "it has ended");
  std::array<guestos::StackFrame, 64> frames;
  for (int tries = 0; tries < kTries; ++tries) {
    const auto from = RS_TRY(kernel.sleeping_stack(task.ids.task, memory));
    const guestos::StackWalk walk = kernel.walk_stack(from, memory, frames);
    std::string text;
    for (std::size_t i = 0; i < walk.frames; ++i) {
      if (!kernel.is_waiting(frames[i].ip)) text += frame_line(kernel, frames[i].ip, memory);
    }
    if (walk.end == guestos::StackWalk::End::kLost) text += "? (nothing tells how it goes on)\n";
    const auto still = RS_TRY(kernel.sleeping_stack(task.ids.task, memory));
    if (still.sp == from.sp && still.ip == from.ip) return text;
  }
  return fail(Errc::kBusy, "it does not sleep long enough");
}

std::string symbol_line(const Kernel& kernel, std::string_view name, Gva at) {
  const bool moved = at >= kernel.link_text() + kernel.slide();
  return fmt::format("{:#x} {} link {:#x}\n", at.value, name, moved ? (at - kernel.slide()).value : at.value);
}

// Where in a module's section.
std::optional<std::string> look_up_in_modules(const std::vector<Kernel::Module>& modules, Gva at) {
  const Kernel::Module* owner = nullptr;
  const Kernel::Module::Section* nearest = nullptr;
  for (const Kernel::Module& module : modules) {
    for (const auto& section : module.sections) {
      if (section.at > at || at - section.at >= module.size) continue;
      if (nearest != nullptr && nearest->at >= section.at) continue;
      owner = &module;
      nearest = &section;
    }
  }
  if (owner == nullptr) return std::nullopt;
  return fmt::format("{:#x} {}+{:#x} [{}]\n", at.value, shown(nearest->name), at - nearest->at,
                     shown(owner->name));
}

// A name first: `deadbeef` could be either, and only names are chosen by people.
std::string look_up(const Kernel& kernel, const VirtualMemory& memory, std::string_view what) {
  if (const auto at = kernel.symbol(what)) return symbol_line(kernel, what, *at);
  const auto address = parse_address(what);
  if (!address) return fmt::format("no symbol {}\n", what);
  const auto near = kernel.nearest(Gva{*address});
  if (near) return fmt::format("{:#x} {}+{:#x}\n", *address, shown(near->name), near->offset);
  const auto modules = kernel.modules(memory);
  const auto in_module = modules ? look_up_in_modules(*modules, Gva{*address}) : std::nullopt;
  return in_module.value_or(fmt::format("{:#x} is neither in the kernel nor in a module\n", *address));
}

}  // namespace

// Answers with what `use` says of the kernel and its memory.
template <typename F>
void MonitorCommands::of_kernel(F use) {
  client_.port_->guest_kernel(client_.then<std::shared_ptr<const Kernel>>(
      [use = std::move(use)](Client& client, Result<std::shared_ptr<const Kernel>> kernel) {
        Result<std::string> text = fail(Errc::kBusy, "the machine has been reset meanwhile");
        const auto memory = kernel ? client.port_->kernel_memory() : nullptr;
        if (!kernel) text = unexpected(kernel.error());
        if (memory) text = use(**kernel, *memory);
        client.print(text ? *text : text.error().text + "\n");
        client.reply("OK");
      }));
}

void MonitorCommands::ps(std::string_view) {
  of_kernel([](const Kernel& kernel, const VirtualMemory& memory) -> Result<std::string> {
    return task_table(RS_TRY(kernel.tasks(memory)));
  });
}

// Answers with what `use` says of the task that was asked for.
template <typename F>
void MonitorCommands::of_task(std::string_view command, std::string_view arguments, F use) {
  std::int32_t pid = 0;
  const char* end = arguments.data() + arguments.size();
  if (std::from_chars(arguments.data(), end, pid).ptr != end || arguments.empty()) {
    refuse(fmt::format("use: monitor {} PID, with PID as monitor ps shows it", command));
    return;
  }
  of_kernel([pid, use](const Kernel& kernel, const VirtualMemory& memory) -> Result<std::string> {
    const std::vector<Kernel::Task> tasks = RS_TRY(kernel.tasks(memory));
    const Kernel::Task* task = find_task(tasks, pid);
    if (task == nullptr) return fail(Errc::kNotFound, fmt::format("no task has the number {}", pid));
    return use(kernel, *task, memory);
  });
}

void MonitorCommands::fds(std::string_view arguments) {
  of_task(
      "fds", arguments,
      [](const Kernel& kernel, const Kernel::Task& task, const VirtualMemory& memory) -> Result<std::string> {
        return file_table(kernel, task.ids.task, memory);
      });
}

void MonitorCommands::stack(std::string_view arguments) { of_task("stack", arguments, stack_lines); }

void MonitorCommands::lsmod(std::string_view) {
  of_kernel([](const Kernel& kernel, const VirtualMemory& memory) -> Result<std::string> {
    return module_table(RS_TRY(kernel.modules(memory)));
  });
}

void MonitorCommands::dmesg(std::string_view) {
  of_kernel([](const Kernel& kernel, const VirtualMemory& memory) -> Result<std::string> {
    const std::string log = RS_TRY(kernel.kernel_log(memory));
    return log.empty() ? "the log is empty\n" : log;
  });
}

void MonitorCommands::vmcoreinfo(std::string_view) {
  of_kernel([](const Kernel& kernel, const VirtualMemory& memory) -> Result<std::string> {
    return guestos::read_vmcoreinfo(kernel, memory);
  });
}

// For programs (ringside dump): the lines of RAM do not depend on the kernel's being known.
void MonitorCommands::memory(std::string_view) {
  client_.port_->guest_kernel(client_.then<std::shared_ptr<const Kernel>>(
      [](Client& client, Result<std::shared_ptr<const Kernel>> kernel) {
        std::string text;
        for (const GpaRange& range : client.port_->ram())
          text += fmt::format("{:#x} {:#x} ram\n", range.begin.value, range.end - range.begin);
        const auto memory = kernel ? client.port_->kernel_memory() : nullptr;
        const auto maps = memory ? guestos::find_kernel_maps(**kernel, *memory)
                                 : Result<guestos::KernelMaps>(fail(Errc::kNotFound, {}));
        if (maps) {
          text += fmt::format("{:#x} {:#x} kernel {:#x}\n", maps->text_at.value, maps->text_bytes,
                              maps->text.value);
          text += fmt::format("0x0 {:#x} direct {:#x}\n", std::uint64_t{0} - maps->direct.value,
                              maps->direct.value);
        }
        client.print(text);
        client.reply("OK");
      }));
}

void MonitorCommands::sym(std::string_view arguments) {
  if (arguments.empty()) {
    refuse("use: monitor sym NAME, or monitor sym 0xADDRESS");
    return;
  }
  of_kernel([what = std::string(arguments)](const Kernel& kernel,
                                            const VirtualMemory& memory) -> Result<std::string> {
    return look_up(kernel, memory, what);
  });
}

}  // namespace ringside::session
