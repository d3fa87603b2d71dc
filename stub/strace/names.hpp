// Names of values: flags, enumerations, errors, signals.  Data; the rows are in names_*.def, errno.def and
// signals.def.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace ringside::strace {

struct Name {
  std::uint32_t value;
  std::string_view text;
};

// `unknown` stands in a comment beside a value that has no name: 0x77 /* SEEK_??? */.
struct Names {
  std::span<const Name> rows;
  std::string_view unknown;
};

// The name of exactly this value; empty when it has none.
constexpr std::string_view find_name(const Names& names, std::uint64_t value) {
  for (const Name& row : names.rows) {
    if (row.value == value) return row.text;
  }
  return {};
}

namespace names {
// Twice over the same files: first the rows, then the tables made of them.
#define NAMES(table, unknown_text)                                  \
  namespace rows {                                                  \
  inline constexpr std::string_view unknown_##table = unknown_text; \
  inline constexpr Name table[] = {
#define NAME(value, name) {static_cast<std::uint32_t>(value), #name},
#define END_NAMES \
  }               \
  ;               \
  }
#include "stub/strace/names_bpf.def"
#include "stub/strace/names_events.def"
#include "stub/strace/names_files.def"
#include "stub/strace/names_memory.def"
#include "stub/strace/names_process.def"
#include "stub/strace/names_signals.def"
#include "stub/strace/names_sockets.def"
#include "stub/strace/names_structures.def"
#undef NAMES
#undef NAME
#undef END_NAMES

#define NAMES(table, unknown_text) inline constexpr Names table{rows::table, rows::unknown_##table};
#define NAME(value, name)
#define END_NAMES
#include "stub/strace/names_bpf.def"
#include "stub/strace/names_events.def"
#include "stub/strace/names_files.def"
#include "stub/strace/names_memory.def"
#include "stub/strace/names_process.def"
#include "stub/strace/names_signals.def"
#include "stub/strace/names_sockets.def"
#include "stub/strace/names_structures.def"
#undef NAMES
#undef NAME
#undef END_NAMES
}  // namespace names

struct ErrorName {
  std::uint32_t number;
  std::string_view name;
  std::string_view text;
};

// Null for a number that has no name.
const ErrorName* find_error(std::uint64_t number) noexcept;

}  // namespace ringside::strace
