#include "tests/model/bare_guest.hpp"

#include <algorithm>

#include "arch/result.hpp"

namespace ringside::model {
namespace {

constexpr std::uint64_t kWindow = 2u << 20;  // of either mapping

Bytes loop() {
  return {0x90, 0x90, 0x90, 0x90, 0x90,                    //
          0xfe, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00, 0x90,  // inc byte [kData]
          0xcc, 0x90,                                      //
          0xfe, 0x04, 0x25, 0x01, 0xa0, 0x00, 0x00, 0x90,  // inc byte [kData + 1]
          0xeb, 0xe7};
}

// vCPU 1 begins at kCode + 0x100, vCPU 2 at kCode + 0x200; a short jump reaches 128 bytes back.
constexpr std::array<std::pair<std::uint64_t, std::uint8_t>, 6> kJumps{
    {{0x100, 0x80}, {0x82, 0x80}, {0x200, 0x80}, {0x182, 0x80}, {0x104, 0x80}, {0x86, 0x86}}};

}  // namespace

BareGuest::BareGuest(fakes::FakeMachine& machine) : ram_(fakes::kRamBytes), cpus_(machine.vcpu_count()) {
  RS_CHECK(cpus_.size() <= kMostCpus);
  machine.put(fakes::kCode, loop());
  for (const auto& [from, distance] : kJumps) machine.put(fakes::kCode + from, {0xeb, distance});
  RS_CHECK(machine.memory().read(Gpa{0}, ram_));
  loaded_ = ram_;
  reset();
}

void BareGuest::reset() {
  ram_ = loaded_;
  for (std::size_t i = 0; i < cpus_.size(); ++i) cpus_[i].rip = Gva{fakes::kCode + 0x100 * i};
}

std::optional<Gpa> BareGuest::physical(Gva at) {
  const std::uint64_t offset = at.value >= fakes::kKernel ? at.value - fakes::kKernel : at.value;
  return offset < kWindow ? std::optional(Gpa{offset}) : std::nullopt;
}

std::optional<Gpa> BareGuest::step(VcpuId vcpu) {
  Cpu& cpu = cpus_.at(vcpu.number);
  const std::uint8_t* code = ram_.data() + physical(cpu.rip).value().value;
  switch (code[0]) {
    case 0xcc:
      ++cpu.own_int3;
      [[fallthrough]];
    case 0x90:
      cpu.rip = cpu.rip + 1;
      return std::nullopt;
    case 0xeb:
      cpu.rip = cpu.rip + 2 + static_cast<std::uint64_t>(static_cast<std::int8_t>(code[1]));
      return std::nullopt;
    default: {
      RS_CHECK(code[0] == 0xfe);
      const Gpa at{load<std::uint32_t>(code + 3)};
      ++ram_.at(at.value);
      cpu.rip = cpu.rip + 7;
      return at;
    }
  }
}

void BareGuest::write(Gpa at, ByteView data) {
  std::ranges::copy(data, ram_.begin() + static_cast<std::ptrdiff_t>(at.value));
}

}  // namespace ringside::model
