#include "stub/strace/syscalls.hpp"

#include <algorithm>

namespace ringside::strace {

namespace {

namespace kinds {
// Registers and position by the macro's name; kByCall by a function of the kind's name.
#define WHEN_kEntry(kind) When::kEntry, nullptr
#define WHEN_kReturn(kind) When::kReturn, nullptr
#define WHEN_kBoth(kind) When::kBoth, nullptr
#define WHEN_kByCall(kind) When::kEntry, &arguments::when_##kind
#define ARGUMENT(kind, time) constexpr Kind kind{&arguments::print_##kind, WHEN_##time(kind)};
#define WIDE(kind, time) constexpr Kind kind{&arguments::print_##kind, WHEN_##time(kind), 1, 2};
#define PAIR(kind, time) constexpr Kind kind{&arguments::print_##kind, WHEN_##time(kind), 2, 2};
#define TAIL(kind, time) constexpr Kind kind{&arguments::print_##kind, WHEN_##time(kind), 1, 1, true};
#define FLAGS(table) constexpr Kind table{&print_flags_of<names::table>};
#define LONG_FLAGS(table) constexpr Kind table{&print_long_flags_of<names::table>};
#define NAMED(table) constexpr Kind table{&print_name_of<names::table>};
#include "stub/strace/arguments.def"
#undef ARGUMENT
#undef WIDE
#undef PAIR
#undef TAIL
#undef FLAGS
#undef LONG_FLAGS
#undef NAMED
}  // namespace kinds

template <typename... Kinds>
constexpr Syscall make(std::string_view name, ResultKind result, std::uint32_t classes,
                       const Kinds&... kinds) {
  static_assert(sizeof...(kinds) <= 6);
  return {name, result, classes, sizeof...(kinds), {&kinds...}};
}

struct Row {
  int x64;
  int i386;
  Syscall syscall;
};

constexpr Row make_row(int x64, int i386, const Syscall& syscall) { return {x64, i386, syscall}; }

using namespace kinds;  // NOLINT(google-build-using-namespace): the rows are written with bare words

constexpr Row kRows[] = {
#define SYSCALL(x64, i386, name, result, classes, ...) \
  make_row(x64, i386, make(#name, ResultKind::result, classes __VA_OPT__(, ) __VA_ARGS__)),
#include "stub/strace/syscalls.def"
#undef SYSCALL
};

using Index = std::array<const Syscall*, kSyscallNumbers>;

constexpr Index index_of(int Row::*number) {
  Index index{};
  for (const Row& row : kRows) {
    if (row.*number >= 0) index[static_cast<std::size_t>(row.*number)] = &row.syscall;
  }
  return index;
}

constexpr bool each_number_once(int Row::*number) {
  std::array<bool, kSyscallNumbers> seen{};
  for (const Row& row : kRows) {
    if (row.*number < 0) continue;
    bool& before = seen[static_cast<std::size_t>(row.*number)];
    if (before) return false;
    before = true;
  }
  return true;
}
static_assert(each_number_once(&Row::x64) && each_number_once(&Row::i386));

constexpr Index kX64Index = index_of(&Row::x64);
constexpr Index kI386Index = index_of(&Row::i386);

struct ClassName {
  std::string_view name;
  std::uint32_t bit;
};
constexpr ClassName kClassNames[] = {{"file", kFile},       {"desc", kDesc},       {"network", kNetwork},
                                     {"net", kNetwork},     {"process", kProcess}, {"signal", kSignal},
                                     {"ipc", kIpc},         {"memory", kMemory},   {"stat", kStat},
                                     {"lstat", kLstat},     {"fstat", kFstat},     {"statfs", kStatfs},
                                     {"fstatfs", kFstatfs}, {"clock", kClock},     {"creds", kCreds},
                                     {"pure", kPure},       {"%stat", kAnyStat},   {"%statfs", kAnyStatfs}};

}  // namespace

const Syscall* find_syscall(Abi abi, std::uint32_t number) noexcept {
  if (number >= kSyscallNumbers) return nullptr;
  return abi == Abi::kX64 ? kX64Index[number] : kI386Index[number];
}

std::optional<std::uint32_t> find_syscall_number(Abi abi, std::string_view name) noexcept {
  const Index& index = abi == Abi::kX64 ? kX64Index : kI386Index;
  for (std::uint32_t number = 0; number < kSyscallNumbers; ++number) {
    if (index[number] != nullptr && index[number]->name == name) return number;
  }
  return std::nullopt;
}

std::uint32_t find_class(std::string_view name) noexcept {
  const auto* const found = std::find_if(std::begin(kClassNames), std::end(kClassNames),
                                         [&](const ClassName& row) { return row.name == name; });
  return found == std::end(kClassNames) ? 0 : found->bit;
}

}  // namespace ringside::strace
