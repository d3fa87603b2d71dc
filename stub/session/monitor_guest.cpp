// Monitor commands that need to know the guest's Linux.  Each line they print is meant for programs too.
#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

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

void MonitorCommands::fds(std::string_view arguments) {
  std::int32_t pid = 0;
  const char* end = arguments.data() + arguments.size();
  if (std::from_chars(arguments.data(), end, pid).ptr != end || arguments.empty()) {
    refuse("use: monitor fds PID, with PID as monitor ps shows it");
    return;
  }
  of_kernel([pid](const Kernel& kernel, const VirtualMemory& memory) -> Result<std::string> {
    const std::vector<Kernel::Task> tasks = RS_TRY(kernel.tasks(memory));
    const Kernel::Task* task = find_task(tasks, pid);
    if (task == nullptr) return fail(Errc::kNotFound, fmt::format("no task has the number {}", pid));
    return file_table(kernel, task->ids.task, memory);
  });
}

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
