// A kernel of a few functions with tables for its stacks, put together by hand, and a stack beside it.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "stub/guestos/orc.hpp"
#include "stub/guestos/unwind.hpp"
#include "tests/unit/guestos/images.hpp"

namespace ringside::guestos::test {

using Reg = OrcEntry::Reg;

// As 6.4 and later have it: END_OF_STACK is 1, CALL 2, REGS 3, REGS_PARTIAL 4; SP is 5.
struct NewerOrc {
  std::int16_t sp_offset = 0, bp_offset = 0;
  Reg sp_reg = Reg::kUndefined, bp_reg = Reg::kUndefined;
  unsigned type = 2;
  bool signal = false;

  // Without AX, the registers are in the order of the enumeration.
  static std::uint64_t number(Reg reg) {
    const auto value = static_cast<std::uint64_t>(reg);
    return reg > Reg::kAx ? value - 1 : value;
  }
  std::uint64_t word() const {
    return static_cast<std::uint16_t>(sp_offset) |
           std::uint64_t{static_cast<std::uint16_t>(bp_offset)} << 16 | number(sp_reg) << 32 |
           number(bp_reg) << 36 | std::uint64_t{type} << 40 | std::uint64_t{signal} << 43;
  }
};

// struct orc_entry as type information has it: `older` 0 is the newer one, 1 of 6.1, 2 of 6.3.
inline Btf orc_btf(int older) {
  BtfImage image;
  const auto half = image.integer("short", 2);
  const auto word = image.integer("unsigned int", 4);
  std::vector<BtfImage::Member> members{
      {"sp_offset", half, 0}, {"bp_offset", half, 2}, {"sp_reg", word, 4, 0, 4}, {"bp_reg", word, 4, 4, 4}};
  members.push_back({"type", word, 4, 8, older == 0 ? 3u : 2u});
  if (older != 1) members.push_back({"signal", word, 4, older == 0 ? 11u : 10u, 1});
  if (older != 0) members.push_back({"end", word, 4, older == 1 ? 10u : 11u, 1});
  image.structure("orc_entry", 6, members);
  return std::move(*Btf::parse(image.bytes()));
}

class OrcImage {
 public:
  static constexpr Gva kText{0xffffffff81000000}, kIps{0xffffffff81010000}, kEntries{0xffffffff81020000},
      kStack{0xffffffff81030000}, kEnd{0xffffffff81040000};
  static constexpr std::uint64_t kFunctionBytes = 0x100, kSyscall = 0x7f00;

  // The table, and behind it an entry for do_syscall_64, by which the format is told.
  explicit OrcImage(std::vector<std::pair<std::uint64_t, NewerOrc>> table) {
    if (!table.empty()) table.push_back({kSyscall, {.sp_offset = 8, .sp_reg = Reg::kSp}});
    for (std::size_t i = 0; i < table.size(); ++i) {
      const Gva ip = kIps + 4 * i;
      memory_.put(ip, static_cast<std::uint32_t>(kText + table[i].first - ip));
      put_entry(i, table[i].second.word());
    }
    symbols_.add(kText, 'T', "_stext");
    symbols_.add(kText + 0x8000, 'T', "_etext");
    for (std::uint64_t i = 0; i < 16; ++i)
      symbols_.add(kText + i * kFunctionBytes, 't', "function_" + std::to_string(i));
    if (table.empty()) {
      symbols_.seal();
      return;
    }
    symbols_.add(kText + kSyscall, 'T', "do_syscall_64");
    symbols_.add(kIps, 'R', "__start_orc_unwind_ip");
    symbols_.add(kIps + 4 * table.size(), 'R', "__stop_orc_unwind_ip");
    symbols_.add(kEntries, 'R', "__start_orc_unwind");
    symbols_.add(kEntries + 6 * table.size(), 'R', "__stop_orc_unwind");
    symbols_.seal();
  }
  OrcImage(const OrcImage&) = delete;
  OrcImage& operator=(const OrcImage&) = delete;

  static Gva function(std::uint64_t number, std::uint64_t offset = 0) {
    return kText + number * kFunctionBytes + offset;
  }
  void put_entry(std::size_t index, std::uint64_t entry) {
    const Gva at = kEntries + 6 * index;
    memory_.put(at, static_cast<std::uint32_t>(entry));
    memory_.put(at + 4, static_cast<std::uint16_t>(entry >> 32));
  }
  // A word of the stack.
  void put(std::uint64_t index, std::uint64_t value) { memory_.put(stack(index), value); }
  void put(std::uint64_t index, Gva value) { put(index, value.value); }
  static Gva stack(std::uint64_t index) { return kStack + 8 * index; }

  FlatMemory& memory() { return memory_; }
  const SymbolTable& symbols() const { return symbols_; }
  std::optional<OrcTables> tables(const Btf* btf) const {
    return OrcTables::find(symbols_, btf, std::nullopt, memory_);
  }

 private:
  FlatMemory memory_{kText, kEnd - kText};
  SymbolTable symbols_;
};

}  // namespace ringside::guestos::test
