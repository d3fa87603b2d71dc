#include "stub/agent/print.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "stub/agent/arithmetic.hpp"

namespace ringside::agent {
namespace {

constexpr std::string_view kDots = "...";

// Digits of one number: 22 in octal are the most.
class Digits {
 public:
  Digits(std::uint64_t value, int base) {
    end_ = std::to_chars(chars_.data(), chars_.data() + chars_.size(), value, base).ptr;
  }
  std::string_view view() const { return {chars_.data(), static_cast<std::size_t>(end_ - chars_.data())}; }
  void to_upper() {
    std::transform(chars_.data(), end_, chars_.data(),
                   [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c; });
  }
  void clear() { end_ = chars_.data(); }

 private:
  std::array<char, 24> chars_;
  char* end_;
};

int base_of(char letter) {
  switch (letter) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
      return 8;
    default:
      return 10;
  }
}

struct Number {
  std::string_view prefix;  // sign or base
  std::uint64_t magnitude;
};

Number number_of(const Conversion& as, std::uint64_t argument) {
  const std::uint64_t value = zero_extend(argument, as.bits);
  if (as.letter == 'd') {
    const std::uint64_t wide = sign_extend(argument, as.bits);
    if (less_signed(wide, 0)) return {"-", 0 - wide};
    return {as.plus ? "+" : as.space ? " " : "", wide};
  }
  if (!as.alternate || value == 0) return {"", value};
  return {as.letter == 'x' ? "0x" : as.letter == 'X' ? "0X" : "", value};
}

// C's rules: a precision counts digits and silences the flag 0; `#` gives an octal number a leading 0.
std::size_t zeros_before(const Conversion& as, std::string_view prefix, std::string_view digits) {
  const auto missing = [](int wanted, std::size_t there) {
    const auto size = static_cast<std::size_t>(wanted);
    return size > there ? size - there : 0;
  };
  std::size_t zeros = 0;
  if (as.precision != Conversion::kNoPrecision) {
    zeros = missing(as.precision, digits.size());
  } else if (as.zero && !as.left) {
    zeros = missing(as.width, prefix.size() + digits.size());
  }
  const bool starts_with_zero = zeros > 0 || digits.starts_with('0');
  return as.alternate && as.letter == 'o' && !starts_with_zero ? 1 : zeros;
}

void put_integer(const Conversion& as, std::uint64_t argument, Text& out) {
  const Number number = number_of(as, argument);
  Digits digits(number.magnitude, base_of(as.letter));
  if (as.letter == 'X') digits.to_upper();
  if (number.magnitude == 0 && as.precision == 0) digits.clear();
  out.append(number.prefix);
  out.append(zeros_before(as, number.prefix, digits.view()), '0');
  out.append(digits.view());
}

void put_hex(std::uint64_t value, Text& out) {
  out.append("0x");
  out.append(Digits(value, 16).view());
}

void put_pointer(std::uint64_t value, Text& out) {
  if (value == 0) return out.append("(nil)");  // as gdb's own printf has it
  put_hex(value, out);
}

// Up to its NUL, or `limit` bytes; then the result is how many.  Nothing when the guest's memory ends before.
std::optional<std::size_t> put_guest_bytes(Gva from, std::size_t limit, Environment& guest, Text& out) {
  std::array<std::uint8_t, 64> piece;
  std::size_t done = 0;
  while (done < limit && !out.cut()) {
    const Gva at = from + done;
    const std::size_t length = std::min({piece.size(), bytes_to_page_end(at), limit - done});
    if (!guest.read_memory(at, {piece.data(), length})) {
      out.append("<unreadable ");
      put_hex(at.value, out);
      out.append(">");
      return std::nullopt;
    }
    const auto* nul = static_cast<const std::uint8_t*>(std::memchr(piece.data(), 0, length));
    const std::size_t text = nul == nullptr ? length : static_cast<std::size_t>(nul - piece.data());
    out.append({reinterpret_cast<const char*>(piece.data()), text});
    done += text;
    if (nul != nullptr) break;
  }
  return done;
}

bool ends_at(Gva at, Environment& guest) {
  std::uint8_t byte = 0;
  return guest.read_memory(at, {&byte, 1}) && byte == 0;
}

// A precision is what the user wants to see; our own bound is said.
void put_string(const Conversion& as, Gva from, Environment& guest, Text& out) {
  if (from.value == 0) return out.append("(null)");
  const bool bounded = as.precision != Conversion::kNoPrecision;
  static_assert(Format::kMaxField < kMaxString);
  const std::size_t limit = bounded ? static_cast<std::size_t>(as.precision) : kMaxString;
  const auto length = put_guest_bytes(from, limit, guest, out);
  if (length == kMaxString && !ends_at(from + kMaxString, guest)) out.append(kDots);
}

void put(const Conversion& as, std::uint64_t argument, Environment& guest, Text& out) {
  switch (as.letter) {
    case 'c':
      return out.append(1, static_cast<char>(argument));
    case 's':
      return put_string(as, {argument}, guest, out);
    case 'p':
      return put_pointer(argument, out);
    default:
      return put_integer(as, argument, out);
  }
}

}  // namespace

void Text::append(std::string_view text) {
  const std::size_t fits = std::min(text.size(), bytes_.size() - size_);
  std::copy_n(text.data(), fits, bytes_.data() + size_);
  size_ += fits;
  cut_ = cut_ || fits < text.size();
}

void Text::append(std::size_t count, char c) {
  const std::size_t fits = std::min(count, bytes_.size() - size_);
  std::fill_n(bytes_.data() + size_, fits, c);
  size_ += fits;
  cut_ = cut_ || fits < count;
}

void Text::justify(std::size_t start, const Conversion& field) {
  const std::size_t end = size_;
  const auto width = static_cast<std::size_t>(field.width);
  if (end - start >= width) return;
  append(width - (end - start), ' ');
  if (!field.left) std::rotate(bytes_.data() + start, bytes_.data() + end, bytes_.data() + size_);
}

void Text::mark_cut() {
  if (cut_) std::copy(kDots.begin(), kDots.end(), bytes_.end() - kDots.size());
}

void print(const Format& format, std::span<const std::uint64_t> arguments, Environment& guest,
           Text& out) noexcept {
  auto argument = arguments.begin();
  for (const Format::Piece& piece : format.pieces()) {
    if (const auto* text = std::get_if<std::string>(&piece)) {
      out.append(*text);
      continue;
    }
    const auto& conversion = *std::get_if<Conversion>(&piece);
    const std::size_t start = out.size();
    put(conversion, *argument++, guest, out);
    out.justify(start, conversion);
  }
  out.mark_cut();
}

}  // namespace ringside::agent
