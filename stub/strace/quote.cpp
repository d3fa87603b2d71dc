// Strings as strace quotes them: C escapes, octal where there is none, hex with -x.
#include <algorithm>
#include <array>

#include "stub/strace/printer.hpp"

namespace ringside::strace {

namespace {

constexpr bool printable(std::uint8_t c) { return c >= 0x20 && c < 0x7f; }
constexpr bool space(std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool octal_digit(std::uint8_t c) { return c >= '0' && c <= '7'; }

constexpr char escape_letter(std::uint8_t c) {
  switch (c) {
    case '\t':
      return 't';
    case '\n':
      return 'n';
    case '\v':
      return 'v';
    case '\f':
      return 'f';
    case '\r':
      return 'r';
    case '"':
      return '"';
    case '\\':
      return '\\';
    default:
      return 0;
  }
}

}  // namespace

void Printer::hex_string(ByteView bytes) {
  for (const std::uint8_t c : bytes) format("\\x{:02x}", c);
}

void Printer::escaped(ByteView bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint8_t c = bytes[i];
    if (const char letter = escape_letter(c); letter != 0) {
      format("\\{}", letter);
    } else if (printable(c)) {
      text_.add(static_cast<char>(c));
    } else if (i + 1 < bytes.size() && octal_digit(bytes[i + 1])) {
      format("\\{:03o}", c);  // else the digit behind would be read with it
    } else {
      format("\\{:o}", c);
    }
  }
}

void Printer::quoted(ByteView bytes, Cut cut) {
  const auto plain = [](std::uint8_t c) { return printable(c) || space(c); };
  const bool as_hex = style_.hex == Style::Hex::kAll || (style_.hex == Style::Hex::kNonAscii &&
                                                         !std::all_of(bytes.begin(), bytes.end(), plain));
  text("\"");
  as_hex ? hex_string(bytes) : escaped(bytes);
  text(cut == Cut::kYes ? "\"..." : "\"");
}

std::optional<Printer::Read> Printer::read_string(std::uint64_t at, MutableByteView to) const {
  std::size_t have = 0;
  while (have < to.size()) {
    // To the end of a page at most: the next may be missing, and not be needed.
    const std::size_t piece = std::min(to.size() - have, bytes_to_page_end(Gva{at + have}));
    const MutableByteView part = to.subspan(have, piece);
    if (!read_always(at + have, part)) return std::nullopt;
    const auto nul = std::find(part.begin(), part.end(), std::uint8_t{0});
    if (nul != part.end()) return Read{have + static_cast<std::size_t>(nul - part.begin()), true};
    have += piece;
  }
  return Read{have, false};
}

void Printer::path(std::uint64_t at) { path_within(at, kMaxPath); }

// What has no NUL loses its last byte, as in strace, which needs the room for one.
void Printer::path_within(std::uint64_t at, std::size_t size) {
  std::array<std::uint8_t, kMaxPath> bytes;
  if (at == 0) return text("NULL");
  const auto found = read_string(at, MutableByteView(bytes).first(std::min(size, kMaxPath)));
  if (!found) return pointer(at);
  const bool whole = found->ended || found->size == 0;
  quoted(ByteView(bytes).first(whole ? found->size : found->size - 1), found->ended ? Cut::kNo : Cut::kYes);
}

void Printer::string(std::uint64_t at) {
  std::array<std::uint8_t, kMaxString + 1> bytes;
  if (at == 0) return text("NULL");
  const std::size_t limit = std::min<std::size_t>(style_.string_limit, kMaxString);
  const auto found = read_string(at, MutableByteView(bytes).first(limit + 1));
  if (!found) return pointer(at);
  quoted(ByteView(bytes).first(std::min(found->size, limit)), found->ended ? Cut::kNo : Cut::kYes);
}

std::optional<ByteView> Printer::read_shown(std::uint64_t at, std::uint64_t size,
                                            MutableByteView into) const {
  const std::size_t limit = std::min<std::size_t>(style_.string_limit, into.size());
  const auto shown = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(size, limit)));
  if (!shown.empty() && !read_always(at, shown)) return std::nullopt;
  return shown;
}

void Printer::buffer(std::uint64_t at, std::uint64_t size) {
  std::array<std::uint8_t, kMaxString> bytes;
  if (at == 0) return text("NULL");
  const auto shown = read_shown(at, size, bytes);
  shown ? quoted(*shown, size > shown->size() ? Cut::kYes : Cut::kNo) : pointer(at);
}

void Printer::hex_buffer(std::uint64_t at, std::uint64_t size) {
  std::array<std::uint8_t, kMaxString> bytes;
  if (at == 0) return text("NULL");
  const auto shown = read_shown(at, size, bytes);
  if (!shown) return pointer(at);
  text("\"");
  hex_string(*shown);
  text(size > shown->size() ? "\"..." : "\"");
}

void Printer::fixed_string(ByteView field) {
  const auto nul = std::find(field.begin(), field.end(), std::uint8_t{0});
  quoted(field.first(static_cast<std::size_t>(nul - field.begin())),
         nul == field.end() ? Cut::kYes : Cut::kNo);
}

}  // namespace ringside::strace
