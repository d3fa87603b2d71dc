#include "stub/rsp/framer.hpp"

#include <algorithm>

#include "stub/rsp/hex.hpp"

namespace ringside::rsp {
namespace {

constexpr char kInterruptByte = 0x03;

std::uint8_t checksum(std::string_view body) {
  std::uint8_t sum = 0;
  for (const char c : body) sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(c));
  return sum;
}

void append_framed(std::string& out, char lead, std::string_view body) {
  const std::uint8_t sum = checksum(body);
  out.reserve(out.size() + body.size() + 4);
  out += lead;
  out += body;
  out += '#';
  append_hex(out, ByteView(&sum, 1));
}

// RSP "Overview": a count is sent as the character 29 above it, never as one with a meaning of its own, and
// only up to `~`.
constexpr std::size_t kCountBase = 29, kMinRepeats = 3, kMaxRepeats = 126 - kCountBase;

std::size_t usable_repeats(std::size_t wanted) {
  std::size_t repeats = std::min(wanted, kMaxRepeats);
  const auto has_meaning = [](std::size_t n) {
    const auto c = static_cast<char>(n + kCountBase);
    return c == '#' || c == '$' || c == '+' || c == '-';
  };
  while (repeats >= kMinRepeats && has_meaning(repeats)) --repeats;
  return repeats >= kMinRepeats ? repeats : 0;
}

}  // namespace

void Framer::push(ByteView bytes) {
  input_.erase(0, taken_);
  taken_ = 0;
  input_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::optional<Frame> Framer::next() {
  while (taken_ < input_.size()) {
    if (auto frame = step(input_[taken_++])) return frame;
  }
  input_.clear();
  taken_ = 0;
  return std::nullopt;
}

std::optional<Frame> Framer::step(char c) {
  if (c == '$') return between(c);  // wherever it stands, a packet begins
  switch (state_) {
    case State::kBetween:
      return between(c);
    case State::kBody:
      in_body(c);
      return std::nullopt;
    case State::kFirstDigit:
      first_digit_ = c;
      state_ = State::kSecondDigit;
      return std::nullopt;
    case State::kSecondDigit:
      return finish(c);
  }
  return std::nullopt;
}

std::optional<Frame> Framer::between(char c) {
  switch (c) {
    case '$':
      body_.clear();
      sum_ = 0;
      oversize_ = false;
      state_ = State::kBody;
      return std::nullopt;
    case '+':
      return Ack{};
    case '-':
      return Nak{};
    case kInterruptByte:
      return Interrupt{};
    default:
      return std::nullopt;
  }
}

void Framer::in_body(char c) {
  if (c == '#') {
    state_ = State::kFirstDigit;
    return;
  }
  sum_ = static_cast<std::uint8_t>(sum_ + static_cast<std::uint8_t>(c));
  if (body_.size() < max_body_) {
    body_.push_back(c);
  } else {
    oversize_ = true;
  }
}

Frame Framer::finish(char second_digit) {
  state_ = State::kBetween;
  if (oversize_) {
    body_ = {};  // an attack must not pin the memory
    return Oversize{};
  }
  const auto high = hex_digit(first_digit_);
  const auto low = hex_digit(second_digit);
  const bool right = high && low && (*high << 4 | *low) == sum_;
  if (!right && checksums_ == Checksums::kVerify) return BadChecksum{};
  return Packet{std::move(body_)};
}

void append_packet(std::string& out, std::string_view body) { append_framed(out, '$', body); }

void append_notification(std::string& out, std::string_view body) { append_framed(out, '%', body); }

void append_rle(std::string& out, std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const char c = text[at];
    const std::size_t run_end = std::min(text.find_first_not_of(c, at), text.size());
    out += c;
    ++at;
    const std::size_t repeats = usable_repeats(run_end - at);
    if (repeats == 0) continue;
    out += '*';
    out += static_cast<char>(repeats + kCountBase);
    at += repeats;
  }
}

}  // namespace ringside::rsp
