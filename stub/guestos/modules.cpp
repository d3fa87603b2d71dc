#include "stub/guestos/modules.hpp"

#include <algorithm>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

constexpr std::size_t kMostModules = 4096;
constexpr std::size_t kMostSections = 256;
constexpr std::size_t kNameBytes = 64;  // MODULE_NAME_LEN is 64 - sizeof(long)
constexpr std::uint32_t kUnformed = 3;  // MODULE_STATE_UNFORMED: not filled in yet

std::vector<Kernel::Module::Section> sections(const ModuleLayout& at, Gva module,
                                              const VirtualMemory& memory) {
  std::vector<Kernel::Module::Section> all;
  const auto attributes = memory.load_at<std::uint64_t>(module + at.sect_attrs);
  if (!attributes || *attributes == 0) return all;
  if (!at.section_list || !at.section_name || !at.section_address) return all;
  const auto list = memory.load_at<std::uint64_t>(Gva{*attributes} + *at.section_list);
  for (std::uint64_t i = 0; list && i < kMostSections; ++i) {
    const auto one = memory.load_at<std::uint64_t>(Gva{*list} + 8 * i);
    if (!one || *one == 0) break;
    const auto name = memory.load_at<std::uint64_t>(Gva{*one} + *at.section_name);
    const auto where = memory.load_at<std::uint64_t>(Gva{*one} + *at.section_address);
    if (!name || !where) break;
    all.push_back({text_at(memory, Gva{*name}, kNameBytes), Gva{*where}});
  }
  return all;
}

std::optional<Kernel::Module> describe(const ModuleLayout& at, Gva module, const VirtualMemory& memory) {
  const auto state = memory.load_at<std::uint32_t>(module + at.state);
  const auto base = memory.load_at<std::uint64_t>(module + at.base);
  if (!state || !base) return std::nullopt;
  Kernel::Module found{
      .name = text_at(memory, module + at.name, kNameBytes), .at = Gva{*base}, .sections = {}};
  for (std::uint64_t region = 0; region < std::min<std::uint64_t>(at.regions, 16); ++region) {
    found.size += memory.load_at<std::uint32_t>(module + at.size + region * at.region_bytes).value_or(0);
  }
  if (*state == kUnformed) found.name.clear();
  if (!found.name.empty()) found.sections = sections(at, module, memory);
  return found;
}

}  // namespace

Result<std::vector<Kernel::Module>> read_modules(const ModuleLayout& at, const VirtualMemory& memory) {
  std::vector<Kernel::Module> all;
  auto node = memory.load_at<std::uint64_t>(at.modules);
  for (std::size_t steps = 0; node && *node != at.modules.value; ++steps) {
    auto one = describe(at, Gva{*node} - at.list, memory);
    if (!one || steps >= kMostModules) {
      return fail(Errc::kMalformed, "the guest's list of modules is damaged, or has no end");
    }
    if (!one->name.empty()) all.push_back(std::move(*one));
    node = memory.load_at<std::uint64_t>(Gva{*node});
  }
  if (!node) return fail(Errc::kNotMapped, "the guest's list of modules cannot be read");
  return all;
}

}  // namespace ringside::guestos
