// A kernel's symbols: by name and by address.  Immutable once made.
//
// Names of a kernel are many (190,000) and read once: they lie in one block, found by a hash table of
// indices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/addr.hpp"

namespace ringside::guestos {

class SymbolTable {
 public:
  struct Entry {
    Gva at;
    char type = '?';  // as nm
    std::string_view name;
  };

  // In any order; of several of one name the lowest address is found by it.
  void reserve(std::size_t count, std::size_t name_bytes);
  void add(Gva at, char type, std::string_view name);
  // After the last add(): nothing is found before.  A name that collides with too many others is not found.
  void seal();

  std::size_t size() const { return symbols_.size(); }
  Entry operator[](std::size_t index) const;
  std::optional<Gva> find(std::string_view name) const;
  // The last symbol at or before `at`; of several at one address the first that was added.
  std::optional<Entry> at_or_before(Gva at) const;
  // The next address that has a symbol.
  std::optional<Gva> after(Gva at) const;

  // A name of this very address that begins with `prefix`.
  std::optional<std::string_view> alias(Gva at, std::string_view prefix) const;

 private:
  struct Symbol {
    std::uint64_t at = 0;
    std::uint32_t name = 0;  // in names_
    std::uint16_t length = 0;
    char type = '?';
  };
  std::string_view name_of(const Symbol& symbol) const {
    return std::string_view(names_).substr(symbol.name, symbol.length);
  }

  std::string names_;
  std::vector<Symbol> symbols_;       // by address
  std::vector<std::uint32_t> slots_;  // index + 1; a power of two of them, at most half in use
};

}  // namespace ringside::guestos
