// `ringside dump ADDRESS FILE`: the guest's memory and registers as a vmcore, through a monitor's door.
#pragma once

#include <string>

namespace ringside::cli {

struct DumpOptions {
  std::string address;  // of a monitor's --gdb
  std::string file;
};

int dump_command(const DumpOptions& options);

}  // namespace ringside::cli
