// strace -c: calls, errors and time of each call, as a table.  Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "stub/strace/record.hpp"

namespace ringside::strace {

enum class SortBy : std::uint8_t { kTime, kCalls, kErrors, kName, kNothing };  // -S

class Summary {
 public:
  // kCount records set, kReturn records (-C) add one.
  void add(const Record& record);
  std::string table(SortBy order) const;

 private:
  struct Row {
    std::uint64_t calls = 0;
    std::uint64_t errors = 0;
    std::uint64_t took_ns = 0;
  };
  std::map<std::string, Row> rows_;
};

}  // namespace ringside::strace
