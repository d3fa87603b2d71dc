#include "stub/strace/filter.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include <regex.h>

#include <fmt/format.h>

#include "stub/strace/decode.hpp"

namespace ringside::strace {
namespace {

constexpr std::array kAbis = {Abi::kX64, Abi::kI386};

// "a,b" piece by piece; a regular expression goes to the end, for it may have commas.
std::string_view take_item(std::string_view& rest) {
  const std::size_t end = rest.starts_with('/') ? std::string_view::npos : rest.find(',');
  const std::string_view item = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return item;
}

class Expression {
 public:
  explicit Expression(std::string_view text) {
    good_ = ::regcomp(&compiled_, std::string(text).c_str(), REG_EXTENDED | REG_NOSUB) == 0;
  }
  ~Expression() {
    if (good_) ::regfree(&compiled_);
  }
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;
  bool good() const { return good_; }
  bool matches(std::string_view name) const {
    return ::regexec(&compiled_, std::string(name).c_str(), 0, nullptr, 0) == 0;
  }

 private:
  regex_t compiled_{};
  bool good_ = false;
};

// Sets the numbers of calls for which `wanted` holds; whether there was any.
template <typename Calls, typename Wanted>
bool add_where(Calls& into, Wanted wanted) {
  bool any = false;
  for (const Abi abi : kAbis) {
    for (std::uint32_t number = 0; number < kSyscallNumbers; ++number) {
      const Syscall* const syscall = find_syscall(abi, number);
      if (syscall == nullptr || !wanted(*syscall)) continue;
      into[static_cast<std::size_t>(abi)].set(number);
      any = true;
    }
  }
  return any;
}

std::optional<int> signal_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return number;
  std::string name;
  for (const char c : text) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (!name.starts_with("SIG")) name = "SIG" + name;
  for (int i = 1; i <= 64; ++i) {
    if (signal_name(i) == name) return i;
  }
  return std::nullopt;
}

}  // namespace

Result<void> Filter::add_item(std::string_view item, Calls& into) {
  if (item == "all") {
    for (auto& numbers : into) numbers.set();
    return {};
  }
  if (item == "none") return {};
  if (item.starts_with('/')) {
    const Expression expression(item.substr(1));
    if (!expression.good()) return fail(Errc::kMalformed, fmt::format("trace={}: no regular expression", item));
    add_where(into, [&](const Syscall& syscall) { return expression.matches(syscall.name); });
    return {};
  }
  const bool may_lack = item.starts_with('?');
  if (may_lack) item.remove_prefix(1);
  const std::uint32_t bit = find_class(item.starts_with('%') ? item.substr(1) : item);
  if (bit != 0) {
    add_where(into, [bit](const Syscall& syscall) { return (syscall.classes & bit) != 0; });
    return {};
  }
  const bool any = add_where(into, [item](const Syscall& syscall) { return syscall.name == item; });
  if (any || may_lack) return {};
  return fail(Errc::kMalformed, fmt::format("there is no system call, and no class of them, \"{}\"", item));
}

Result<void> Filter::add_trace(std::string_view expression) {
  Calls named;
  const bool all_but = expression.starts_with('!');
  std::string_view rest = expression.substr(all_but ? 1 : 0);
  if (rest.empty()) return fail(Errc::kMalformed, "trace= names no system call");
  while (!rest.empty()) RS_TRY(add_item(take_item(rest), named));
  for (std::size_t i = 0; i < calls_.size(); ++i) calls_[i] |= all_but ? ~named[i] : named[i];
  wants_unknown_ = wants_unknown_ || all_but || expression == "all";
  has_calls_ = true;
  return {};
}

Result<void> Filter::add_signal(std::string_view expression) {
  std::bitset<kSignals> named;
  const bool all_but = expression.starts_with('!');
  std::string_view rest = expression.substr(all_but ? 1 : 0);
  while (!rest.empty()) {
    const std::string_view item = take_item(rest);
    if (item == "all") {
      named.set();
    } else if (item != "none") {
      const auto number = signal_number(item);
      if (!number || *number < 1 || *number >= static_cast<int>(kSignals))
        return fail(Errc::kMalformed, fmt::format("there is no signal \"{}\"", item));
      named.set(static_cast<std::size_t>(*number));
    }
  }
  signals_ |= all_but ? ~named : named;
  has_signals_ = true;
  return {};
}

Result<void> Filter::add_status(std::string_view expression) {
  const bool all_but = expression.starts_with('!');
  std::string_view rest = expression.substr(all_but ? 1 : 0);
  while (!rest.empty()) {
    const std::string_view item = take_item(rest);
    if (item != "successful" && item != "failed")
      return fail(Errc::kMalformed, fmt::format("status={}: use successful or failed", item));
    const bool success = (item == "successful") != all_but;
    successful_ = successful_ || success;
    failed_ = failed_ || !success;
  }
  has_status_ = true;
  return {};
}

Result<void> Filter::add_path(std::string_view path) {
  if (path.empty()) return fail(Errc::kMalformed, "path= names no path");
  quoted_.push_back(fmt::format("\"{}\"", path));
  quoted_.push_back(fmt::format("<{}>", path));
  return {};
}

bool Filter::wants_result(const Call& call) const noexcept {
  if (!has_status_) return true;
  const bool is_error = call.result < 0 && call.result >= -4095;
  return is_error ? failed_ : successful_;
}

bool Filter::wants_paths_in(std::string_view arguments) const noexcept {
  return std::ranges::any_of(quoted_, [arguments](const std::string& one) {
    return arguments.find(one) != std::string_view::npos;
  });
}

}  // namespace ringside::strace
