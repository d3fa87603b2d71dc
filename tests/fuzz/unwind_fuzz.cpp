// Walks over a stack and tables that the input has made: by ORC in each of its formats, and by frame pointers.
//
// Input: a byte for the format, or none; 6 bytes for each of 32 entries; then words of the stack, 2 bytes each,
// that are mostly places on the stack or in the kernel's code: the first three are ip, sp and bp.
#include <array>
#include <cstdint>

#include "tests/unit/guestos/orc_image.hpp"

namespace {

using namespace ringside;
using namespace ringside::guestos;
using test::OrcImage;

constexpr std::size_t kEntries = 32;

std::vector<std::pair<std::uint64_t, test::NewerOrc>> places() {
  std::vector<std::pair<std::uint64_t, test::NewerOrc>> table;
  for (std::uint64_t i = 0; i < kEntries; ++i) table.push_back({i * OrcImage::kFunctionBytes / 2, {}});
  return table;
}

std::uint64_t word(std::uint8_t first, std::uint8_t second) {
  switch (first >> 6) {
    case 0:
      return OrcImage::stack(second).value;
    case 1:
      return OrcImage::function(first & 15, second).value;
    case 2:
      return OrcImage::stack(second).value + (first & 63);
    default:
      return first < 0xf0 ? second : ~std::uint64_t{second};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 + 6 * kEntries) return 0;
  // The entry of a call in each format, and without tables.
  constexpr std::array<std::uint64_t, 5> kCalls{0x0205ull << 32 | 8, 0x0005ull << 32 | 8, 0x0005ull << 32 | 8,
                                                0x0203ull << 32 | 8, 0};
  constexpr std::array kLayouts{0, 1, 2, 0, 0};
  static const std::array kTypes{test::orc_btf(0), test::orc_btf(1), test::orc_btf(2)};
  const std::size_t format = data[0] % kCalls.size();
  static OrcImage image(places());  // all that is written is written again
  for (std::size_t i = 0; i < kEntries; ++i) {
    std::uint64_t entry = 0;
    std::memcpy(&entry, data + 1 + 6 * i, 6);
    image.put_entry(i, entry);
  }
  image.put_entry(kEntries, kCalls[format]);
  std::array<std::uint64_t, 3> start{OrcImage::function(0, 16).value, OrcImage::stack(0).value,
                                     OrcImage::stack(0).value};
  constexpr std::size_t kWords = 256;
  for (std::size_t i = 0; i < kWords; ++i) image.put(i, std::uint64_t{0});
  std::size_t index = 0;
  for (std::size_t at = 1 + 6 * kEntries; at + 2 <= size && index < start.size() + kWords; at += 2, ++index) {
    const std::uint64_t value = word(data[at], data[at + 1]);
    if (index < start.size()) {
      start[index] = value;
    } else {
      image.put(index - start.size(), value);
    }
  }
  const Unwinder unwinder(image.symbols(), &kTypes[static_cast<std::size_t>(kLayouts[format])], std::nullopt,
                          image.memory());
  if (unwinder.has_orc() != (format != 4)) __builtin_trap();
  StackRegisters from{.ip = Gva{start[0]}, .sp = Gva{start[1]}, .bp = start[2]};
  if ((data[0] & 0x80) != 0) {
    from.others = {.ax = start[2], .dx = start[2], .di = start[2], .r10 = start[2], .r13 = start[2]};
  }
  from.behind_call = (data[0] & 0x40) != 0;
  std::array<StackFrame, 64> frames;
  const StackWalk walk = unwinder.walk(from, image.memory(), frames);
  if (walk.frames == 0 || walk.frames > frames.size()) __builtin_trap();
  if ((walk.end == StackWalk::End::kUser) != (walk.user_regs.value != 0)) __builtin_trap();
  return 0;
}
