#include "stub/hub/module_sites.hpp"

#include <algorithm>

#include "stub/hub/patch_sites.hpp"

namespace ringside::hub {

ModuleSites::ModuleSites(const guestos::Kernel& kernel) {
  const auto list = kernel.member("module", "list");
  if (!list) return;
  modules_ = kernel.symbol("modules");
  list_ = *list;
  const auto table = [&](std::string_view first, std::string_view count, std::uint64_t row) {
    const auto at = kernel.member("module", first), length = kernel.member("module", count);
    return at && length ? std::optional(Table{*at, *length, row}) : std::nullopt;
  };
  tables_ = {table("jump_entries", "num_jump_entries", kJumpEntryBytes),
             table("static_call_sites", "num_static_call_sites", kStaticCallSiteBytes)};
}

bool ModuleSites::has(Gva at, const VirtualMemory& memory) const {
  constexpr int kMostModules = 4096;
  if (!modules_) return false;
  auto node = memory.load_at<std::uint64_t>(*modules_);
  for (int steps = 0; node && *node != modules_->value && steps < kMostModules; ++steps) {
    const Gva module = Gva{*node} - list_;
    for (const auto& table : tables_) {
      if (!table) continue;
      const auto first = memory.load_at<std::uint64_t>(module + table->first);
      const auto count = memory.load_at<std::uint32_t>(module + table->count);
      if (!first || !count || *first == 0) continue;
      const auto sites = read_patch_sites(memory, Gva{*first}, *count, table->row);
      if (std::ranges::find(sites, at) != sites.end()) return true;
    }
    node = memory.load_at<std::uint64_t>(Gva{*node});
  }
  return false;
}

}  // namespace ringside::hub
