// A vmcore on disk, made from whoever can tell the guest's registers and memory.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "arch/x86/regs.hpp"
#include "stub/guestos/vmcore.hpp"

namespace ringside::cli {

// What goes into the file.  The guest stands still as long as this is asked.
struct DumpContents {
  std::vector<guestos::DumpedCpu> cpus;
  std::string vmcoreinfo;  // empty when the kernel has none
  std::optional<guestos::KernelMaps> maps;
  std::vector<guestos::DumpedRam> ram;
  // Calls `take` with the region's bytes, in order and in pieces of whole pages.
  std::function<Result<void>(const guestos::DumpedRam&, const std::function<Result<void>(ByteView)>& take)>
      read;
};

struct DumpSize {
  std::uint64_t memory = 0;   // bytes of RAM
  std::uint64_t written = 0;  // of them, in the file: pages of zeros are holes
};

// `path` is complete or as it was before: it is written under another name beside it.
Result<DumpSize> write_dump(DumpContents contents, const std::string& path);

std::string to_text(const DumpSize& size);  // "256 MiB of memory, 61 MiB of it not zero"

}  // namespace ringside::cli
