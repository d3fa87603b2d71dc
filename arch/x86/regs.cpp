#include "arch/x86/regs.hpp"

#include <algorithm>

namespace ringside::x86 {
namespace {

constexpr std::array<RegInfo, kRegCount> make_table() {
  std::array<RegInfo, kRegCount> table{{
#define REG(id, name, bytes, type, feature, group) \
  {name, type, bytes, 0, RegFeature::feature, RegGroup::group},
#include "arch/x86/regs.def"
#undef REG
  }};
  std::uint16_t offset = 0;
  for (RegInfo& row : table) {
    row.offset = offset;
    offset = static_cast<std::uint16_t>(offset + row.bytes);
  }
  return table;
}

constexpr std::array<RegInfo, kRegCount> kTable = make_table();

constexpr bool names_are_unique() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    for (std::size_t j = i + 1; j < kTable.size(); ++j) {
      if (kTable[i].name == kTable[j].name) return false;
    }
  }
  return true;
}

constexpr bool offsets_ascend() {
  for (std::size_t i = 1; i < kTable.size(); ++i) {
    if (kTable[i].offset <= kTable[i - 1].offset) return false;
  }
  return true;
}

// Features appear as one run each; the description is written in one pass over the table.
constexpr bool features_are_runs() {
  for (std::size_t i = 1; i < kTable.size(); ++i) {
    if (kTable[i].feature < kTable[i - 1].feature) return false;
  }
  return true;
}

static_assert(names_are_unique());
static_assert(offsets_ascend());
static_assert(features_are_runs());
// gdb's own layout for GNU/Linux on amd64 (gdb/amd64-linux-tdep.h), which a client without XML assumes.
static_assert(static_cast<unsigned>(Reg::kRip) == 16 && static_cast<unsigned>(Reg::kMxcsr) == 56);
static_assert(static_cast<unsigned>(Reg::kOrigRax) == 57 && static_cast<unsigned>(Reg::kGsBase) == 59);
static_assert(kTable[static_cast<std::size_t>(Reg::kGsBase)].offset + 8 == 560);

constexpr std::array<std::string_view, kRegFeatureCount> kFeatureNames = {
    "org.gnu.gdb.i386.core",     "org.gnu.gdb.i386.sse",    "org.gnu.gdb.i386.linux",
    "org.gnu.gdb.i386.segments", "org.ringside.x86.system", "org.gnu.gdb.i386.pkeys",
    "org.gnu.gdb.i386.avx",      "org.gnu.gdb.i386.avx512", "org.ringside.x86.msr",
    "org.ringside.x86.debug"};

// gdb's first sixteen registers by instruction encoding.
constexpr std::array<Gpr, kGprCount> kGdbOrder = {kRax, kRbx, kRcx, kRdx, kRsi, kRdi, kRbp, kRsp,
                                                  kR8,  kR9,  kR10, kR11, kR12, kR13, kR14, kR15};

}  // namespace

std::span<const RegInfo> registers() { return kTable; }

const RegInfo& info(Reg reg) { return kTable[static_cast<std::size_t>(reg)]; }

std::optional<Reg> find(std::string_view name) {
  const auto row =
      std::find_if(kTable.begin(), kTable.end(), [&](const RegInfo& r) { return r.name == name; });
  if (row == kTable.end()) return std::nullopt;
  return static_cast<Reg>(row - kTable.begin());
}

std::optional<Reg> by_number(unsigned number) {
  if (number >= kRegCount) return std::nullopt;
  return static_cast<Reg>(number);
}

std::string_view feature_name(RegFeature feature) { return kFeatureNames[static_cast<std::size_t>(feature)]; }

bool has_feature(const CpuFeatures& cpu, RegFeature feature) {
  switch (feature) {
    case RegFeature::kPkeys:
      return cpu.pkru;
    case RegFeature::kAvx:
      return cpu.avx;
    case RegFeature::kAvx512:
      return cpu.avx && cpu.avx512;
    default:
      return true;
  }
}

RegisterFile::RegisterFile() : available_(RegGroup::kSynthetic) {
  std::ranges::fill(raw(Reg::kOrigRax), std::uint8_t{0xff});
}

ByteView RegisterFile::raw(Reg reg) const {
  const RegInfo& row = info(reg);
  return ByteView(bytes_).subspan(row.offset, row.bytes);
}

MutableByteView RegisterFile::raw(Reg reg) {
  const RegInfo& row = info(reg);
  return MutableByteView(bytes_).subspan(row.offset, row.bytes);
}

std::uint64_t RegisterFile::u64(Reg reg) const {
  const ByteView from = raw(reg);
  std::uint64_t value = 0;
  std::memcpy(&value, from.data(), std::min(from.size(), sizeof value));
  return value;
}

void RegisterFile::set_u64(Reg reg, std::uint64_t value) {
  if (info(reg).group == RegGroup::kSynthetic) return;
  const MutableByteView to = raw(reg);
  std::ranges::fill(to, std::uint8_t{0});
  std::memcpy(to.data(), &value, std::min(to.size(), sizeof value));
}

bool RegisterFile::set_raw(Reg reg, ByteView value) {
  const MutableByteView to = raw(reg);
  if (value.size() != to.size()) return false;
  if (info(reg).group != RegGroup::kSynthetic) std::memcpy(to.data(), value.data(), value.size());
  return true;
}

bool RegisterFile::available(Reg reg) const { return available_.contains(info(reg).group); }

void RegisterFile::set_available(RegGroup group, bool available) {
  available_ = available ? available_ | group : available_.without(group);
}

void pack_core(const CoreRegs& core, RegisterFile& to) {
  for (unsigned i = 0; i < kGprCount; ++i) to.set_u64(static_cast<Reg>(i), core.gpr[kGdbOrder[i]]);
  to.set_u64(Reg::kRip, core.rip);
  to.set_u64(Reg::kEflags, core.rflags);
  to.set_available(RegGroup::kCore, true);
}

CoreRegs unpack_core(const RegisterFile& from) {
  CoreRegs core;
  for (unsigned i = 0; i < kGprCount; ++i) core.gpr[kGdbOrder[i]] = from.u64(static_cast<Reg>(i));
  core.rip = from.u64(Reg::kRip);
  core.rflags = from.u64(Reg::kEflags);
  return core;
}

}  // namespace ringside::x86
