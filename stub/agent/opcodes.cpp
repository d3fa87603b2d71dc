#include "stub/agent/opcodes.hpp"

#include <array>
#include <cstddef>

#include "arch/result.hpp"

namespace ringside::agent {
namespace {

#define OPCODE(code, id, name, operand, takes, gives) OpcodeRow{code, name, operand, takes, gives, {}},
#define REFUSED(code, name, why) OpcodeRow{code, name, 0, 0, 0, why},
constexpr auto kRows = std::to_array<OpcodeRow>({
#include "stub/agent/opcodes.def"
});
#undef OPCODE
#undef REFUSED

constexpr bool in_order() {
  for (std::size_t i = 1; i < kRows.size(); ++i) {
    if (kRows[i - 1].code >= kRows[i].code) return false;
  }
  return true;
}
static_assert(in_order());

constexpr std::uint8_t kNone = 0xff;
static_assert(kRows.size() < kNone);

constexpr auto kPlaces = [] {
  std::array<std::uint8_t, 256> places;
  places.fill(kNone);
  for (std::size_t i = 0; i < kRows.size(); ++i) places[kRows[i].code] = static_cast<std::uint8_t>(i);
  return places;
}();

}  // namespace

const OpcodeRow* find_opcode(std::uint8_t code) noexcept {
  return kPlaces[code] == kNone ? nullptr : &kRows[kPlaces[code]];
}

const OpcodeRow& row_of(Opcode op) noexcept {
  const OpcodeRow* row = find_opcode(static_cast<std::uint8_t>(op));
  RS_CHECK(row != nullptr);
  return *row;
}

}  // namespace ringside::agent
