// Registers, and a displacement, chosen so that an instruction works on mapped memory.
#pragma once

#include <random>

#include "arch/bytes.hpp"
#include "arch/x86/cpu.hpp"

namespace ringside::test {

struct Aimed {
  Bytes code;
  x86::CoreRegs regs;
};

// `code` is one instruction, to be run at TwoWays::kAt.
Aimed aim(ByteView code, std::mt19937_64& random);

}  // namespace ringside::test
