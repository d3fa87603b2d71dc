// Prints one target description: print_target_xml <avx> <avx512> <pkru> <linux>, each 0 or 1.
#include <cstdio>
#include <string_view>

#include "stub/rsp/target_xml.hpp"

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const auto is_on = [&](int i) { return std::string_view(argv[i]) == "1"; };
  const ringside::x86::CpuFeatures cpu{.avx = is_on(1), .avx512 = is_on(2), .pkru = is_on(3)};
  const auto personality = is_on(4) ? ringside::rsp::Personality::kLinux : ringside::rsp::Personality::kBare;
  std::fputs(ringside::rsp::target_xml(cpu, personality).c_str(), stdout);
  return 0;
}
