// A process made of bytes at addresses, and calls of it as lines.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "stub/strace/decode.hpp"
#include "stub/strace/syscalls.hpp"

namespace ringside::strace {

class FakeProcess : public Process, public VirtualMemory {
 public:
  // Puts bytes somewhere, alone on their pages; says where.
  std::uint64_t put(ByteView bytes) {
    const std::uint64_t at = next_;
    next_ += (bytes.size() / kPageSize + 2) * kPageSize;
    areas_[at] = Bytes(bytes.begin(), bytes.end());
    return at;
  }
  std::uint64_t put(std::string_view text) {
    return put(ByteView(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  }
  std::uint64_t put_path(const std::string& text) {  // with a page behind it that can be read
    std::string page = text;
    page.resize(kPageSize);
    return put(page);
  }
  template <typename T>
  std::uint64_t put_words(std::initializer_list<T> words) {
    std::vector<T> copy(words);
    return put({reinterpret_cast<const std::uint8_t*>(copy.data()), copy.size() * sizeof(T)});
  }

  const VirtualMemory& memory() const noexcept override { return *this; }
  bool read(Gva from, MutableByteView to) const noexcept override {
    ++reads_;
    const auto after = areas_.upper_bound(from.value);
    if (after == areas_.begin()) return false;
    const auto& [at, bytes] = *std::prev(after);
    const std::uint64_t offset = from.value - at;
    if (offset > bytes.size() || to.size() > bytes.size() - offset) return false;
    if (!to.empty()) std::memcpy(to.data(), bytes.data() + offset, to.size());
    return true;
  }
  bool fd_path(int fd, Text& into) const noexcept override {
    if (fd != 3) return false;
    into.add("/etc/passwd");
    return true;
  }
  bool working_directory(Text& into) const noexcept override {
    into.add("/home");
    return true;
  }
  std::size_t reads() const { return reads_; }

 private:
  std::map<std::uint64_t, Bytes> areas_;
  std::uint64_t next_ = 0x10000;
  mutable std::size_t reads_ = 0;
};

inline Call make_call(std::string_view name, std::initializer_list<std::uint64_t> args, std::int64_t result,
                      Abi abi = Abi::kX64) {
  Call call;
  call.abi = abi;
  call.number = find_syscall_number(abi, name).value_or(99999);
  std::copy(args.begin(), args.end(), call.args.begin());
  call.result = result;
  return call;
}

// "name(arguments) = result", as a tracer puts it together.
inline std::string line_of(const Call& call, const FakeProcess& process, const Style& style = {}) {
  std::array<char, 16384> storage;
  Text text{storage};
  text.add(ShownName(call.abi, call.number).view());
  text.add("(");
  print_entry(call, process, style, text);
  print_return(call, process, style, text);
  text.add(") = ");
  print_result(call, process, style, text);
  std::string line;
  for (const char c : text.view()) c == Text::kNextArgument ? line += ", " : line += c;
  return line;
}

}  // namespace ringside::strace
