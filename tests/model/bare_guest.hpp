// The guest as it would be if nobody looked at it: the fake machine's instructions, and no debug hardware.
//
// What a debugger may change of it, memory and registers, is changed here too.  All vCPUs come to one loop:
//
//   0 1 2 3 4   5              12    13     14    15               22    23
//   nop x 5     inc [kData]    nop   int3   nop   inc [kData + 1]  nop   jmp 0     (the int3 is the guest's
//   own)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/ids.hpp"
#include "tests/fakes/fake_machine.hpp"

namespace ringside::model {

class BareGuest {
 public:
  // Where the loop's instructions begin, and those of one byte: offsets from kCode.
  static constexpr std::array<std::uint8_t, 12> kStarts{0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 22, 23};
  static constexpr std::array<std::uint8_t, 9> kSingles{0, 1, 2, 3, 4, 12, 13, 14, 22};
  static constexpr std::size_t kLoopBytes = 25;
  static constexpr std::size_t kMostCpus = 3;

  // Writes the program into the machine, which has not been started.
  explicit BareGuest(fakes::FakeMachine& machine);

  void reset();
  // Executes one instruction; says which byte it wrote, if any.
  std::optional<Gpa> step(VcpuId vcpu);
  void move(VcpuId vcpu, Gva to) { cpus_.at(vcpu.number).rip = to; }
  void write(Gpa at, ByteView data);

  Gva rip(VcpuId vcpu) const { return cpus_.at(vcpu.number).rip; }
  int own_int3(VcpuId vcpu) const { return cpus_.at(vcpu.number).own_int3; }
  const Bytes& ram() const { return ram_; }
  // Where an address of the tables' two windows leads; nothing for any other.
  static std::optional<Gpa> physical(Gva at);

 private:
  struct Cpu {
    Gva rip;
    int own_int3 = 0;
  };
  Bytes ram_;
  Bytes loaded_;
  std::vector<Cpu> cpus_;
};

}  // namespace ringside::model
