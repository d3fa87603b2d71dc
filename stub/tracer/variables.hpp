// Trace state variables that the monitor provides: for conditions and commands, offered to gdb by qTfV, after
// which `break vfs_read if $cpu == 1` compiles to getv (RSP "Tracepoint Packets", qTfV).  Numbers are part of
// the protocol: they never change their meaning.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ringside::tracer {

enum class Variable : std::uint16_t {
  kCpu = 1,    // number of the vCPU that hit
  kHits = 2,   // how often this point of this tracer has been hit, this hit included
  kKtime = 3,  // nanoseconds of the guest's time stamp counter since power-on
  // Of the task that the CPU runs, where the guest is a Linux that has been recognised:
  kPid = 4,   // the thread's number
  kTgid = 5,  // the process's
  kComm = 6,  // the first 8 bytes of its name, the first one lowest
};

constexpr bool is_of_task(std::uint16_t variable) {
  return variable >= static_cast<std::uint16_t>(Variable::kPid) &&
         variable <= static_cast<std::uint16_t>(Variable::kComm);
}

// What kComm is of a name: for "init" 0x74696e69.
inline std::uint64_t comm_value(const std::array<char, 16>& comm) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < 8 && comm[i] != '\0'; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(comm[i])} << (8 * i);
  }
  return value;
}

struct VariableInfo {
  Variable number;
  std::string_view name;
};

inline constexpr std::array kVariables = {
    VariableInfo{Variable::kCpu, "cpu"},     VariableInfo{Variable::kHits, "hits"},
    VariableInfo{Variable::kKtime, "ktime"}, VariableInfo{Variable::kPid, "pid"},
    VariableInfo{Variable::kTgid, "tgid"},   VariableInfo{Variable::kComm, "comm"},
};

}  // namespace ringside::tracer
