#include "stub/guestos/module_lookup.hpp"

#include <algorithm>
#include <array>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

constexpr std::uint64_t kMostRegions = 16;
constexpr std::uint32_t kMostSymbols = 200'000;
constexpr std::size_t kNameBytes = 64;  // MODULE_NAME_LEN is 64 - sizeof(long)

// Elf64_Sym (System V ABI, AMD64 supplement).
struct ElfSymbol {
  std::uint32_t name;
  std::uint8_t info, other;
  std::uint16_t section;
  std::uint64_t value, size;
};
static_assert(sizeof(ElfSymbol) == 24);

// The region of the module that has `at`.
std::optional<GvaRange> region_of(const ModuleLayout& layout, Gva module, Gva at,
                                  const VirtualMemory& memory) noexcept {
  for (std::uint64_t i = 0; i < std::min(layout.regions, kMostRegions); ++i) {
    const Gva region = module + i * layout.region_bytes;
    const auto base = memory.load_at<std::uint64_t>(region + layout.base);
    const auto size = memory.load_at<std::uint32_t>(region + layout.size);
    if (base && size && at - Gva{*base} < *size) return GvaRange{Gva{*base}, Gva{*base} + *size};
  }
  return std::nullopt;
}

// Local labels have no place in a stack (include/linux/module_symbol.h).
bool is_label(const std::array<char, 2>& begin) {
  return begin[0] == '\0' || begin[0] == '$' || (begin[0] == '.' && begin[1] == 'L') ||
         (begin[0] == 'L' && begin[1] == '0');
}

class SymbolSearch {
 public:
  SymbolSearch(Gva at, Gva end, Gva names, const VirtualMemory& memory)
      : at_(at), next_(end.value), names_(names), memory_(memory) {}

  void look_at(const ElfSymbol& symbol) noexcept {
    const bool below = symbol.value <= at_.value && (!found_ || symbol.value > found_->value);
    const bool above = symbol.value > at_.value && symbol.value < next_;
    if (symbol.section == 0 || (!below && !above)) return;
    const auto begin = memory_.load_at<std::array<char, 2>>(names_ + symbol.name);
    if (!begin || is_label(*begin)) return;
    if (below) found_ = symbol;
    if (above) next_ = symbol.value;
  }
  const std::optional<ElfSymbol>& found() const { return found_; }
  std::uint64_t size() const { return next_ - found_->value; }

 private:
  Gva at_;
  std::uint64_t next_;
  Gva names_;
  const VirtualMemory& memory_;
  std::optional<ElfSymbol> found_;
};

}  // namespace

std::optional<Gva> find_module(const ModuleLayout& layout, Gva at, const VirtualMemory& memory,
                               std::uint32_t& fuel) noexcept {
  auto node = memory.load_at<std::uint64_t>(layout.modules);
  for (; node && *node != layout.modules.value && fuel > 0; --fuel) {
    const Gva module = Gva{*node} - layout.list;
    if (region_of(layout, module, at, memory)) return module;
    node = memory.load_at<std::uint64_t>(Gva{*node});
  }
  return std::nullopt;
}

std::optional<Kernel::Place> place_in_module(const ModuleLayout& layout, Gva module, Gva at,
                                             const VirtualMemory& memory, std::span<char> into) noexcept {
  constexpr std::uint32_t kAtOnce = 64;
  if (!layout.symbols || into.size() < 2 * kNameBytes) return std::nullopt;
  const auto region = region_of(layout, module, at, memory);
  const Gva list{memory.load_at<std::uint64_t>(module + layout.symbols->list).value_or(0)};
  const auto table = memory.load_at<std::uint64_t>(list + layout.symbols->table_at);
  const auto count = memory.load_at<std::uint32_t>(list + layout.symbols->count_at);
  const auto names = memory.load_at<std::uint64_t>(list + layout.symbols->names_at);
  if (!region || !table || !count || !names) return std::nullopt;
  SymbolSearch search(at, region->end, Gva{*names}, memory);
  std::array<ElfSymbol, kAtOnce> some;
  const std::uint32_t most = std::min(*count, kMostSymbols);
  for (std::uint32_t i = 0; i < most; i += kAtOnce) {
    const std::size_t now = std::min(kAtOnce, most - i);
    const MutableByteView bytes(reinterpret_cast<std::uint8_t*>(some.data()), now * sizeof(ElfSymbol));
    if (!memory.read(Gva{*table} + i * sizeof(ElfSymbol), bytes)) return std::nullopt;
    for (std::size_t j = 0; j < now; ++j) search.look_at(some[j]);
  }
  if (!search.found()) return std::nullopt;
  const auto owner = text_into(memory, module + layout.name, into.first(kNameBytes));
  const auto name = text_into(memory, Gva{*names} + search.found()->name, into.subspan(kNameBytes));
  if (!owner || !name) return std::nullopt;
  return Kernel::Place{.name = {into.data() + kNameBytes, *name},
                       .offset = at.value - search.found()->value,
                       .size = search.size(),
                       .module = {into.data(), *owner}};
}

}  // namespace ringside::guestos
