#include "stub/agent/format.hpp"

#include <algorithm>
#include <optional>

namespace ringside::agent {
namespace {

Unexpected<Error> bad_format(std::string text) {
  return fail(Errc::kMalformed, "format: " + std::move(text));
}

// As printable text, for messages that repeat what a client sent.
std::string quoted(char c) {
  constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte < 0x7f) return {'\'', c, '\''};
  return {'0', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

// A cursor over text.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  char next() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::optional<unsigned> digit(unsigned base) {
    if (rest_.empty()) return std::nullopt;
    const auto value = value_of(rest_.front());
    if (!value || *value >= base) return std::nullopt;
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view until(char c) {
    const std::string_view front = rest_.substr(0, rest_.find(c));
    rest_.remove_prefix(front.size());
    return front;
  }

 private:
  static std::optional<unsigned> value_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return std::nullopt;
  }
  std::string_view rest_;
};

// At most `most` digits, and a value that is a byte: as C has it, \x takes all digits that follow.
Result<char> numeric_escape(Cursor& in, unsigned base, std::size_t most) {
  unsigned value = 0;
  std::size_t count = 0;
  for (; count < most; ++count) {
    const auto digit = in.digit(base);
    if (!digit) break;
    value = value * base + *digit;
    if (value > 0xff) return bad_format("an escape stands for more than a byte");
  }
  if (count == 0) return bad_format("\\x without digits");
  return static_cast<char>(value);
}

Result<char> escape(Cursor& in) {
  constexpr std::string_view kLetters = "abefnrtv\\\"'?";
  constexpr std::string_view kMeanings = "\a\b\x1b\f\n\r\t\v\\\"'?";
  static_assert(kLetters.size() == kMeanings.size());
  if (in.take("x")) return numeric_escape(in, 16, std::string_view::npos);
  Cursor octal = in;
  if (octal.digit(8)) return numeric_escape(in, 8, 3);
  if (in.done()) return bad_format("ends in a lone backslash");
  const char c = in.next();
  const std::size_t place = kLetters.find(c);
  if (place == std::string_view::npos) return bad_format("unknown escape \\ with " + quoted(c));
  return kMeanings[place];
}

Result<std::string> unescape(std::string_view source) {
  std::string text;
  Cursor in(source);
  while (true) {
    text += in.until('\\');
    if (in.done()) return text;
    in.take("\\");
    text += RS_TRY(escape(in));
  }
}

void take_flags(Cursor& in, Conversion& to) {
  while (true) {
    if (in.take("-")) {
      to.left = true;
    } else if (in.take("+")) {
      to.plus = true;
    } else if (in.take(" ")) {
      to.space = true;
    } else if (in.take("#")) {
      to.alternate = true;
    } else if (in.take("0")) {
      to.zero = true;
    } else {
      return;
    }
  }
}

// Digits, or none: then 0.
Result<int> field(Cursor& in) {
  if (in.take("*")) return bad_format("'*' cannot be: gdb does not say how wide");
  int value = 0;
  while (const auto digit = in.digit(10)) {
    value = value * 10 + static_cast<int>(*digit);
    if (value > Format::kMaxField) return bad_format("a width or precision above 1024");
  }
  return value;
}

// The longer modifier first.  long, size_t, intmax_t and ptrdiff_t are all 64 bits wide in an x86-64 guest.
std::optional<std::uint8_t> length_modifier(Cursor& in) {
  if (in.take("hh")) return std::uint8_t{8};
  if (in.take("h")) return std::uint8_t{16};
  if (in.take("ll") || in.take("l") || in.take("z") || in.take("j") || in.take("t")) return std::uint8_t{64};
  return std::nullopt;
}

Result<char> letter(char c, bool has_length) {
  constexpr std::string_view kIntegers = "duxXo";
  constexpr std::string_view kOthers = "csp";
  constexpr std::string_view kFloats = "eEfFgGaAL";
  if (c == 'i') return 'd';
  if (kIntegers.find(c) != std::string_view::npos) return c;
  if (kFloats.find(c) != std::string_view::npos) return bad_format("there is no floating point here");
  if (c == 'n') return bad_format("%n writes memory, which a format may not");
  if (kOthers.find(c) == std::string_view::npos) return bad_format("unknown conversion " + quoted(c));
  if (has_length) return bad_format("a length before " + quoted(c) + " (wide characters are not printed)");
  return c;
}

// What follows a `%`.
Result<Conversion> conversion(Cursor& in) {
  Conversion to;
  take_flags(in, to);
  to.width = RS_TRY(field(in));
  if (in.take(".")) to.precision = RS_TRY(field(in));
  const auto length = length_modifier(in);
  if (length) to.bits = *length;
  if (in.done()) return bad_format("ends within a conversion");
  to.letter = RS_TRY(letter(in.next(), length.has_value()));
  return to;
}

void add_text(std::vector<Format::Piece>& pieces, std::string_view text) {
  if (text.empty()) return;
  if (pieces.empty() || !std::holds_alternative<std::string>(pieces.back()))
    pieces.emplace_back(std::string());
  std::get<std::string>(pieces.back()) += text;
}

Result<std::vector<Format::Piece>> split(std::string_view text) {
  std::vector<Format::Piece> pieces;
  Cursor in(text);
  while (true) {
    add_text(pieces, in.until('%'));
    if (in.done()) return pieces;
    in.take("%");
    if (in.take("%")) {
      add_text(pieces, "%");
    } else {
      pieces.emplace_back(RS_TRY(conversion(in)));
    }
  }
}

bool is_conversion(const Format::Piece& piece) { return std::holds_alternative<Conversion>(piece); }

}  // namespace

Result<Format> Format::parse(std::string_view source, unsigned arguments) {
  const std::string text = RS_TRY(unescape(source));
  Format format;
  format.source_ = source;
  format.pieces_ = RS_TRY(split(text));
  format.arguments_ = arguments;
  const auto wanted = std::count_if(format.pieces_.begin(), format.pieces_.end(), is_conversion);
  if (wanted != static_cast<std::ptrdiff_t>(arguments)) {
    return bad_format(std::to_string(wanted) + " conversions for " + std::to_string(arguments) +
                      " arguments");
  }
  return format;
}

bool Format::reads_strings() const {
  return std::any_of(pieces_.begin(), pieces_.end(), [](const Piece& piece) {
    const auto* conversion = std::get_if<Conversion>(&piece);
    return conversion != nullptr && conversion->letter == 's';
  });
}

}  // namespace ringside::agent
