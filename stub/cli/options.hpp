// argv to what a command needs.  Pure but for the help text printed by the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "arch/result.hpp"
#include "stub/cli/dump_command.hpp"
#include "stub/cli/strace_command.hpp"
#include "vmm/boot/load.hpp"

namespace ringside::cli {

struct RunOptions {
  boot::BootSpec boot;
  std::uint64_t ram_bytes = 512ull << 20;
  std::vector<std::string> gdb;  // addresses to listen on
  bool wait = false;
  std::string stop_at, stop_on;  // lists as StopWishes::add takes them, empty for none
  std::string dump_on;           // what makes the monitor write dump_file, as in stop_on
  std::string dump_file = "vmcore";
  std::string log_level = "warn";
  std::string log_file;
};

struct AttachOptions {
  std::string address;  // of a monitor's --gdb
};

// A question about the guest's Linux: `ringside ps ADDRESS` is `monitor ps`, asked from the shell.
struct AskOptions {
  std::string address;  // of a monitor's --gdb
  std::string command;  // "sym do_exit"
};

struct DoctorOptions {};

// Asked for help or the version: print this and be done.
struct ShowText {
  std::string text;
};

using Options =
    std::variant<RunOptions, AttachOptions, AskOptions, DumpOptions, StraceOptions, DoctorOptions, ShowText>;

// One line that says what is wrong and what to do, or the options.
Result<Options> parse_options(int argc, const char* const* argv);

// "512M", "4G", "65536K", or bytes.
Result<std::uint64_t> parse_size(const std::string& text);

}  // namespace ringside::cli
