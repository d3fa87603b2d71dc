// instruction_sample FILE: some instructions of each form that the code of RINGSIDE_TEST_KERNELS has, one a
// line in hexadecimal, for step_plan_test.  The same kernels give the same sample.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "disasm/insn_layout.hpp"
#include "tests/unit/disasm/kernel_text.hpp"

namespace {

using namespace ringside;
using disasm::InsnLayout;

constexpr std::size_t kOfEachForm = 8;

// What makes two instructions different for a test: all but which registers, and which numbers.
using Form = std::tuple<InsnLayout::Coding, InsnLayout::Segment, unsigned, unsigned, unsigned, unsigned,
                        unsigned, unsigned, bool>;

Form form_of(const InsnLayout& insn) {
  const bool has_groups = insn.map == 0 && (insn.opcode >= 0x80 && insn.opcode <= 0x83);
  const bool more_groups = insn.map == 0 && insn.opcode >= 0xc0 && insn.has_modrm;
  const unsigned group =
      has_groups || more_groups || (insn.map == 1 && insn.opcode == 0xba) ? insn.group() : 0;
  const unsigned prefixes =
      (insn.prefix66 ? 1u : 0) | (insn.lock ? 2u : 0) | (insn.rex != 0 ? 4u : 0) | (insn.wide() ? 8u : 0);
  return {insn.coding, insn.segment, insn.map,   insn.opcode,        group,
          prefixes,    insn.repeat,  insn.mod(), insn.rip_relative()};
}

// Keeps an unbiased few of each form (reservoir sampling).
class Sample {
 public:
  void take(const InsnLayout& insn, ByteView code) {
    auto& [seen, kept] = forms_[form_of(insn)];
    ++seen;
    if (kept.size() < kOfEachForm) {
      kept.emplace_back(code.begin(), code.end());
    } else if (const std::size_t slot = random_() % seen; slot < kOfEachForm) {
      kept[slot].assign(code.begin(), code.end());
    }
  }
  void sweep(ByteView text) {
    constexpr std::uint8_t kPadding = 0xcc;
    for (std::size_t at = 0; at < text.size();) {
      const ByteView here = text.subspan(at, std::min(text.size() - at, disasm::kLongestInstruction));
      const auto insn = disasm::read_layout(here);
      if (insn && here[0] != kPadding) take(*insn, here.first(insn->length));
      at += insn ? insn->length : 1u;
    }
  }
  void write(std::ostream& to) const {
    for (const auto& [form, entry] : forms_) {
      for (const Bytes& code : entry.second) to << fmt::format("{:02x}\n", fmt::join(code, ""));
    }
  }

 private:
  std::mt19937_64 random_{1};
  std::map<Form, std::pair<std::size_t, std::vector<Bytes>>> forms_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: instruction_sample FILE\n", stderr);
    return 2;
  }
  Sample sample;
  for (const std::string& kernel : test::test_kernels()) {
    const auto text = test::kernel_text(kernel);
    if (!text) {
      std::fprintf(stderr, "%s: %s\n", kernel.c_str(), text.error().text.c_str());
      return 1;
    }
    sample.sweep(*text);
  }
  std::ofstream out(argv[1]);
  sample.write(out);
  return out.flush() ? 0 : 1;
}
