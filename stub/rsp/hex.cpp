#include "stub/rsp/hex.hpp"

#include <algorithm>
#include <charconv>

namespace ringside::rsp {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr std::uint8_t kEscape = '}';
constexpr std::uint8_t kFlip = 0x20;

bool must_escape(std::uint8_t byte) { return byte == '#' || byte == '$' || byte == kEscape || byte == '*'; }

// Calls put(byte) for each pair of digits; false at the first that is none.
template <typename Put>
bool decode_pairs(std::string_view digits, Put put) {
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    const auto high = hex_digit(digits[i]);
    const auto low = hex_digit(digits[i + 1]);
    if (!high || !low) return false;
    put(static_cast<std::uint8_t>(*high << 4 | *low));
  }
  return true;
}

template <typename Container>
std::optional<Container> decode(std::string_view digits) {
  if (digits.size() % 2 != 0) return std::nullopt;
  Container out;
  out.reserve(digits.size() / 2);
  const auto put = [&](std::uint8_t byte) {
    out.push_back(static_cast<typename Container::value_type>(byte));
  };
  if (!decode_pairs(digits, put)) return std::nullopt;
  return out;
}

}  // namespace

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

void append_hex(std::string& out, ByteView bytes) {
  const std::size_t start = out.size();
  out.resize(start + 2 * bytes.size());
  char* to = out.data() + start;
  for (const std::uint8_t byte : bytes) {
    *to++ = kDigits[byte >> 4];
    *to++ = kDigits[byte & 0xf];
  }
}

void append_hex_number(std::string& out, std::uint64_t value) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
  out.append(digits, end);
}

std::string to_hex(ByteView bytes) {
  std::string out;
  append_hex(out, bytes);
  return out;
}

std::string to_hex(std::string_view text) { return to_hex(as_bytes(text)); }

std::optional<Bytes> from_hex(std::string_view digits) { return decode<Bytes>(digits); }

std::optional<std::string> text_from_hex(std::string_view digits) { return decode<std::string>(digits); }

bool from_hex(std::string_view digits, MutableByteView out) {
  if (digits.size() != 2 * out.size()) return false;
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return hex_digit(c).has_value(); }))
    return false;
  auto to = out.begin();
  return decode_pairs(digits, [&](std::uint8_t byte) { *to++ = byte; });
}

std::optional<std::uint64_t> parse_hex_u64(std::string_view digits) {
  if (digits.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : digits) {
    const auto digit = hex_digit(c);
    if (!digit || value >> 60 != 0) return std::nullopt;
    value = value << 4 | *digit;
  }
  return value;
}

void append_escaped(std::string& out, ByteView bytes) {
  out.reserve(out.size() + bytes.size());
  while (!bytes.empty()) {  // run by run: most bytes are plain
    const auto end = std::ranges::find_if(bytes, must_escape);
    out.append(bytes.begin(), end);
    bytes = {end, bytes.end()};
    if (bytes.empty()) return;
    out.push_back(static_cast<char>(kEscape));
    out.push_back(static_cast<char>(bytes.front() ^ kFlip));
    bytes = bytes.subspan(1);
  }
}

std::optional<Bytes> unescape(std::string_view wire) {
  Bytes out;
  out.reserve(wire.size());
  for (;;) {
    const std::string_view run = wire.substr(0, wire.find(static_cast<char>(kEscape)));
    out.insert(out.end(), run.begin(), run.end());
    wire.remove_prefix(run.size());
    if (wire.empty()) return out;
    if (wire.size() == 1) return std::nullopt;
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint8_t>(wire[1]) ^ kFlip));
    wire.remove_prefix(2);
  }
}

}  // namespace ringside::rsp
