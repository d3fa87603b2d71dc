#include "stub/guestos/build_id.hpp"

#include <algorithm>
#include <string_view>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {

// Each note: length of name, length of contents, type; name; contents; both padded to 4 bytes.
std::string read_build_id(const SymbolTable& symbols, const VirtualMemory& memory) {
  constexpr std::uint64_t kMostBytes = 65536, kLongestId = 64;
  constexpr std::uint32_t kBuildId = 3;  // NT_GNU_BUILD_ID
  constexpr std::string_view kDigits = "0123456789abcdef", kOwner{"GNU\0", 4};
  const auto begin = symbols.find("__start_notes");
  const auto end = symbols.find("__stop_notes");
  if (!begin || !end || *end <= *begin) return {};
  const Copy notes =
      copy_out(memory, *begin, static_cast<std::size_t>(std::min<std::uint64_t>(*end - *begin, kMostBytes)));
  for (std::uint64_t at = 0;;) {
    const auto name = notes.value<std::uint32_t>(at);
    const auto length = notes.value<std::uint32_t>(at + 4);
    const auto type = notes.value<std::uint32_t>(at + 8);
    if (!name || !length || !type) return {};
    const std::uint64_t name_at = at + 12;
    const std::uint64_t contents = name_at + ((std::uint64_t{*name} + 3) & ~std::uint64_t{3});
    const std::uint64_t next = contents + ((std::uint64_t{*length} + 3) & ~std::uint64_t{3});
    if (next > notes.bytes.size()) return {};
    const auto owner = std::string_view(reinterpret_cast<const char*>(notes.bytes.data()) + name_at, *name);
    if (*type == kBuildId && owner == kOwner && *length <= kLongestId) {
      std::string hex;
      for (std::uint64_t i = 0; i < *length; ++i) {
        hex += kDigits[notes.bytes[contents + i] >> 4];
        hex += kDigits[notes.bytes[contents + i] & 15];
      }
      return hex;
    }
    at = next;
  }
}

}  // namespace ringside::guestos
