// Any call, any arguments, any memory: the decoders stay within their text, and end.
//
// Input: abi, flags, number (2 bytes), result (8), six arguments (8 each), and the memory's content, which is
// found again and again from address 0 up to 64 KiB, so that pointers hit it.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "stub/strace/decode.hpp"
#include "stub/strace/filter.hpp"
#include "stub/strace/syscalls.hpp"

namespace {

using namespace ringside;
using namespace ringside::strace;

class RepeatedMemory : public VirtualMemory {
 public:
  explicit RepeatedMemory(ByteView content) : content_(content) {}
  bool read(Gva from, MutableByteView to) const noexcept override {
    constexpr std::uint64_t kEnd = 0x10000;
    if (content_.empty() || from.value > kEnd || to.size() > kEnd - from.value) return false;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = content_[(from.value + i) % content_.size()];
    return true;
  }

 private:
  ByteView content_;
};

class FuzzedProcess : public Process {
 public:
  explicit FuzzedProcess(ByteView content) : memory_(content) {}
  const VirtualMemory& memory() const noexcept override { return memory_; }
  bool fd_path(int, Text& into) const noexcept override {
    into.add("/a\nb");
    return true;
  }
  bool working_directory(Text& into) const noexcept override {
    into.add("/");
    return true;
  }

 private:
  RepeatedMemory memory_;
};

constexpr std::size_t kHeader = 4 + 8 + 48;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kHeader) return 0;
  Call call;
  call.abi = (data[0] & 1) != 0 ? Abi::kI386 : Abi::kX64;
  Style style;
  style.fd_paths = (data[1] & 1) != 0;
  style.hex = static_cast<Style::Hex>(data[1] >> 1 & 1);
  style.string_limit = (data[1] & 4) != 0 ? 100000 : 32;
  call.number = static_cast<std::uint32_t>(load<std::uint16_t>(data + 2) % kSyscallNumbers);
  call.result = load<std::int64_t>(data + 4);
  std::memcpy(call.args.data(), data + 12, 48);
  call.stack = call.args[0];
  const ByteView content(data + kHeader, size - kHeader);
  const FuzzedProcess process(content);
  call = demultiplexed(call, process.memory());

  std::array<char, 4096> storage;
  Text text{storage};
  call.noted = note_entry(call, process);
  print_entry(call, process, style, text);
  print_return(call, process, style, text);
  print_result(call, process, style, text);
  print_signal(static_cast<int>(call.args[1]), content, text);
  if (text.view().size() > storage.size()) std::abort();
  if (ShownName(call.abi, call.number).view().empty()) std::abort();
  return 0;
}
