#include "vmm/boot/relocate.hpp"

#include <array>

#include <fmt/format.h>

namespace ringside::boot {
namespace {

constexpr std::size_t kEntry = 4;
constexpr std::size_t kMostLists = 3;

enum class Direction : std::uint8_t { kAdd, kSubtract };

template <typename Word>
Result<void> relocate_list(ByteView list, MutableByteView image, Gva text, std::uint64_t slide,
                           Direction direction) {
  const auto change = static_cast<Word>(direction == Direction::kAdd ? slide : 0 - slide);
  for (std::size_t i = 0; i < list.size(); i += kEntry) {
    // The kernel lives in the top 2 GiB: an entry's upper half is the sign extension of the lower.
    const auto low = load<std::int32_t>(&list[i]);
    const std::uint64_t offset = static_cast<std::uint64_t>(std::int64_t{low}) - text.value;
    if (offset > image.size() || image.size() - offset < sizeof(Word)) {
      return fail(Errc::kMalformed, fmt::format("is damaged: a relocation at {:#x} is outside of the kernel",
                                                static_cast<std::uint64_t>(std::int64_t{low})));
    }
    std::uint8_t* at = image.data() + offset;
    store(at, static_cast<Word>(load<Word>(at) + change));
  }
  return {};
}

}  // namespace

Result<RelocationTable> parse_relocations(ByteView trailer) {
  if (trailer.empty()) return RelocationTable{};
  const auto damaged = [] {
    return fail(Errc::kMalformed, "is damaged: its relocation table has no known form");
  };
  if (trailer.size() % kEntry != 0 || load<std::uint32_t>(trailer.data()) != 0) return damaged();

  std::array<ByteView, kMostLists> lists;
  std::size_t count = 0;
  std::size_t begin = kEntry;
  for (std::size_t at = kEntry; at <= trailer.size(); at += kEntry) {
    const bool end = at == trailer.size();
    if (!end && load<std::uint32_t>(&trailer[at]) != 0) continue;
    if (count == kMostLists) return damaged();
    lists[count++] = trailer.subspan(begin, at - begin);
    begin = at + kEntry;
  }
  if (count == 2) return RelocationTable{lists[0], {}, lists[1]};
  if (count == 3) return RelocationTable{lists[0], lists[1], lists[2]};
  return damaged();
}

Result<void> relocate(const RelocationTable& table, MutableByteView image, Gva text, std::uint64_t slide) {
  if (slide == 0) return {};
  RS_TRY(relocate_list<std::uint32_t>(table.words32, image, text, slide, Direction::kAdd));
  RS_TRY(relocate_list<std::uint32_t>(table.inverse32, image, text, slide, Direction::kSubtract));
  return relocate_list<std::uint64_t>(table.words64, image, text, slide, Direction::kAdd);
}

}  // namespace ringside::boot
