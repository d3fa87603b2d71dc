// The target description gdb and LLDB read at attach, written out of regs.def (RSP "Target Descriptions").
#pragma once

#include <cstdint>
#include <string>

#include "arch/x86/regs.hpp"

namespace ringside::rsp {

// Which gdb is to make of the guest.  Register numbers and the `g` packet are the same in both.
enum class Personality : std::uint8_t {
  kLinux,  // GNU/Linux ABI: `catch syscall` works, `qXfer:libraries` does not
  kBare,   // no ABI: the other way round
};

// One document without includes, every type declared, every register with its regnum.  It depends on nothing
// but the arguments: gdb 17 reads it twice and wants the same.
std::string target_xml(const x86::CpuFeatures& cpu, Personality personality);

}  // namespace ringside::rsp
