// Bytes to frames and back (RSP "Overview", "Packet Acknowledgment", "Notification Packets").
//
//   $ body # c s     a packet; cs is the sum of the body's bytes as sent, mod 256, in hex
//   + -              acknowledgements          0x03   interrupt, outside a packet only
//
// One Framer a connection, owned by its session; it may be fed torn at any byte, and never blocks.  Junk
// between frames is dropped.  A `$` inside a body starts over, since escaped data never holds one: so a
// client that gave up half-way is understood again at once.  Memory: the largest body plus what was pushed
// and not taken. Thread: the session's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "arch/bytes.hpp"

namespace ringside::rsp {

struct Packet {
  std::string body;  // checksum verified; binary data in it is still escaped, which its parser undoes
  bool operator==(const Packet&) const = default;
};
struct BadChecksum {  // answered `-` in ack mode, otherwise dropped
  bool operator==(const BadChecksum&) const = default;
};
struct Ack {
  bool operator==(const Ack&) const = default;
};
struct Nak {  // the same bytes are sent again
  bool operator==(const Nak&) const = default;
};
struct Interrupt {
  bool operator==(const Interrupt&) const = default;
};
struct Oversize {  // a packet above the limit, swallowed to its end; answered E22
  bool operator==(const Oversize&) const = default;
};
using Frame = std::variant<Packet, BadChecksum, Ack, Nak, Interrupt, Oversize>;

class Framer {
 public:
  enum class Checksums : std::uint8_t { kVerify, kIgnore };

  // max_body in bytes as sent, between `$` and `#`.  A client told PacketSize=N exceeds it a little now and
  // then (register writes, conditions): give 2 * N.
  explicit Framer(std::size_t max_body) : max_body_(max_body) {}

  // Default kVerify, in no-ack mode too: clients send right ones there, and a wrong one means lost bytes.
  void set_checksums(Checksums checksums) { checksums_ = checksums; }

  void push(ByteView bytes);
  // The next whole frame; nothing until more bytes are pushed.
  std::optional<Frame> next();

 private:
  enum class State : std::uint8_t { kBetween, kBody, kFirstDigit, kSecondDigit };

  std::optional<Frame> step(char c);
  std::optional<Frame> between(char c);
  void in_body(char c);
  Frame finish(char second_digit);

  std::size_t max_body_;
  Checksums checksums_ = Checksums::kVerify;
  State state_ = State::kBetween;
  bool oversize_ = false;
  char first_digit_ = '0';
  std::uint8_t sum_ = 0;
  std::string body_;
  std::string input_;
  std::size_t taken_ = 0;  // of input_
};

// Appends `$body#cs`.  The body is sent as it is: binary parts are escaped already.
void append_packet(std::string& out, std::string_view body);
// Appends `%body#cs`, for example body = "Stop:T05…"; never acknowledged.
void append_notification(std::string& out, std::string_view body);

// Appends `text` run-length encoded: "0000" becomes `0*` and a count.  For text without `*` and without
// escapes, such as hex; the count never looks like `#`, `$`, `+` or `-`.
void append_rle(std::string& out, std::string_view text);

}  // namespace ringside::rsp
