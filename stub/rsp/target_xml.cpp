#include "stub/rsp/target_xml.hpp"

#include <span>
#include <string_view>

namespace ringside::rsp {
namespace {

using x86::RegFeature;
using x86::RegInfo;

struct FlagBits {
  std::string_view name;
  unsigned first;
  unsigned last;
};

struct FlagsType {
  std::string_view id;
  unsigned bytes;
  RegFeature feature;
  std::span<const FlagBits> bits;
};

// Names of the SDM, which are gdb's where gdb has the type itself; the layout is arch/x86/control.hpp's.
constexpr FlagBits kEflags[] = {
    {"CF", 0, 0},   {"", 1, 1},     {"PF", 2, 2},    {"AF", 4, 4},    {"ZF", 6, 6},   {"SF", 7, 7},
    {"TF", 8, 8},   {"IF", 9, 9},   {"DF", 10, 10},  {"OF", 11, 11},  {"NT", 14, 14}, {"RF", 16, 16},
    {"VM", 17, 17}, {"AC", 18, 18}, {"VIF", 19, 19}, {"VIP", 20, 20}, {"ID", 21, 21}};
constexpr FlagBits kMxcsr[] = {{"IE", 0, 0},   {"DE", 1, 1},   {"ZE", 2, 2},   {"OE", 3, 3},  {"UE", 4, 4},
                               {"PE", 5, 5},   {"DAZ", 6, 6},  {"IM", 7, 7},   {"DM", 8, 8},  {"ZM", 9, 9},
                               {"OM", 10, 10}, {"UM", 11, 11}, {"PM", 12, 12}, {"FZ", 15, 15}};
constexpr FlagBits kCr0[] = {{"PE", 0, 0},   {"MP", 1, 1},   {"EM", 2, 2},   {"TS", 3, 3},
                             {"ET", 4, 4},   {"NE", 5, 5},   {"WP", 16, 16}, {"AM", 18, 18},
                             {"NW", 29, 29}, {"CD", 30, 30}, {"PG", 31, 31}};
constexpr FlagBits kCr4[] = {
    {"VME", 0, 0},          {"PVI", 1, 1},     {"TSD", 2, 2},       {"DE", 3, 3},     {"PSE", 4, 4},
    {"PAE", 5, 5},          {"MCE", 6, 6},     {"PGE", 7, 7},       {"PCE", 8, 8},    {"OSFXSR", 9, 9},
    {"OSXMMEXCPT", 10, 10}, {"UMIP", 11, 11},  {"LA57", 12, 12},    {"VMXE", 13, 13}, {"SMXE", 14, 14},
    {"FSGSBASE", 16, 16},   {"PCIDE", 17, 17}, {"OSXSAVE", 18, 18}, {"SMEP", 20, 20}, {"SMAP", 21, 21},
    {"PKE", 22, 22},        {"CET", 23, 23},   {"PKS", 24, 24}};
constexpr FlagBits kEfer[] = {{"SCE", 0, 0},    {"LME", 8, 8},     {"LMA", 10, 10},   {"NXE", 11, 11},
                              {"SVME", 12, 12}, {"LMSLE", 13, 13}, {"FFXSR", 14, 14}, {"TCE", 15, 15}};
constexpr FlagBits kDr6[] = {{"B0", 0, 0},   {"B1", 1, 1},   {"B2", 2, 2},   {"B3", 3, 3},
                             {"BD", 13, 13}, {"BS", 14, 14}, {"BT", 15, 15}, {"RTM", 16, 16}};
constexpr FlagBits kDr7[] = {{"L0", 0, 0},    {"G0", 1, 1},     {"L1", 2, 2},    {"G1", 3, 3},
                             {"L2", 4, 4},    {"G2", 5, 5},     {"L3", 6, 6},    {"G3", 7, 7},
                             {"LE", 8, 8},    {"GE", 9, 9},     {"RTM", 11, 11}, {"GD", 13, 13},
                             {"RW0", 16, 17}, {"LEN0", 18, 19}, {"RW1", 20, 21}, {"LEN1", 22, 23},
                             {"RW2", 24, 25}, {"LEN2", 26, 27}, {"RW3", 28, 29}, {"LEN3", 30, 31}};

constexpr FlagsType kFlagsTypes[] = {
    {"i386_eflags", 4, RegFeature::kCore, kEflags}, {"i386_mxcsr", 4, RegFeature::kSse, kMxcsr},
    {"x86_cr0", 8, RegFeature::kSystem, kCr0},      {"x86_cr4", 8, RegFeature::kSystem, kCr4},
    {"x86_efer", 8, RegFeature::kSystem, kEfer},    {"x86_dr6", 8, RegFeature::kDebug, kDr6},
    {"x86_dr7", 8, RegFeature::kDebug, kDr7},
};

// gdb's vec128: an xmm register as each kind of element.
constexpr std::string_view kVec128 =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
    "<union id=\"vec128\">\n"
    "<field name=\"v4_float\" type=\"v4f\"/>\n"
    "<field name=\"v2_double\" type=\"v2d\"/>\n"
    "<field name=\"v16_int8\" type=\"v16i8\"/>\n"
    "<field name=\"v8_int16\" type=\"v8i16\"/>\n"
    "<field name=\"v4_int32\" type=\"v4i32\"/>\n"
    "<field name=\"v2_int64\" type=\"v2i64\"/>\n"
    "<field name=\"uint128\" type=\"uint128\"/>\n"
    "</union>\n";
constexpr std::string_view kTwoUint128 = "<vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>\n";

void append_attribute(std::string& out, std::string_view name, std::string_view value) {
  out += ' ';
  out += name;
  out += "=\"";
  out += value;
  out += '"';
}

void append_flags(std::string& out, const FlagsType& type) {
  out += "<flags";
  append_attribute(out, "id", type.id);
  append_attribute(out, "size", std::to_string(type.bytes));
  out += ">\n";
  for (const FlagBits& bits : type.bits) {
    out += "<field";
    append_attribute(out, "name", bits.name);
    append_attribute(out, "start", std::to_string(bits.first));
    append_attribute(out, "end", std::to_string(bits.last));
    out += "/>\n";
  }
  out += "</flags>\n";
}

// gdb looks types up in the feature that uses them, so each feature brings its own.
void append_types(std::string& out, RegFeature feature) {
  for (const FlagsType& type : kFlagsTypes) {
    if (type.feature == feature) append_flags(out, type);
  }
  if (feature == RegFeature::kSse || feature == RegFeature::kAvx512) out += kVec128;
  if (feature == RegFeature::kAvx512) out += kTwoUint128;
}

// `info registers` shows "general" and whatever gdb does not know; LLDB names its register sets after it.
std::string_view group_of(const RegInfo& reg) {
  switch (reg.feature) {
    case RegFeature::kCore:
      return reg.group == x86::RegGroup::kFpu ? "float" : "general";
    case RegFeature::kSegments:
      return "general";
    case RegFeature::kSse:
    case RegFeature::kAvx:
    case RegFeature::kAvx512:
      return "vector";
    case RegFeature::kMsr:
      return "msr";
    case RegFeature::kDebug:
      return "debug";
    default:
      return "system";
  }
}

// gdb saves registers and writes them back around a call it makes in the guest: not those that would switch
// page tables or clear a breakpoint on the way.
bool is_system_state(RegFeature feature) {
  return feature == RegFeature::kSystem || feature == RegFeature::kMsr || feature == RegFeature::kDebug;
}

void append_reg(std::string& out, const RegInfo& reg, std::size_t number) {
  out += "<reg";
  append_attribute(out, "name", reg.name);
  append_attribute(out, "bitsize", std::to_string(8 * reg.bytes));
  append_attribute(out, "type", reg.type);
  append_attribute(out, "regnum", std::to_string(number));
  append_attribute(out, "group", group_of(reg));
  if (is_system_state(reg.feature)) append_attribute(out, "save-restore", "no");
  out += "/>\n";
}

// Without its feature's name orig_rax is a register like any other, and gdb does not take the guest for a
// Linux process; but it keeps its number and its place in `g`.
std::string_view name_of(RegFeature feature, Personality personality) {
  if (feature == RegFeature::kLinux && personality == Personality::kBare) return "org.ringside.x86.linux";
  return x86::feature_name(feature);
}

void open_feature(std::string& out, std::string_view name, RegFeature feature) {
  out += "<feature";
  append_attribute(out, "name", name);
  out += ">\n";
  append_types(out, feature);
}

}  // namespace

std::string target_xml(const x86::CpuFeatures& cpu, Personality personality) {
  std::string out =
      "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n"
      "<architecture>i386:x86-64</architecture>\n";
  out += personality == Personality::kLinux ? "<osabi>GNU/Linux</osabi>\n" : "<osabi>none</osabi>\n";
  const auto all = x86::registers();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!x86::has_feature(cpu, all[i].feature)) continue;
    const bool first = i == 0 || all[i - 1].feature != all[i].feature;
    const bool last = i + 1 == all.size() || all[i + 1].feature != all[i].feature;
    if (first) open_feature(out, name_of(all[i].feature, personality), all[i].feature);
    append_reg(out, all[i], i);
    if (last) out += "</feature>\n";
  }
  return out + "</target>\n";
}

}  // namespace ringside::rsp
