// What an agent expression can see and touch: a stopped CPU, the trace variables, somewhere to print.
//
// Thread: whoever runs the program; the hub implements this on the vCPU's own thread.  Addresses, sizes and
// numbers come from a client or from guest memory and may be anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"

namespace ringside::agent {

class Environment {
 public:
  virtual ~Environment() = default;

  virtual bool read_memory(Gva at, MutableByteView into) noexcept = 0;  // all or nothing; may cross pages
  // By gdb's number, zero-extended; nothing when there is none, or when it is wider than 8 bytes.
  virtual std::optional<std::uint64_t> read_register(unsigned number) noexcept = 0;
  virtual std::optional<std::uint64_t> read_variable(unsigned number) noexcept = 0;
  virtual bool write_variable(unsigned number, std::uint64_t value) noexcept = 0;
  virtual void print(std::string_view text) noexcept = 0;  // one printf; the text is good for the call only

  // What the trace opcodes collect.  A false ends the program; one that collects nothing says true.
  virtual bool record_memory(Gva /*at*/, std::uint64_t /*size*/) noexcept { return true; }
  // Up to and with the NUL, but no more than `limit` bytes.
  virtual bool record_string(Gva /*at*/, std::uint64_t /*limit*/) noexcept { return true; }
  virtual bool record_variable(unsigned /*number*/) noexcept { return true; }
};

}  // namespace ringside::agent
