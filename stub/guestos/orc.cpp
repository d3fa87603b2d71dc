#include "stub/guestos/orc.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace ringside::guestos {
namespace {

constexpr std::uint64_t kMostEntries = 16u << 20;
constexpr std::uint64_t kAtOnce = 64;  // words of the table that are read together, where the search ends

std::uint64_t field(std::uint64_t entry, const Btf::Bits& where) {
  return entry >> where.offset & ((std::uint64_t{1} << where.width) - 1);
}

bool fits(const Btf::Bits& where, std::uint64_t bytes) {
  return where.width >= 1 && where.width <= 16 && where.offset < 64 &&
         where.offset + where.width <= bytes * 8;
}

OrcEntry::Reg register_of(std::uint64_t number, bool newer) {
  using enum OrcEntry::Reg;
  constexpr std::array kOlder{kUndefined, kPreviousSp, kDx,  kDi,         kBp,
                              kSp,        kR10,        kR13, kBpIndirect, kSpIndirect};
  constexpr std::array kNewer{kUndefined, kAx,  kDx,         kSp,         kBp,        kDi,
                              kR10,       kR13, kPreviousSp, kSpIndirect, kBpIndirect};
  if (newer) return number < kNewer.size() ? kNewer[number] : kUndefined;
  return number < kOlder.size() ? kOlder[number] : kUndefined;
}

// Of the older numbering; the end is marked on entries that say nothing else.
OrcEntry::Type older_type(std::uint64_t number, OrcEntry::Reg sp_reg, bool end) {
  using enum OrcEntry::Type;
  constexpr std::array kTypes{kCall, kRegs, kRegsPartial};
  if (sp_reg == OrcEntry::Reg::kUndefined) return end ? kEndOfStack : kUndefined;
  return number < kTypes.size() ? kTypes[number] : kUndefined;
}

OrcEntry::Type newer_type(std::uint64_t number) {
  using enum OrcEntry::Type;
  constexpr std::array kTypes{kUndefined, kEndOfStack, kCall, kRegs, kRegsPartial};
  return number < kTypes.size() ? kTypes[number] : kUndefined;
}

}  // namespace

std::optional<OrcFormat> OrcFormat::fields(const Btf& btf) {
  OrcFormat format;
  const std::uint64_t size = bytes(&btf);
  const auto get = [&](std::string_view member) {
    const auto bits = btf.bits("orc_entry", member);
    return bits && fits(*bits, size) ? bits : std::nullopt;
  };
  const auto sp_offset = get("sp_offset"), bp_offset = get("bp_offset"), sp_reg = get("sp_reg"),
             bp_reg = get("bp_reg"), type = get("type");
  if (!sp_offset || !bp_offset || !sp_reg || !bp_reg || !type) return std::nullopt;
  format.sp_offset_ = *sp_offset;
  format.bp_offset_ = *bp_offset;
  format.sp_reg_ = *sp_reg;
  format.bp_reg_ = *bp_reg;
  format.type_ = *type;
  format.signal_ = get("signal");
  format.end_ = get("end");
  return format;
}

OrcFormat OrcFormat::usual_fields(std::uint64_t call) {
  constexpr std::uint64_t kCallOfOlder = 0;
  OrcFormat format;
  if (field(call, {40, 2}) == kCallOfOlder) {
    format.type_ = {40, 2};
    format.end_ = Btf::Bits{42, 1};
  } else {
    format.signal_ = Btf::Bits{43, 1};
  }
  return format;
}

std::uint64_t OrcFormat::bytes(const Btf* btf) {
  constexpr std::uint64_t kUsual = 6;
  const auto size = btf == nullptr ? std::nullopt : btf->size_of("orc_entry");
  return size && *size <= kMostBytes ? *size : kUsual;
}

std::optional<OrcFormat> OrcFormat::from(const Btf* btf, std::uint64_t call) {
  constexpr std::int16_t kReturnAddress = 8;
  const auto known = btf == nullptr ? std::nullopt : fields(*btf);
  OrcFormat format = known.value_or(usual_fields(call));
  for (const bool newer : {false, true}) {
    format.newer_registers_ = newer;
    const OrcEntry entry = format.decode(call);
    if (entry.type == OrcEntry::Type::kCall && entry.sp_reg == OrcEntry::Reg::kSp &&
        entry.sp_offset == kReturnAddress)
      return format;
  }
  return std::nullopt;
}

OrcEntry OrcFormat::decode(std::uint64_t entry) const {
  OrcEntry out;
  out.sp_offset = static_cast<std::int16_t>(field(entry, sp_offset_));
  out.bp_offset = static_cast<std::int16_t>(field(entry, bp_offset_));
  out.sp_reg = register_of(field(entry, sp_reg_), newer_registers_);
  out.bp_reg = register_of(field(entry, bp_reg_), newer_registers_);
  const std::uint64_t type = field(entry, type_);
  out.type = end_ ? older_type(type, out.sp_reg, field(entry, *end_) != 0) : newer_type(type);
  const bool regs = out.type == OrcEntry::Type::kRegs || out.type == OrcEntry::Type::kRegsPartial;
  out.signal = signal_ ? field(entry, *signal_) != 0 : regs;
  return out;
}

std::optional<OrcTables> OrcTables::find(const SymbolTable& symbols, const Btf* btf,
                                         const std::optional<ModuleLayout>& modules,
                                         const VirtualMemory& memory) {
  const auto ips = symbols.find("__start_orc_unwind_ip"), ips_end = symbols.find("__stop_orc_unwind_ip");
  const auto entries = symbols.find("__start_orc_unwind"), entries_end = symbols.find("__stop_orc_unwind");
  const auto function = symbols.find("do_syscall_64");
  if (!ips || !ips_end || !entries || !entries_end || !function || *ips >= *ips_end) return std::nullopt;
  OrcTables tables;
  tables.kernel_ = {*ips, *entries, (*ips_end - *ips) / 4};
  tables.entry_bytes_ = OrcFormat::bytes(btf);
  const std::uint64_t count = tables.kernel_.count;
  if (count > kMostEntries || *entries_end - *entries != count * tables.entry_bytes_) return std::nullopt;
  const auto index = tables.search(tables.kernel_, *function, memory);
  const auto call = index ? tables.raw(tables.kernel_, *index, memory) : std::nullopt;
  const auto format = call ? OrcFormat::from(btf, *call) : std::nullopt;
  if (!format) return std::nullopt;
  tables.format_ = *format;
  if (modules) tables.modules_ = modules->orc;
  return tables;
}

// The last entry at or before `ip`.
std::optional<std::uint64_t> OrcTables::search(const Table& table, Gva ip,
                                               const VirtualMemory& memory) const noexcept {
  const auto place = [&table](std::uint64_t index, std::int32_t distance) {
    return table.ips + 4 * index + static_cast<std::uint64_t>(std::int64_t{distance});
  };
  std::uint64_t begin = 0, end = table.count;
  while (end - begin > kAtOnce) {
    const std::uint64_t middle = begin + (end - begin) / 2;
    const auto distance = memory.load_at<std::int32_t>(table.ips + 4 * middle);
    if (!distance) return std::nullopt;
    (place(middle, *distance) <= ip ? begin : end) = middle;
  }
  std::array<std::int32_t, kAtOnce> some;
  const MutableByteView into(reinterpret_cast<std::uint8_t*>(some.data()), 4 * (end - begin));
  if (end == begin || !memory.read(table.ips + 4 * begin, into)) return std::nullopt;
  while (end > begin && place(end - 1, some[end - 1 - begin]) > ip) --end;
  if (end == begin) return std::nullopt;
  return end - 1;
}

std::optional<std::uint64_t> OrcTables::raw(const Table& table, std::uint64_t index,
                                            const VirtualMemory& memory) const noexcept {
  std::array<std::uint8_t, OrcFormat::kMostBytes> bytes{};
  const std::uint64_t size = entry_bytes_;
  if (!memory.read(table.entries + size * index, MutableByteView(bytes).first(size))) return std::nullopt;
  return load<std::uint64_t>(bytes.data());
}

std::optional<OrcEntry> OrcTables::look_up(const Table& table, Gva ip,
                                           const VirtualMemory& memory) const noexcept {
  const auto index = search(table, ip, memory);
  const auto entry = index ? raw(table, *index, memory) : std::nullopt;
  if (!entry) return std::nullopt;
  return format_.decode(*entry);
}

std::optional<OrcEntry> OrcTables::in_kernel(Gva ip, const VirtualMemory& memory) const noexcept {
  return look_up(kernel_, ip, memory);
}

std::optional<OrcEntry> OrcTables::in_module(Gva ip, Gva module, const VirtualMemory& memory) const noexcept {
  if (!modules_) return std::nullopt;
  const auto count = memory.load_at<std::uint32_t>(module + modules_->count);
  const auto ips = memory.load_at<std::uint64_t>(module + modules_->ips);
  const auto entries = memory.load_at<std::uint64_t>(module + modules_->entries);
  if (!count || !ips || !entries || *count > kMostEntries) return std::nullopt;
  return look_up({Gva{*ips}, Gva{*entries}, *count}, ip, memory);
}

}  // namespace ringside::guestos
