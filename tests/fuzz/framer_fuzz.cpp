// The framer must give the same frames however its input is torn, stay within its memory, and give back what
// is encoded.  The first input byte chooses the tear.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "stub/rsp/framer.hpp"
#include "stub/rsp/hex.hpp"

namespace {

using namespace ringside;
using namespace ringside::rsp;

constexpr std::size_t kLimit = 128;

void require(bool condition) {
  if (!condition) std::abort();
}

std::vector<Frame> frames_of(ByteView wire, std::size_t piece) {
  Framer framer(kLimit);
  std::vector<Frame> frames;
  while (!wire.empty()) {
    const std::size_t length = std::min(piece, wire.size());
    framer.push(wire.first(length));
    wire = wire.subspan(length);
    while (auto frame = framer.next()) frames.push_back(std::move(*frame));
  }
  return frames;
}

void check_round_trip(const std::string& body) {
  std::string wire;
  append_packet(wire, body);
  const auto frames = frames_of(as_bytes(wire), wire.size());
  require(frames.size() == 1 && std::get<Packet>(frames[0]).body == body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView wire(data + 1, size - 1);
  const auto frames = frames_of(wire, wire.size());
  require(frames == frames_of(wire, data[0] % 16 + 1u));
  for (const Frame& frame : frames) {
    const auto* packet = std::get_if<Packet>(&frame);
    if (packet == nullptr) continue;
    require(packet->body.size() <= kLimit);
    check_round_trip(packet->body);
    std::string escaped;
    append_escaped(escaped, as_bytes(packet->body));
    require(unescape(escaped) == Bytes(packet->body.begin(), packet->body.end()));
  }
  return 0;
}
