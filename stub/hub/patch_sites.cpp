#include "stub/hub/patch_sites.hpp"

#include "arch/bytes.hpp"

namespace ringside::hub {

std::vector<Gva> read_patch_sites(const VirtualMemory& memory, Gva first, std::uint64_t count,
                                  std::uint64_t row) {
  constexpr std::uint64_t kMostSites = 200'000;
  std::vector<Gva> sites;
  if (count > kMostSites) return sites;
  Bytes table(static_cast<std::size_t>(count * row));
  if (!memory.read(first, table)) return sites;
  sites.reserve(static_cast<std::size_t>(count));
  for (std::size_t at = 0; at + row <= table.size(); at += row) {
    const auto distance = static_cast<std::int64_t>(load<std::int32_t>(table.data() + at));
    sites.push_back(first + at + static_cast<std::uint64_t>(distance));
  }
  return sites;
}

}  // namespace ringside::hub
