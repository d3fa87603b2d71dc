// A file on this machine with the symbols of the guest's kernel: the vmlinux with the same build id where one
// is installed, else one made from the kernel's own symbols.  Reads and writes files: not for the hub's
// thread.
#pragma once

#include <string>

#include "arch/result.hpp"
#include "stub/guestos/kernel.hpp"

namespace ringside::hub {

// An absolute path.
Result<std::string> symbol_file_for(const guestos::Kernel& kernel);

}  // namespace ringside::hub
