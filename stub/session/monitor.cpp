#include "stub/session/monitor.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace ringside::session {
namespace {

using Command = MonitorCommands::Command;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

// The first word, and what follows it.
std::pair<std::string_view, std::string_view> split_word(std::string_view text) {
  const auto end = text.find_first_of(" \t");
  if (end == std::string_view::npos) return {text, {}};
  return {text.substr(0, end), trim(text.substr(end))};
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What follows the i of x/Ni; the outer one is missing when that is no mode.
std::optional<std::optional<x86::CodeSize>> parse_code_size(std::string_view text) {
  if (text.empty()) return std::optional<x86::CodeSize>{};
  if (text == "16") return x86::CodeSize::k16;
  if (text == "32") return x86::CodeSize::k32;
  if (text == "64") return x86::CodeSize::k64;
  return std::nullopt;
}

std::optional<std::uint16_t> parse_hex_word(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A number, CS:IP in hex, or nothing: where the CPU stands.
std::optional<tracer::CodePlace> parse_code_place(std::string_view text) {
  if (text.empty() || text == "$rip" || text == "$pc") return tracer::CodePlace{};
  tracer::CodePlace place;
  const auto colon = text.find(':');
  if (colon == text.npos) {
    place.at = parse_number(text);
    return place.at ? std::optional(place) : std::nullopt;
  }
  place.segment = parse_hex_word(text.substr(0, colon));
  place.at = parse_hex_word(text.substr(colon + 1));
  return place.segment && place.at ? std::optional(place) : std::nullopt;
}

std::optional<bool> parse_switch(std::string_view text) {
  if (text == "on" || text == "1") return true;
  if (text == "off" || text == "0") return false;
  return std::nullopt;
}

}  // namespace

void MonitorCommands::run(std::string_view line) {
  const auto [name, arguments] = split_word(trim(line));
  if (name.empty()) {
    help({});
    return;
  }
  if (name.starts_with("x/")) {
    examine(trim(line).substr(2));
    return;
  }
  const auto command = std::ranges::find(commands(), name, &Command::name);
  if (command == commands().end()) {
    refuse(fmt::format("no monitor command \"{}\"; see: monitor help", name));
    return;
  }
  (this->*command->handle)(arguments);
}

std::span<const Command> MonitorCommands::commands() {
  using M = MonitorCommands;
  static constexpr std::array kCommands = {
      Command{"help", "", "this list", &M::help},
      Command{"tracers", "", "who is attached, with how many points, and which CPUs each holds", &M::tracers},
      Command{"probes", "", "every breakpoint and watchpoint of every tracer, and how it is done",
              &M::probes},
      Command{"save-probes", "", "your points as a gdb script", &M::save_probes},
      Command{"drop-left", "", "remove the probes that tracers before you have left behind", &M::drop_left},
      Command{"regs", "", "all registers of the selected CPU but the vector ones", &M::regs},
      Command{"x/Ni", "[ADDR]", "disassemble N instructions in the CPU's present mode; ADDR may be CS:IP",
              &M::examine},
      Command{"exits", "", "how often each CPU has come out of the guest", &M::exits},
      Command{"phys", "on|off", "memory commands take guest physical addresses", &M::phys},
      Command{"interrupts", "on|off", "let interrupts in during single steps (default off)", &M::interrupts},
      Command{"stop-at", "[NAME,...]", "stop everybody at a place of the boot; without NAME: which there are",
              &M::stop_at},
      Command{"stop-on", "[NAME,...]", "stop everybody on trouble; without NAME: which there are",
              &M::stop_on},
      Command{"kaslr", "", "where the kernel runs", &M::kaslr},
      Command{"ps", "", "the guest's processes and threads, and where each sleeps", &M::ps},
      Command{"fds", "PID", "the files that a process has open, and its working directory", &M::fds},
      Command{"stack", "PID", "where in the kernel a process or thread sleeps, as /proc/PID/stack shows it",
              &M::stack},
      Command{"lsmod", "", "the guest's modules, with the addresses of their sections", &M::lsmod},
      Command{"sym", "NAME|ADDR", "a symbol of the guest's kernel, from its own table", &M::sym},
      Command{"dmesg", "", "the guest kernel's log, out of its memory", &M::dmesg},
      Command{"backtrace", "", "the kernel's stack where the selected CPU stands", &M::backtrace},
      Command{"pagetable", "ADDR", "how the selected CPU translates an address, level by level",
              &M::pagetable},
      Command{"idt", "[VECTOR]", "the selected CPU's interrupt gates, and where they lead", &M::idt},
      Command{"gdt", "", "its segment descriptors", &M::gdt},
      Command{"msr", "[NUMBER|NAME]", "its MSRs", &M::msr},
      Command{"lapic", "", "its local APIC", &M::lapic},
      Command{"ioapic", "", "the I/O APIC's redirection table", &M::ioapic},
      Command{"vmcoreinfo", "", "what the guest's kernel says of itself to those who read its dumps",
              &M::vmcoreinfo},
      Command{"memory", "",
              "the guest's RAM, and where its kernel has mapped it: physical address, size, address",
              &M::memory},
      Command{"release", "TRACER", "take a stuck tracer's holds away; it stays attached", &M::release},
      Command{"observer", "", "only look on from now: your points and holds are given up", &M::observer},
      Command{"reset", "", "back to the first instruction; every tracer stays attached", &M::reset},
      Command{"quit", "", "end the guest, for everybody", &M::quit},
  };
  return kCommands;
}

void MonitorCommands::done(std::string_view text) {
  client_.print(text);
  client_.reply("OK");
}

// gdb before 17 shows an error's number only, so the words go out as output.
void MonitorCommands::refuse(std::string text) {
  client_.print(text + "\n");
  client_.reply("OK");
}

void MonitorCommands::help(std::string_view) {
  std::string text;
  for (const Command& command : commands()) {
    text += fmt::format("{:<18} {}\n", fmt::format("{} {}", command.name, command.arguments), command.help);
  }
  done(text);
}

void MonitorCommands::tracers(std::string_view) {
  done(client_.port_->describe_tracers() + fmt::format("you are {}\n", client_.port_->id().number));
}

void MonitorCommands::probes(std::string_view) { done(client_.port_->describe_points()); }

void MonitorCommands::save_probes(std::string_view) { done(client_.port_->points_as_script()); }

void MonitorCommands::drop_left(std::string_view) {
  done(fmt::format("{} probes removed\n", client_.port_->drop_left_points()));
}

void MonitorCommands::regs(std::string_view) {
  using enum x86::RegGroup;
  client_.port_->read_registers(
      client_.access_, kCore | kSystem | kMsr | kDebug,
      client_.then<const x86::RegisterFile*>([](Client& client, Result<const x86::RegisterFile*> file) {
        if (!file) {
          client.reply_error(file.error());
          return;
        }
        std::string text;
        unsigned column = 0;
        for (std::size_t i = 0; i < x86::kRegCount; ++i) {
          const auto reg = static_cast<x86::Reg>(i);
          const x86::RegInfo& info = x86::info(reg);
          if (info.bytes > 8 || info.group == x86::RegGroup::kSynthetic || !(*file)->available(reg)) continue;
          text +=
              fmt::format("{:>16} {:016x}{}", info.name, (*file)->u64(reg), ++column % 3 == 0 ? "\n" : " ");
        }
        if (column % 3 != 0) text += '\n';
        client.print(text);
        client.reply("OK");
      }));
}

void MonitorCommands::examine(std::string_view arguments) {
  const auto [format, where] = split_word(arguments);
  constexpr std::uint64_t kMost = 1000;
  const auto end = format.find('i');
  const auto size = end == format.npos ? std::nullopt : parse_code_size(format.substr(end + 1));
  const std::string_view digits = format.substr(0, end);
  const std::uint64_t count = digits.empty() ? 1 : parse_number(digits).value_or(0);
  auto place = parse_code_place(where);
  if (!size || count == 0 || count > kMost || !place) {
    refuse(
        "use: monitor x/Ni [ADDRESS], with N up to 1000 and the address as 0x…, decimal or CS:IP; i16, i32 "
        "or "
        "i64 instead of i for code of another mode");
    return;
  }
  place->size = *size;
  client_.port_->disassemble(client_.access_, client_.space(), *place, static_cast<std::size_t>(count),
                             client_.then<std::string>([](Client& client, Result<std::string> text) {
                               client.print(text ? *text : text.error().text + "\n");
                               client.reply("OK");
                             }));
}

void MonitorCommands::exits(std::string_view) { done(client_.port_->describe_exits()); }

void MonitorCommands::phys(std::string_view arguments) {
  const auto on = parse_switch(arguments);
  if (!on) {
    refuse("use: monitor phys on, or monitor phys off");
    return;
  }
  client_.physical_ = *on;
  done(*on ? "memory commands now take guest physical addresses\n"
           : "memory commands take virtual addresses\n");
}

void MonitorCommands::interrupts(std::string_view arguments) {
  const auto on = parse_switch(arguments);
  if (!on) {
    refuse("use: monitor interrupts on, or monitor interrupts off");
    return;
  }
  client_.port_->set_step_holds_interrupts(!*on);
  done(*on ? "single steps may land in interrupt handlers\n" : "single steps hold interrupts back\n");
}

void MonitorCommands::stop_at(std::string_view arguments) { stop_where(arguments, false); }

void MonitorCommands::stop_on(std::string_view arguments) { stop_where(arguments, true); }

void MonitorCommands::stop_where(std::string_view names, bool trouble) {
  if (!names.empty()) {
    if (const auto set = client_.port_->stop_at(names, trouble); !set) {
      refuse(set.error().text);
      return;
    }
  }
  done(client_.port_->describe_stops());
}

void MonitorCommands::kaslr(std::string_view) {
  client_.port_->kernel_slide(
      client_.access_, client_.then<std::optional<tracer::KernelSlide>>([](Client& client, auto found) {
        if (!found || !*found) {
          client.print("the kernel is not in its place yet, or is not known\n");
        } else {
          const tracer::KernelSlide& kernel = **found;
          const std::string physical = kernel.at ? fmt::format(" physical {:#x}", kernel.at->value) : "";
          client.print(fmt::format("_text {:#x} offset {:#x}{}\n", (kernel.link_text + kernel.slide).value,
                                   kernel.slide, physical));
        }
        client.reply("OK");
      }));
}

void MonitorCommands::release(std::string_view arguments) {
  const auto number = parse_number(arguments);
  if (!number || *number > UINT32_MAX) {
    refuse("use: monitor release N, with N as monitor tracers shows it");
    return;
  }
  const Result<void> released = client_.port_->release(TracerId{static_cast<std::uint32_t>(*number)});
  done(released ? fmt::format("tracer {} holds nothing any more\n", *number) : released.error().text + "\n");
}

void MonitorCommands::observer(std::string_view) {
  // What stands on the old port goes with it.
  client_.strace_.reset();
  client_.catch_.reset();
  client_.port_ = client_.port_->observer();
  done("you only look on now: the guest does not stop for you, and you change nothing\n");
}

void MonitorCommands::reset(std::string_view) {
  client_.port_->reset_machine(client_.then<void>([](Client& client, Result<void> reset) {
    client.print(
        reset ? "reset; the guest is at its first instruction (gdb: maintenance flush register-cache)\n"
              : reset.error().text + "\n");
    client.reply("OK");
  }));
}

void MonitorCommands::quit(std::string_view) {
  if (const auto quit = client_.port_->quit_machine(); !quit) {
    refuse(quit.error().text);
    return;
  }
  done("the guest ends\n");
}

}  // namespace ringside::session
