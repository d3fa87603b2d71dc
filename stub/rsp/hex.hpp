// The two codecs of the protocol: hex digits, and binary data with `}` escapes (RSP "Overview").
// All-or-nothing: a wrong digit anywhere gives no value at all.  Pure; nothing here throws on input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "arch/bytes.hpp"

namespace ringside::rsp {

// 0 to 15, either case; nothing for any other character.
std::optional<unsigned> hex_digit(char c);

void append_hex(std::string& out, ByteView bytes);              // two lower-case digits a byte
void append_hex_number(std::string& out, std::uint64_t value);  // most significant first, no leading zeros
std::string to_hex(ByteView bytes);
std::string to_hex(std::string_view text);

std::optional<Bytes> from_hex(std::string_view digits);
std::optional<std::string> text_from_hex(std::string_view digits);
// Exactly out.size() bytes; `out` is untouched on failure.
bool from_hex(std::string_view digits, MutableByteView out);

// A whole string of digits, most significant first; leading zeros allowed, nothing empty, nothing above 64
// bits.
std::optional<std::uint64_t> parse_hex_u64(std::string_view digits);

// `# $ } *` become `}` and the byte with bit 5 flipped.  `*` must be escaped in whatever the client may
// decode as run-length encoding, so it always is.
void append_escaped(std::string& out, ByteView bytes);
// Nothing when the last byte is a lone `}`.
std::optional<Bytes> unescape(std::string_view wire);

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace ringside::rsp
