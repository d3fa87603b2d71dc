// Places in modules that the kernel patches after comparing what is there by plain loads: static keys and static
// calls.  An int3 of ours there would have it stop with a BUG.
//
// Read from the list of modules whenever it is asked: they come and go.  Thread: hub.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "arch/guest_view.hpp"
#include "stub/guestos/kernel.hpp"

namespace ringside::hub {

class ModuleSites {
 public:
  explicit ModuleSites(const guestos::Kernel& kernel);

  // `memory` is the kernel's.
  bool has(Gva at, const VirtualMemory& memory) const;

 private:
  struct Table {  // of one module: where its address and its length are, and how long a row is
    std::uint64_t first, count, row;
  };
  std::optional<Gva> modules_;
  std::uint64_t list_ = 0;
  std::array<std::optional<Table>, 2> tables_;
};

}  // namespace ringside::hub
