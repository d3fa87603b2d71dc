// The kernel's type information (Documentation/bpf/btf.rst), as much of it as tells where members are.  Owns
// its copy of the section; every offset in it is checked before use, chains of types are cut off.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::guestos {

class Btf {
 public:
  static Result<Btf> parse(Bytes section);
  Btf(Btf&&) = default;
  Btf& operator=(Btf&&) = default;

  // Offset in bytes of a member of a struct or union.  "a.b" goes into nested ones; unnamed ones are looked
  // through.  A bit field is where its first byte is.
  std::optional<std::uint64_t> member(std::string_view structure, std::string_view path) const;
  std::optional<std::uint64_t> size_of(std::string_view structure) const;
  // Of the member itself; of an array, the whole.
  std::optional<std::uint64_t> member_size(std::string_view structure, std::string_view path) const;
  // Where a member lies in bits, of a bit field too.
  struct Bits {
    std::uint64_t offset = 0;
    std::uint64_t width = 0;
    bool operator==(const Bits&) const = default;
  };
  std::optional<Bits> bits(std::string_view structure, std::string_view path) const;
  std::size_t type_count() const { return types_.size(); }

 private:
  using Type = std::uint32_t;
  struct Found {
    std::uint64_t bits = 0;
    Type type = 0;
    std::uint32_t width = 0;  // bits, of a bit field; else 0
  };

  Btf() = default;
  Result<void> index_types(std::uint32_t begin, std::uint32_t end);
  std::uint32_t word(std::uint64_t at) const;
  std::string_view name(std::uint32_t offset) const;
  unsigned kind(Type type) const;
  std::uint32_t length(Type type) const;
  bool is_structure(Type type) const;
  Type stripped(Type type) const;
  std::optional<std::uint64_t> size(Type type) const;
  std::optional<Found> find(Type type, std::string_view wanted, unsigned depth, std::uint32_t& fuel) const;
  std::optional<Found> find_path(std::string_view structure, std::string_view path) const;

  Bytes bytes_;
  std::uint32_t strings_ = 0, strings_end_ = 0;
  std::vector<std::uint32_t> types_;  // where each is in bytes_; [0] is void
  std::unordered_map<std::string_view, Type> structures_;
};

}  // namespace ringside::guestos
