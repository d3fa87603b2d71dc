// Monitor commands about one CPU: where its kernel's stack leads, its tables, MSRs and interrupt controllers.
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "arch/x86/control.hpp"
#include "arch/x86/paged_memory.hpp"
#include "stub/session/cpu_text.hpp"
#include "stub/session/monitor.hpp"

namespace ringside::session {
namespace {

using guestos::Kernel;
using x86::Reg;
using x86::RegGroup;

constexpr std::size_t kMostFrames = 64;

std::optional<std::uint64_t> number_of(std::string_view text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The guest's memory as the hub shows it to this tracer.
class PortMemory final : public PhysicalMemory {
 public:
  explicit PortMemory(const tracer::Port& port) : port_(port) {}
  bool read(Gpa from, MutableByteView to) const noexcept override {
    const Bytes bytes = port_.physical(from, to.size());
    std::ranges::copy(bytes, to.begin());
    return bytes.size() == to.size();
  }
  bool write(Gpa, ByteView) noexcept override { return false; }

 private:
  const tracer::Port& port_;
};

// The guest chose the name.
std::string shown(std::string_view text) {
  std::string clean;
  for (const char c : text) clean += c >= ' ' && c != '\x7f' ? c : '?';
  return clean;
}

// "do_idle+0x4a/0x2f0 [module]" of a place in the code; empty when it has no name.
std::string place_name(const Kernel& kernel, Gva at, bool behind_call, const VirtualMemory& memory) {
  std::array<char, 576> names;
  const std::uint64_t back = behind_call ? 1 : 0;
  const auto place = kernel.place(at - back, memory, names);
  if (!place) return {};
  const std::string module = place->module.empty() ? "" : " [" + shown(place->module) + "]";
  return fmt::format("{}+{:#x}/{:#x}{}", shown(place->name), place->offset + back, place->size, module);
}

// What has interrupted the code below, by the name of the entry that it came in by.
std::string interruption(std::string_view entry) {
  const std::string_view name = entry.substr(0, entry.find('+'));
  if (name.find("sysvec") != std::string_view::npos || name.find("interrupt") != std::string_view::npos ||
      name.find("irq") != std::string_view::npos)
    return "IRQ";
  if (name.find("nmi") != std::string_view::npos) return "NMI";
  constexpr std::string_view kException = "asm_exc_";
  if (name.starts_with(kException)) return std::string(name.substr(kException.size()));
  return "interrupted";
}

std::string end_of_stack(const guestos::StackWalk& walk, const VirtualMemory& memory) {
  using End = guestos::StackWalk::End;
  if (walk.end == End::kFull) return "...\n";
  if (walk.end == End::kLost) return "? (nothing tells how it goes on)\n";
  if (walk.end != End::kUser) return {};
  constexpr std::uint64_t kIp = 128, kSp = 152;  // of struct pt_regs (Linux asm/ptrace.h)
  const auto ip = memory.load_at<std::uint64_t>(walk.user_regs + kIp);
  const auto sp = memory.load_at<std::uint64_t>(walk.user_regs + kSp);
  return ip && sp ? fmt::format("user mode: rip {:#x} rsp {:#x}\n", *ip, *sp) : "user mode\n";
}

// Marked as the kernel marks its own traces: <IRQ> above what ran in the interrupt, </IRQ> above what it has
// interrupted; exceptions by their names.
std::string kernel_stack(const Kernel& kernel, const guestos::StackRegisters& from,
                         const VirtualMemory& memory) {
  std::array<guestos::StackFrame, kMostFrames> frames;
  const guestos::StackWalk walk = kernel.walk_stack(from, memory, frames);
  std::vector<std::string> lines;
  std::size_t part = 0;  // where the one begins that is being looked at
  std::string last;
  for (std::size_t i = 0; i < walk.frames; ++i) {
    const guestos::StackFrame& frame = frames[i];
    if (i > 0 && !frame.behind_call) {
      const std::string what = interruption(last);
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(part), fmt::format("<{}>", what));
      lines.push_back(fmt::format("</{}>", what));
      part = lines.size();
    }
    last = place_name(kernel, frame.ip, frame.behind_call, memory);
    lines.push_back(fmt::format("{:#018x} {}", frame.ip.value, last.empty() ? "?" : last));
  }
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text + end_of_stack(walk, memory);
}

// Without knowing the kernel: each frame's first word is the next one's address, the second where it returns to.
std::string bare_stack(const x86::RegisterFile& registers, const VirtualMemory& memory) {
  std::string text = fmt::format("{:#018x}\n", registers.u64(Reg::kRip));
  std::uint64_t frame = registers.u64(Reg::kRbp);
  for (std::size_t i = 1; i < kMostFrames; ++i) {
    const auto next = memory.load_at<std::uint64_t>(Gva{frame});
    const auto back = memory.load_at<std::uint64_t>(Gva{frame + 8});
    if (frame % 8 != 0 || !next || !back || *back == 0) break;
    text += fmt::format("{:#018x}\n", *back);
    if (*next <= frame) break;
    frame = *next;
  }
  return text;
}

bool is_long(const x86::RegisterFile& registers) {
  return (registers.u64(Reg::kEfer) & x86::efer::kLma) != 0;
}

guestos::StackRegisters stack_of(const x86::RegisterFile& r) {
  return {.ip = Gva{r.u64(Reg::kRip)},
          .sp = Gva{r.u64(Reg::kRsp)},
          .bp = r.u64(Reg::kRbp),
          .others = guestos::StackRegisters::Others{.ax = r.u64(Reg::kRax),
                                                    .dx = r.u64(Reg::kRdx),
                                                    .di = r.u64(Reg::kRdi),
                                                    .r10 = r.u64(Reg::kR10),
                                                    .r13 = r.u64(Reg::kR13)}};
}

}  // namespace

// Answers with what `use` says of the selected CPU's registers.
template <typename F>
void MonitorCommands::of_registers(x86::RegGroups groups, F use) {
  client_.port_->read_registers(
      client_.access_, groups,
      client_.then<const x86::RegisterFile*>(
          [use = std::move(use)](Client& client, Result<const x86::RegisterFile*> registers) mutable {
            if (!registers) {
              client.reply_error(registers.error());
              return;
            }
            use(client, **registers);
          }));
}

void MonitorCommands::backtrace(std::string_view) {
  of_registers(RegGroup::kCore | RegGroup::kSystem, [](Client& client, const x86::RegisterFile& registers) {
    const bool is_user =
        (registers.u64(Reg::kCr0) & x86::cr0::kPe) != 0 && (registers.u64(Reg::kCs) & 3) == 3;
    if (is_user || !is_long(registers)) {
      client.print(is_user ? fmt::format("in user mode at {:#x}: the kernel's stack is empty\n",
                                         registers.u64(Reg::kRip))
                           : "not in long mode: the kernel does not run yet\n");
      client.reply("OK");
      return;
    }
    client.port_->guest_kernel(client.then<std::shared_ptr<const Kernel>>(
        [registers](Client& self, Result<std::shared_ptr<const Kernel>> kernel) {
          const auto memory = kernel ? self.port_->kernel_memory() : nullptr;
          if (memory != nullptr) {
            self.print(kernel_stack(**kernel, stack_of(registers), *memory));
          } else {
            const PortMemory physical(*self.port_);
            self.print(fmt::format("by frame pointers alone, since the kernel is not known ({}):\n{}",
                                   kernel ? "the machine has been reset meanwhile" : kernel.error().text,
                                   bare_stack(registers, x86::PagedMemory(physical, paging_of(registers)))));
          }
          self.reply("OK");
        }));
  });
}

void MonitorCommands::pagetable(std::string_view arguments) {
  const auto at = number_of(arguments);
  if (!at) {
    refuse("use: monitor pagetable ADDRESS, as 0x… or decimal");
    return;
  }
  of_registers(RegGroup::kSystem, [at = Gva{*at}](Client& client, const x86::RegisterFile& registers) {
    client.print(page_table_text(paging_of(registers), at, PortMemory(*client.port_)));
    client.reply("OK");
  });
}

void MonitorCommands::idt(std::string_view arguments) {
  std::optional<unsigned> vector;
  if (!arguments.empty()) {
    const auto number = number_of(arguments);
    if (!number || *number > 255) {
      refuse("use: monitor idt, or monitor idt VECTOR, with a vector from 0 to 255");
      return;
    }
    vector = static_cast<unsigned>(*number);
  }
  of_registers(RegGroup::kSystem, [vector](Client& client, const x86::RegisterFile& registers) {
    client.port_->guest_kernel(client.then<std::shared_ptr<const Kernel>>(
        [registers, vector](Client& self, Result<std::shared_ptr<const Kernel>> kernel) {
          const auto kernel_memory = kernel ? self.port_->kernel_memory() : nullptr;
          const NameOf name = [&](Gva at) {
            return kernel_memory ? place_name(**kernel, at, false, *kernel_memory) : std::string();
          };
          const PortMemory physical(*self.port_);
          self.print(idt_text(registers, x86::PagedMemory(physical, paging_of(registers)), vector, name));
          self.reply("OK");
        }));
  });
}

void MonitorCommands::gdt(std::string_view) {
  of_registers(RegGroup::kSystem, [](Client& client, const x86::RegisterFile& registers) {
    const PortMemory physical(*client.port_);
    client.print(gdt_text(registers, x86::PagedMemory(physical, paging_of(registers))));
    client.reply("OK");
  });
}

void MonitorCommands::msr(std::string_view arguments) {
  std::vector<std::uint32_t> numbers;
  if (arguments.empty()) {
    numbers = client_.port_->msrs();
  } else {
    const auto number = number_of(arguments);
    const auto named = number ? std::nullopt : msr_number(arguments);
    if ((!number && !named) || number.value_or(0) > UINT32_MAX) {
      refuse("use: monitor msr, or monitor msr NUMBER (0x…), or a NAME such as LSTAR");
      return;
    }
    numbers.push_back(named ? *named : static_cast<std::uint32_t>(*number));
  }
  const bool one = !arguments.empty();
  client_.port_->read_msrs(
      client_.access_, std::move(numbers),
      client_.then<std::vector<tracer::Port::Msr>>([one](Client& client, auto msrs) {
        if (!msrs) {
          client.reply_error(msrs.error());
          return;
        }
        std::string text;
        for (const auto& [number, value] : *msrs) {
          const std::string_view name = msr_name(number);
          const std::string label = fmt::format("{:#010x} {}", number, name.empty() ? "-" : name);
          if (value) text += fmt::format("{} {:#x}\n", label, *value);
          if (!value && one) text += fmt::format("{}: this CPU has it not, or KVM does not tell\n", label);
        }
        client.print(text);
        client.reply("OK");
      }));
}

void MonitorCommands::lapic(std::string_view) {
  of_registers(RegGroup::kSystem, [](Client& client, const x86::RegisterFile& registers) {
    client.port_->read_local_apic(
        client.access_, client.then<x86::LocalApic>([base = registers.u64(Reg::kMsrApicBase)](
                                                        Client& self, Result<x86::LocalApic> apic) {
          self.print(apic ? local_apic_text(*apic, base) : apic.error().text + "\n");
          self.reply("OK");
        }));
  });
}

void MonitorCommands::ioapic(std::string_view) {
  const Result<x86::IoApic> chip = client_.port_->read_io_apic();
  done(chip ? io_apic_text(*chip) : chip.error().text + "\n");
}

}  // namespace ringside::session
