// What the decoders of single arguments write with: one call being printed, its process, and the text.
//
// Thread: any; made on the stack for one print_entry(), print_return() or print_result().  Nothing here
// allocates; each read of the process's memory is bounded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/bytes.hpp"
#include "stub/strace/call.hpp"
#include "stub/strace/names.hpp"
#include "stub/strace/text.hpp"

namespace ringside::strace {

// When the text is asked for.  At kReturn a decoder may look at the result.
enum class Phase : std::uint8_t { kEntry, kReturn };

class Printer {
 public:
  // Longest path that is read: PATH_MAX (linux/limits.h).
  static constexpr std::size_t kMaxPath = 4096;
  // Elements of an array that are shown before "...", whatever -s says; bounds hostile counts as well.
  static constexpr std::size_t kMaxElements = 32;
  // Bytes of a string or buffer that are looked at, whatever -s says.
  static constexpr std::size_t kMaxString = 4096;

  Printer(const Call& call, const Process& process, const Style& style, Text& into, Phase phase)
      : call_(call), process_(process), style_(style), text_(into), phase_(phase) {}

  // The call.
  const Call& call() const { return call_; }
  const Style& style() const { return style_; }
  Phase phase() const { return phase_; }
  bool i386() const { return call_.abi == Abi::kI386; }
  std::uint64_t word_size() const { return i386() ? 4 : 8; }
  bool failed() const { return call_.result < 0 && call_.result >= -4095; }
  // Registers: as they are, 32 bits of them on i386; as int; as unsigned int; as long.
  std::uint64_t arg(unsigned n) const;
  std::int32_t int_arg(unsigned n) const { return static_cast<std::int32_t>(arg(n)); }
  std::uint32_t uint_arg(unsigned n) const { return static_cast<std::uint32_t>(arg(n)); }
  std::int64_t long_arg(unsigned n) const;
  std::uint64_t pair_arg(unsigned n) const;  // loff_t: two registers on i386

  // Plain text and numbers.
  void text(std::string_view words) { text_.add(words); }
  void next() { text_.add(Text::kNextArgument); }
  void decimal(std::int64_t value) { text_.format("{}", value); }
  void unsigned_decimal(std::uint64_t value) { text_.format("{}", value); }
  void hex(std::uint64_t value);      // %#x: "0" for 0
  void octal(std::uint64_t value);    // a mode or mask, as strace shows it: 0644, 000
  void pointer(std::uint64_t value);  // NULL, or hex
  void comment(std::string_view words) { text_.format(" /* {} */", words); }
  template <typename... Args>
  void format(fmt::format_string<Args...> how, Args&&... args) {
    text_.format(how, std::forward<Args>(args)...);
  }

  // Values by name.
  void named(const Names& names, std::uint64_t value);
  void flags(const Names& names, std::uint64_t value);
  // The same after others: "|A|B|0x4"; nothing for 0.
  void more_flags(const Names& names, std::uint64_t value);
  void signal(std::uint64_t number);
  void signal_set(ByteView set);                                             // [HUP INT], ~[KILL]
  void fd(std::int32_t number);                                              // with its path, when asked for
  void dir_fd(std::int32_t number);                                          // AT_FDCWD
  void device(std::uint64_t number);                                         // makedev(0x8, 0x1)
  void mode(std::uint32_t value);                                            // S_IFREG|0644
  void user(std::uint32_t id);                                               // -1 for none
  void date(std::int64_t seconds, std::uint64_t fraction, unsigned digits);  // 2020-09-13T12:26:40+0000
  void time_comment(std::int64_t seconds, std::uint64_t fraction, unsigned digits);

  // Memory of the process.  At the return of a call that has failed no structure is read, as strace has it:
  // what the kernel left there says nothing.  Strings are.
  bool read(std::uint64_t at, MutableByteView to) const;
  template <typename T>
  std::optional<T> load(std::uint64_t at) const {
    if (blind()) return std::nullopt;
    return process_.memory().load_at<T>(Gva{at});
  }
  // The same printer, as if the call had not returned yet.
  Printer before_return() const {
    Printer other = *this;
    other.phase_ = Phase::kEntry;
    return other;
  }
  std::optional<std::uint64_t> load_word(std::uint64_t at) const;  // a long or pointer of the process
  // Up to its NUL, or as much as `to` holds; nothing when it cannot be read so far.
  struct Read {
    std::size_t size;
    bool ended;  // the NUL was found; it is not counted
  };
  std::optional<Read> read_string(std::uint64_t at, MutableByteView to) const;

  // Strings in quotes.
  enum class Cut : std::uint8_t { kNo, kYes };
  void quoted(ByteView bytes, Cut cut = Cut::kNo);
  void path(std::uint64_t at);                            // all of it
  void path_within(std::uint64_t at, std::size_t size);   // a buffer that need not have a NUL
  void string(std::uint64_t at);                          // as far as -s goes
  void buffer(std::uint64_t at, std::uint64_t size);      // so many bytes, as far as -s goes
  void hex_buffer(std::uint64_t at, std::uint64_t size);  // the same, in hex whatever -x says
  void fixed_string(ByteView field);                      // a char[] member: up to its NUL

 private:
  bool blind() const { return phase_ == Phase::kReturn && failed(); }
  bool read_always(std::uint64_t at, MutableByteView to) const;
  std::optional<ByteView> read_shown(std::uint64_t at, std::uint64_t size, MutableByteView into) const;
  void path_comment(std::string_view path);
  void hex_string(ByteView bytes);
  void escaped(ByteView bytes);

  const Call& call_;
  const Process& process_;
  const Style& style_;
  Text& text_;
  Phase phase_;
};

}  // namespace ringside::strace
