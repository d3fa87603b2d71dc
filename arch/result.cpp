#include "arch/result.hpp"

#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace ringside {

Unexpected<Error> fail_errno(std::string_view what, int error_number) {
  std::string text(what);
  text += ": ";
  text += std::generic_category().message(error_number);
  return fail(Errc::kSystem, std::move(text));
}

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "ringside: internal error: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace ringside
