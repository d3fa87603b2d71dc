// The words of a kernel in trouble, taken from the arguments of the function that is about to print them.
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "stub/guestos/kernel.hpp"
#include "stub/hub/guest_events.hpp"

namespace ringside::hub {
namespace {

constexpr std::size_t kLongest = 512;

std::string string_at(const VirtualMemory& memory, std::uint64_t at) {
  std::string text;
  while (text.size() < kLongest) {
    const auto byte = memory.load_at<std::uint8_t>(Gva{at + text.size()});
    if (!byte || *byte == 0) break;
    text += *byte >= ' ' && *byte <= '~' ? static_cast<char>(*byte) : ' ';
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

// The variable arguments of panic(), in registers and on the stack, or of vpanic(), in a va_list (System V ABI
// AMD64 3.5.7).
class Arguments {
 public:
  Arguments(const x86::CoreRegs& core, const VirtualMemory& memory) : memory_(memory) {
    registers_ = {core.gpr[x86::kRsi], core.gpr[x86::kRdx], core.gpr[x86::kRcx], core.gpr[x86::kR8],
                  core.gpr[x86::kR9]};
    left_ = registers_.size();
    stack_ = core.gpr[x86::kRsp] + 8;
  }
  Arguments(Gva list, const VirtualMemory& memory) : memory_(memory) {
    constexpr std::uint32_t kEnd = 48;  // of the registers saved
    const auto offset = memory.load_at<std::uint32_t>(list);
    stack_ = memory.load_at<std::uint64_t>(list + 8).value_or(0);
    const auto saved = memory.load_at<std::uint64_t>(list + 16);
    if (!offset || !saved || *offset > kEnd) return;
    for (std::uint32_t at = *offset; at < kEnd && left_ < registers_.size(); at += 8)
      registers_[left_++] = memory.load_at<std::uint64_t>(Gva{*saved + at}).value_or(0);
  }

  std::uint64_t next() {
    if (taken_ < left_) return registers_[taken_++];
    const auto value = memory_.load_at<std::uint64_t>(Gva{stack_});
    stack_ += 8;
    return value.value_or(0);
  }

 private:
  const VirtualMemory& memory_;
  std::array<std::uint64_t, 5> registers_{};
  std::size_t left_ = 0, taken_ = 0;
  std::uint64_t stack_ = 0;
};

std::string conversion(char kind, bool is_long, Arguments& arguments, const VirtualMemory& memory) {
  const std::uint64_t value = arguments.next();
  const auto word = static_cast<std::uint32_t>(value);
  switch (kind) {
    case 's':
      return string_at(memory, value);
    case 'd':
    case 'i':
      return is_long ? fmt::format("{}", static_cast<std::int64_t>(value))
                     : fmt::format("{}", static_cast<std::int32_t>(word));
    case 'u':
      return fmt::format("{}", is_long ? value : word);
    case 'x':
    case 'X':
      return fmt::format("{:x}", is_long ? value : word);
    case 'c':
      return std::string(1, static_cast<char>(value >= ' ' && value <= '~' ? value : '?'));
    default:
      return fmt::format("{:#x}", value);
  }
}

// printf's language as far as a person needs it: widths and flags are passed over.
std::string expand(std::string_view format, Arguments& arguments, const VirtualMemory& memory) {
  std::string text;
  for (std::size_t i = 0; i < format.size() && text.size() < kLongest; ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      text += format[i];
      continue;
    }
    bool is_long = false;
    for (++i; i < format.size() && std::string_view("0123456789#-+ .lhz").contains(format[i]); ++i)
      is_long = is_long || format[i] == 'l' || format[i] == 'z';
    if (i >= format.size()) break;
    text += format[i] == '%' ? "%" : conversion(format[i], is_long, arguments, memory);
  }
  return text;
}

std::string code_at(std::uint64_t at, const guestos::Kernel& kernel, const VirtualMemory& memory) {
  std::array<char, 256> name{};
  const auto place = kernel.place(Gva{at}, memory, name);
  if (!place) return fmt::format("{:#x}", at);
  return fmt::format("{}+{:#x}{}", place->name, place->offset,
                     place->module.empty() ? "" : fmt::format(" [{}]", place->module));
}

}  // namespace

std::string trouble_text(Occasion occasion, const EventPoint& point, const x86::CoreRegs& core,
                         const guestos::Kernel& kernel, const VirtualMemory& memory) {
  constexpr std::uint64_t kRegsIp = 0x80;  // pt_regs.ip (Linux arch/x86/include/uapi/asm/ptrace-abi.h)
  const std::uint64_t first = core.gpr[x86::kRdi];
  if (occasion == Occasion::kPanic) {
    Arguments arguments =
        point.symbol == "vpanic" ? Arguments(Gva{core.gpr[x86::kRsi]}, memory) : Arguments(core, memory);
    return "panic: " + expand(string_at(memory, first), arguments, memory);
  }
  if (occasion == Occasion::kOops && point.symbol == "__die") {
    const auto ip = memory.load_at<std::uint64_t>(Gva{core.gpr[x86::kRsi] + kRegsIp});
    return fmt::format("oops: {} ({:04x}){}", string_at(memory, first), core.gpr[x86::kRdx] & 0xffff,
                       ip ? " at " + code_at(*ip, kernel, memory) : "");
  }
  if (occasion == Occasion::kWarn) {
    const std::string file = first == 0 ? std::string() : string_at(memory, first);
    const std::string line =
        file.empty() ? "" : fmt::format(" {}:{}", file, core.gpr[x86::kRsi] & 0xffffffff);
    return fmt::format("warning:{} at {}", line, code_at(core.gpr[x86::kRdx], kernel, memory));
  }
  return std::string(name_of(occasion));
}

}  // namespace ringside::hub
