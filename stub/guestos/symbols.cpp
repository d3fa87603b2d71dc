#include "stub/guestos/symbols.hpp"

#include <algorithm>
#include <bit>
#include <functional>

namespace ringside::guestos {
namespace {

constexpr std::size_t kMostProbes = 512;  // names are the guest's: it may have chosen ones that collide

}  // namespace

void SymbolTable::reserve(std::size_t count, std::size_t name_bytes) {
  symbols_.reserve(count);
  names_.reserve(name_bytes);
}

void SymbolTable::add(Gva at, char type, std::string_view name) {
  symbols_.push_back({.at = at.value,
                      .name = static_cast<std::uint32_t>(names_.size()),
                      .length = static_cast<std::uint16_t>(name.size()),
                      .type = type});
  names_.append(name);
}

void SymbolTable::seal() {
  std::ranges::stable_sort(symbols_, {}, &Symbol::at);
  slots_.assign(std::bit_ceil(symbols_.size() * 2 + 2), 0);
  for (std::uint32_t i = 0; i < symbols_.size(); ++i) {
    const std::string_view name = name_of(symbols_[i]);
    const std::size_t first = std::hash<std::string_view>{}(name);
    for (std::size_t slot = first; slot - first < kMostProbes; ++slot) {
      std::uint32_t& place = slots_[slot & (slots_.size() - 1)];
      if (place != 0 && name_of(symbols_[place - 1]) == name) break;
      if (place != 0) continue;
      place = i + 1;
      break;
    }
  }
}

SymbolTable::Entry SymbolTable::operator[](std::size_t index) const {
  const Symbol& symbol = symbols_[index];
  return {{symbol.at}, symbol.type, name_of(symbol)};
}

std::optional<Gva> SymbolTable::find(std::string_view name) const {
  if (slots_.empty()) return std::nullopt;
  const std::size_t first = std::hash<std::string_view>{}(name);
  for (std::size_t slot = first; slot - first < kMostProbes; ++slot) {
    const std::uint32_t place = slots_[slot & (slots_.size() - 1)];
    if (place == 0) return std::nullopt;
    if (name_of(symbols_[place - 1]) == name) return Gva{symbols_[place - 1].at};
  }
  return std::nullopt;
}

std::optional<std::string_view> SymbolTable::alias(Gva at, std::string_view prefix) const {
  auto symbol = std::ranges::lower_bound(symbols_, at.value, {}, &Symbol::at);
  for (; symbol != symbols_.end() && symbol->at == at.value; ++symbol) {
    if (name_of(*symbol).starts_with(prefix)) return name_of(*symbol);
  }
  return std::nullopt;
}

std::optional<Gva> SymbolTable::after(Gva at) const {
  const auto behind = std::ranges::upper_bound(symbols_, at.value, {}, &Symbol::at);
  if (behind == symbols_.end()) return std::nullopt;
  return Gva{behind->at};
}

std::optional<SymbolTable::Entry> SymbolTable::at_or_before(Gva at) const {
  const auto behind = std::ranges::upper_bound(symbols_, at.value, {}, &Symbol::at);
  if (behind == symbols_.begin()) return std::nullopt;
  const auto first = std::ranges::lower_bound(symbols_, std::prev(behind)->at, {}, &Symbol::at);
  return (*this)[static_cast<std::size_t>(first - symbols_.begin())];
}

}  // namespace ringside::guestos
