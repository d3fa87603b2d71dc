// Code that somebody wants to read, as people name it.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/x86/cpu.hpp"

namespace ringside::tracer {

struct CodePlace {
  std::optional<std::uint16_t> segment = {};  // CS:IP as in real mode: `at` is the offset in it
  std::optional<std::uint64_t> at = {};    // else linear, or physical; nothing: what the vCPU executes next
  std::optional<x86::CodeSize> size = {};  // nothing: the vCPU's present mode; with a segment 16 bits
};

}  // namespace ringside::tracer
