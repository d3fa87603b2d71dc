// The names and texts of error numbers.
#include <algorithm>
#include <iterator>

#include "stub/strace/names.hpp"

namespace ringside::strace {

namespace {

constexpr ErrorName kErrors[] = {
#define ERRNO(number, name, text) {number, #name, text},
#include "stub/strace/errno.def"
#undef ERRNO
};
static_assert(std::is_sorted(std::begin(kErrors), std::end(kErrors),
                             [](const ErrorName& a, const ErrorName& b) { return a.number < b.number; }));

}  // namespace

const ErrorName* find_error(std::uint64_t number) noexcept {
  const auto* const found =
      std::lower_bound(std::begin(kErrors), std::end(kErrors), number,
                       [](const ErrorName& row, std::uint64_t n) { return row.number < n; });
  return found != std::end(kErrors) && found->number == number ? found : nullptr;
}

}  // namespace ringside::strace
