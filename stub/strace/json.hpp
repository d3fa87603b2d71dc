// Records as JSON, one object a line (docs/strace.md): a call when it has returned, with all its arguments.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "stub/strace/record.hpp"

namespace ringside::strace {

class JsonLines {
 public:
  // The line that this record completes, or nothing.
  std::string add(const Record& record);

 private:
  struct Open {
    std::string name;
    std::string text;  // the arguments at the entry
    std::uint64_t time_ns = 0;
  };
  std::map<std::int32_t, Open> open_;  // by pid
};

std::string json_string(std::string_view text);

}  // namespace ringside::strace
