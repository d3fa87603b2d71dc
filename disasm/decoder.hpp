// Machine code to text, in the CPU's actual mode.  The only includer of Capstone; no type of its escapes.
// Thread: any; a Decoder is used by one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "arch/x86/cpu.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {

struct Line {
  Gva at;
  std::uint8_t length = 0;  // bytes
  std::string text;         // AT&T syntax, as gdb shows by default; "(bad)" for what is no instruction
};

class Decoder {
 public:
  static Result<Decoder> create(x86::CodeSize size);
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  // At most `count` instructions from the start of `code`, which lies at `at`; an instruction cut off by the
  // end of `code` is not given.  An undecodable byte is a line of its own.
  std::vector<Line> lines(ByteView code, Gva at, std::size_t count) const;

 private:
  struct Handle;
  explicit Decoder(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

}  // namespace ringside::disasm
